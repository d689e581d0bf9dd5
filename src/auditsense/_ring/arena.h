/* The single allocation of a ring: each stage takes its tables from this arena, in the same order in two passes.
 *
 * The first pass has no memory and only counts (as_ring_bytes); the second returns addresses. Both run the same code,
 * so the printed size is the allocated size. */
#ifndef AUDITSENSE_ARENA_H
#define AUDITSENSE_ARENA_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint8_t *base; /* NULL while counting */
    size_t used;
    bool too_large; /* the total exceeds the maximum size of an object; allocations fail from then on */
} as_arena;

/* Allocate n elements of this size with maximum alignment; NULL while counting. The bounds of as_config do not keep n *
 * size, or the sum, within a 32-bit size_t, so it is checked here. */
static inline void *as_arena_alloc(as_arena *arena, size_t n, size_t size) {
    const size_t align = alignof(max_align_t);
    size_t at;
    size_t bytes;
    size_t end;
    if (__builtin_add_overflow(arena->used, align - 1, &at) || __builtin_mul_overflow(n, size, &bytes) ||
        __builtin_add_overflow(at / align * align, bytes, &end) || end > PTRDIFF_MAX) {
        arena->too_large = true;
        return NULL;
    }
    arena->used = end;
    return arena->base == NULL ? NULL : (void *)(arena->base + at / align * align);
}

/* The smallest power of two >= n; n is at most 2^31. */
static inline uint32_t as_power_of_two(uint32_t n) {
    uint32_t power = 1;
    while (power < n) {
        power *= 2;
    }
    return power;
}

#endif
