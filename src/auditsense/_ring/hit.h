/* Stage 6, hit: completed windows, as bytes that wait to be drained.
 *
 * Owns: the buffer of undrained hits: filled from its start, emptied as a whole.
 * Rule 1: nothing is dropped. When the next hit might not fit, as_hits_has_space is false, and the stages before accept
 *   no input until the hits are drained.
 * Rule 2: a hit carries the decoded fields of the event that completed it, and the ids of all its events. Only selected
 *   fields are read.
 * Rule 3: merged windows change only `more` and `last_ms`, so the rest of a hit does not depend on when it is drained.
 * Rule 4: windows of two runs never merge. A run is a sequence of completions, of any keys, within one second of their
 *   stamps. A reader that reads the time only at the start of a run decides the same for any draining.
 * Tested by tests/c/test_hit.c, tests/c/test_ring.c and tests/core/test_ring.py. */
#ifndef AUDITSENSE_HIT_H
#define AUDITSENSE_HIT_H

#include "../_ring.h"
#include "arena.h"
#include "event_values.h"
#include "sequence.h"

typedef struct {
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t used;
    uint32_t most;                /* size of the largest possible hit */
    uint64_t drained;             /* bytes drained so far: makes the position of a hit unique forever */
    uint64_t second;              /* of the run's stamps */
    uint64_t run_start;           /* position of the run's first hit, or where it would be */
    uint64_t fields;              /* bits of the selected fields */
    as_hit_field none[AS_FIELDS]; /* the table of a hit without any field */
} as_hits;

void as_hits_init(as_hits *hits, const as_config *config, as_arena *arena);

/* Restrict later hits to these fields; as_hits_init selects all. */
void as_hits_select_fields(as_hits *hits, uint64_t fields);

/* True if a hit of any size fits. */
bool as_hits_has_space(const as_hits *hits);

/* Append a hit with these events (hit->ids of them) and values; its size is computed. There must be space. Returns its
 * position, never 0. */
uint64_t as_hits_append(as_hits *hits, const as_hit *hit, const as_event_id *ids, const as_value values[AS_FIELDS]);

/* Reserve space in each hit for the events of sequences and samples with at most this number of events. */
void as_hits_reserve_members(as_hits *hits, uint32_t events);

/* Append the fields of the earlier events of a sequence or sample to the hit at this position, the last one. */
void as_hits_append_members(as_hits *hits, uint64_t place, const as_completed *completed);

/* Merge a completed window into the hit at this position, if that is undrained, of the same run and at most merge_ms
 * older. False: it cannot be merged. */
bool as_hits_merge(as_hits *hits, uint64_t place, uint64_t ms, uint32_t merge_ms);

/* Remove all hits but return them in place; valid until the next append. Returns their size. */
uint32_t as_hits_borrow(as_hits *hits, const uint8_t **out);

/* Move all hits to out, which holds at least `capacity` bytes. Returns the bytes moved. */
uint32_t as_hits_drain(as_hits *hits, uint8_t *out);

#endif
