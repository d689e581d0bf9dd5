/* Part of stage 5, match: the filters of a class that an event may fit, found by the anchors of the filters.
 *
 *     text of a field, or each argument ─► hash ─► filters with this text as an anchor
 *     other anchors: evaluated as shared predicates
 *     end of a SYSCALL record ─► filters by the anchors of its fields, as long as call_tail.h keeps it
 *
 * Owns: the index of anchors.
 * Rule 1: an index never hides a filter. An anchor is a predicate one of which holds wherever the filter does, and a
 *   filter without anchors is always a candidate. Two texts of one hash only make one candidate more.
 * Rule 2: a class with few filters has no index: all are candidates.
 * Tested by tests/core/test_candidates.py, which compares tables with and without anchors. */
#ifndef AUDITSENSE_CANDIDATES_H
#define AUDITSENSE_CANDIDATES_H

#include "../_ring.h"
#include "arena.h"
#include "predicate.h"

/* An anchor that is an exact text. */
typedef struct {
    uint64_t hash; /* of class, field, case and text */
    uint32_t next; /* in its bucket */
    uint16_t filter;
} as_anchor_text;

/* Any other anchor. */
typedef struct {
    uint16_t predicate;
    uint16_t filter;
    bool of_tail; /* as AS_OF_TAIL */
} as_anchor_pattern;

/* Texts that are looked up: of a field, in exact case or folded. */
typedef struct {
    uint64_t marks[16]; /* of its texts: a text that lacks its mark equals no text of the group */
    uint8_t field;
    bool fold;
    bool of_tail; /* the field is one of the end of a SYSCALL record */
} as_anchor_group;

/* Filters are numbered within their class. */
typedef struct {
    bool indexed;
    uint32_t filters;
    uint32_t words; /* of a set of filters */
    uint32_t first_always;
    uint32_t first_group;
    uint32_t groups;
    uint32_t first_pattern;
    uint32_t patterns;
    bool tails; /* some anchors are of the end of a SYSCALL record */
} as_anchored_class;

typedef struct {
    as_anchored_class *classes;
    as_anchor_text *texts;
    uint32_t *buckets;
    as_anchor_pattern *patterns;
    as_anchor_group *groups;
    uint64_t *always; /* bits of the filters without anchors */
    uint64_t *found;  /* bits of the candidates */
    uint64_t *tails;  /* per tail of call_tail.h: its number, a class, and bits of the candidates by its fields */
    uint64_t seed;
    uint32_t bucket_mask;
    uint32_t tail_words; /* per tail */
} as_candidates;

/* Allocate and, in the second pass, build the index of a valid table. Marks the anchors as shared predicates. */
void as_candidates_init(as_candidates *candidates, const as_config *config, const as_rules *rules,
                        as_predicates *predicates, as_arena *arena);

/* Bits of the fields that as_candidates_find reads for every event of a class; 0: it has no index. */
uint64_t as_candidates_fields(const as_candidates *candidates, uint32_t class_index, const as_predicates *predicates);

/* Find the candidates of an event: bits of the filters of its class. NULL: all of them. */
const uint64_t *as_candidates_find(as_candidates *candidates, uint32_t class_index, as_predicates *predicates,
                                   as_event_values *values);

#endif
