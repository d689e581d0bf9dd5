/* Between match and window, order: holds matching events of recorded input, and decides them by stamp and serial.
 *
 * Owns: the order of the held events of each host (node). Recorded input has events in the order in which they ended,
 * and a window in that order completes with other members than one in the order of stamps.
 * Rule 1: at most `limit` events are held. When there is one more, the host whose event ended first releases its
 *   smallest: by stamp, then serial, then arrival. Hosts with different clocks do not affect each other.
 * Rule 2: an event smaller than the last decided one of its host is late, and is counted.
 * Rule 3: an event in order costs one comparison; one out of order costs log(held) of them (a pairing heap).
 * Live, the limit is 0 and nothing is held: no alert waits for a later event.
 * Tested by tests/c/test_order.c and tests/core/test_order.py. */
#ifndef AUDITSENSE_ORDER_H
#define AUDITSENSE_ORDER_H

#include "closing.h"
#include "event_slots.h"

/* Filters that are remembered for a held event; one that fits more is matched again. */
enum { AS_HELD_FILTERS = 12 };

typedef struct {
    uint64_t number;                   /* of held events, by arrival */
    uint32_t host;                     /* in as_order.hosts */
    uint32_t child;                    /* in a heap: its first child */
    uint32_t next;                     /* in a queue: the next larger; in a heap: the next sibling */
    uint16_t count;                    /* of the filters that it fits */
    uint16_t unknown;                  /* as as_hit.unknown */
    uint16_t matched[AS_HELD_FILTERS]; /* the first of them */
    bool key_known;                    /* key and actor are those of its only filter: see decide.h */
    uint32_t actor;
    uint64_t key[2];
} as_held;

/* A node with held events, now or earlier. */
typedef struct {
    uint64_t node;
    uint64_t ms; /* of the last decided event */
    uint32_t serial;
    bool decided;   /* ms and serial are valid */
    uint32_t first; /* queue of the events that came in order */
    uint32_t last;
    uint32_t heap; /* root of the others */
    uint32_t next_in_bucket;
    as_link idle; /* in the list of nodes without held events; the longest idle one is evicted */
} as_held_host;

typedef struct {
    as_held *held; /* indexed by the event's slot */
    as_held_host *hosts;
    uint32_t *buckets;
    as_queue_ends idle;
    uint64_t number;
    uint32_t bucket_mask;
    uint32_t slots; /* of the table of events */
    uint32_t most;  /* maximum of limit */
    uint32_t limit; /* held at most; 0: none */
    uint32_t count;
    uint32_t hosts_used;
} as_order;

void as_order_init(as_order *order, const as_config *config, as_arena *arena);

/* Set the limit; none is held yet. False: it exceeds the maximum. */
bool as_order_begin(as_order *order, as_events *events, uint32_t limit);

/* Hold a closed event that fits these filters. unknown: as as_hit.unknown. */
void as_order_hold(as_order *order, as_events *events, as_event *event, const uint16_t *matched, uint32_t count,
                   uint32_t unknown);

/* Release the smallest event of the host whose events wait longest or, if space is short, of one that holds the missing
 * resource. It is closed again, to be decided for as_held.matched. There must be one held. */
as_event *as_order_release(as_order *order, as_events *events, as_stats *stats);

/* Continue from the state of another one with the same configuration. */
void as_order_migrate(as_order *order, const as_order *from);

#endif
