/* Counts what a fanotify mark on the root of a procfs reports of one process, for ADR 37.
 *
 *   fanotify [CONTAINED] prints "ready", reads until a pid comes on standard input, then prints of that process
 *                        {"opens": N, "reads": N, "named": N}
 *
 *   CONTAINED            pid of a process with another procfs, which is marked instead of the host's
 *
 * named: events whose executable could be read afterwards. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fanotify.h>
#include <unistd.h>

enum { EVENTS = 1 << 18, PIDS = 1 << 22 };

static _Alignas(8) char events[EVENTS];
static struct {
    uint32_t opens;
    uint32_t reads;
    uint32_t named;
} counted[PIDS];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int has_name(int pid) {
    char path[64];
    char program[256];
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    return readlink(path, program, sizeof program) > 0;
}

int main(int argc, char **argv) {
    char root[64] = "/proc";
    if (argc == 2) {
        snprintf(root, sizeof root, "/proc/%s/root/proc", argv[1]);
    }
    int fd = fanotify_init(FAN_CLASS_NOTIF | FAN_NONBLOCK | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN | FAN_ACCESS | FAN_ONDIR, AT_FDCWD, root) != 0) {
        fail("fanotify");
    }
    puts("ready");
    fflush(stdout);
    struct pollfd waiting[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    while (poll(waiting, 2, -1) > 0 && (waiting[0].revents != 0 || waiting[1].revents == 0)) {
        long size = read(fd, events, sizeof events);
        struct fanotify_event_metadata *event = (void *)events;
        for (; FAN_EVENT_OK(event, size); event = FAN_EVENT_NEXT(event, size)) {
            if (event->pid > 0 && event->pid < PIDS) {
                counted[event->pid].opens += (event->mask & FAN_OPEN) != 0;
                counted[event->pid].reads += (event->mask & FAN_ACCESS) != 0;
                counted[event->pid].named += (uint32_t)has_name(event->pid);
            }
            if (event->fd >= 0) {
                close(event->fd);
            }
        }
    }
    int pid = 0;
    if (scanf("%d", &pid) != 1 || pid <= 0 || pid >= PIDS) {
        fputs("fanotify: a pid is expected on standard input\n", stderr);
        return 2;
    }
    printf("{\"opens\": %u, \"reads\": %u, \"named\": %u}\n", counted[pid].opens, counted[pid].reads,
           counted[pid].named);
    return 0;
}
