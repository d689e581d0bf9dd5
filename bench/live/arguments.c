/* Execute a program many times, each time with 8 KB of arguments that are known from its number.
 *
 *     arguments FIRST COUNT PROGRAM
 *
 * Execution n has the arguments n, then by n modulo 4: 80 arguments of 100 bytes, 1 of 8,000 bytes, 8 of 1,000 bytes
 * with a blank in each (which the kernel writes in hex), or 800 of 10 bytes. Ends as the user 65534. */
#define _GNU_SOURCE
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES = 8000, MOST = 802, USER = 65534 };

extern char **environ;

static char text[BYTES + MOST];
static char number[16];
static char *arguments[MOST + 2];

static void fill(long n) {
    static const int counts[] = {80, 1, 8, 800};
    const int count = counts[n % 4];
    const int size = BYTES / count;
    char *at = text;
    snprintf(number, sizeof number, "%ld", n);
    arguments[0] = "arguments";
    arguments[1] = number;
    for (int i = 0; i < count; i++) {
        memset(at, 'a' + (int)((n + i) % 26), (size_t)size);
        if (n % 4 == 2) {
            at[size / 2] = ' ';
        }
        at[size] = 0;
        arguments[2 + i] = at;
        at += size + 1;
    }
    arguments[2 + count] = NULL;
}

int main(int count, char **words) {
    if (count != 4 || setgroups(0, NULL) != 0 || setresgid(USER, USER, USER) != 0 || setresuid(USER, USER, USER) != 0) {
        return 2;
    }
    const long first = atol(words[1]);
    for (long n = first; n < first + atol(words[2]); n++) {
        fill(n);
        const pid_t pid = fork();
        if (pid == 0) {
            execve(words[3], arguments, environ);
            _exit(127);
        }
        int status = 0;
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
            return 1;
        }
    }
    return 0;
}
