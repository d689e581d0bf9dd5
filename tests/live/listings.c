/* Lists the processes of the procfs at /proc again and again, in one of the ways that a scanner may use.
 *
 *   listings WAY [LISTINGS [PAUSE_US]]    prints how many listings had process 1 or itself in them
 *
 * Compiled statically, so that it also runs in a chroot and in a container without libraries. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLAGS (O_RDONLY | O_CLOEXEC)
#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

static int seen; /* listings with a process */
static int kept = -1;

static void fail(const char *what) {
    perror(what);
    exit(2);
}

/* Read all entries of an open folder. */
static void list(int fd) {
    struct {
        uint64_t inode;
        int64_t offset;
        unsigned short size;
        unsigned char type;
        char name[];
    } *entry;
    static _Alignas(8) char buffer[1 << 16];
    long size;
    int processes = 0;
    if (fd < 0) {
        fail("open of /proc");
    }
    while ((size = syscall(SYS_getdents64, fd, buffer, sizeof buffer)) > 0) {
        for (long at = 0; at < size; at += entry->size) {
            entry = (void *)(buffer + at);
            processes += entry->name[0] >= '1' && entry->name[0] <= '9';
        }
    }
    seen += processes > 0;
}

static void list_and_close(int fd) {
    list(fd);
    close(fd);
}

/* --- io_uring, by its system calls alone --- */

static struct {
    int fd;
    unsigned *sq_tail, *sq_mask, *sq_flags, *array, *cq_head, *cq_tail, *cq_mask;
    struct io_uring_sqe *entries;
    struct io_uring_cqe *results;
    int polls; /* a thread of the kernel takes what is submitted */
} ring = {.fd = -1};

static void *mapped(size_t size, off_t offset) {
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring.fd, offset);
    if (at == MAP_FAILED) {
        fail("mmap of a ring");
    }
    return at;
}

