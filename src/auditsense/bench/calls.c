/* CPU time of single system calls of an ordinary user. Drops root first.
 *
 *   calls NAME COUNT  makes the call COUNT times in each of 5 blocks, and prints ns of CPU per call of the fastest
 *                     block
 *   calls exit        does nothing: the program that `exec` starts; argv[0] must be its path
 *
 *   NAME  getpid, stat, open, proc, stat-of-1, exec, or listing: what a program that lists processes does, the
 *         whole of /proc with the files stat and status of each process
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { UNPRIVILEGED_ID = 65534, BLOCKS = 5, TEXT = 4096 };

static const char FILE_NAME[] = "/etc/passwd";
static char *own_path;

static void fail(const char *action) {
    perror(action);
    exit(1);
}

/* CPU time of this process and of its children that have ended: other programs do not count. */
static long long nanoseconds(void) {
    struct timespec own;
    struct rusage children;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own) != 0 || getrusage(RUSAGE_CHILDREN, &children) != 0) {
        fail("CPU time");
    }
    long long micro = (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1000000LL + children.ru_utime.tv_usec +
                      children.ru_stime.tv_usec;
    return own.tv_sec * 1000000000LL + own.tv_nsec + micro * 1000;
}

static void call_getpid(void) {
    syscall(SYS_getpid);
}

static void call_stat(void) {
    struct stat status;
    if (stat(FILE_NAME, &status) != 0) {
        fail(FILE_NAME);
    }
}

static void open_and_close(const char *path, int flags) {
    int fd = open(path, flags | O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail(path);
    }
    close(fd);
}

static void call_open(void) {
    open_and_close(FILE_NAME, 0);
}

static void call_proc(void) {
    open_and_close("/proc", O_DIRECTORY);
}

static void call_stat_of_1(void) {
    open_and_close("/proc/1/stat", 0);
}

static void call_exec(void) {
    static char word[] = "exit";
    char *const words[] = {own_path, word, NULL};
    char *const variables[] = {NULL};
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        execve(own_path, words, variables);
        _exit(1);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        fail("fork and exec");
    }
}

static void read_file(int folder, const char *process, const char *file) {
    char path[sizeof(struct dirent) + 16];
    char text[TEXT];
    snprintf(path, sizeof path, "%s/%s", process, file);
    int fd = openat(folder, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return; /* it has ended */
    }
    if (read(fd, text, sizeof text) < 0 && errno != ESRCH) {
        fail(path);
    }
    close(fd);
}

static void call_listing(void) {
    DIR *processes = opendir("/proc");
    if (processes == NULL) {
        fail("/proc");
    }
    for (const struct dirent *entry; (entry = readdir(processes)) != NULL;) {
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9') {
            read_file(dirfd(processes), entry->d_name, "stat");
            read_file(dirfd(processes), entry->d_name, "status");
        }
    }
    closedir(processes);
}

static const struct {
    const char *name;
    void (*make)(void);
} CALLS[] = {
    {"getpid", call_getpid},       {"stat", call_stat}, {"open", call_open},       {"proc", call_proc},
    {"stat-of-1", call_stat_of_1}, {"exec", call_exec}, {"listing", call_listing},
};

static void drop_root(void) {
    if (geteuid() != 0) {
        return;
    }
    if (setgroups(0, NULL) != 0 || setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID) != 0 ||
        setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID) != 0) {
        fail("drop root");
    }
}

static double fastest(void (*make)(void), long count) {
    long long least = 0;
    for (int block = 0; block < BLOCKS; block++) {
        long long started = nanoseconds();
        for (long n = 0; n < count; n++) {
            make();
        }
        long long took = nanoseconds() - started;
        least = block == 0 || took < least ? took : least;
    }
    return (double)least / (double)count;
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "exit") == 0) {
        return 0;
    }
    char *end = NULL;
    long count = argc == 3 ? strtol(argv[2], &end, 10) : 0;
    if (count <= 0 || *end != '\0') {
        fputs("calls: a name and a number above 0 are expected\n", stderr);
        return 2;
    }
    own_path = argv[0];
    drop_root();
    for (size_t n = 0; n < sizeof CALLS / sizeof *CALLS; n++) {
        if (strcmp(argv[1], CALLS[n].name) == 0) {
            printf("%.1f\n", fastest(CALLS[n].make, count));
            return 0;
        }
    }
    fprintf(stderr, "calls: there is no call %s\n", argv[1]);
    return 2;
}
