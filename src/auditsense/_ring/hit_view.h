/* After the stages, hit view: reads one hit out of drained or borrowed bytes.
 *
 * Owns: nothing.
 * Rule: as_hit_check and as_hit_span trust no byte; the public accessors trust a hit that as_hit_next returned.
 * Tested by tests/c/test_hit.c, tests/c/test_column.c and the stream fuzz target. */
#ifndef AUDITSENSE_HIT_VIEW_H
#define AUDITSENSE_HIT_VIEW_H

#include "../_ring.h"
#include "span.h"

/* Offset of the table of fields in a valid hit. */
static inline uint32_t as_hit_table(const as_hit *hit) {
    return (uint32_t)sizeof *hit + hit->ids * (uint32_t)sizeof(as_event_id);
}

/* Copy the head of the hit at the start of `rest`. Returns the size of the hit; 0: not a valid hit. */
static inline uint32_t as_hit_check(as_span rest, as_hit *hit) {
    if (rest.len < sizeof *hit) {
        return 0;
    }
    memcpy(hit, rest.at, sizeof *hit);
    const uint64_t fixed = sizeof *hit + (uint64_t)hit->ids * sizeof(as_event_id) + AS_FIELDS * sizeof(as_hit_field);
    return hit->ids == 0 || hit->size > rest.len || hit->size < fixed ? 0 : hit->size;
}

/* Find a field of a checked hit; out->at is NULL if it is absent. False: its position is outside the hit. */
static inline bool as_hit_span(const uint8_t *start, const as_hit *hit, uint32_t field, as_span *out) {
    const uint32_t table = as_hit_table(hit);
    as_hit_field place;
    memcpy(&place, start + table + field * sizeof place, sizeof place);
    *out = (as_span){0};
    if (place.at == 0) {
        return true;
    }
    if (place.at < table + AS_FIELDS * sizeof place || place.at > hit->size || place.len > hit->size - place.at) {
        return false;
    }
    *out = as_span_of(start + place.at, place.len);
    return true;
}

#endif