static void make_ring(int polls) {
    struct io_uring_params params = {.flags = polls ? IORING_SETUP_SQPOLL : 0, .sq_thread_idle = 2000};
    ring.polls = polls;
    ring.fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (ring.fd < 0) {
        fail("io_uring_setup");
    }
    char *sq = mapped(params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
    char *cq = mapped(params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), IORING_OFF_CQ_RING);
    ring.entries = mapped(params.sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
    ring.sq_tail = (void *)(sq + params.sq_off.tail);
    ring.sq_mask = (void *)(sq + params.sq_off.ring_mask);
    ring.sq_flags = (void *)(sq + params.sq_off.flags);
    ring.array = (void *)(sq + params.sq_off.array);
    ring.cq_head = (void *)(cq + params.cq_off.head);
    ring.cq_tail = (void *)(cq + params.cq_off.tail);
    ring.cq_mask = (void *)(cq + params.cq_off.ring_mask);
    ring.results = (void *)(cq + params.cq_off.cqes);
}

/* Open /proc by the ring. wait: in the call that submits it. */
static int open_by_ring(int polls, unsigned char flags, int wait) {
    if (ring.fd < 0) {
        make_ring(polls);
    }
    const unsigned at = *ring.sq_tail & *ring.sq_mask;
    ring.entries[at] = (struct io_uring_sqe){.opcode = IORING_OP_OPENAT,
                                             .flags = flags,
                                             .fd = AT_FDCWD,
                                             .addr = (uintptr_t)"/proc",
                                             .open_flags = O_RDONLY | O_CLOEXEC};
    ring.array[at] = at;
    atomic_store_explicit((_Atomic unsigned *)ring.sq_tail, *ring.sq_tail + 1, memory_order_seq_cst);
    const unsigned sleeping =
        atomic_load_explicit((_Atomic unsigned *)ring.sq_flags, memory_order_seq_cst) & IORING_SQ_NEED_WAKEUP;
    if (!polls || sleeping) {
        const unsigned how = (wait ? IORING_ENTER_GETEVENTS : 0u) | (polls ? IORING_ENTER_SQ_WAKEUP : 0u);
        if (syscall(SYS_io_uring_enter, ring.fd, 1, wait ? 1 : 0, how, NULL, 0) < 0) {
            fail("io_uring_enter");
        }
    }
    while (atomic_load_explicit((_Atomic unsigned *)ring.cq_tail, memory_order_acquire) == *ring.cq_head) {
        usleep(500);
    }
    const int fd = ring.results[*ring.cq_head & *ring.cq_mask].res;
    atomic_store_explicit((_Atomic unsigned *)ring.cq_head, *ring.cq_head + 1, memory_order_release);
    errno = fd < 0 ? -fd : 0;
    return fd;
}

/* --- the ways --- */

static void by_openat(int turn) {
    (void)turn;
    list_and_close((int)syscall(SYS_openat, AT_FDCWD, "/proc", FLAGS));
}

static void by_opendir(int turn) {
    (void)turn;
    DIR *folder = opendir("/proc");
    if (folder == NULL) {
        fail("opendir");
    }
    list(dirfd(folder));
    closedir(folder);
}

static void by_other_names(int turn) {
    static const char *const names[] = {"/proc/", "//proc", "/proc/.", "/proc/self/..", "/dev/../proc", "proc", "."};
    const char *name = names[turn % COUNT(names)];
    if (chdir(strcmp(name, ".") == 0 ? "/proc" : "/") != 0) {
        fail("chdir");
    }
    list_and_close((int)syscall(SYS_openat, AT_FDCWD, name, FLAGS));
}

/* The kernel uses the lower halves of the registers. */
static void by_rubbish(int turn) {
#if defined(__x86_64__)
    register long number __asm__("rax") = SYS_openat;
    register unsigned long folder __asm__("rdi") = 0xdeadbeefffffff9c;
    register const char *name __asm__("rsi") = "/proc";
    register unsigned long flags __asm__("rdx") = 0x1400080000;
    register long mode __asm__("r10") = 0;
    __asm__ volatile("syscall" : "+r"(number) : "r"(folder), "r"(name), "r"(flags), "r"(mode) : "rcx", "r11", "memory");
    (void)turn;
    list_and_close((int)number);
#else
    by_openat(turn);
#endif
}

static void by_openat2(int turn) {
    struct open_how how = {.flags = FLAGS};
    (void)turn;
    list_and_close((int)syscall(SYS_openat2, AT_FDCWD, "/proc", &how, sizeof how));
}

static void by_open(int turn) {
    (void)turn;
#ifdef SYS_open
    list_and_close((int)syscall(SYS_open, "/proc", FLAGS));
#else
    list_and_close((int)syscall(SYS_openat, AT_FDCWD, "/proc", FLAGS));
#endif
}

static void by_ring(int turn) {
    (void)turn;
    list_and_close(open_by_ring(0, 0, 1));
}

static void by_polled_ring(int turn) {
    (void)turn;
    list_and_close(open_by_ring(1, 0, 0));
}

static void by_asynchronous_ring(int turn) {
    (void)turn;
    list_and_close(open_by_ring(0, IOSQE_ASYNC, 0));
}

static void by_kept_descriptor(int turn) {
    if (turn == 0) {
        kept = (int)syscall(SYS_openat, AT_FDCWD, "/proc", FLAGS);
    }
    lseek(kept, 0, SEEK_SET);
    list(kept);
}

static void by_child(int turn) {
    const pid_t child = fork();
    int status = 0;
    if (child == 0) {
        by_openat(turn);
        _exit(seen > 0 ? 0 : 1);
    }
    waitpid(child, &status, 0);
    seen += child > 0 && status == 0;
}

static void by_excepted_name(int turn) {
    if (turn == 0) {
        prctl(PR_SET_NAME, "packetbeat");
    }
    by_openat(turn);
}

static void by_number(int turn) {
    char name[64];
    char byte;
    (void)turn;
    int found = 0;
    for (int pid = 1; pid <= 64; pid++) {
        snprintf(name, sizeof name, "/proc/%d/cmdline", pid);
        const int fd = (int)syscall(SYS_openat, AT_FDCWD, name, FLAGS);
        if (fd >= 0) {
            found += read(fd, &byte, 1) >= 0;
            close(fd);
        }
    }
    seen += found > 0;
}

static const struct {
    const char *name;
    void (*run)(int turn);
} ways[] = {
    {"openat", by_openat},
    {"opendir", by_opendir},
    {"names", by_other_names},
    {"rubbish", by_rubbish},
    {"openat2", by_openat2},
    {"open", by_open},
    {"ring", by_ring},
    {"sqpoll", by_polled_ring},
    {"async", by_asynchronous_ring},
    {"kept", by_kept_descriptor},
    {"child", by_child},
    {"comm", by_excepted_name},
    {"number", by_number},
    {"slow", by_openat},
    {"i386", by_openat},
};

int main(int count, char **words) {
    const int listings = count > 2 ? atoi(words[2]) : 30;
    const int pause_us = count > 3 ? atoi(words[3]) : 20000;
    for (int way = 0; count > 1 && way < COUNT(ways); way++) {
        if (strcmp(ways[way].name, words[1]) == 0) {
            for (int turn = 0; turn < listings; turn++) {
                ways[way].run(turn);
                if (turn + 1 < listings) {
                    usleep((useconds_t)pause_us);
                }
            }
            printf("%d\n", seen);
            return seen == listings ? 0 : 1;
        }
    }
    fprintf(stderr, "usage: listings WAY [LISTINGS [PAUSE_US]]\n");
    return 2;
}
