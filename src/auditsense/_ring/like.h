/* Wildcards: whether a text is like a pattern. * is any run, ? any byte, and ASCII case does not matter.
 *
 * Part of stage 4. Owns nothing: what it remembers of a text is the caller's.
 * Rule 1: the budget is at most linear in the text for each AS_LIKE_TOKENS bytes of a pattern, whatever both are.
 * Rule 2: many patterns and one text: what the text lacks is found out once (as_grams), and no pattern that needs it is
 *         looked for.
 * Tested by tests/c/test_like.c against the definition, and tests/test_model.py. */
#ifndef AUDITSENSE_LIKE_H
#define AUDITSENSE_LIKE_H

#include "span.h"

/* What a longer pattern costs grows with its length as well. */
enum { AS_LIKE_TOKENS = 255 };

/* Which bytes a text has, and which pairs of bytes, as far as a hash tells: what is not here is not in the text. */
typedef struct {
    uint64_t bytes[4];
    uint64_t pairs[64];
} as_grams;

/* What is known of one text that is compared with patterns. All zeros: nothing yet. */
typedef struct {
    uint32_t steps; /* spent on it */
    bool known;     /* grams are */
    as_grams grams;
} as_like_cache;

/* How much more budget by automaton there may be, in steps: a byte of text, for each 64 tokens of a pattern. */
typedef struct {
    uint64_t left;
    bool refused; /* it was used up, so that some text was not compared */
} as_like_budget;

/* Forget what was known of another text. */
static inline void as_like_cache_clear(as_like_cache *cache) {
    cache->steps = 0;
    cache->known = false;
}

/* True when the text is like the pattern; false when it is not, or the budget is refused. `cache` belongs to this text. */
bool as_like(as_span pattern, as_span text, as_like_cache *cache, as_like_budget *budget);

#endif
