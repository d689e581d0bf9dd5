#include "event.h"

#include "hash.h"

#define NONE UINT32_MAX

enum {
    SEEN_SYSCALL = 1, /* the event's main record */
    SEEN_END = 2,     /* EOE, or PROCTITLE where it is the end, or any PATH where they are */
    SEEN_OF_SYSCALL = 4,
    SEEN_CWD = 8,
    SEEN_PROCTITLE = 16,
    SEEN_EOE = 32,
    SEEN_PATH = 64,
    SEEN_URINGOP = 128 /* the main record when a ring's own thread acted; else the caller's SYSCALL follows */
};

enum { SEEN_MAIN = SEEN_SYSCALL | SEEN_URINGOP };

/* Lists */

static void list_push(as_events *events, as_event_state state, as_event *event) {
    const uint32_t at = (uint32_t)(event - events->slots);
    as_event_list *list = &events->lists[state];
    event->state = (uint8_t)state;
    event->next = NONE;
    event->previous = list->last;
    if (list->last == NONE) {
        list->first = at;
    } else {
        events->slots[list->last].next = at;
    }
    list->last = at;
}

static void list_remove(as_events *events, as_event *event) {
    as_event_list *list = &events->lists[event->state];
    if (event->previous == NONE) {
        list->first = event->next;
    } else {
        events->slots[event->previous].next = event->next;
    }
    if (event->next == NONE) {
        list->last = event->previous;
    } else {
        events->slots[event->next].previous = event->previous;
    }
}

static void move(as_events *events, as_event *event, as_event_state state) {
    list_remove(events, event);
    list_push(events, state, event);
}

static as_event *list_first(as_events *events, as_event_state state) {
    const uint32_t at = events->lists[state].first;
    return at == NONE ? NULL : &events->slots[at];
}

void as_events_keep(as_events *events, uint64_t fields) {
    static const uint64_t of_role[] = {[AS_ROLE_SYSCALL] = AS_ALL_FIELDS, /* which call it is, and how many PATHs */
                                       [AS_ROLE_CWD] = AS_BIT(AS_FIELD_CWD),
                                       [AS_ROLE_PATH] = AS_PATH_FIELDS,
                                       [AS_ROLE_FIRST_PATH] = AS_PATH_FIELDS,
                                       [AS_ROLE_PROCTITLE] = AS_BIT(AS_FIELD_PROCTITLE),
                                       [AS_ROLE_NODE] = AS_BIT(AS_FIELD_NODE)};
    events->roles = 1u << AS_ROLE_SYSCALL;
    for (unsigned role = 0; role < AS_ROLES; role++) {
        events->roles |= (uint8_t)((fields & of_role[role]) != 0 ? 1u << role : 0);
    }
}

void as_events_carve(as_events *events, const as_config *config, as_carver *from) {
    /* Remembered events fill the table for good, and most lookups are of an event that is not there: four
     * buckets a slot let those end at an empty one, instead of at a slot that is in no cache. */
    const uint32_t buckets = as_power_of_two(4 * config->event_slots);
    events->slot_count = config->event_slots;
    events->bucket_mask = buckets - 1;
    events->seed = config->seed;
    events->timeout_ms = config->event_timeout_ms;
    events->newest_ms = 0;
    events->end = (as_end)config->end;
    events->latest = 0;
    as_events_keep(events, AS_ALL_FIELDS);
    events->slots = as_carve(from, events->slot_count, sizeof *events->slots);
    events->buckets = as_carve(from, buckets, sizeof *events->buckets);
    as_texts_carve(&events->texts, config, from);
    if (events->slots == NULL) {
        return;
    }
    for (uint32_t i = 0; i < buckets; i++) {
        events->buckets[i] = NONE;
    }
    for (uint32_t i = 0; i < AS_STATES; i++) {
        events->lists[i] = (as_event_list){NONE, NONE};
    }
    for (uint32_t i = 0; i < events->slot_count; i++) {
        list_push(events, AS_FRESH, &events->slots[i]);
    }
}

/* The table */

static uint32_t *bucket_of(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node) {
    const uint64_t hash = as_mix(events->seed, as_mix(events->seed ^ node, ms) ^ serial);
    return &events->buckets[hash & events->bucket_mask];
}

