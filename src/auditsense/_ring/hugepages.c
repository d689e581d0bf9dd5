#define _DEFAULT_SOURCE /* madvise */
#include "hugepages.h"

#include <stdint.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20, LARGE = 64 << 20 };

void *as_hugepages_advise(void *memory, size_t bytes) {
    const size_t before = (HUGE_PAGE - (uintptr_t)memory % HUGE_PAGE) % HUGE_PAGE;
    if (memory != NULL && bytes >= LARGE) {
        (void)madvise((uint8_t *)memory + before, (bytes - before) / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    }
    return memory;
}
