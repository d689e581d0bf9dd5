/* When an event ends: its end record, its time, later events; and what its host writes at all.
 *
 * Part of stage 3; event.h has the rules. Owns the clock, the habits of hosts and the counters of closed events.
 * Tested by tests/c/test_event.c, tests/cases/events.txt and tests/test_model.py. */
#ifndef AUDITSENSE_CLOSING_H
#define AUDITSENSE_CLOSING_H

#include "event_table.h"

/* as_event.seen */
enum {
    SEEN_SYSCALL = 1, /* the event's main record */
    SEEN_END = 2,     /* EOE, or PROCTITLE where it is the end, or any PATH where they are */
    SEEN_OF_SYSCALL = 4,
    SEEN_CWD = 8,
    SEEN_PROCTITLE = 16,
    SEEN_EOE = 32,
    SEEN_PATH = 64,
    SEEN_URINGOP = 128, /* the main record when a ring's own thread acted; else the caller's SYSCALL follows */
    IS_TEXT = 256,
    CLOSED_WITHOUT_END = 512,          /* of text: all that was announced came, and nothing more was waited for */
    ITEMS_READ = 1024,     /* items was read */
    FIRST_PATH_CHECKED = 2048, /* whether the first kept PATH is a preferred one was asked */
    FIRST_PATH_PREFERRED = 4096
};

enum { SEEN_MAIN = SEEN_SYSCALL | SEEN_URINGOP };

/* Let the receive clock be this late; 0: there is none, and nothing happens. */
void as_events_tick(as_events *events, uint64_t now_ms);

/* Close one event whose time is up. False: none. */
bool as_events_expire(as_events *events, as_stats *stats);

/* Close this open event with what it has. */
void as_events_close(as_events *events, as_event *event, as_stats *stats);

/* Close the oldest open event, at the end of the input. False: none. */
bool as_events_close_oldest(as_events *events, as_stats *stats);

/* Learn from a line what its host writes, and from a SYSCALL record in its event how many PATH records are to come. */
void as_events_observe_host(as_events *events, uint64_t node, uint16_t type);
void as_events_observe_paths(as_events *events, as_event *event);

/* How many PATH records the SYSCALL record announces, hidden ones included; 0 when it does not say. */
uint32_t as_event_announced_paths(const as_events *events, as_event *event);

/* Close the event, or note that it is ready, if its last record made it so. */
void as_events_check_end(as_events *events, as_event *event, as_event_end end, as_stats *stats);

/* Close the ready event. There must be one. */
void as_events_close_ready(as_events *events, as_stats *stats);

/* True when any record can be added: a slot and texts are free. Else one event must be given up (as_events_evict, or
 * as_order_release of a held one), decided and forgotten, and then asked again. */
bool as_events_has_space(const as_events *events);

/* True when large texts are what is short. */
bool as_events_lacks_large(const as_events *events);

/* The oldest event of this state that holds what is short; NULL: none. */
as_event *as_events_oldest_holder(const as_events *events, as_event_state state);

/* Give up the oldest open event that holds what is short. Call only without room, with none closed or held. */
void as_events_evict(as_events *events, as_stats *stats);

#endif