static as_event *find(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node) {
    as_event *latest = &events->slots[events->latest];
    if (latest->serial == serial && latest->ms == ms && latest->node == node && latest->state != AS_FRESH) {
        return latest;
    }
    uint32_t at = *bucket_of(events, ms, serial, node);
    while (at != NONE) {
        as_event *event = &events->slots[at];
        if (event->serial == serial && event->ms == ms && event->node == node) {
            return event;
        }
        at = event->next_in_bucket;
    }
    return NULL;
}

static void unlink_bucket(as_events *events, const as_event *event) {
    const uint32_t self = (uint32_t)(event - events->slots);
    uint32_t *at = bucket_of(events, event->ms, event->serial, event->node);
    while (*at != self) {
        at = &events->slots[*at].next_in_bucket;
    }
    *at = event->next_in_bucket;
}

/* Closing */

static void close_event(as_events *events, as_event *event, as_stats *stats) {
    const bool whole = (event->seen & SEEN_MAIN) != 0 && (event->seen & SEEN_END) != 0;
    const bool partial = !whole && (event->seen & (SEEN_OF_SYSCALL | SEEN_END)) != 0;
    stats->events++;
    stats->incomplete += partial ? 1 : 0;
    stats->open_events--;
    move(events, event, AS_CLOSED);
}

bool as_events_close_oldest(as_events *events, as_stats *stats) {
    as_event *oldest = list_first(events, AS_OPEN);
    if (oldest != NULL) {
        close_event(events, oldest, stats);
    }
    return oldest != NULL;
}

bool as_events_expire(as_events *events, uint64_t now_ms, as_stats *stats) {
    const as_event *oldest = list_first(events, AS_OPEN);
    const uint64_t now = now_ms == 0 ? events->newest_ms : now_ms;
    if (oldest == NULL || now < oldest->born_ms || now - oldest->born_ms < events->timeout_ms) {
        return false;
    }
    return as_events_close_oldest(events, stats);
}

as_event *as_events_closed(as_events *events) {
    return list_first(events, AS_CLOSED);
}

static void release_texts(as_events *events, as_event *event) {
    for (unsigned role = 0; event->kept != 0; role++) {
        if ((event->kept & (1u << role)) != 0) {
            as_texts_release(&events->texts, event->texts[role]);
            event->kept &= (uint8_t)~(1u << role);
        }
    }
}

void as_events_forget(as_events *events, as_event *event) {
    release_texts(events, event);
    move(events, event, AS_REMEMBERED);
}

/* Room */

/* Records kept by one as_events_add: the record itself and the node before it. */
enum { SMALL_NEEDED = 2, LARGE_NEEDED = 1 };

static bool large_short(const as_events *events) {
    return events->texts.large.free_count < LARGE_NEEDED;
}

bool as_events_room(const as_events *events) {
    const bool slot = events->lists[AS_FRESH].first != NONE || events->lists[AS_REMEMBERED].first != NONE;
    return slot && events->texts.small.free_count >= SMALL_NEEDED && !large_short(events);
}

static bool holds_large(const as_event *event) {
    for (unsigned role = 0; role < AS_ROLES; role++) {
        if ((event->kept & (1u << role)) != 0 && event->texts[role].len > AS_SMALL_TEXT) {
            return true;
        }
    }
    return false;
}

void as_events_evict(as_events *events, as_stats *stats) {
    as_event *event = list_first(events, AS_OPEN);
    while (large_short(events) && event->next != NONE && !holds_large(event)) {
        event = &events->slots[event->next];
    }
    const uint64_t before = stats->incomplete;
    close_event(events, event, stats);
    stats->evicted += stats->incomplete - before;
}

/* Opening */

static as_event *open_event(as_events *events, const as_record *record, uint64_t node, uint64_t now_ms,
                            as_stats *stats) {
    as_event *event = list_first(events, AS_FRESH);
    if (event == NULL) {
        event = list_first(events, AS_REMEMBERED);
        unlink_bucket(events, event);
    }
    move(events, event, AS_OPEN);
    event->ms = record->ms;
    event->serial = record->serial;
    event->node = node;
    event->born_ms = now_ms == 0 ? events->newest_ms : now_ms;
    event->wanted = UINT64_MAX;
    event->paths = 0;
    event->items = 0;
    event->kept = 0;
    event->seen = 0;
    uint32_t *bucket = bucket_of(events, event->ms, event->serial, node);
    event->next_in_bucket = *bucket;
    *bucket = (uint32_t)(event - events->slots);
    stats->open_events++;
    return event;
}

