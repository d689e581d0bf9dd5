/* Opens /proc as a process scanner written in Go does: one raw openat(2), AT_FDCWD as a whole register,
 * O_RDONLY|O_CLOEXEC, and nothing else. Drops root first. For tests and benchmarks.
 *
 *   scanner [-n COUNT] [-p PERIOD_US] [-b BATCH] [-r READERS] [-t NTH] [-f FLAGS]
 *
 *   -n  opens of each reader (10)
 *   -p  microseconds from one open to the next (0: at once)
 *   -b  opens of a batch: waits for a byte on standard input before each batch, and prints a line after it;
 *       0: all opens at once (0)
 *   -r  number of child processes that scan in parallel; 0: this process scans (0)
 *   -t  print "MONOTONIC_NS REALTIME_NS" of the return of the NTH open, at the end
 *   -f  flags of the opens, hexadecimal
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UNPRIVILEGED_ID = 65534, MAX_READERS = 64 };

typedef struct {
    long opens;
    long period_us;
    long batch;
    long readers;
    long timed;
    long flags;
} plan;

static void fail(const char *action) {
    perror(action);
    exit(1);
}

static long long nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now); /* vDSO: no system call */
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void sleep_until(struct timespec *moment, long add_us) {
    moment->tv_nsec += add_us % 1000000 * 1000;
    moment->tv_sec += add_us / 1000000 + moment->tv_nsec / 1000000000;
    moment->tv_nsec %= 1000000000;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, moment, NULL) == EINTR) {
    }
}

static void await_turn(void) {
    char turn;
    ssize_t got;
    do {
        got = read(STDIN_FILENO, &turn, 1);
    } while (got < 0 && errno == EINTR);
    if (got != 1) {
        fprintf(stderr, "scanner: standard input ended before the last batch\n");
        exit(1);
    }
}

static void scan(const plan *wanted) {
    long long monotonic = 0;
    long long realtime = 0;
    struct timespec next;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (long n = 1; n <= wanted->opens; n++) {
        if (wanted->batch > 0 && (n - 1) % wanted->batch == 0) {
            await_turn();
            clock_gettime(CLOCK_MONOTONIC, &next);
        }
        long fd = syscall(SYS_openat, (long)AT_FDCWD, "/proc", wanted->flags, 0L);
        if (n == wanted->timed) {
            monotonic = nanoseconds(CLOCK_MONOTONIC);
            realtime = nanoseconds(CLOCK_REALTIME);
        }
        if (fd < 0) {
            fail("openat /proc");
        }
        close((int)fd);
        if (wanted->period_us > 0 && n < wanted->opens) {
            sleep_until(&next, wanted->period_us);
        }
        if (wanted->batch > 0 && (n % wanted->batch == 0 || n == wanted->opens)) {
            puts("");
            fflush(stdout);
        }
    }
    if (monotonic != 0) {
        printf("%lld %lld\n", monotonic, realtime);
        fflush(stdout);
    }
}

static void scan_in_children(const plan *wanted) {
    for (long n = 0; n < wanted->readers; n++) {
        pid_t child = fork();
        if (child < 0) {
            fail("fork");
        }
        if (child == 0) {
            scan(wanted);
            exit(0);
        }
    }
    int status = 0;
    bool good = true;
    while (wait(&status) > 0) {
        good = good && status == 0;
    }
    exit(good ? 0 : 1);
}

static void drop_root(void) {
    if (geteuid() != 0) {
        return;
    }
    if (setgroups(0, NULL) != 0 || setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID) != 0 ||
        setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID) != 0) {
        fail("drop root");
    }
}

static long number(const char *text, int base) {
    char *end = NULL;
    errno = 0;
    long value = strtol(text, &end, base);
    if (errno != 0 || end == text || *end != '\0' || value < 0) {
        fprintf(stderr, "scanner: %s is not a number of 0 or more\n", text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv) {
    plan options = {.opens = 10, .flags = O_RDONLY | O_CLOEXEC};
    for (int option; (option = getopt(argc, argv, "n:p:b:r:t:f:")) != -1;) {
        switch (option) {
        case 'n':
            options.opens = number(optarg, 10);
            break;
        case 'p':
            options.period_us = number(optarg, 10);
            break;
        case 'b':
            options.batch = number(optarg, 10);
            break;
        case 'r':
            options.readers = number(optarg, 10);
            break;
        case 't':
            options.timed = number(optarg, 10);
            break;
        case 'f':
            options.flags = number(optarg, 16);
            break;
        default:
            return 2;
        }
    }
    if (optind != argc || options.readers > MAX_READERS) {
        fputs("scanner: too many arguments or readers\n", stderr);
        return 2;
    }
    drop_root();
    if (options.readers > 0) {
        scan_in_children(&options);
    }
    scan(&options);
    return 0;
}
