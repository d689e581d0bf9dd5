/* The calls by which SQLite opens and removes files: which of them reach the system, and with which name. SQLite itself is
 * played here: a sqlite3_vfs that keeps the two calls. tests/kernel/test_sealed_database.py has the real one. */
#include "_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "check.h"

typedef void (*any_call)(void);
typedef int (*open_call)(const char *name, int flags, int mode);
typedef int (*remove_call)(const char *name);

/* As sqlite3.h declares it; the methods before the calls are never used. */
typedef struct sqlite3_vfs {
    int version;
    int file_size;
    int longest_name;
    struct sqlite3_vfs *next;
    const char *name;
    void *data;
    any_call methods[13];
    int (*set)(struct sqlite3_vfs *own, const char *name, any_call call);
    any_call (*get)(struct sqlite3_vfs *own, const char *name);
    const char *(*next_name)(struct sqlite3_vfs *own, const char *name);
} sqlite3_vfs;

static struct {
    any_call open;
    any_call remove;
    int read_flags; /* of the last file that was opened as SQLite does by default */
    char path[64];
    int folder;
    bool fails; /* whether `set` refuses */
} played;

static int own_open(const char *name, int flags, int mode) {
    played.read_flags = flags;
    return open(name, flags, mode);
}

static int set_call(sqlite3_vfs *own, const char *name, any_call call) {
    (void)own;
    any_call *at = strcmp(name, "open") == 0 ? &played.open : strcmp(name, "unlink") == 0 ? &played.remove : NULL;
    if (at == NULL || (played.fails && call != NULL)) {
        return 12; /* SQLITE_NOTFOUND */
    }
    *at = call != NULL ? call : at == &played.open ? (any_call)own_open : (any_call)unlink;
    return 0;
}

static any_call get_call(sqlite3_vfs *own, const char *name) {
    (void)own;
    return strcmp(name, "open") == 0 ? played.open : NULL;
}

static sqlite3_vfs vfs = {.version = 3, .set = set_call, .get = get_call};

static const char *in_folder(const char *name) {
    static char path[128];
    const int length = snprintf(path, sizeof path, "%s/%s", played.path, name);
    return (const char *)guarded(path, (size_t)length + 1);
}

/* Returns 0 or a number of errno. */
static int opened(const char *path, int flags) {
    const int descriptor = ((open_call)played.open)(path, flags, 0644);
    return descriptor < 0 ? errno : close(descriptor);
}

static int removed(const char *path) {
    return ((remove_call)played.remove)(path) == 0 ? 0 : errno;
}

static bool exists(const char *path) {
    struct stat status;
    return lstat(path, &status) == 0;
}

static void known_names(void) {
    struct stat status;
    CASE("a file with one of the names is created with the mode of the files, whatever SQLite asks for");
    CHECK_EQUAL(opened(in_folder("spool.db"), O_RDWR | O_CREAT | O_CLOEXEC), 0);
    CHECK(lstat(in_folder("spool.db"), &status) == 0 && (status.st_mode & 07777) == 0600);

    CASE("a file that is missing is created only where SQLite asks for it");
    CHECK_EQUAL(opened(in_folder("spool.db-wal"), O_RDWR), ENOENT);
    CHECK_EQUAL(opened(in_folder("spool.db-wal"), O_RDWR | O_CREAT), 0);

    CASE("a file may be written at any place of it");
    const int descriptor = ((open_call)played.open)(in_folder("spool.db"), O_RDWR, 0);
    CHECK(pwrite(descriptor, "abc", 3, 0) == 3 && pwrite(descriptor, "x", 1, 0) == 1);
    CHECK(fcntl(descriptor, F_GETFD) == FD_CLOEXEC);
    close(descriptor);
    CHECK(lstat(in_folder("spool.db"), &status) == 0 && status.st_size == 3);

    CASE("a symbolic link with one of the names is not followed");
    CHECK(symlinkat("elsewhere", played.folder, "spool.db-shm") == 0);
    CHECK_EQUAL(opened(in_folder("spool.db-shm"), O_RDWR | O_CREAT), ELOOP);
    CHECK(!exists(in_folder("elsewhere")));

    CASE("flags that would empty a file or append to it are refused");
    CHECK_EQUAL(opened(in_folder("spool.db"), O_RDWR | O_TRUNC), EACCES);
    CHECK_EQUAL(opened(in_folder("spool.db"), O_RDONLY | O_TRUNC), EACCES);
    CHECK_EQUAL(opened(in_folder("spool.db"), O_RDWR | O_APPEND), EACCES);
    CHECK_EQUAL(opened(in_folder("spool.db"), O_RDWR | O_CREAT | O_EXCL), EACCES);

    CASE("a file with one of the names is removed, once");
    CHECK_EQUAL(removed(in_folder("spool.db-shm")), 0);
    CHECK_EQUAL(removed(in_folder("spool.db-wal")), 0);
    CHECK_EQUAL(removed(in_folder("spool.db-wal")), ENOENT);
}

