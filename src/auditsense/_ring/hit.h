/* Stage 6, hit: completed windows, as bytes that wait to be drained.
 *
 * Owns the buffer of waiting hits: filled from its start, emptied as a whole.
 * Rule 1: nothing is dropped. When the next hit might not fit, as_hits_has_space says so, and the stages
 *         before take no more input until the hits were drained.
 * Rule 2: a hit carries the fields of the event that completed it, decoded, and the ids of all its events.
 *         Of the values only those of kept fields are looked at.
 * Rule 3: merged windows change only `more` and `last_ms`, so what a hit says first does not depend on
 *         when it is drained.
 * Rule 4: windows of two runs never merge. A run is a row of completions, of any keys, within one second of their
 *         stamps. So a reader that looks at time only where a run begins decides the same for any draining.
 * Tested by tests/c/test_ring.c and tests/test_ring.py. */
#ifndef AUDITSENSE_HIT_H
#define AUDITSENSE_HIT_H

#include "../_ring.h"
#include "arena.h"
#include "record.h"

typedef struct {
    uint8_t *bytes;
    uint32_t capacity;
    uint32_t used;
    uint32_t most;       /* the largest hit possible */
    uint64_t drained;    /* bytes handed out so far: makes the place of a hit unique for ever */
    uint64_t second;     /* of the run's stamps */
    uint64_t run_start;  /* the place of the run's first hit, or where it would be */
    uint64_t fields;     /* bits of those that a hit carries */
    as_hit_field none[AS_FIELDS]; /* the table of a hit without any */
} as_hits;

void as_hits_init(as_hits *hits, const as_config *config, as_arena *arena);

/* Let the hits to come carry these fields only; as_hits_init: all of them. */
void as_hits_select_fields(as_hits *hits, uint64_t fields);

/* True when any hit fits. */
bool as_hits_has_space(const as_hits *hits);

/* Write a hit of the ids' events, `others` of them by another actor, with these values. There must be room. Returns
 * its place, never 0. */
uint64_t as_hits_append(as_hits *hits, uint32_t rule, const as_event_id *ids, uint32_t count, uint32_t others,
                     const as_value values[AS_FIELDS]);

/* Merge a completed window into the hit at this place, when it still waits, belongs to the same run and came at
 * most merge_ms before. False: it cannot be merged. */
bool as_hits_merge(as_hits *hits, uint64_t place, uint64_t ms, uint32_t merge_ms);

/* Take all waiting hits where they lie, until the next one is put. Returns their bytes. */
uint32_t as_hits_borrow(as_hits *hits, const uint8_t **out);

/* Move all waiting hits to out, which holds at least `capacity` bytes. Returns the bytes moved. */
uint32_t as_hits_drain(as_hits *hits, uint8_t *out);

#endif
