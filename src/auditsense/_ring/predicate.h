/* Decision programs, and their predicates: one comparison of one field each.
 *
 * Part of stage 5, match. Owns: the copied programs; of the event being matched the decoded texts, what is known about
 * them, and the results of predicates.
 * Rule 1: a program goes forward only, so it ends.
 * Rule 2: a predicate of an absent field is false; AS_OP_PRESENT tests for presence.
 * Rule 3: a predicate that several nodes share is evaluated once per event; one of a field from the end of a SYSCALL
 *   record once per text of that end, as long as call_tail.h keeps it. Exceptions use no result from before, because
 *   their budget must not depend on it.
 * Rule 4: what most values lack is checked first: a mark of an exact text, two pairs of bytes of a pattern, a few sets of
 *   bytes of a regular expression. For a list it is checked once, against all of its values.
 * Rule 5: a text costs at most its length per pattern (like.h), and is decoded once per event.
 * Tested by tests/c/test_predicate.c, tests/c/test_match.c and, against a Python model, tests/core/test_model.py. */
#ifndef AUDITSENSE_PREDICATE_H
#define AUDITSENSE_PREDICATE_H

#include "../_ring.h"
#include "arena.h"
#include "like.h"
#include "regex.h"
#include "event_values.h"

/* Flags of rows, which no table has: more than one node has this predicate; it depends on the end of a SYSCALL record
 * alone. */
enum { AS_SHARED = 128, AS_OF_TAIL = 64 };

/* Results of 64 predicates. */
typedef struct {
    uint64_t known;
    uint64_t held; /* of the known ones, those that hold */
} as_results;

/* What one of a predicate's operands needs, found at creation. */
typedef struct {
    uint64_t marks;       /* AS_OP_TEXT: of its texts */
    uint64_t ends;        /* AS_OP_TEXT, AS_OP_LIKE: bits of the last bytes of its texts, modulo 64, in lower case */
    uint32_t first_regex; /* AS_OP_REGEX: in regexes, in the order of its operands */
} as_predicate_needs;

/* A list of the current event, and what its values have together. */
enum { AS_LISTED_FIELDS = 6 };
typedef struct {
    as_list list;
    uint64_t marks;        /* 0: not found yet */
    const uint64_t *bytes; /* as as_grams; NULL: not found yet */
    const uint64_t *pairs;
    as_grams grams;
} as_list_facts;

/* Decoded texts of the current event. */
typedef struct {
    as_list_facts lists[AS_LISTED_FIELDS];
    uint32_t lists_known; /* bits of lists */
    uint64_t decoded;     /* bits of the fields in texts */
    uint64_t compared;    /* bits of the fields with a valid like_caches entry */
    uint32_t used;        /* bytes of scratch */
    as_like_budget budget;
    as_span texts[AS_FIELDS];
    as_like_cache like_caches[AS_FIELDS];
} as_text_cache;

typedef struct {
    as_predicate *rows;
    as_node *nodes;
    as_operand *operands;
    uint8_t *text;
    as_predicate_needs *needs; /* of rows */
    as_like_needs *like_needs; /* of operands; of patterns alone */
    as_regex_needs *regexes;   /* of the operands of regular expressions */
    uint64_t *node_fields;     /* bits of the fields that a program reads from a node on */
    as_results *results;       /* of the current event: of shared predicates */
    as_results *tails;         /* per tail of call_tail.h: `known` is its number, then its results */
    as_results *tail;          /* in tails: results of the event's tail; until it is found, of none */
    as_results *no_tail;       /* always unknown */
    uint8_t *scratch;          /* for decoded values */
    as_text_cache *cache;
    uint32_t words; /* of results */
    uint32_t count;
    bool limited;           /* no result of a tail is used */
    uint32_t scratch_bytes; /* of cached texts; followed by space for a short one */
} as_predicates;

/* Allocate and, in the second pass, copy the programs of a valid table. */
void as_predicates_init(as_predicates *predicates, const as_config *config, const as_rules *rules, as_arena *arena);

/* Bits of the fields that a program reads. start: as as_filter.start. */
uint64_t as_program_fields(const as_predicates *predicates, uint32_t start);

/* Of these, the ones that it reads for every event. */
uint64_t as_program_first_fields(const as_predicates *predicates, uint32_t start);

/* Forget the results of the previous event. */
void as_predicates_begin_event(as_predicates *predicates);

/* Continue with the same event and at most this number of steps (like.h). */
void as_predicates_limit(as_predicates *predicates, uint64_t steps);

/* Whether a predicate compares a path with texts or patterns, so that as_predicate_ends tells what it needs of it. */
bool as_predicate_has_ends(const as_predicates *predicates, uint32_t at);

/* The bits of as_path_end that such a predicate needs one of. */
uint64_t as_predicate_ends(const as_predicates *predicates, uint32_t at);

/* The bit of the last byte of all paths of an event; all bits if it may be any. */
uint64_t as_path_end(as_event_values *values);

/* Whether a program holds for these values. A comparison that needs more than the rest of the budget fails, and
 * cache->budget tells so. */
bool as_program_holds(as_predicates *predicates, uint32_t start, as_event_values *values);

/* The same for a single predicate. */
bool as_predicate_holds(as_predicates *predicates, uint32_t at, as_event_values *values);

#endif
