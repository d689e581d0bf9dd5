/* The broker: a process that stays root for a few operations. kernel/broker.py prepares and confines it.
 *
 * Rule 1: names lie in memory that is read-only, and its filter compares their addresses. So the calls that take a name
 *         are made by number: a library may copy a name or change flags. So are those for sockets: where the kernel has
 *         socketcall(2), a library may use that, and no filter can read its arguments.
 * Rule 2: of a client it reads single bytes. A byte selects an operation of that client.
 * Rule 3: it neither allocates nor waits for a client. */
#define _GNU_SOURCE /* syscall, O_* */
#include "../_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "start.h"

enum { MODE = 0600, SAME = 255 };

typedef struct {
    uint64_t device;
    uint64_t inode;
    bool known;
} identity;

/* What changes while the broker runs. */
typedef struct {
    identity same[AS_BROKER_CLIENTS]; /* FILE, LOG: that was opened last. TIDY: that is the sensor's */
    identity before;                  /* TIDY: before the sensor has made its own */
    bool noted;                       /* whether `before` was asked for */
} state;

/* Not fstatat and fstat: they have another name since glibc 2.33, and an older one could not load this module. */
static int32_t identify(int folder, const char *name, long flags, identity *found) {
    struct statx status;
    *found = (identity){0};
    if (syscall(SYS_statx, (long)folder, name, flags, (long)STATX_INO, &status) != 0) {
        return errno;
    }
    *found = (identity){makedev(status.stx_dev_major, status.stx_dev_minor), status.stx_ino, true};
    return 0;
}

static bool is_same(const identity *one, const identity *other) {
    return one->known && other->known && one->device == other->device && one->inode == other->inode;
}

static int32_t open_name(const as_broker_client *client, uint32_t number, identity *opened, int *descriptor) {
    const long got = syscall(SYS_openat, (long)client->folder, client->names[number], (long)client->flags, (long)MODE);
    if (got < 0) {
        return errno;
    }
    *descriptor = (int)got;
    identity found;
    if (number == 0 && identify(*descriptor, "", AT_EMPTY_PATH, &found) == 0) {
        *opened = found;
    }
    return 0;
}

static int32_t rotate(const as_broker_client *client, const identity *own) {
    identity found;
    const int32_t problem = identify(client->folder, client->names[0], AT_SYMLINK_NOFOLLOW, &found);
    if (problem != 0 && problem != ENOENT) {
        return problem;
    }
    if (problem == 0 && !is_same(&found, own)) {
        return 0;
    }
    for (uint32_t older = client->count; older-- > 1;) {
        const char *from = client->names[older - 1], *to = client->names[older];
#ifdef SYS_renameat
        const long result = syscall(SYS_renameat, (long)client->folder, from, (long)client->folder, to);
#else
        const long result = syscall(SYS_renameat2, (long)client->folder, from, (long)client->folder, to, 0L);
#endif
        if (result != 0 && errno != ENOENT) {
            return errno;
        }
    }
    return 0;
}

static int32_t connect_to(const as_broker_client *client, int kind, int *descriptor) {
    const int one = (int)syscall(SYS_socket, (long)AF_UNIX, (long)kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0L);
    if (one < 0) {
        return errno;
    }
    if (syscall(SYS_connect, (long)one, client->names[0], (long)client->length) != 0) {
        const int32_t problem = errno;
        (void)close(one);
        return problem;
    }
    *descriptor = one;
    return 0;
}

/* The last file is removed only if it is the sensor's. What cannot be removed stays for the next start. */
static void clean(const as_broker_client *client, const state *now, const identity *own) {
    for (uint32_t i = 0; i < client->count; i++) {
        if (i + 1 == client->files) {
            identity found;
            (void)identify(AT_FDCWD, client->names[i], AT_SYMLINK_NOFOLLOW, &found);
            const bool other = now->before.known ? !is_same(&found, &now->before) : found.known;
            if (own->known ? !is_same(&found, own) : !(now->noted && other)) {
                continue;
            }
        }
        (void)syscall(SYS_unlinkat, (long)AT_FDCWD, client->names[i], i < client->files ? 0L : (long)AT_REMOVEDIR);
    }
}

