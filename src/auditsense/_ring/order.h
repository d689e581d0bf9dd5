/* Between match and window, order: matching events of a recorded input are held, and decided by stamp and serial.
 *
 * Owns the order of the held events of each host (node). A recorded input has the events in the order in which they
 * ended, and a window that gets them so completes with other members than one that gets them by their stamps.
 * Rule 1: at most `limit` events are held. When there is one more, the host of the one that ended first gives its
 *         smallest: by stamp, then serial, then as they came. So hosts with clocks apart do not disturb each other.
 * Rule 2: an event that is smaller than the last decided one of its host came too late, and is counted.
 * Rule 3: what fits in order costs one comparison; what does not, log(held) of them (a pairing heap).
 * With a limit of 0 nothing is held: live, no alert waits for a later event.
 * Tested by tests/c/test_order.c and tests/test_order.py. */
#ifndef AUDITSENSE_ORDER_H
#define AUDITSENSE_ORDER_H

#include "closing.h"
#include "event_table.h"

typedef struct {
    uint64_t number; /* of held events, as they came */
    uint32_t host;   /* in as_order.hosts */
    uint32_t child;  /* in a heap: the first of those it is smaller than */
    uint32_t next;   /* in a queue: the next larger; in a heap: the next child of the same event */
} as_held;

/* A node whose events are held, or were. */
typedef struct {
    uint64_t node;
    uint64_t ms; /* of the last decided event */
    uint32_t serial;
    bool decided; /* there is such an event */
    uint32_t first; /* the queue of those that came in order */
    uint32_t last;
    uint32_t heap;  /* the smallest of the others */
    uint32_t next_in_bucket;
    as_link idle; /* in the list of those that hold nothing; the longest idle one makes room */
} as_held_host;

typedef struct {
    as_held *held; /* by slot of the event */
    as_held_host *hosts;
    uint32_t *buckets;
    as_event_list idle;
    uint64_t number;
    uint32_t bucket_mask;
    uint32_t slots; /* of the table of events */
    uint32_t most;  /* that can be held */
    uint32_t limit; /* held at most; 0: none */
    uint32_t count;
    uint32_t hosts_used;
} as_order;

void as_order_init(as_order *order, const as_config *config, as_arena *arena);

/* Hold so many from now on; none is held yet. False: they are more than there is room for. */
bool as_order_begin(as_order *order, as_events *events, uint32_t limit);

/* Hold a closed event, which these rules want. */
void as_order_hold(as_order *order, as_events *events, as_event *event, uint64_t matching);

/* Take the smallest event of the host whose events wait longest, or, when room is short, of one that holds what is
 * short. It is closed again, and to be decided for as_event.candidates. There must be one held. */
as_event *as_order_release(as_order *order, as_events *events, as_stats *stats);

/* Go on where another one was, of the same configuration. */
void as_order_migrate(as_order *order, const as_order *from);

#endif
