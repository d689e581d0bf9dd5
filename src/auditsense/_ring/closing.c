#include "closing.h"

/* Profiles of hosts */

void as_events_observe_host(as_events *events, uint64_t node, uint16_t type) {
    as_host_profile *profile = &events->profiles[node % AS_HOST_PROFILES];
    if (type == AS_TYPE_SYSCALL) {
        profile->since_proctitle += profile->since_proctitle < events->absence_events ? 1 : 0;
        events->some_absent = events->some_absent || profile->since_proctitle == events->absence_events;
    } else if (type == AS_TYPE_PROCTITLE) {
        profile->since_proctitle = 0;
    } else if (type == AS_TYPE_PATH) {
        profile->since_path = 0;
        profile->saw_path = true;
    }
}

static bool expects_proctitle(const as_events *events, const as_event *event) {
    return events->profiles[event->node % AS_HOST_PROFILES].since_proctitle < events->absence_events;
}

static bool expects_paths(const as_events *events, const as_event *event) {
    return events->profiles[event->node % AS_HOST_PROFILES].since_path < events->absence_events;
}

void as_event_read_items(as_events *events, as_event *event) {
    if ((event->stored & (1u << AS_ROLE_SYSCALL)) == 0) {
        return;
    }
    const as_record syscall = {.type = AS_TYPE_SYSCALL,
                               .body = as_slab_span(&events->slab, event->texts[AS_ROLE_SYSCALL])};
    const as_head *head = as_heads_add(&events->heads, event->texts[AS_ROLE_SYSCALL].slot, syscall.body);
    as_value values[AS_FIELDS];
    uint64_t count = 0;
    if (head != NULL) {
        values[AS_FIELD_ITEMS] = as_head_value(head, syscall.body, AS_FIELD_ITEMS);
    } else {
        as_values_clear(values, AS_BIT(AS_FIELD_ITEMS));
        as_record_fields(&syscall, AS_BIT(AS_FIELD_ITEMS), values);
    }
    as_value_number(values[AS_FIELD_ITEMS], AS_KIND_DECIMAL, &count);
    event->items = count > UINT16_MAX ? UINT16_MAX : (uint16_t)count;
    event->seen |= ITEMS_READ;
}

/* A host that writes PATH records writes them at some point after a call announced them. */
void as_events_observe_paths(as_events *events, as_event *event) {
    as_host_profile *profile = &events->profiles[event->node % AS_HOST_PROFILES];
    if (event->class_index != 0 && as_event_announced_paths(events, event) > event->path_count) {
        profile->since_path += profile->since_path < events->absence_events ? 1 : 0;
        events->some_absent = events->some_absent || profile->since_path == events->absence_events;
    }
}

/* Whether a text event has its SYSCALL record and all expected PATH records. */
static bool all_announced(as_events *events, as_event *event) {
    return (event->seen & SEEN_MAIN) != 0 &&
           (event->class_index == 0 || event->path_count >= as_event_announced_paths(events, event) ||
            !expects_paths(events, event));
}

/* Closing */

/* Whether a text event is known to lack its SYSCALL record, or PATH records: all of them, or the rest after a cut. The
 * kernel also announces hidden ones, so with an end one PATH is enough. If several events announced PATH records and
 * none ever came, the host writes none. */
static bool is_incomplete(as_events *events, as_event *event) {
    enum { SEVERAL = 2 };
    if ((event->seen & SEEN_MAIN) == 0) {
        return (event->seen & (SEEN_OF_SYSCALL | SEEN_END)) != 0;
    }
    const as_host_profile *profile = &events->profiles[event->node % AS_HOST_PROFILES];
    const bool paths = profile->saw_path || profile->since_path < SEVERAL;
    return !all_announced(events, event) && paths && (event->path_count == 0 || (event->seen & SEEN_END) == 0);
}

uint16_t as_event_class_without_call(const as_events *events, const as_event *event) {
    const bool lost = (event->seen & SEEN_OF_SYSCALL) != 0 && (event->seen & SEEN_URINGOP) == 0;
    as_span bodies[AS_MAX_LINKED];
    if (event->main_type == AS_TYPE_URINGOP && !as_classes_list(events->classes, AS_TYPE_URINGOP)) {
        const uint32_t count = as_event_linked(events, event, AS_TYPE_URINGOP, bodies);
        return count == 0 ? 0 : as_class_of_operation(events->classes, bodies[count - 1]);
    }
    return lost ? 0 : as_class_of_main(events->classes, event->main_type, AS_CLASS_NONE);
}

void as_events_close(as_events *events, as_event *event, as_stats *stats) {
    if (event->class_index == AS_CLASS_UNKNOWN) {
        as_event_set_class(events, event, as_event_class_without_call(events, event));
    }
    /* The kernel writes no PROCTITLE for an operation of io_uring. */
    const bool endless = events->end != AS_END_EOE && (event->seen & SEEN_MAIN) == SEEN_URINGOP;
    const bool complete = (event->seen & SEEN_MAIN) != 0 && ((event->seen & SEEN_END) != 0 || endless);
    const bool partial = (event->seen & IS_TEXT) != 0 ? is_incomplete(events, event)
                                                      : !complete && (event->seen & (SEEN_OF_SYSCALL | SEEN_END)) != 0;
    events->ready = events->ready == as_slot_of(events, event) ? AS_NO_SLOT : events->ready;
    stats->events++;
    stats->incomplete += partial ? 1 : 0;
    stats->open_events--;
    as_list_move(events, event, AS_CLOSED);
}

