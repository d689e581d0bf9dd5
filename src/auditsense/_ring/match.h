/* Stage 4, match: the rules that select an event. The rule table is data; nothing here knows a path or a call.
 *
 * Owns: the copied rule table and the index of its system calls.
 * Rule 1: architecture and number of the SYSCALL record reject most events (as_match_candidates).
 * Rule 2: an absent field fails its test, negated or not; only AS_OP_PRESENT tests for presence.
 * Rule 3: records of an architecture outside as_rules.arches are counted, by name up to a bound: no rule by call can
 *   match them, and that must not go unnoticed.
 * Rule 4: exceptions come last, and their fields are read only if a rule with exceptions matched: rules without
 *   exceptions have no extra cost.
 * Rule 5: a text costs at most its length per pattern (like.h), and is decoded once per event.
 * Tested by tests/c/test_match.c and, against a Python model, tests/core/test_model.py. */
#ifndef AUDITSENSE_MATCH_H
#define AUDITSENSE_MATCH_H

#include "../_ring.h"
#include "arena.h"
#include "event.h"
#include "like.h"
#include "record.h"

typedef struct {
    uint64_t rules; /* bits of the rules for this call; 0: empty slot */
    as_call call;
} as_call_slot;

/* The last call that was looked up, as its record wrote it: usually the next one is the same. */
typedef struct {
    uint8_t text[32];
    uint32_t len; /* 0: none */
    uint32_t arch;
    bool unknown; /* the architecture */
    uint64_t rules;
} as_last_call;

enum { AS_UNKNOWN_ARCHES = 8 };

/* Decoded texts of the current event. */
typedef struct {
    uint64_t decoded;  /* bits of the fields in texts */
    uint64_t compared; /* bits of the fields with a valid like_caches entry */
    uint32_t used;     /* bytes of scratch */
    as_like_budget budget;
    as_span texts[AS_FIELDS];
    as_like_cache like_caches[AS_FIELDS];
} as_text_cache;

typedef struct {
    as_rule *rules;
    as_test *tests;
    as_operand *operands;
    as_exception *exceptions;
    uint64_t *exception_counts; /* events per exception */
    uint8_t *text;
    as_call_slot *calls; /* open addressing, at most half full */
    uint8_t *scratch;    /* for decoded values */
    as_text_cache *cache;
    uint32_t *arches; /* with known calls */
    uint64_t seed;
    uint64_t fields;           /* bits of the fields that tests and keys of rules need */
    uint64_t exception_fields; /* bits of further fields that exceptions need */
    uint64_t with_exceptions;  /* bits of the rules that have exceptions */
    uint64_t any_call;         /* bits of the rules for every call */
    uint32_t call_mask;
    uint32_t rule_count;
    uint32_t exception_count;
    uint32_t arch_count;
    uint32_t scratch_bytes;   /* of cached texts; followed by space for a short one */
    uint32_t last_known_arch; /* of the last record with a known one */
    uint32_t unknown_count;
    uint64_t unknown_records; /* of all unknown architectures */
    as_unknown_arch unknown[AS_UNKNOWN_ARCHES];
    as_last_call last;
} as_match;

/* True if every index, count and bound of the table is valid. */
bool as_rules_valid(const as_rules *rules);

/* Allocate and, in the second pass, copy a valid table. */
void as_match_init(as_match *match, const as_config *config, const as_rules *rules, as_arena *arena);

/* Bits of the rules that can match this record's event. All bits for a record without information. */
uint64_t as_match_candidates(as_match *match, const as_record *record);

/* Bits of the candidate rules whose tests all hold for these values of one event. */
uint64_t as_match_event(const as_match *match, uint64_t candidates, const as_value values[AS_FIELDS]);

/* Bits of those matching rules that have no exception for this event. Adds exception_fields to the values. Excepted
 * events are counted in exception_counts and in the stats. */
uint64_t as_match_except(const as_match *match, const as_events *events, const as_event *event, uint64_t matching,
                         as_value values[AS_FIELDS], as_stats *stats);

/* Copy the counters of unknown architectures. Returns their number; AS_ARGUMENT: out is too small. */
int64_t as_match_unknown_arches(const as_match *match, as_unknown_arch *out, size_t size);

/* Copy the counters of all exceptions. Returns their number; AS_ARGUMENT: out is too small. */
int64_t as_match_exception_counts(const as_match *match, uint64_t *out, size_t size);

#endif
