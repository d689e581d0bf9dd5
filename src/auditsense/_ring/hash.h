/* A seeded mix of 64-bit words, for hash tables whose keys a stranger chooses. */
#ifndef AUDITSENSE_HASH_H
#define AUDITSENSE_HASH_H

#include <stdint.h>

#include "span.h"

/* Two rounds of multiply and fold: every input bit reaches every output bit. Without the seed,
 * colliding keys cannot be computed; it never leaves the process. */
static inline uint64_t as_mix(uint64_t seed, uint64_t word) {
    uint64_t x = (word ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 32;
    x = (x + seed) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 29);
}

static inline uint64_t as_hash_bytes(uint64_t seed, as_span span) {
    uint64_t hash = as_mix(seed, span.len);
    for (uint32_t i = 0; i < span.len; i++) {
        hash = as_mix(hash ^ seed, span.at[i]);
    }
    return hash;
}

#endif