bool as_events_close_oldest(as_events *events, as_stats *stats) {
    as_event *oldest = as_list_first(events, AS_LIST_ALL, AS_OPEN);
    if (oldest != NULL) {
        as_events_close(events, oldest, stats);
    }
    return oldest != NULL;
}

void as_events_tick(as_events *events, uint64_t now_ms) {
    if (now_ms == 0 || now_ms == events->now_ms) {
        return;
    }
    if (events->now_ms != 0 && now_ms > events->now_ms) {
        const uint64_t step = now_ms - events->now_ms;
        events->clock_ms += step < events->timeout_ms ? step : events->timeout_ms;
    }
    events->now_ms = now_ms;
    events->room = 0;
}

/* An event has ended when its end record is there and no record that decides can be missing: records that arrive out of
 * order are awaited until the timeout. So are hidden PATH records, which are announced and never come; but not live,
 * because the kernel's EOE comes after all PATH records. */
static bool has_ended(as_events *events, as_event *event, as_event_end end) {
    if ((event->seen & SEEN_MAIN) == 0 || (event->seen & SEEN_END) == 0) {
        return false;
    }
    if (event->class_index == 0) {
        return true;
    }
    if ((event->seen & IS_TEXT) != 0) {
        return all_announced(events, event);
    }
    if (end == AS_END_PATHS) {
        return event->path_count >= event->items;
    }
    if ((event->seen & SEEN_PATH) != 0 && events->held == 0) {
        return true;
    }
    return event->path_count >= as_event_announced_paths(events, event);
}

/* Whether a text event without an end has all records that its host writes. */
static bool is_ready(as_events *events, as_event *event) {
    return events->some_absent && (event->seen & IS_TEXT) != 0 && !expects_proctitle(events, event) &&
           all_announced(events, event);
}

static void close_ready(as_events *events, as_event *event, as_stats *stats) {
    event->seen |= (event->seen & SEEN_END) == 0 ? CLOSED_WITHOUT_END : 0;
    as_events_close(events, event, stats);
}

bool as_events_expire(as_events *events, as_stats *stats) {
    as_event *oldest = as_list_first(events, AS_LIST_ALL, AS_OPEN);
    if (oldest == NULL) {
        return false;
    }
    if (events->clock_ms - oldest->born_ms >= events->timeout_ms ||
        events->begun - oldest->begun >= events->timeout_events) {
        as_events_close(events, oldest, stats);
        return true;
    }
    /* The profile has changed since: the host does not write the awaited record. */
    const bool done = events->some_absent && (oldest->seen & IS_TEXT) != 0 &&
                      as_slot_of(events, oldest) != events->ready &&
                      ((oldest->seen & SEEN_END) != 0 ? all_announced(events, oldest) : is_ready(events, oldest));
    if (done) {
        close_ready(events, oldest, stats);
    }
    return done;
}

void as_events_close_ready(as_events *events, as_stats *stats) {
    close_ready(events, &events->slots[events->ready], stats);
}

void as_events_check_end(as_events *events, as_event *event, as_event_end end, as_stats *stats) {
    if (has_ended(events, event, end)) {
        as_events_close(events, event, stats);
    } else if (is_ready(events, event)) {
        events->ready = as_slot_of(events, event);
    }
}

/* Space */

/* Texts stored by one as_events_add: the record and the node before it. */
enum { SMALL_NEEDED = 2, LARGE_NEEDED = 1 };

bool as_events_lacks_large(const as_events *events) {
    return events->slab.large.free_count < LARGE_NEEDED;
}

bool as_events_has_space(const as_events *events) {
    const bool slot =
        as_list_first(events, AS_LIST_ALL, AS_FRESH) != NULL || as_list_first(events, AS_LIST_ALL, AS_DECIDED) != NULL;
    return slot && events->slab.small.free_count >= SMALL_NEEDED && !as_events_lacks_large(events);
}

void as_events_measure_room(as_events *events) {
    const uint32_t small = events->slab.small.free_count / SMALL_NEEDED;
    const uint32_t large = events->slab.large.free_count / LARGE_NEEDED;
    events->room = small < large ? small : large;
}

as_event *as_events_oldest_holder(const as_events *events, as_event_state state) {
    return as_list_first(events, as_events_lacks_large(events) ? AS_LIST_LARGE : AS_LIST_ALL, state);
}

void as_events_evict(as_events *events, as_stats *stats) {
    const uint64_t before = stats->incomplete;
    as_events_close(events, as_events_oldest_holder(events, AS_OPEN), stats);
    stats->evicted += stats->incomplete - before;
}
