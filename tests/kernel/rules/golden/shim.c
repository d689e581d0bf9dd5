/* Stand between auditctl and the kernel: record what it would send, send nothing.
 *
 *   owns     every AF_NETLINK socket of the process it is preloaded into.
 *   rule 1   no netlink socket is ever opened: the descriptor handed out is an eventfd,
 *            which cannot carry a message anywhere.
 *   rule 2   the bytes of each message are appended to $AUDITCTL_CAPTURE, whole, with the
 *            netlink header; every request is answered as a kernel that agrees would.
 *
 * Build and use: capture.py beside this file.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <fcntl.h>

enum { FD_LIMIT = 64 };
static char fake[FD_LIMIT]; /* 1: we handed this descriptor out as a netlink socket */
static struct nlmsghdr last_request;

static int is_fake(int fd)
{
    return fd >= 0 && fd < FD_LIMIT && fake[fd];
}

/* auditctl refuses to start for anybody but root. capture.py runs it as nobody, so that the
 * kernel would refuse too if this file were wrong. */
uid_t geteuid(void)
{
    return 0;
}

int audit_can_control(void)
{
    return 1;
}

int socket(int domain, int type, int protocol)
{
    (void)type;
    (void)protocol;
    if (domain != AF_NETLINK) {
        errno = EAFNOSUPPORT;
        return -1;
    }
    int fd = eventfd(1, EFD_CLOEXEC); /* counter 1: always readable, so poll returns at once */
    if (fd < 0 || fd >= FD_LIMIT)
        _exit(98);
    fake[fd] = 1;
    return fd;
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
               socklen_t to_len)
{
    const char *path = getenv("AUDITCTL_CAPTURE");

    (void)flags;
    (void)to;
    (void)to_len;
    if (!is_fake(fd) || path == NULL || len < sizeof(last_request)) {
        errno = EBADF;
        return -1;
    }
    memcpy(&last_request, buf, sizeof(last_request));
    int out = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (out < 0 || write(out, buf, len) != (ssize_t)len)
        _exit(99);
    close(out);
    return (ssize_t)len;
}

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *from,
                 socklen_t *from_len)
{
    struct {
        struct nlmsghdr head;
        union {
            struct nlmsgerr ack;
            struct audit_status status;
        } body;
    } reply;
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

    (void)flags;
    if (!is_fake(fd)) {
        errno = EBADF;
        return -1;
    }
    memset(&reply, 0, sizeof(reply));
    reply.head.nlmsg_seq = last_request.nlmsg_seq;
    if (last_request.nlmsg_type == AUDIT_GET) { /* audit off, nobody listening, all features */
        reply.head.nlmsg_type = AUDIT_GET;
        reply.body.status.feature_bitmap = ~0U;
        reply.head.nlmsg_len = NLMSG_LENGTH(sizeof(reply.body.status));
    } else {
        reply.head.nlmsg_type = NLMSG_ERROR;
        reply.head.nlmsg_len = NLMSG_LENGTH(sizeof(reply.body.ack));
        reply.body.ack.msg = last_request;
    }
    if (from != NULL && from_len != NULL && *from_len >= sizeof(kernel)) {
        memcpy(from, &kernel, sizeof(kernel));
        *from_len = sizeof(kernel);
    }
    size_t size = reply.head.nlmsg_len < len ? reply.head.nlmsg_len : len;
    memcpy(buf, &reply, size);
    return (ssize_t)size;
}
