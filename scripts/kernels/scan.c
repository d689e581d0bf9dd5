/* scan [TIMES [PAUSE_US [TABLE]]]: open /proc the way pspy does. TABLE is the system call table: native, or on x86-64
   int80 (32 bits) or x32. Exit code 1: an open failed; 2: this kernel or processor has no such table. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FLAGS = O_RDONLY | O_CLOEXEC };

static char *low_path; /* within the first 4 GiB, for the table of 32 bits */

static long open_native(void) {
    return syscall(SYS_openat, AT_FDCWD, "/proc", FLAGS);
}

#ifdef __x86_64__
static long open_x32(void) {
    return syscall(0x40000000L | SYS_openat, AT_FDCWD, "/proc", FLAGS);
}

static long open_int80(void) {
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(295L), "b"((long)AT_FDCWD), "c"(low_path), "d"((long)FLAGS), "S"(0L)
                     : "memory");
    return result;
}
#endif

static long (*table(const char *name))(void) {
    if (strcmp(name, "native") == 0) {
        return open_native;
    }
#ifdef __x86_64__
    if (strcmp(name, "x32") == 0) {
        return open_x32;
    }
    low_path = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (strcmp(name, "int80") == 0 && low_path != MAP_FAILED) {
        strcpy(low_path, "/proc");
        return open_int80;
    }
#endif
    return NULL;
}

int main(int count, char **words) {
    int times = count > 1 ? atoi(words[1]) : 12;
    useconds_t pause = count > 2 ? (useconds_t)atoi(words[2]) : 50000;
    long (*open_proc)(void) = table(count > 3 ? words[3] : "native");
    if (open_proc == NULL) {
        return 2;
    }
    for (int done = 0; done < times; done++) {
        long descriptor = open_proc();
        if (descriptor < 0) {
            return errno == ENOSYS || descriptor == -ENOSYS ? 2 : 1;
        }
        close((int)descriptor);
        if (pause > 0) {
            usleep(pause);
        }
    }
    return 0;
}
