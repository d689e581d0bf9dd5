#include "event.h"

#include "hash.h"

/* True the first time; a second record of the same kind is a duplicate. */
static bool first_time(as_event *event, uint8_t bit, as_stats *stats) {
    const bool first = (event->seen & bit) == 0;
    event->seen |= bit;
    stats->duplicate += first ? 0 : 1;
    return first;
}

/* False: the event has one already. */
static bool add_syscall(as_events *events, as_event *event, const as_record *record, uint16_t class_index,
                        as_stats *stats) {
    if (!first_time(event, SEEN_SYSCALL, stats)) {
        return false;
    }
    if (event->main_type != AS_TYPE_SYSCALL) {
        class_index = as_class_of_main(events->classes, event->main_type, class_index);
    }
    as_event_set_class(events, event, class_index);
    if (event->class_index == 0) {
        as_event_release(events, event); /* earlier records are not needed either */
        return true;
    }
    as_event_store(events, event, AS_ROLE_SYSCALL, record->body);
    return true;
}

/* With PATH as the end, an event that announces none, or that no rule can match, has already ended. */
static void check_announced_paths(as_events *events, as_event *event) {
    const uint32_t announced = event->class_index == 0 ? 0 : as_event_announced_paths(events, event);
    event->seen |= announced == 0 ? SEEN_END : 0;
}

/* Whether the first stored PATH is preferred to all later ones: checked once per event. */
static bool first_is_preferred(const as_events *events, as_event *event) {
    if ((event->seen & FIRST_PATH_CHECKED) == 0) {
        const bool yes = as_path_is_object(as_slab_span(&events->slab, event->texts[AS_ROLE_FIRST_PATH]));
        event->seen |= FIRST_PATH_CHECKED | (yes ? FIRST_PATH_PREFERRED : 0);
    }
    return (event->seen & FIRST_PATH_PREFERRED) != 0;
}

/* Whether the two PATH records that are stored otherwise may not be enough. */
static bool all_paths_decide(const as_events *events, const as_event *event) {
    return events->all_paths || event->first_path > 0 || (event->seen & SEEN_SYSCALL) == 0;
}

static void add_path(as_events *events, as_event *event, const as_record *record, as_stats *stats) {
    as_span text = record->body;
    uint64_t item = 0;
    event->seen |= SEEN_PATH;
    if (as_span_starts(text, AS_LITERAL("item="))) {
        text = as_span_skip(text, sizeof "item=" - 1);
        if (as_span_number(text, 10, 63, &item) > 0) {
            const uint64_t bit = UINT64_C(1) << item;
            if ((event->paths & bit) != 0) {
                stats->duplicate++;
                return;
            }
            event->paths |= bit;
        }
    }
    if (event->path_count < UINT16_MAX) {
        event->path_count++;
    }
    if (event->class_index == 0 || (events->roles & (1u << AS_ROLE_FIRST_PATH)) == 0) {
        return;
    }
    /* With one PATH, as most events have, there is no choice to make. */
    if ((event->stored & (1u << AS_ROLE_FIRST_PATH)) == 0) {
        as_event_store(events, event, AS_ROLE_FIRST_PATH, record->body);
    } else if (all_paths_decide(events, event)) {
        as_event_link(events, event, AS_LINK_PATHS, record->type, record->body);
    } else if ((event->linked_kinds & AS_LINK_PATHS) == 0 && !first_is_preferred(events, event) &&
               as_path_is_object(record->body)) {
        as_event_link(events, event, AS_LINK_PATHS, record->type, record->body);
    }
}

/* Link the first record of its type. */
static void link_once(as_events *events, as_event *event, as_link_kind kind, const as_record *record) {
    if ((event->linked_kinds & kind) == 0) {
        as_event_link(events, event, kind, record->type, record->body);
    }
}

/* Remember the first operation of a ring: no SYSCALL record may follow it. */
static void add_operation(as_events *events, as_event *event, const as_record *record) {
    if ((event->linked_kinds & AS_LINK_MAIN) != 0) {
        return;
    }
    event->main_type = record->type;
    if (events->classes->has_ring_operations) {
        as_event_link(events, event, AS_LINK_MAIN, record->type, record->body);
    }
}

