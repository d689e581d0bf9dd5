/* Room for the next record in the table of events.
 *
 * Part of stage 3. Owns the lists of events with large texts, so that finding one to give up takes no search.
 * Tested by tests/c/test_event.c and the stream fuzz target. */
#ifndef AUDITSENSE_ROOM_H
#define AUDITSENSE_ROOM_H

#include "closing.h"

/* True when any record can be added: a slot and texts are free. Else one event must be given up (as_events_evict, or
 * as_order_release of a held one), decided and forgotten, and then asked again. */
bool as_events_room(const as_events *events);

/* True when large texts are what is short. */
bool as_events_large_short(const as_events *events);

/* The oldest event of this state that holds what is short; NULL: none. */
as_event *as_events_holder(const as_events *events, as_event_state state);

/* Give up the oldest open event that holds what is short. Call only without room, with none closed or held. */
void as_events_evict(as_events *events, as_stats *stats);

#endif
