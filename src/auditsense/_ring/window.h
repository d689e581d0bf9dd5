/* Stage 5, window: recent matches per key, and detection of completed windows.
 *
 *     key ─► slot: [ 10.0  10.1  10.2 … 10.9 ]  sorted by stamp, ties in order of arrival
 *
 * Owns: the key table and each key's ring of matches.
 * Rule 1: time is the kernel's stamp of the event, in whole milliseconds; there is no clock here.
 * Rule 2: match k completes a window if match k - (count - 1) is at most span_ms older. Nothing resets, so windows
 *   overlap. A late match is inserted in order, and completes what it can.
 * Eviction: when the table is full, evict the least recently used key if its newest match has expired. If it has not,
 *   the table is under a key flood: sample a few keys older than half a table of insertions and evict the one with the
 *   fewest matches, so that one-match keys cannot displace others (ADR 6).
 * Rule 3: late matches are exact while a key keeps the matches that overtook them: count + window_slack. A match
 *   overtaken by more replaces the oldest match that is too far from it to share a window. So after a clock step back a
 *   full window counts from the first match on, and single late matches, of system calls that blocked, cost the window
 *   little.
 * Tested by tests/cases/windows.txt and, against a ten-line model, tests/core/test_model.py. */
#ifndef AUDITSENSE_WINDOW_H
#define AUDITSENSE_WINDOW_H

#include "../_ring.h"
#include "arena.h"
#include "record.h"

typedef struct {
    uint64_t ms;
    uint32_t serial;
    uint32_t complete : 1; /* it has completed a window */
    uint32_t actor : 31;   /* see as_window_actor */
} as_entry;

typedef struct {
    uint64_t key[2];
    uint64_t pending; /* position of this key's undrained hit (hit.h); 0: none */
    uint64_t keys;    /* as_windows.keys at its last use */
    uint64_t last_ms; /* newest stamp at its last use; copied here, because its entries are in other cache lines */
    uint32_t pending_actor; /* of the undrained hit */
    uint32_t next_in_bucket;
    uint32_t older; /* in the order of last use */
    uint32_t newer;
    uint16_t rule;
    uint16_t start; /* of the ring; wraps at a multiple of its depth */
    uint16_t len;
} as_window;

typedef struct {
    as_window *slots;
    as_entry *entries; /* `depth` per slot */
    uint32_t *buckets;
    uint64_t seed;
    uint64_t actor_fields; /* as_rules.actor_fields */
    uint32_t bucket_mask;
    uint32_t slot_count;
    uint32_t used;
    uint64_t keys;    /* created so far */
    uint64_t drawn;   /* random numbers drawn for evictions */
    uint32_t span_ms; /* longest of all rules: more distant matches complete nothing */
    uint32_t depth;   /* a power of two */
    uint32_t slack;
    uint32_t oldest;
    uint32_t newest;
} as_windows;

void as_windows_init(as_windows *windows, const as_config *config, const as_rules *rules, as_arena *arena);

/* The key of an event that fits a filter. False: a key field is missing. */
bool as_window_key(const as_windows *windows, const as_filter *filter, const as_value values[AS_FIELDS],
                   uint8_t *scratch, uint64_t key[2]);

/* The actor of an event: a hash of its actor_fields; 0: there are none. An absent field differs from any text. */
uint32_t as_window_actor(const as_windows *windows, const as_value values[AS_FIELDS], uint8_t *scratch);

/* Find or create the window of a key. */
as_window *as_windows_of(as_windows *windows, uint32_t rule, const uint64_t key[2], as_stats *stats);

/* The positions of a window where a match may complete one now. */
typedef struct {
    uint32_t next;
    uint32_t end;
} as_search;

/* Insert a match in order of stamps, and set the positions to search for completed windows. False: the window is full
 * of newer matches within the span, and the match was not inserted. */
bool as_window_add(as_windows *windows, as_window *window, const as_rule *rule, as_entry entry, as_search *search);

/* Find the next match that completes a window now: *first is the window's first match, and search->next follows its
 * last. False: none. Call again to find more. */
bool as_window_complete(as_windows *windows, as_window *window, const as_rule *rule, as_search *search,
                        uint32_t *first);

as_entry as_window_entry(const as_windows *windows, const as_window *window, uint32_t place);

#endif