/* Whether a record of a closed event is no surprise: another record ended the event, or no rule can match it. */
static bool expected_after(const as_event *event, uint16_t type, as_event_end end) {
    const bool paths_ended = end == AS_END_PATHS || (event->seen & CLOSED_WITHOUT_END) != 0;
    switch (type) {
    case AS_TYPE_EOE:
        return end != AS_END_EOE && (event->seen & SEEN_EOE) == 0;
    case AS_TYPE_PROCTITLE:
        return end == AS_END_PATHS && (event->seen & SEEN_PROCTITLE) == 0;
    case AS_TYPE_PATH:
    case AS_TYPE_CWD:
        return paths_ended && event->class_index == 0;
    case AS_TYPE_SYSCALL:
        return false;
    default: /* between SYSCALL and PATH, for calls without a PATH */
        return paths_ended;
    }
}

/* Usually it is the event of the previous record. */
static as_event *find(const as_events *events, const as_record *record, uint64_t host) {
    as_event *latest = &events->slots[events->latest];
    if (latest->serial == record->serial && latest->ms == record->ms && latest->node == host &&
        latest->state != AS_FRESH) {
        return latest;
    }
    return as_events_find(events, record->ms, record->serial, host);
}

/* Close the ready event, unless it is this one. */
static void close_ready(as_events *events, const as_event *current, as_stats *stats) {
    if (events->ready != AS_NO_SLOT && &events->slots[events->ready] != current) {
        as_events_close_ready(events, stats);
    }
}

/* Open the event of its first record. */
static as_event *open_event(as_events *events, const as_record *record, as_span node, uint64_t host, bool text,
                            as_stats *stats) {
    as_event *event = as_events_open(events, record, host);
    event->seen = text ? IS_TEXT : 0;
    stats->open_events++;
    if (node.len > 0) {
        node.len = node.len > AS_SMALL_TEXT ? AS_SMALL_TEXT : node.len;
        as_event_store(events, event, AS_ROLE_NODE, node);
    }
    if (record->type != AS_TYPE_SYSCALL && !as_record_is_detail(record->type)) {
        const bool apparmor = record->type == AS_TYPE_AVC && as_span_starts(record->body, AS_LITERAL("apparmor="));
        event->main_type = apparmor ? AS_TYPE_APPARMOR : record->type;
        if (as_classes_list(events->classes, event->main_type)) {
            as_event_link(events, event, AS_LINK_MAIN, record->type, record->body);
        }
    }
    return event;
}

/* A record that is a whole event. */
static void add_whole(as_events *events, const as_record *record, as_span node, bool text, as_stats *stats) {
    const uint64_t host = node.len == 0 ? 0 : as_hash_bytes(events->seed, node);
    if (as_events_find(events, record->ms, record->serial, host) != NULL) {
        stats->late++;
        return;
    }
    as_event *event = open_event(events, record, node, host, text, stats);
    events->latest = as_slot_of(events, event);
    as_events_close(events, event, stats);
}

/* Count a record of an event that is not open any more. */
static void add_after(as_event *event, uint16_t type, as_event_end end, as_stats *stats) {
    stats->late += expected_after(event, type, end) ? 0 : 1;
    event->seen |= type == AS_TYPE_EOE ? SEEN_EOE : 0;
    event->seen |= type == AS_TYPE_PROCTITLE ? SEEN_PROCTITLE : 0;
}

/* Find or open the event of a record. NULL: there is nothing to add to it. */
static as_event *find_or_open(as_events *events, const as_record *record, as_span node, bool clocked, bool text,
                              as_stats *stats) {
    const uint64_t host = node.len == 0 ? 0 : as_hash_bytes(events->seed, node);
    as_event *event = find(events, record, host);
    close_ready(events, event, stats);
    if (text) {
        as_events_observe_host(events, host, record->type);
    }
    if (event == NULL) {
        events->begun += clocked ? 0 : 1;
        event = open_event(events, record, node, host, text, stats);
    }
    events->latest = as_slot_of(events, event);
    if (event->state != AS_OPEN) {
        add_after(event, record->type, text ? AS_END_PROCTITLE : events->end, stats);
        return NULL;
    }
    return event;
}

static inline void add_cwd(as_events *events, as_event *event, as_span body, as_stats *stats) {
    event->seen |= SEEN_OF_SYSCALL;
    if (first_time(event, SEEN_CWD, stats)) {
        as_event_store(events, event, AS_ROLE_CWD, body);
    }
}