static void tidy(const as_broker_client *client, state *now, identity *own, uint8_t request) {
    const char *last = client->files > 0 ? client->names[client->files - 1] : NULL;
    if (request == 'C') {
        clean(client, now, own);
    } else if (request == 'B' && last != NULL) {
        (void)identify(AT_FDCWD, last, AT_SYMLINK_NOFOLLOW, &now->before);
        now->noted = true;
    } else if (request == 'K' && last != NULL) {
        (void)identify(AT_FDCWD, last, AT_SYMLINK_NOFOLLOW, own);
    }
}

/* Does what a client asks for. Returns 0 or a number of errno, and sets the descriptor to pass. */
static int32_t perform(const as_broker_client *client, state *now, identity *own, uint8_t request, int *descriptor) {
    switch (client->kind) {
    case AS_BROKER_TIDY:
        tidy(client, now, own, request);
        return 0;
    case AS_BROKER_FILE:
        return request == 'O' ? open_name(client, 0, own, descriptor) : request == 'R' ? rotate(client, own) : 0;
    case AS_BROKER_SOCKET:
        return request == 'D'   ? connect_to(client, SOCK_DGRAM, descriptor)
               : request == 'S' ? connect_to(client, SOCK_STREAM, descriptor)
                                : 0;
    case AS_BROKER_LOG:
        if (request == SAME) {
            identity found;
            const int32_t problem = identify(client->folder, client->names[0], AT_SYMLINK_NOFOLLOW, &found);
            return problem != 0 ? problem : is_same(&found, own) ? 0 : ESTALE;
        }
        return request < client->count ? open_name(client, request, own, descriptor) : EINVAL;
    default:
        return EINVAL;
    }
}

/* Without waiting: a client that reads no answer must not delay the others. */
static void send_answer(int connection, int32_t result, int descriptor) {
    uint8_t byte = (uint8_t)(result > 0 && result < 256 ? result : result == 0 ? 0 : EIO);
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    union {
        struct cmsghdr aligned;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (descriptor >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    }
    (void)syscall(SYS_sendmsg, (long)connection, &message, (long)(MSG_DONTWAIT | MSG_NOSIGNAL));
    if (descriptor >= 0) {
        (void)close(descriptor);
    }
}

/* Returns false when the client has ended, also if it has not read its answers. */
static bool serve_one(const as_broker_client *client, state *now, identity *own) {
    uint8_t request;
    const ssize_t got = read(client->connection, &request, 1);
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return true;
    }
    if (got != 1) {
        return false;
    }
    int descriptor = -1;
    const int32_t result = perform(client, now, own, request, &descriptor);
    send_answer(client->connection, result, descriptor);
    return true;
}

int32_t as_broker_serve(const as_broker_client *clients, uint32_t count) {
    struct pollfd waiting[AS_BROKER_CLIENTS];
    state now = {.noted = false};
    if (count > AS_BROKER_CLIENTS) {
        return EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) {
        const as_broker_client *client = &clients[i];
        waiting[i] = (struct pollfd){.fd = client->connection, .events = POLLIN};
        now.same[i] = (identity){client->device, client->inode, client->kind == AS_BROKER_FILE};
    }
    for (uint32_t left = count; left > 0;) {
        if (poll(waiting, count, -1) < 0) {
            if (errno == EINTR) {
                continue;
            }
            return errno;
        }
        for (uint32_t i = 0; i < count; i++) {
            if (waiting[i].fd >= 0 && waiting[i].revents != 0 && !serve_one(&clients[i], &now, &now.same[i])) {
                waiting[i].fd = -1; /* the descriptor stays open: another one may not get its number */
                left--;
            }
        }
    }
    return 0;
}

void as_broker_run(const as_broker_client *clients, uint32_t count, const as_helper_start *start) {
    as_helper_begin(start);
    _exit(as_broker_serve(clients, count) == 0 ? 0 : 1);
}