static void other_names(void) {
    char other[96];
    const char *refused[] = {"",          "spool.d",          "spool.db2",  "spool.db-",    "spool.db/",
                             "/spool.db", "./spool.db",       "a/spool.db", "../spool.db",  "SPOOL.DB",
                             "x",         "spool.db-wal-wal", "pool.db",    "spool.db-walx"};
    CASE("no other name is created, written or removed");
    close(openat(played.folder, "other", O_WRONLY | O_CREAT, 0600));
    for (uint32_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        CHECK_EQUAL(opened(in_folder(refused[i]), O_RDWR | O_CREAT), EACCES);
        CHECK_EQUAL(opened(in_folder(refused[i]), O_WRONLY), EACCES);
        CHECK_EQUAL(removed(in_folder(refused[i])), EACCES);
    }
    CHECK_EQUAL(opened(in_folder("other"), O_RDWR), EACCES);
    CHECK_EQUAL(removed(in_folder("other")), EACCES);
    CHECK(exists(in_folder("other")));

    CASE("nor one of the names in another folder");
    const char *folders[] = {"/tmp", "", ".", "/"};
    for (uint32_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        snprintf(other, sizeof other, "%s/spool.db", folders[i]);
        CHECK_EQUAL(opened(other, O_RDWR | O_CREAT), EACCES);
        CHECK_EQUAL(removed(other), EACCES);
    }
    snprintf(other, sizeof other, "%.*s/spool.db", (int)strlen(played.path) - 1, played.path);
    CHECK_EQUAL(opened(other, O_RDWR | O_CREAT), EACCES);
    snprintf(other, sizeof other, "%sspool.db", played.path);
    CHECK_EQUAL(opened(other, O_RDWR | O_CREAT), EACCES);
    CHECK_EQUAL(opened("spool.db", O_RDWR | O_CREAT), EACCES);
    CHECK_EQUAL(opened(played.path, O_RDWR | O_CREAT), EACCES);

    CASE("every file may be read, as SQLite does by itself");
    CHECK_EQUAL(opened(in_folder("other"), O_RDONLY | O_CLOEXEC | O_NOFOLLOW), 0);
    CHECK_EQUAL(played.read_flags, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    CHECK_EQUAL(opened(in_folder("missing"), O_RDONLY), ENOENT);

    CASE("the device for a standard descriptor that is closed is opened for reading only");
    CHECK_EQUAL(opened("/dev/null", O_RDWR | O_CREAT), 0);
    CHECK_EQUAL(played.read_flags, O_RDONLY | O_CLOEXEC);
}

int main(void) {
    snprintf(played.path, sizeof played.path, "/tmp/auditsense-test-XXXXXX");
    if (mkdtemp(played.path) == NULL || (played.folder = open(played.path, O_PATH | O_DIRECTORY)) < 0) {
        return 1;
    }
    static const char *const names[] = {"spool.db", "spool.db-wal", "spool.db-shm"};
    const as_sqlite_files files = {.folder = played.path,
                                   .names = names,
                                   .count = 3,
                                   .descriptor = played.folder,
                                   .flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                                   .mode = 0600};

    CASE("an SQLite without calls that can be replaced is refused");
    sqlite3_vfs old = vfs;
    old.version = 2;
    CHECK_EQUAL(as_sqlite_replace(&old, &files), ENOSYS);
    old = vfs;
    old.set = NULL;
    CHECK_EQUAL(as_sqlite_replace(&old, &files), ENOSYS);
    old = vfs;
    old.get = NULL;
    CHECK_EQUAL(as_sqlite_replace(&old, &files), ENOSYS);
    CHECK_EQUAL(as_sqlite_replace(NULL, &files), ENOSYS);
    played.fails = true;
    CHECK_EQUAL(as_sqlite_replace(&vfs, &files), ENOSYS);
    played.fails = false;

    CASE("a question changes nothing");
    CHECK_EQUAL(as_sqlite_replace(&vfs, NULL), 0);
    CHECK(played.open == (any_call)own_open && played.remove == (any_call)unlink);

    CASE("the calls are replaced");
    CHECK_EQUAL(as_sqlite_replace(&vfs, &files), 0);
    CHECK(played.open != (any_call)own_open && played.remove != (any_call)unlink);
    known_names();
    other_names();

    CASE("replaced a second time, files are read by the call of SQLite's and not by ours");
    CHECK_EQUAL(as_sqlite_replace(&vfs, &files), 0);
    CHECK_EQUAL(opened(in_folder("other"), O_RDONLY), 0);

    CASE("nothing but these files is left");
    CHECK_EQUAL(removed(in_folder("spool.db")), 0);
    CHECK(unlinkat(played.folder, "other", 0) == 0);
    CHECK(rmdir(played.path) == 0);
    return check_done();
}
