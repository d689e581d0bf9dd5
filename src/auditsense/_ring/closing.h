/* When an event closes: end record, timeout, later events, eviction; and which records its host writes at all.
 *
 * Part of stage 3; event.h has the rules. Owns: the clock, the profiles of hosts, the counters of closed events, and
 * the lists of events with large texts, so that finding one to evict takes no search.
 * Tested by tests/c/test_event.c, tests/cases/events.txt, tests/core/test_model.py and the stream fuzz target. */
#ifndef AUDITSENSE_CLOSING_H
#define AUDITSENSE_CLOSING_H

#include "event_slots.h"

/* Advance the receive clock to this time; 0: there is no clock, and nothing happens. */
void as_events_tick(as_events *events, uint64_t now_ms);

/* Close one event that has timed out. False: none. */
bool as_events_expire(as_events *events, as_stats *stats);

/* The class of an event without its SYSCALL record. One of a system call lost it; a ring operation and the kernel's other
 * records have none. */
uint16_t as_event_class_without_call(const as_events *events, const as_event *event);

/* Close this open event with the records it has. */
void as_events_close(as_events *events, as_event *event, as_stats *stats);

/* Close the oldest open event, at the end of the input. False: none. */
bool as_events_close_oldest(as_events *events, as_stats *stats);

/* Update the host's profile from a line, and from the PATH records that a SYSCALL record announces. */
void as_events_observe_host(as_events *events, uint64_t node, uint16_t type);
void as_events_observe_paths(as_events *events, as_event *event);

/* Set as_event.items, if the SYSCALL record is stored. */
void as_event_read_items(as_events *events, as_event *event);

/* Number of PATH records that the SYSCALL record announces, including hidden ones; 0 if unknown. */
static inline uint32_t as_event_announced_paths(as_events *events, as_event *event) {
    if ((event->seen & ITEMS_READ) == 0) {
        as_event_read_items(events, event);
    }
    return (event->seen & ITEMS_READ) == 0 ? 0 : event->items;
}

/* Close the event if its last record ended it, or mark it as ready. */
void as_events_check_end(as_events *events, as_event *event, as_event_end end, as_stats *stats);

/* Close the ready event. There must be one. */
void as_events_close_ready(as_events *events, as_stats *stats);

/* True if any record can be added: a slot and texts are free. Otherwise evict an event (as_events_evict, or
 * as_order_release of a held one), decide it, and ask again. */
bool as_events_has_space(const as_events *events);

/* Set as_events.room, when no event has timed out and there is space. */
void as_events_measure_room(as_events *events);

/* Whether a record can be added without asking more: the last one has opened no event, no time has passed, and the
 * profiles of hosts end no event. */
static inline bool as_events_has_room(const as_events *events) {
    return events->room > 0 && !events->some_absent;
}

/* True if no large text is free. */
bool as_events_lacks_large(const as_events *events);

/* The oldest event of this state that holds the missing resource; NULL: none. */
as_event *as_events_oldest_holder(const as_events *events, as_event_state state);

/* Close the oldest open event that holds the missing resource. Call only without space, with none closed or held. */
void as_events_evict(as_events *events, as_stats *stats);

#endif
