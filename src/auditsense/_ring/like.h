/* Wildcards: * matches any run of bytes, ? any byte. ASCII case can be ignored.
 *
 * Part of stage 5, match. Owns: nothing; the caller holds the cache of each text.
 * Rule 1: the work is at most linear in the text for each AS_LIKE_TOKENS bytes of a pattern.
 * Rule 2: with many patterns and one text, the bytes that the text lacks are found once (as_grams), and patterns that
 *   need them are skipped; then the pairs of bytes, if a pattern is left. What a pattern needs is found once, too
 *   (as_like_needs).
 * Tested by tests/c/test_like.c against the definition, and tests/core/test_model.py. */
#ifndef AUDITSENSE_LIKE_H
#define AUDITSENSE_LIKE_H

#include "span.h"

/* For longer patterns the cost also grows with their length. */
enum { AS_LIKE_TOKENS = 255 };

/* The bytes and hashed pairs of bytes that occur in a text, or in several: what is not set here is not in them. Letters are
 * lower case. */
typedef struct {
    uint64_t bytes[4];
    uint64_t pairs[64];
} as_grams;

/* Add the bytes, or the pairs, of a text to those of none or of others. */
void as_grams_add_bytes(as_grams *grams, as_span text);
void as_grams_add_pairs(as_grams *grams, as_span text);

/* What every text that matches a pattern has, in any case. Letters are lower case. */
typedef struct {
    uint64_t bytes[2]; /* of the first 128 */
    uint32_t least;    /* length */
    uint16_t pairs[2];
    uint8_t pair_count;
    uint8_t first; /* byte; 0: any */
    uint8_t second;
    uint8_t last;
} as_like_needs;

as_like_needs as_like_needs_of(as_span pattern);

/* Facts about one text that is compared with patterns. All zeros: none yet. */
typedef struct {
    uint32_t steps;   /* spent on this text */
    bool bytes_known; /* in grams */
    bool pairs_known;
    as_grams grams;
} as_like_cache;

/* Remaining work by automaton, in steps: a byte of text, for each 64 tokens of a pattern. */
typedef struct {
    uint64_t left;
    bool refused; /* it was exhausted, so some text was not compared */
} as_like_budget;

/* Reset for another text. */
static inline void as_like_cache_clear(as_like_cache *cache) {
    cache->steps = 0;
    cache->bytes_known = false;
    cache->pairs_known = false;
}

/* Whether some text among those with these grams has the bytes that a pattern needs, or the pairs. */
static inline bool as_like_has_bytes(const as_like_needs *needs, const uint64_t bytes[4]) {
    return ((needs->bytes[0] & ~bytes[0]) | (needs->bytes[1] & ~bytes[1])) == 0;
}

static inline bool as_like_has_pairs(const as_like_needs *needs, const uint64_t pairs[64]) {
    bool has = true;
    for (uint32_t i = 0; has && i < needs->pair_count; i++) {
        has = (pairs[needs->pairs[i] / 64] >> needs->pairs[i] % 64 & 1) != 0;
    }
    return has;
}

/* Whether a text may match a pattern with these needs: most do not. */
bool as_like_may(const as_like_needs *needs, as_span text, as_like_cache *cache);

/* The bytes, or the pairs, of this cache's text. */
const uint64_t *as_like_bytes(as_like_cache *cache, as_span text);
const uint64_t *as_like_pairs(as_like_cache *cache, as_span text);

/* True if the text matches the pattern; false if it does not, or the budget is exhausted. fold: ignore ASCII case.
 * `cache` is this text's, for any pattern and either case. */
bool as_like(as_span pattern, as_span text, bool fold, as_like_cache *cache, as_like_budget *budget);

#endif
