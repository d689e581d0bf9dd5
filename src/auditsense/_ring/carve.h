/* One allocation for a whole ring: every stage carves its tables from it, in the same order twice.
 *
 * The first pass has no memory and only counts (as_ring_bytes), the second hands out addresses; so the
 * size that is printed is the size that is taken, by construction. */
#ifndef AUDITSENSE_CARVE_H
#define AUDITSENSE_CARVE_H

#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *base; /* NULL while counting */
    size_t used;
} as_carver;

/* Room for n things of this size, aligned for anything; NULL while counting. The bounds of as_config
 * keep n * size far below SIZE_MAX. */
static inline void *as_carve(as_carver *from, size_t n, size_t size) {
    const size_t align = alignof(max_align_t);
    const size_t at = (from->used + align - 1) / align * align;
    from->used = at + n * size;
    return from->base == NULL ? NULL : (void *)(from->base + at);
}

/* The smallest power of two that is not below n; n is at most 2^31. */
static inline uint32_t as_power_of_two(uint32_t n) {
    uint32_t power = 1;
    while (power < n) {
        power *= 2;
    }
    return power;
}

#endif
