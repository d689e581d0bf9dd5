#define _GNU_SOURCE /* syscall, dl_iterate_phdr */
#include "start.h"

#include <errno.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SET_MODE_FILTER = 1 }; /* linux/seccomp.h */

/* Bytes around an address that stay: the thread's own memory and the frames of its callers. */
enum { KEPT_AROUND = 256 << 10 };
enum { MOST_RANGES = 64, MOST_KEPT = 256 };

/* On the stack: what was given lies in the memory that goes. */
typedef struct {
    as_range unneeded[MOST_RANGES];
    as_range kept[MOST_KEPT];
    uint32_t unneeded_count;
    uint32_t kept_count;
    uint64_t page;
    bool complete; /* kept has all */
} plan;

static void keep(plan *to, uint64_t first, uint64_t end) {
    if (to->kept_count == MOST_KEPT) {
        to->complete = false;
        return;
    }
    to->kept[to->kept_count++] = (as_range){first / to->page * to->page, (end + to->page - 1) / to->page * to->page};
}

static void keep_around(plan *to, uint64_t address) {
    keep(to, address > KEPT_AROUND ? address - KEPT_AROUND : 0, address + KEPT_AROUND);
}

/* Variables of libraries, but for Python's: those without a value in the file have memory without a name, like the heap. */
static int keep_variables(struct dl_phdr_info *info, size_t size, void *context) {
    (void)size;
    const bool of_python = info->dlpi_name != NULL && strstr(info->dlpi_name, "libpython") != NULL;
    for (uint32_t i = 0; !of_python && i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type == PT_LOAD && (segment->p_flags & PF_W) != 0) {
            const uint64_t first = (uint64_t)info->dlpi_addr + segment->p_vaddr;
            keep(context, first, first + segment->p_memsz);
        }
    }
    return 0;
}

static void unmap(const plan *from, uint32_t begin, uint64_t first, uint64_t end) {
    for (uint32_t i = begin; i < from->kept_count; i++) {
        const as_range *kept = &from->kept[i];
        if (kept->first < end && kept->end > first) {
            if (kept->first > first) {
                unmap(from, i + 1, first, kept->first);
            }
            if (kept->end < end) {
                unmap(from, i + 1, kept->end, end);
            }
            return;
        }
    }
    (void)munmap((void *)(uintptr_t)first, (size_t)(end - first)); /* what stays is only memory */
}

static void drop_memory(const as_range *ranges, uint32_t count) {
    plan now = {.page = (uint64_t)sysconf(_SC_PAGESIZE), .complete = true};
    for (; now.unneeded_count < count && now.unneeded_count < MOST_RANGES; now.unneeded_count++) {
        now.unneeded[now.unneeded_count] = ranges[now.unneeded_count];
    }
    keep_around(&now, (uintptr_t)&errno);
    keep_around(&now, (uintptr_t)&now);
    (void)dl_iterate_phdr(keep_variables, &now);
    for (uint32_t i = 0; now.complete && i < now.unneeded_count; i++) {
        unmap(&now, 0, now.unneeded[i].first, now.unneeded[i].end);
    }
}

void as_helper_begin(const as_helper_start *start) {
    const void *program = start->program;
    drop_memory(start->unneeded, start->unneeded_count);
    if (program != NULL && syscall(SYS_seccomp, (long)SET_MODE_FILTER, 0L, program) != 0 && errno != ENOSYS &&
        errno != EINVAL) { /* these two: built without CONFIG_SECCOMP_FILTER */
        static const char text[] =
            "auditsense: error: a helper process failed: the kernel refused its filter for system "
            "calls; start auditsense again\n";
        (void)!write(2, text, sizeof text - 1);
        _exit(1);
    }
}
