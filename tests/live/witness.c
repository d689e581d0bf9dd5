/* A second listener to the kernel's audit that stands by while another stands still: what did the kernel make?
 * It joins the multicast group, which gets a copy of every record that reaches the kernel's own queue.
 *
 *   witness    prints "ready", listens until standard input ends and a moment longer, then prints
 *              {"drops": N, "others": N, "events": [N0, N1, …]}: what did not fit its own socket, events of
 *              others, and the number of the loads' events by their number of records. An event is a load's
 *              when it has a SYSCALL record with key="audit_proc". That is the first record of an open:
 *              where the kernel has no room for it, it makes no other and gives the event no serial.
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

enum { BATCH = 256, DATAGRAM = 2048, BUFFER = 512 << 20, SERIALS = 1 << 21, MOST = 8, SETTLE_MS = 300 };
enum { MEMINFO = 55, MEMINFO_WORDS = 9, MEMINFO_DROPS = 8 }; /* asm-generic/socket.h, linux/sock_diag.h */

static struct mmsghdr messages[BATCH];
static struct iovec places[BATCH];
static char buffers[BATCH][DATAGRAM];
static uint8_t counts[SERIALS]; /* records of serial first + n; the top bit: it is a load's */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void take(const char *datagram, size_t length) {
    static uint32_t first;
    struct nlmsghdr header;
    unsigned long long seconds;
    unsigned milliseconds;
    uint32_t serial;
    char text[DATAGRAM - sizeof header + 1] = "";
    if (length <= sizeof header) {
        return;
    }
    memcpy(&header, datagram, sizeof header);
    memcpy(text, datagram + sizeof header, length - sizeof header);
    if (sscanf(text, "audit(%llu.%u:%u)", &seconds, &milliseconds, &serial) != 3) {
        return;
    }
    if (first == 0) {
        first = serial - 64; /* serials do not come in order */
    }
    uint8_t *count = &counts[(serial - first) % SERIALS];
    *count = (uint8_t)((*count & 0x80) | ((*count & 0x7f) + 1));
    if (header.nlmsg_type == AUDIT_SYSCALL && strstr(text, "key=\"audit_proc\"") != NULL) {
        *count |= 0x80;
    }
}

static int drain(int fd) {
    int taken = 0;
    for (;;) {
        for (int n = 0; n < BATCH; n++) {
            places[n] = (struct iovec){buffers[n], DATAGRAM - 1};
            messages[n].msg_hdr = (struct msghdr){.msg_iov = &places[n], .msg_iovlen = 1};
        }
        int got = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        if (got <= 0) {
            return taken;
        }
        for (int n = 0; n < got; n++) {
            take(buffers[n], messages[n].msg_len);
        }
        taken += got;
    }
}

int main(void) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_AUDIT);
    struct sockaddr_nl group = {.nl_family = AF_NETLINK, .nl_groups = 1};
    int on = 1;
    int size = BUFFER;
    if (fd < 0 || setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0 ||
        bind(fd, (struct sockaddr *)&group, sizeof group) != 0) {
        fail("listen to the kernel's audit");
    }
    puts("ready");
    fflush(stdout);
    struct pollfd waiting[] = {{.fd = fd, .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    while (poll(waiting, 2, -1) > 0 && waiting[1].revents == 0) {
        drain(fd);
        usleep(500);
    }
    while (drain(fd) > 0) {
        usleep(SETTLE_MS * 1000);
    }
    uint32_t meminfo[MEMINFO_WORDS] = {0};
    socklen_t length = sizeof meminfo;
    if (getsockopt(fd, SOL_SOCKET, MEMINFO, meminfo, &length) != 0) {
        fail("ask the socket what it dropped");
    }
    uint64_t events[MOST] = {0};
    uint64_t others = 0;
    for (size_t n = 0; n < SERIALS; n++) {
        if ((counts[n] & 0x80) != 0) {
            events[(counts[n] & 0x7f) < MOST ? counts[n] & 0x7f : MOST - 1]++;
        } else if (counts[n] != 0) {
            others++;
        }
    }
    printf("{\"drops\": %u, \"others\": %llu, \"events\": [", meminfo[MEMINFO_DROPS], (unsigned long long)others);
    for (int n = 0; n < MOST; n++) {
        printf("%s%llu", n ? ", " : "", (unsigned long long)events[n]);
    }
    puts("]}");
    return 0;
}
