/* State of a ring: all stages, and the event being decided.
 *
 * For the entry points (_ring.c), decisions (decide.c) and migration (migrate.c). */
#ifndef AUDITSENSE_RING_STATE_H
#define AUDITSENSE_RING_STATE_H

#include <stdatomic.h>

#include "../_ring.h"
#include "classes.h"
#include "datagram.h"
#include "event.h"
#include "event_values.h"
#include "hit.h"
#include "line.h"
#include "match.h"
#include "order.h"
#include "record.h"
#include "sequence.h"
#include "serial.h"
#include "clock_steps.h"
#include "window.h"

/* The event being decided. It survives calls, because the hit buffer can fill up in the middle. */
typedef struct {
    as_event *event;   /* NULL: none */
    uint32_t next;     /* position in as_match.matched of the filter being applied */
    uint32_t matched;  /* filters that it fits */
    as_window *window; /* of the rule being applied; NULL: not found yet */
    as_search search;  /* for the windows that it completes */
    uint32_t unknown;  /* unknown fields that rules compare, see as_hit.unknown */
    uint32_t actor;    /* see as_window_actor */
    bool actor_known;
    bool key_known;
    uint64_t key[2]; /* of the rule being applied */
} as_decision;

/* Cache from the end of a SYSCALL record to the actor it names: usually the same for all events of a process. */
enum { AS_ACTORS = 32, AS_ACTOR_TEXT = 504 };

typedef struct {
    uint32_t len; /* 0: none */
    uint32_t actor;
    uint8_t text[AS_ACTOR_TEXT];
} as_cached_actor;

struct as_ring {
    atomic_flag busy;
    as_config config; /* given at creation */
    as_stats stats;
    as_datagrams datagrams;
    as_lines lines;
    as_stamp stamp;
    as_classes classes;
    as_events events;
    as_serials serials;
    as_steps steps;
    as_match match;
    as_processes processes;
    as_event_values values;
    as_order order;
    as_sequences sequences;
    as_windows windows;
    as_hits hits;
    as_decision decision;
    as_cached_actor actors[AS_ACTORS];
    uint32_t wanted_process; /* the input waits for it; 0: none */
    int deferred_errno;      /* of a receive that failed after it had processed datagrams */
};

/* Bits of the fields that decisions read. */
static inline uint64_t as_ring_read_fields(const as_ring *ring) {
    const uint64_t exec = AS_BIT(AS_FIELD_NODE) | (ring->processes.keeps_arguments ? AS_BIT(AS_FIELD_ARGS) : 0);
    return ring->match.read_fields | ring->windows.actor_fields | (ring->processes.slot_count > 0 ? exec : 0);
}

/* Every public call is such a pair: a second thread gets an error, never a race. */
static inline bool enter(as_ring *ring) {
    return !atomic_flag_test_and_set_explicit(&ring->busy, memory_order_acquire);
}

static inline int64_t leave(as_ring *ring, int64_t result) {
    atomic_flag_clear_explicit(&ring->busy, memory_order_release);
    return result;
}

#endif