/* Adding */

static void keep(as_events *events, as_event *event, as_role role, as_span text) {
    if (event->wanted == 0 || (events->roles & (1u << role)) == 0) {
        return;
    }
    if (as_texts_keep(&events->texts, text, &event->texts[role])) {
        event->kept |= (uint8_t)(1u << role);
    }
}

/* True the first time; a second record of the same kind is the first one again. */
static bool first_time(as_event *event, uint8_t bit, as_stats *stats) {
    const bool first = (event->seen & bit) == 0;
    event->seen |= bit;
    stats->duplicate += first ? 0 : 1;
    return first;
}

static void add_syscall(as_events *events, as_event *event, const as_record *record, uint64_t wanted,
                        as_stats *stats) {
    if (!first_time(event, SEEN_SYSCALL, stats)) {
        return;
    }
    event->wanted = wanted;
    if (wanted == 0) {
        release_texts(events, event); /* what came before it is not needed either */
        return;
    }
    keep(events, event, AS_ROLE_SYSCALL, record->body);
}

/* How many PATH records the SYSCALL record announces, hidden ones included; 0 when it does not say. */
static uint64_t items(const as_events *events, const as_event *event) {
    as_value values[AS_FIELDS] = {0};
    uint64_t count = 0;
    as_event_fields(events, event, AS_BIT(AS_FIELD_ITEMS), values);
    as_value_number(values[AS_FIELD_ITEMS], AS_KIND_DECIMAL, &count);
    return count;
}

/* Where PATH is the end, it is that of a call which announces none as well, and of one that nobody wants. */
static void look_for_paths(as_events *events, as_event *event) {
    const uint64_t announced = event->wanted == 0 ? 0 : items(events, event);
    event->items = announced > UINT8_MAX ? UINT8_MAX : (uint8_t)announced;
    event->seen |= announced == 0 ? SEEN_END : 0;
}

static bool preferred(as_span path) {
    const as_record record = {.type = AS_TYPE_PATH, .body = path};
    as_value values[AS_FIELDS] = {0};
    as_record_fields(&record, AS_BIT(AS_FIELD_PATH_NAMETYPE), values);
    const as_value nametype = values[AS_FIELD_PATH_NAMETYPE];
    return nametype.form != AS_FORM_ABSENT && !as_span_is(nametype.span, AS_LITERAL("PARENT")) &&
           !as_span_is(nametype.span, AS_LITERAL("UNKNOWN"));
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
    if (event->wanted == 0 || (events->roles & (1u << AS_ROLE_PATH)) == 0) {
        return;
    }
    /* One PATH needs no choice, and most events have one. */
    if ((event->kept & (1u << AS_ROLE_FIRST_PATH)) == 0) {
        keep(events, event, AS_ROLE_FIRST_PATH, record->body);
    } else if ((event->kept & (1u << AS_ROLE_PATH)) == 0) {
        const as_span first = as_texts_span(&events->texts, event->texts[AS_ROLE_FIRST_PATH]);
        if (!preferred(first) && preferred(record->body)) {
            keep(events, event, AS_ROLE_PATH, record->body);
        }
    }
}

/* The end has come when the end record is there and nothing that decides can still be missing: records
 * that overtook each other on the way are waited for, until the timeout. So are hidden PATH records, which
 * are announced and never come, but only where PATH is the end. */
static bool ended(const as_events *events, const as_event *event, as_end end) {
    if ((event->seen & SEEN_MAIN) == 0 || (event->seen & SEEN_END) == 0) {
        return false;
    }
    if (event->wanted == 0) {
        return true;
    }
    if (end == AS_END_PATHS) {
        return __builtin_popcountll(event->paths) >= event->items;
    }
    return (event->seen & SEEN_PATH) != 0 || items(events, event) == 0;
}

