/* Stage 4, match: which rules want an event. The rule table is data; nothing here knows a path or a call.
 *
 * Owns the copied rule table and the index of its system calls.
 * Rule 1: the SYSCALL record alone rejects most events (as_match_candidates), by arch and number.
 * Rule 2: an absent field fails its test, negated or not; only AS_OP_PRESENT asks whether it is there.
 * Rule 3: an architecture that is not among as_rules.arches is counted, by name up to a bound: no rule by call can
 *         match it, and that must not go unnoticed.
 * Rule 4: exceptions are looked at last, and their fields are read only for an event that a rule with exceptions
 *         matches: a rule without any does not pay for them.
 * Rule 5: a text costs no more than its bytes a pattern (like.h), and is decoded once an event.
 * Tested by tests/c/test_match.c and, against a Python model, tests/test_model.py. */
#ifndef AUDITSENSE_MATCH_H
#define AUDITSENSE_MATCH_H

#include "../_ring.h"
#include "arena.h"
#include "event.h"
#include "like.h"
#include "record.h"

typedef struct {
    uint64_t rules; /* bits of the rules that look at this call; 0: a free place */
    as_call call;
} as_call_slot;

/* The call that was looked up last, as its record wrote it: mostly it is the next one's as well. */
typedef struct {
    uint8_t text[32];
    uint32_t len; /* 0: none */
    uint32_t arch;
    bool unknown; /* the architecture */
    uint64_t rules;
} as_last_call;

enum { AS_UNKNOWN_ARCHES = 8 };

/* What is known of the texts of the event under way. */
typedef struct {
    uint64_t decoded; /* bits of the fields whose text is here */
    uint64_t compared; /* bits of the fields that were compared with a pattern */
    uint32_t used;    /* bytes of scratch */
    as_like_budget budget;
    as_span texts[AS_FIELDS];
    as_like_cache like_caches[AS_FIELDS];
} as_text_cache;

typedef struct {
    as_rule *rules;
    as_test *tests;
    as_operand *operands;
    as_exception *exceptions;
    uint64_t *exception_counts; /* events each exception took */
    uint8_t *text;
    as_call_slot *calls; /* open addressing, at most half full */
    uint8_t *scratch;    /* for decoded values */
    as_text_cache *cache;
    uint32_t *arches;    /* whose calls are known */
    uint64_t seed;
    uint64_t fields;      /* bits of the fields that a rule's test or key needs */
    uint64_t exception_fields; /* bits of the others that an exception needs */
    uint64_t with_exceptions;   /* bits of the rules that have exceptions */
    uint64_t any_call;    /* bits of the rules that look at every call */
    uint32_t call_mask;
    uint32_t rule_count;
    uint32_t exception_count;
    uint32_t arch_count;
    uint32_t scratch_bytes; /* for those that are kept; there is room for a short one behind them */
    uint32_t last_known_arch; /* the known one that came last */
    uint32_t unknown_count;
    uint64_t unknown_records; /* of all unknown architectures */
    as_unknown_arch unknown[AS_UNKNOWN_ARCHES];
    as_last_call last;
} as_match;

/* True when every index, count and bound of the table holds. */
bool as_rules_valid(const as_rules *rules);

/* Carve and, on the second pass, copy a valid table. */
void as_match_init(as_match *match, const as_config *config, const as_rules *rules, as_arena *arena);

/* Bits of the rules that may want this record's event. All bits from a record that tells nothing. */
uint64_t as_match_candidates(as_match *match, const as_record *record);

/* Bits of the wanted rules whose tests all hold for these values of one event. */
uint64_t as_match_event(const as_match *match, uint64_t wanted, const as_value values[AS_FIELDS]);

/* Bits of those matching rules that have no exception for this event. The values it was matched by are filled up
 * with exception_fields. What an exception takes is counted, in `excepted` and in the stats. */
uint64_t as_match_except(const as_match *match, const as_events *events, const as_event *event, uint64_t matching,
                         as_value values[AS_FIELDS], as_stats *stats);

/* Copy the counters of unknown architectures. Returns how many; AS_ARGUMENT: out has no room for all. */
int64_t as_match_unknown_arches(const as_match *match, as_unknown_arch *out, size_t size);

/* Copy the counters of all exceptions. Returns how many; AS_ARGUMENT: out has no room for them. */
int64_t as_match_exception_counts(const as_match *match, uint64_t *out, size_t size);

#endif
