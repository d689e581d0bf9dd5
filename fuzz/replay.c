/* Runs a target over files and over the files of directories, once each: the corpus as an ordinary test, with
 * any compiler. */
#include <dirent.h>
#include <sys/stat.h>

#include "fuzz.h"

static int replayed;

static int replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        return 1;
    }
    const long size = ftell(file);
    rewind(file);
    /* A separate allocation of exactly the file's size, so that a sanitizer detects a read past the end. */
    uint8_t *bytes = must(malloc(size > 0 ? (size_t)size : 1));
    const size_t got = fread(bytes, 1, size > 0 ? (size_t)size : 0, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, got);
    free(bytes);
    replayed++;
    return 0;
}

static int replay_directory(const char *path) {
    DIR *directory = opendir(path);
    int failed = 0;
    if (directory == NULL) {
        perror(path);
        return 1;
    }
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory)) {
        char name[4096];
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
            failed |= replay_file(name);
        }
    }
    closedir(directory);
    return failed;
}

int main(int count, char **paths) {
    int failed = 0;
    for (int i = 1; i < count; i++) {
        struct stat found;
        failed |=
            stat(paths[i], &found) == 0 && S_ISDIR(found.st_mode) ? replay_directory(paths[i]) : replay_file(paths[i]);
    }
    printf("%d inputs replayed\n", replayed);
    return failed != 0 || replayed == 0 ? 1 : 0;
}
