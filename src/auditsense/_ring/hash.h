/* A seeded mix of 64-bit words, for hash tables whose keys an attacker can choose. */
#ifndef AUDITSENSE_HASH_H
#define AUDITSENSE_HASH_H

#include <stdint.h>

#include "span.h"

/* Two rounds of multiply and fold: fast, and not cryptographic. Without the seed, which never leaves the process,
 * colliding keys cannot be chosen in advance. It is not proven that lookup times do not leak the seed, so no result
 * depends on it, and a lookup visits at most the used slots of its table. Not every input bit reaches the two lowest
 * output bits. */
static inline uint64_t as_mix(uint64_t seed, uint64_t word) {
    uint64_t x = (word ^ seed) * UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 32;
    x = (x + seed) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 29);
}

static inline uint64_t as_hash_bytes(uint64_t seed, as_span span) {
    uint64_t hash = as_mix(seed, span.len);
    uint32_t at = 0;
    for (; span.len - at >= 8; at += 8) {
        hash = as_mix(hash ^ seed, as_load8(span.at + at));
    }
    uint64_t rest = 0;
    for (uint32_t i = 0; at + i < span.len; i++) {
        rest |= (uint64_t)span.at[at + i] << (8 * i);
    }
    return as_mix(hash ^ seed, rest);
}

#endif
