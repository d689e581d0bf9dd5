#include "room.h"

/* Records kept by one as_events_add: the record itself and the node before it. */
enum { SMALL_NEEDED = 2, LARGE_NEEDED = 1 };

bool as_events_large_short(const as_events *events) {
    return events->texts.large.free_count < LARGE_NEEDED;
}

bool as_events_room(const as_events *events) {
    const bool slot =
        as_list_first(events, AS_LIST_ALL, AS_FRESH) != NULL || as_list_first(events, AS_LIST_ALL, AS_REMEMBERED) != NULL;
    return slot && events->texts.small.free_count >= SMALL_NEEDED && !as_events_large_short(events);
}

as_event *as_events_holder(const as_events *events, as_event_state state) {
    return as_list_first(events, as_events_large_short(events) ? AS_LIST_LARGE : AS_LIST_ALL, state);
}

void as_events_evict(as_events *events, as_stats *stats) {
    const uint64_t before = stats->incomplete;
    as_events_close(events, as_events_holder(events, AS_OPEN), stats);
    stats->evicted += stats->incomplete - before;
}