static inline void add_proctitle(as_events *events, as_event *event, as_span body, as_event_end end, as_stats *stats) {
    event->seen |= SEEN_OF_SYSCALL;
    if (first_time(event, SEEN_PROCTITLE, stats)) {
        as_event_store(events, event, AS_ROLE_PROCTITLE, body);
        event->seen |= end == AS_END_PROCTITLE ? SEEN_END : 0;
    }
}

static inline void add_end(as_event *event, as_stats *stats) {
    if (first_time(event, SEEN_EOE, stats)) {
        event->seen |= SEEN_END;
    }
}

/* Close the event if this record ended it. Without a main record it cannot have ended, and without an end record only if
 * its host writes none. */
static inline void check_end(as_events *events, as_event *event, as_event_end end, as_stats *stats) {
    if ((event->seen & SEEN_MAIN) != 0 && (events->some_absent || (event->seen & SEEN_END) != 0)) {
        as_events_check_end(events, event, end, stats);
    }
}

bool as_events_add_line(as_events *events, const as_record *record, as_stats *stats) {
    as_event *event = &events->slots[events->latest];
    if (event->serial != record->serial || event->ms != record->ms || event->node != 0 || event->state == AS_FRESH ||
        events->ready != AS_NO_SLOT) {
        return false;
    }
    as_events_observe_host(events, 0, record->type);
    if (event->state != AS_OPEN) {
        add_after(event, record->type, AS_END_PROCTITLE, stats);
        return true;
    }
    switch (record->type) {
    case AS_TYPE_PATH:
        add_path(events, event, record, stats);
        event->seen |= SEEN_OF_SYSCALL;
        break;
    case AS_TYPE_CWD:
        add_cwd(events, event, record->body, stats);
        break;
    case AS_TYPE_PROCTITLE:
        add_proctitle(events, event, record->body, AS_END_PROCTITLE, stats);
        break;
    default:
        add_end(event, stats);
        break;
    }
    check_end(events, event, AS_END_PROCTITLE, stats);
    return true;
}

void as_events_add(as_events *events, const as_record *record, as_span node, uint16_t class_index, bool clocked,
                   bool text, as_stats *stats) {
    const as_event_end end = text ? AS_END_PROCTITLE : events->end;
    if (as_record_stands_alone(record->type)) {
        close_ready(events, NULL, stats);
        if (as_classes_list(events->classes, record->type)) {
            add_whole(events, record, node, text, stats);
        } else {
            stats->events++;
        }
        return;
    }
    as_event *event = find_or_open(events, record, node, clocked, text, stats);
    if (event == NULL) {
        return;
    }
    switch (record->type) {
    case AS_TYPE_SYSCALL:
        event->seen |= SEEN_OF_SYSCALL;
        if (!add_syscall(events, event, record, class_index, stats)) {
            break;
        }
        if (text) {
            as_events_observe_paths(events, event);
        } else if (end == AS_END_PATHS) {
            check_announced_paths(events, event);
        }
        break;
    case AS_TYPE_URINGOP: /* one per operation that the call submitted: never a duplicate */
        if ((event->seen & SEEN_MAIN) == 0) {
            add_operation(events, event, record);
        }
        event->seen |= SEEN_URINGOP | SEEN_OF_SYSCALL;
        break;
    case AS_TYPE_PATH:
        add_path(events, event, record, stats);
        event->seen |= end == AS_END_PATHS ? SEEN_OF_SYSCALL | SEEN_END : SEEN_OF_SYSCALL;
        break;
    case AS_TYPE_CWD:
        add_cwd(events, event, record->body, stats);
        break;
    case AS_TYPE_PROCTITLE:
        add_proctitle(events, event, record->body, end, stats);
        break;
    case AS_TYPE_EOE:
        add_end(event, stats);
        break;
    case AS_TYPE_EXECVE:
        event->seen |= SEEN_OF_SYSCALL;
        as_event_link(events, event, AS_LINK_EXECVE, record->type, record->body);
        break;
    case AS_TYPE_SOCKADDR:
        event->seen |= SEEN_OF_SYSCALL;
        link_once(events, event, AS_LINK_SOCKADDR, record);
        break;
    case AS_TYPE_BPRM_FCAPS:
        event->seen |= SEEN_OF_SYSCALL;
        link_once(events, event, AS_LINK_CAPABILITIES, record);
        break;
    default:
        event->seen |= as_record_of_syscall(record->type) ? SEEN_OF_SYSCALL : 0;
        break;
    }
    check_end(events, event, end, stats);
}
