#include "closing.h"

/* What the text of a host is made of */

void as_events_learn(as_events *events, uint64_t node, uint16_t type) {
    as_habits *habits = &events->habits[node % AS_HABITS];
    if (type == AS_TYPE_SYSCALL) {
        habits->untitled += habits->untitled < events->habit ? 1 : 0;
        events->lacking = events->lacking || habits->untitled == events->habit;
    } else if (type == AS_TYPE_PROCTITLE) {
        habits->untitled = 0;
    } else if (type == AS_TYPE_PATH) {
        habits->pathless = 0;
        habits->paths = true;
    }
}

static bool titles_come(const as_events *events, const as_event *event) {
    return events->habits[event->node % AS_HABITS].untitled < events->habit;
}

static bool paths_come(const as_events *events, const as_event *event) {
    return events->habits[event->node % AS_HABITS].pathless < events->habit;
}

uint32_t as_event_items(const as_events *events, as_event *event) {
    if ((event->seen & KNOWS_ITEMS) == 0) {
        if ((event->kept & (1u << AS_ROLE_SYSCALL)) == 0) {
            return 0;
        }
        const as_record syscall = {.type = AS_TYPE_SYSCALL,
                                   .body = as_texts_span(&events->texts, event->texts[AS_ROLE_SYSCALL])};
        as_value values[AS_FIELDS];
        uint64_t count = 0;
        as_values_clear(values, AS_BIT(AS_FIELD_ITEMS));
        as_record_fields(&syscall, AS_BIT(AS_FIELD_ITEMS), values);
        as_value_number(values[AS_FIELD_ITEMS], AS_KIND_DECIMAL, &count);
        event->items = count > UINT16_MAX ? UINT16_MAX : (uint16_t)count;
        event->seen |= KNOWS_ITEMS;
    }
    return event->items;
}

/* Where a call announces PATH records, they have to come some time. */
void as_events_learn_paths(as_events *events, as_event *event) {
    as_habits *habits = &events->habits[event->node % AS_HABITS];
    if (event->wanted != 0 && as_event_items(events, event) > event->path_count) {
        habits->pathless += habits->pathless < events->habit ? 1 : 0;
        events->lacking = events->lacking || habits->pathless == events->habit;
    }
}

/* Whether an event of text has its SYSCALL record and all PATH records that are to come. */
static bool all_announced(const as_events *events, as_event *event) {
    return (event->seen & SEEN_MAIN) != 0 &&
           (event->wanted == 0 || event->path_count >= as_event_items(events, event) || !paths_come(events, event));
}

/* Closing */

/* Whether something of an event of text is known to be missing: its SYSCALL record; or PATH records, all of them or
 * those behind which it was cut. The kernel announces hidden ones as well, so with an end one is enough. Where several
 * events announced them and none ever came, none was written. */
static bool lacks(const as_events *events, as_event *event) {
    enum { SEVERAL = 2 };
    if ((event->seen & SEEN_MAIN) == 0) {
        return (event->seen & (SEEN_OF_SYSCALL | SEEN_END)) != 0;
    }
    const as_habits *habits = &events->habits[event->node % AS_HABITS];
    const bool paths = habits->paths || habits->pathless < SEVERAL;
    return !all_announced(events, event) && paths &&
           (event->path_count == 0 || (event->seen & SEEN_END) == 0);
}

void as_events_close(as_events *events, as_event *event, as_stats *stats) {
    const bool whole = (event->seen & SEEN_MAIN) != 0 && (event->seen & SEEN_END) != 0;
    const bool partial = (event->seen & IS_TEXT) != 0
                             ? lacks(events, event)
                             : !whole && (event->seen & (SEEN_OF_SYSCALL | SEEN_END)) != 0;
    events->ripe = events->ripe == as_slot_of(events, event) ? AS_NO_SLOT : events->ripe;
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
}

/* The end has come when the end record is there and nothing that decides can still be missing: records that overtook
 * each other on the way are waited for, until the timeout. So are hidden PATH records, which are announced and never
 * come, but not live, where the kernel's EOE comes behind all PATH records. */
static bool ended(const as_events *events, as_event *event, as_end end) {
    if ((event->seen & SEEN_MAIN) == 0 || (event->seen & SEEN_END) == 0) {
        return false;
    }
    if (event->wanted == 0) {
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
    return event->path_count >= as_event_items(events, event);
}

/* Whether an event of text has all that its host writes, without an end. */
static bool ripe(const as_events *events, as_event *event) {
    return events->lacking && (event->seen & IS_TEXT) != 0 && !titles_come(events, event) &&
           all_announced(events, event);
}

static void close_ripe(as_events *events, as_event *event, as_stats *stats) {
    event->seen |= (event->seen & SEEN_END) == 0 ? IS_RIPE : 0;
    as_events_close(events, event, stats);
}

bool as_events_expire(as_events *events, as_stats *stats) {
    as_event *oldest = as_list_first(events, AS_LIST_ALL, AS_OPEN);
    if (oldest == NULL) {
        return false;
    }
    if (events->clock_ms - oldest->born_ms >= events->timeout_ms ||
        events->begun - oldest->begun >= events->patience) {
        as_events_close(events, oldest, stats);
        return true;
    }
    /* What it waited for is not written by its host, as was learned since. */
    const bool learned = events->lacking && (oldest->seen & IS_TEXT) != 0 && as_slot_of(events, oldest) != events->ripe &&
                         ((oldest->seen & SEEN_END) != 0 ? all_announced(events, oldest) : ripe(events, oldest));
    if (learned) {
        close_ripe(events, oldest, stats);
    }
    return learned;
}

void as_events_close_ripe(as_events *events, as_stats *stats) {
    close_ripe(events, &events->slots[events->ripe], stats);
}

void as_events_judge(as_events *events, as_event *event, as_end end, as_stats *stats) {
    if (ended(events, event, end)) {
        as_events_close(events, event, stats);
    } else if (ripe(events, event)) {
        events->ripe = as_slot_of(events, event);
    }
}