/* Whether a record of a closed event had to be expected: its end was something else, or it is not wanted. */
static bool expected_after(const as_event *event, uint16_t type, as_end end) {
    switch (type) {
    case AS_TYPE_EOE:
        return end != AS_END_EOE && (event->seen & SEEN_EOE) == 0;
    case AS_TYPE_PROCTITLE:
        return end == AS_END_PATHS && (event->seen & SEEN_PROCTITLE) == 0;
    case AS_TYPE_PATH:
    case AS_TYPE_CWD:
        return end == AS_END_PATHS && event->wanted == 0;
    case AS_TYPE_SYSCALL:
        return false;
    default: /* between SYSCALL and PATH, of calls without one */
        return end == AS_END_PATHS;
    }
}

void as_events_add(as_events *events, const as_record *record, as_span node, uint64_t wanted,
                   uint64_t now_ms, bool title_ends, as_stats *stats) {
    const as_end end = title_ends ? AS_END_TITLE : events->end;
    if (record->ms > events->newest_ms) {
        events->newest_ms = record->ms;
    }
    if (as_record_stands_alone(record->type)) {
        stats->events++;
        return;
    }
    const uint64_t host = node.len == 0 ? 0 : as_hash_bytes(events->seed, node);
    as_event *event = find(events, record->ms, record->serial, host);
    if (event == NULL) {
        event = open_event(events, record, host, now_ms, stats);
        if (node.len > 0) {
            node.len = node.len > AS_SMALL_TEXT ? AS_SMALL_TEXT : node.len;
            keep(events, event, AS_ROLE_NODE, node);
        }
    }
    events->latest = (uint32_t)(event - events->slots);
    if (event->state != AS_OPEN) {
        stats->late += expected_after(event, record->type, end) ? 0 : 1;
        event->seen |= record->type == AS_TYPE_EOE ? SEEN_EOE : 0;
        event->seen |= record->type == AS_TYPE_PROCTITLE ? SEEN_PROCTITLE : 0;
        return;
    }
    event->seen |= as_record_of_syscall(record->type) && record->type != AS_TYPE_EOE ? SEEN_OF_SYSCALL : 0;
    switch (record->type) {
    case AS_TYPE_SYSCALL:
        add_syscall(events, event, record, wanted, stats);
        if (end == AS_END_PATHS) {
            look_for_paths(events, event);
        }
        break;
    case AS_TYPE_URINGOP: /* one for each operation that the call submitted: none is a duplicate */
        event->seen |= SEEN_URINGOP;
        break;
    case AS_TYPE_PATH:
        add_path(events, event, record, stats);
        event->seen |= end == AS_END_PATHS ? SEEN_END : 0;
        break;
    case AS_TYPE_CWD:
        if (first_time(event, SEEN_CWD, stats)) {
            keep(events, event, AS_ROLE_CWD, record->body);
        }
        break;
    case AS_TYPE_PROCTITLE:
        if (first_time(event, SEEN_PROCTITLE, stats)) {
            keep(events, event, AS_ROLE_PROCTITLE, record->body);
            event->seen |= end == AS_END_TITLE ? SEEN_END : 0;
        }
        break;
    case AS_TYPE_EOE:
        if (first_time(event, SEEN_EOE, stats)) {
            event->seen |= SEEN_END;
        }
        break;
    default:
        break;
    }
    if (ended(events, event, end)) {
        close_event(events, event, stats);
    }
}

void as_event_fields(const as_events *events, const as_event *event, uint64_t wanted, as_value values[AS_FIELDS]) {
    static const uint16_t types[] = {[AS_ROLE_SYSCALL] = AS_TYPE_SYSCALL,
                                     [AS_ROLE_CWD] = AS_TYPE_CWD,
                                     [AS_ROLE_PATH] = AS_TYPE_PATH,
                                     [AS_ROLE_FIRST_PATH] = AS_TYPE_PATH,
                                     [AS_ROLE_PROCTITLE] = AS_TYPE_PROCTITLE};
    for (unsigned role = 0; role < AS_ROLES; role++) {
        const bool outranked = role == AS_ROLE_FIRST_PATH && (event->kept & (1u << AS_ROLE_PATH)) != 0;
        if ((event->kept & (1u << role)) == 0 || outranked) {
            continue;
        }
        const as_span text = as_texts_span(&events->texts, event->texts[role]);
        if (role == AS_ROLE_NODE) {
            values[AS_FIELD_NODE] = (as_value){.span = text, .form = AS_FORM_QUOTED};
        } else {
            const as_record record = {.type = types[role], .body = text};
            as_record_fields(&record, wanted, values);
        }
    }
}
