/* The calls by which SQLite opens and removes files, in a process whose filter allows names in sealed memory only.
 * kernel/sealed_database.py has the names and the filter.
 *
 * Rule 1: SQLite writes names into its own memory, which no filter can read. So a name is compared with those in sealed
 *         memory, and the call is made with the address of the equal one. The filter is the barrier, not this comparison.
 * Rule 2: what has another name is opened for reading only, and is not removed.
 * Rule 3: flags and mode are always the same, because the filter compares them as well. */
#define _GNU_SOURCE /* syscall, O_* */
#include "../_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef void (*any_call)(void);
typedef int (*open_call)(const char *name, int flags, int mode);

/* sqlite3_vfs of sqlite3.h, which is stable: later versions append members. Members that are not used have no type. */
typedef struct vfs {
    int version;
    int file_size;
    int longest_name;
    struct vfs *next;
    const char *name;
    void *data;
    any_call methods[12];                                         /* xOpen to xGetLastError */
    any_call time;                                                /* from version 2 */
    int (*set)(struct vfs *own, const char *name, any_call call); /* from version 3 */
    any_call (*get)(struct vfs *own, const char *name);
    const char *(*next_name)(struct vfs *own, const char *name);
} vfs;

static struct {
    as_sqlite_files files;
    open_call open; /* SQLite's own */
} now;

/* Returns the equal name in sealed memory, or NULL. */
static const char *sealed(const char *path) {
    const size_t folder = strlen(now.files.folder);
    if (strncmp(path, now.files.folder, folder) != 0 || path[folder] != '/') {
        return NULL;
    }
    for (uint32_t i = 0; i < now.files.count; i++) {
        if (strcmp(path + folder + 1, now.files.names[i]) == 0) {
            return now.files.names[i];
        }
    }
    return NULL;
}

static int refuse(void) {
    errno = EACCES;
    return -1;
}

static int open_file(const char *path, int flags, int mode) {
    if ((flags & O_ACCMODE) == O_RDONLY && (flags & (O_CREAT | O_TRUNC)) == 0) {
        return now.open(path, flags, mode);
    }
    if (strcmp(path, "/dev/null") == 0) { /* takes the place of a standard descriptor that is closed */
        return now.open(path, O_RDONLY | O_CLOEXEC, 0);
    }
    const char *name = sealed(path);
    if (name == NULL || (flags & (O_EXCL | O_TRUNC | O_APPEND)) != 0) {
        return refuse();
    }
    const long create = (flags & O_CREAT) != 0 ? (long)O_CREAT : 0L;
    return (int)syscall(SYS_openat, (long)now.files.descriptor, name, (long)now.files.flags | create,
                        (long)now.files.mode);
}

static int remove_file(const char *path) {
    const char *name = sealed(path);
    return name == NULL ? refuse() : (int)syscall(SYS_unlinkat, (long)now.files.descriptor, name, 0L);
}

int32_t as_sqlite_replace(void *of_sqlite, const as_sqlite_files *files) {
    vfs *calls = of_sqlite;
    if (calls == NULL || calls->version < 3 || calls->set == NULL || calls->get == NULL) {
        return ENOSYS;
    }
    const bool back = calls->set(calls, "open", NULL) == 0 && calls->set(calls, "unlink", NULL) == 0;
    if (!back || files == NULL) {
        return back ? 0 : ENOSYS;
    }
    now.files = *files;
    now.open = (open_call)calls->get(calls, "open");
    if (now.open == NULL || calls->set(calls, "open", (any_call)open_file) != 0 ||
        calls->set(calls, "unlink", (any_call)remove_file) != 0) {
        return ENOSYS;
    }
    return 0;
}
