/* Stage 5, match: the filters that an event fits. The rule table is data; nothing here knows a path or a call.
 *
 * Owns: the copied filters and exceptions, and the filters that the current event fits.
 * Rule 1: the class of an event selects its filters; only the fields that those ask for are read.
 * Rule 2: exceptions come last, and their fields are read only if a rule with exceptions matched: rules without
 *   exceptions have no extra cost.
 * Tested by tests/c/test_match.c and, against a Python model, tests/core/test_model.py. */
#ifndef AUDITSENSE_MATCH_H
#define AUDITSENSE_MATCH_H

#include "../_ring.h"
#include "arena.h"
#include "event_values.h"
#include "candidates.h"
#include "predicate.h"
#include "record.h"

typedef struct {
    uint64_t fields;       /* bits of the fields that the programs and keys of its filters read */
    uint64_t kept_fields;  /* the same, and what an exec enters into the process table */
    uint64_t first_fields; /* of these, the ones that every event needs; others are read when a predicate asks */
    uint32_t first_filter;
    uint32_t filters;
    bool executes; /* its events start programs */
    bool gated;    /* some of its filters have gates */
} as_match_class;

/* A rule, and what is known about it. */
typedef struct {
    uint64_t exception_fields; /* bits of the fields that its exceptions read */
    uint32_t since;            /* number of the rule table that it came with, see as_match.tables */
} as_match_rule;

typedef struct {
    as_predicates predicates;
    as_candidates candidates;
    as_rule *rules;
    as_match_rule *rule_facts;
    as_match_class *classes;
    as_filter *filters;
    uint64_t *gates; /* of filters: bits of as_path_end that a filter needs one of */
    as_exception *exceptions;
    uint64_t *exception_counts; /* events per exception */
    uint16_t *matched;          /* filters that the current event fits, in order */
    uint64_t read_fields;       /* bits of the fields that any class or exception reads */
    uint32_t tables;            /* number of the rule table: one more after each migration */
    uint32_t rule_count;
    uint32_t class_count;
    uint32_t filter_count;
    uint32_t exception_count;
} as_match;

/* Allocate and, in the second pass, copy a valid table. */
void as_match_init(as_match *match, const as_config *config, const as_rules *rules, as_arena *arena);

/* Find the filters of a class that an event with these values fits, but none of rules that came with a later table
 * than number `since`. Returns how many there are: match->matched holds them. */
uint32_t as_match_event(as_match *match, uint32_t class_index, uint32_t since, as_event_values *values);

/* Bits of the key fields of a filter. */
uint64_t as_filter_keys(const as_filter *filter);

/* Remove those of the first `count` matched filters whose rule has an exception for this event, stamped ms. Excepted
 * events are counted in exception_counts and in the stats; stats may be NULL: they were counted before. Returns the
 * number of filters left. */
uint32_t as_match_except(as_match *match, uint64_t ms, uint32_t count, as_event_values *values, as_stats *stats);

/* Copy the counters of all exceptions. Returns their number; AS_ARGUMENT: out is too small. */
int64_t as_match_exception_counts(const as_match *match, uint64_t *out, size_t size);

#endif
