/* When an event ends: its end record, its time, later events; and what its host writes at all.
 *
 * Part of stage 3; event.h has the rules. Owns the clock, the habits of hosts and the counters of closed events.
 * Tested by tests/c/test_event.c, tests/cases/events.txt and tests/test_model.py. */
#ifndef AUDITSENSE_CLOSING_H
#define AUDITSENSE_CLOSING_H

#include "table.h"

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
    IS_RIPE = 512,          /* of text: all that was announced came, and nothing more was waited for */
    KNOWS_ITEMS = 1024,     /* items was read */
    KNOWS_FIRST_PATH = 2048, /* whether the first kept PATH is a preferred one was asked */
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
void as_events_learn(as_events *events, uint64_t node, uint16_t type);
void as_events_learn_paths(as_events *events, as_event *event);

/* How many PATH records the SYSCALL record announces, hidden ones included; 0 when it does not say. */
uint32_t as_event_items(const as_events *events, as_event *event);

/* Close the event, or note that it is ripe, if its last record made it so. */
void as_events_judge(as_events *events, as_event *event, as_end end, as_stats *stats);

/* Close the ripe event. There must be one. */
void as_events_close_ripe(as_events *events, as_stats *stats);

#endif
