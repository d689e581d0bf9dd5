/* Minimal reader of the kernel's audit, the reference for a sensor: own the socket, poll, recvmmsg, discard, count.
 * The caller sets rules and settings.
 *
 *   drain [FD] prints "ready", drains until standard input ends, then prints
 *              {"datagrams": N, "bytes": N, "calls": N}
 *
 *   FD         the audit socket, opened and registered by the caller; default: a new one
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256, DATAGRAM = 16384, BUFFER = 128 << 20, SETTLE_MS = 200 };

static struct mmsghdr messages[BATCH];
static struct iovec places[BATCH];
static char buffers[BATCH][DATAGRAM];

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_socket(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int on = 1;
    int size = BUFFER;
    if (fd < 0 || connect(fd, (struct sockaddr *)&kernel, sizeof kernel) != 0 ||
        setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
        fail("open an audit socket");
    }
    return fd;
}

static void set_owner(int fd, uint32_t pid) {
    struct {
        struct nlmsghdr header;
        struct audit_status status;
    } request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = AUDIT_SET, .nlmsg_flags = NLM_F_REQUEST},
        .status = {.mask = AUDIT_STATUS_PID, .pid = pid},
    };
    if (send(fd, &request, sizeof request, 0) != (ssize_t)sizeof request) {
        fail("ask for the audit socket");
    }
}

static void become_owner(int fd) {
    struct {
        struct nlmsghdr header;
        int32_t result;
        char rest[256];
    } answer;
    set_owner(fd, (uint32_t)getpid());
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    /* No answer means yes: an ACK was not asked for, and audit is off, so no record comes. */
    if (poll(&waiting, 1, SETTLE_MS) == 1 && recv(fd, &answer, sizeof answer, 0) > 0 &&
        answer.header.nlmsg_type == NLMSG_ERROR && answer.result != 0) {
        errno = -answer.result;
        fail("become the owner");
    }
}

int main(int argc, char **argv) {
    uint64_t datagrams = 0;
    uint64_t bytes = 0;
    uint64_t calls = 0;
    int given = argc == 2;
    int fd = given ? atoi(argv[1]) : open_socket();
    for (int n = 0; n < BATCH; n++) {
        places[n] = (struct iovec){buffers[n], DATAGRAM};
        messages[n].msg_hdr = (struct msghdr){.msg_iov = &places[n], .msg_iovlen = 1};
    }
    if (!given) {
        become_owner(fd);
    }
    puts("ready");
    fflush(stdout);
    struct pollfd waiting[] = {{.fd = fd, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
    while (poll(waiting, 2, -1) > 0 && waiting[1].revents == 0) {
        int taken = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        calls++;
        for (int n = 0; n < taken; n++) {
            bytes += messages[n].msg_len;
        }
        datagrams += taken > 0 ? (uint64_t)taken : 0;
    }
    if (!given) {
        set_owner(fd, 0);
    }
    printf("{\"datagrams\": %llu, \"bytes\": %llu, \"calls\": %llu}\n", (unsigned long long)datagrams,
           (unsigned long long)bytes, (unsigned long long)calls);
    return 0;
}
