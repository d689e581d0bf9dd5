/* Stage 5, window: the last matches of one key, and when enough of them lie close together.
 *
 *     key ─► slot: [ 10.0  10.1  10.2 … 10.9 ]  sorted by stamp, ties in the order they came
 *
 * Owns the table of keys and their rings of matches.
 * Rule 1: time is the kernel's stamp of the event, in whole milliseconds; there is no clock here.
 * Rule 2: match k completes a window when match k - (count - 1) is at most span_ms older. Nothing
 *         resets, so windows overlap. A late match is put where it belongs, and completes what it can.
 * Rule 3: when the table is full, the key whose last match came longest ago makes room, if that match can
 *         complete nothing any more. If it still could, the table is being flooded with keys: then it is the
 *         one with the fewest matches of some that half a table of new keys came after, so that keys of one
 *         match each push nobody out who has more.
 * Rule 4: late matches are exact as long as a key keeps the matches that overtook them: count + window_slack. A match
 *         that more of them overtook takes the place of the oldest match that is too far from it to be in a window with
 *         it. So after a clock was set back a full window counts from the first match on; and a few single late matches,
 *         of system calls that blocked, cost the window little.
 * Tested by tests/cases/windows.txt and, against a ten-line model, tests/test_model.py. */
#ifndef AUDITSENSE_WINDOW_H
#define AUDITSENSE_WINDOW_H

#include "../_ring.h"
#include "arena.h"
#include "record.h"

typedef struct {
    uint64_t ms;
    uint32_t serial;
    uint32_t complete : 1; /* it has ended a window already */
    uint32_t actor : 31;   /* as of as_window_actor */
} as_entry;

typedef struct {
    uint64_t key[2];
    uint64_t pending;  /* where this key's waiting hit lies, in the hits' own count; 0: nowhere */
    uint64_t keys;     /* how many had been made when it was last used */
    uint64_t last_ms;  /* when it was used last, by the stamps of its matches: here, because its entries are far away */
    uint32_t pending_actor; /* of the waiting hit */
    uint32_t next_in_bucket;
    uint32_t older; /* in the order of last use */
    uint32_t newer;
    uint16_t rule;
    uint16_t start; /* of the ring; it wraps at a multiple of its depth */
    uint16_t len;
} as_window;

typedef struct {
    as_window *slots;
    as_entry *entries; /* depth of them for each slot */
    uint32_t *buckets;
    uint64_t seed;
    uint64_t actor_fields; /* as_rules.actor_fields */
    uint32_t bucket_mask;
    uint32_t slot_count;
    uint32_t used;
    uint64_t keys;    /* made so far */
    uint64_t drawn;   /* numbers, to choose who makes room */
    uint32_t span_ms; /* the longest of all rules: what is further away completes nothing */
    uint32_t depth;   /* a power of two */
    uint32_t slack;
    uint32_t oldest;
    uint32_t newest;
} as_windows;

void as_windows_init(as_windows *windows, const as_config *config, const as_rules *rules, as_arena *arena);

/* The key of an event under a rule. False: it lacks a key field. */
bool as_window_key(const as_windows *windows, const as_rule *rule, const as_value values[AS_FIELDS],
                   uint8_t *scratch, uint64_t key[2]);

/* A tag of who made an event: a hash of its actor_fields, 0 when there are none. An absent field differs from any
 * text. */
uint32_t as_window_actor(const as_windows *windows, const as_value values[AS_FIELDS], uint8_t *scratch);

/* The window of a key: a new one when there is none. */
as_window *as_windows_of(as_windows *windows, uint32_t rule, const uint64_t key[2], as_stats *stats);

/* The places of a window where a match may complete one only now. */
typedef struct {
    uint32_t next;
    uint32_t end;
} as_search;

/* Put a match where its stamp belongs, and say where to look for completed windows. False: the window is full of newer
 * ones within the span, and it was not put anywhere. */
bool as_window_add(as_windows *windows, as_window *window, const as_rule *rule, as_entry entry, as_search *search);

/* Find the next match that completes a window only now: its first match goes to *first, and search->next is behind the
 * last. False: none. Call again to find more. */
bool as_window_complete(as_windows *windows, as_window *window, const as_rule *rule, as_search *search,
                        uint32_t *first);

as_entry as_window_entry(const as_windows *windows, const as_window *window, uint32_t place);

#endif
