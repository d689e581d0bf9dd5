#include "event_slots.h"

#include "hash.h"

#define NONE AS_NO_SLOT

void as_events_select_fields(as_events *events, uint64_t fields, uint64_t tested) {
    static const uint64_t of_role[] = {[AS_ROLE_SYSCALL] = AS_ALL_FIELDS, /* the call, and the number of PATHs */
                                       [AS_ROLE_CWD] = AS_BIT(AS_FIELD_CWD) | AS_BIT(AS_FIELD_PATHS),
                                       [AS_ROLE_FIRST_PATH] = AS_PATH_FIELDS | AS_BIT(AS_FIELD_PATHS),
                                       [AS_ROLE_PROCTITLE] = AS_BIT(AS_FIELD_PROCTITLE),
                                       [AS_ROLE_NODE] = AS_BIT(AS_FIELD_NODE)};
    static const struct {
        as_link_kind kind;
        uint64_t fields;
    } of_link[] = {
        {AS_LINK_PATHS, AS_PATH_FIELDS | AS_BIT(AS_FIELD_PATHS)},
        {AS_LINK_EXECVE, AS_RANGE(AS_FIELD_ARGC, AS_FIELD_COMMAND_LINE)},
        {AS_LINK_SOCKADDR, AS_RANGE(AS_FIELD_SOCKET_FAMILY, AS_FIELD_SOCKET_PATH)},
        {AS_LINK_CAPABILITIES, AS_BIT(AS_FIELD_CAPABILITIES)},
    };
    events->roles = 1u << AS_ROLE_SYSCALL;
    for (unsigned role = 0; role < AS_ROLES; role++) {
        events->roles |= (uint8_t)((fields & of_role[role]) != 0 ? 1u << role : 0);
    }
    events->links = events->classes->lists_mains || events->classes->has_ring_operations ? AS_LINK_MAIN : 0;
    for (size_t i = 0; i < sizeof of_link / sizeof *of_link; i++) {
        events->links |= (uint8_t)((fields & of_link[i].fields) != 0 ? of_link[i].kind : 0);
    }
    events->all_paths = (tested & AS_BIT(AS_FIELD_PATH_NAMETYPE)) != 0;
}

void as_events_reserve(as_events *events, uint32_t held) {
    enum { MIN_ABSENCE = 8 };
    /* Slots and small texts must suffice for open events with four texts each, in addition to held ones. */
    const uint32_t texts = events->slab.small.slots / 4;
    const uint32_t open = (texts < events->slot_count ? texts : events->slot_count) - held;
    events->held = held;
    events->timeout_events = open / 2;
    /* This many events can be open at once without being mistaken for those of a host that writes fewer types. */
    events->absence_events = open / 4 < MIN_ABSENCE ? MIN_ABSENCE : open / 4;
}

void as_events_init(as_events *events, const as_config *config, const as_classes *classes, as_arena *arena) {
    /* Decided events keep the table full, and most lookups find nothing: with four buckets per slot those end at an
     * empty bucket instead of a slot that is in no cache. */
    const uint32_t buckets = as_power_of_two(4 * config->event_slots);
    memset(events, 0, sizeof *events);
    events->slot_count = config->event_slots;
    events->bucket_mask = buckets - 1;
    events->seed = config->seed;
    events->classes = classes;
    events->timeout_ms = config->event_timeout_ms;
    events->end = (as_event_end)config->end;
    events->ready = NONE;
    as_events_select_fields(events, AS_ALL_FIELDS, 0);
    events->slots = as_arena_alloc(arena, events->slot_count, sizeof *events->slots);
    events->buckets = as_arena_alloc(arena, buckets, sizeof *events->buckets);
    as_slab_init(&events->slab, config, arena);
    as_events_reserve(events, 0);
    if (events->slots == NULL) {
        return;
    }
    for (uint32_t i = 0; i < buckets; i++) {
        events->buckets[i] = NONE;
    }
    for (uint32_t which = 0; which < AS_LISTS; which++) {
        for (uint32_t state = 0; state < AS_STATES; state++) {
            events->lists[which][state] = (as_queue_ends){NONE, NONE};
        }
    }
    for (uint32_t i = 0; i < events->slot_count; i++) {
        events->slots[i].linked = AS_NO_TEXT;
        as_list_join(events, AS_LIST_ALL, &events->slots[i]);
    }
}

/* The table */

/* Events that follow each other are in neighboring buckets: 16 consecutive serials within 16 ms share a cache line. The
 * seed decides in which order, and which others share it; so no more than 16 events can be chosen to share a bucket. */
static uint32_t *bucket_of(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node) {
    enum { NEAR = 4 };
    const uint64_t hash = as_mix(events->seed, as_mix(events->seed ^ node, ms >> NEAR) ^ serial >> NEAR);
    const uint64_t place = (serial ^ hash >> 32) & ((1u << NEAR) - 1);
    return &events->buckets[(hash << NEAR | place) & events->bucket_mask];
}

/* Whether this stamp and serial are larger than those of all events so far. */
static inline bool is_newest(const as_events *events, uint64_t ms, uint32_t serial) {
    return ms > events->newest_ms || (ms == events->newest_ms && serial > events->newest_serial);
}

as_event *as_events_find(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node) {
    if (is_newest(events, ms, serial)) {
        return NULL; /* usual, and the bucket is in no cache */
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

/* Opening */

/* Prefetch the decided slot after the next one to be reused: it was written thousands of events ago. Inlined, because gcc
 * drops calls of a function that has no other effect. */
__attribute__((always_inline)) static inline void prefetch_decided(const as_events *events) {
    const as_event *next = as_list_first(events, AS_LIST_ALL, AS_DECIDED);
    if (next != NULL) {
        as_list_prefetch(events, next->links[AS_LIST_ALL].next);
    }
}

as_event *as_events_open(as_events *events, const as_record *record, uint64_t node) {
    as_event *event = as_list_first(events, AS_LIST_ALL, AS_FRESH);
    events->room = 0; /* another event has begun */
    if (event == NULL) {
        event = as_list_first(events, AS_LIST_ALL, AS_DECIDED);
        unlink_bucket(events, event);
        as_list_move(events, event, AS_OPEN);
        prefetch_decided(events);
    } else {
        as_list_move(events, event, AS_OPEN);
    }
    if (is_newest(events, record->ms, record->serial)) {
        events->newest_ms = record->ms;
        events->newest_serial = record->serial;
    }
    event->ms = record->ms;
    event->serial = record->serial;
    event->node = node;
    event->born_ms = events->clock_ms;
    event->begun = events->begun;
    event->class_index = AS_CLASS_UNKNOWN;
    event->paths = 0;
    event->path_count = 0;
    event->items = 0;
    event->stored = 0;
    event->seen = 0;
    event->linked = AS_NO_TEXT;
    event->linked_count = 0;
    event->linked_kinds = 0;
    event->first_path = 0;
    event->directory = 0;
    event->main_type = record->type;
    uint32_t *bucket = bucket_of(events, event->ms, event->serial, node);
    event->next_in_bucket = *bucket;
    *bucket = as_slot_of(events, event);
    return event;
}

void as_event_set_class(const as_events *events, as_event *event, uint16_t class_index) {
    const bool wanted = as_class_is_wanted(events->classes, class_index);
    event->class_index = wanted ? class_index : 0;
    event->tables = events->tables;
    if (wanted) {
        event->first_path = events->classes->rows[class_index].first_path;
        event->directory = events->classes->rows[class_index].directory;
    }
}

as_event *as_events_closed(as_events *events) {
    return as_list_first(events, AS_LIST_ALL, AS_CLOSED);
}

void as_event_release(as_events *events, as_event *event) {
    if (event->stored == 0 && event->linked == AS_NO_TEXT) {
        return; /* usual for an event that no rule can match */
    }
    /* In reverse, so that the next event stores each text where this one had the same: those lines are in the cache. */
    for (unsigned role = AS_ROLES; event->stored != 0;) {
        role--;
        if ((event->stored & (1u << role)) != 0) {
            as_slab_release(&events->slab, event->texts[role]);
            event->stored &= (uint8_t)~(1u << role);
        }
    }
    while (event->linked != AS_NO_TEXT) {
        as_span text;
        const uint32_t next = as_slab_linked(&events->slab, event->linked, &text).next;
        as_slab_release_linked(&events->slab, event->linked);
        event->linked = next;
    }
    event->linked_kinds = 0;
    if (event->large_texts > 0) {
        as_list_leave(events, AS_LIST_LARGE, event);
        event->large_texts = 0;
    }
}

void as_events_mark_decided(as_events *events, as_event *event) {
    as_event_release(events, event);
    as_list_move(events, event, AS_DECIDED);
}

static void hold_large(as_events *events, as_event *event) {
    if (event->large_texts++ == 0) {
        as_list_join(events, AS_LIST_LARGE, event);
    }
}

void as_event_store(as_events *events, as_event *event, as_role role, as_span text) {
    if (event->class_index == 0 || (events->roles & (1u << role)) == 0) {
        return;
    }
    if (as_slab_store(&events->slab, text, &event->texts[role])) {
        event->stored |= (uint8_t)(1u << role);
        if (text.len > AS_SMALL_TEXT) {
            hold_large(events, event);
        }
    }
}

void as_event_link(as_events *events, as_event *event, as_link_kind kind, uint16_t type, as_span text) {
    bool large;
    if (event->class_index == 0 || (events->links & kind) == 0 || event->linked_count == AS_MAX_LINKED) {
        return;
    }
    if (as_slab_link(&events->slab, &event->linked, type, text, &large)) {
        event->linked_count++;
        event->linked_kinds |= (uint8_t)kind;
        if (large) {
            hold_large(events, event);
        }
    }
}

bool as_events_store_type(const as_events *events, uint16_t type) {
    switch (type) {
    case AS_TYPE_SYSCALL:
        return true;
    case AS_TYPE_PATH:
        return (events->roles & (1u << AS_ROLE_FIRST_PATH)) != 0;
    case AS_TYPE_CWD:
        return (events->roles & (1u << AS_ROLE_CWD)) != 0;
    case AS_TYPE_PROCTITLE:
        return (events->roles & (1u << AS_ROLE_PROCTITLE)) != 0;
    case AS_TYPE_EXECVE:
        return (events->links & AS_LINK_EXECVE) != 0;
    case AS_TYPE_SOCKADDR:
        return (events->links & AS_LINK_SOCKADDR) != 0;
    case AS_TYPE_BPRM_FCAPS:
        return (events->links & AS_LINK_CAPABILITIES) != 0;
    case AS_TYPE_URINGOP:
        return events->classes->has_ring_operations || as_classes_list(events->classes, type);
    default:
        return as_classes_list(events->classes, type);
    }
}

uint32_t as_event_linked(const as_events *events, const as_event *event, uint16_t type, as_span *bodies) {
    uint32_t count = 0;
    for (uint32_t at = event->linked; at != AS_NO_TEXT;) {
        const as_text_link link = as_slab_linked(&events->slab, at, &bodies[count]);
        count += link.type == type ? 1 : 0;
        at = link.next;
    }
    return count;
}

/* Paths */

/* Number of a PATH record among those of its event. */
static uint64_t item_of(as_span path) {
    uint64_t item = 0;
    if (as_span_starts(path, AS_LITERAL("item="))) {
        as_span_number(as_span_skip(path, sizeof "item=" - 1), 10, UINT32_MAX, &item);
    }
    return item;
}

uint32_t as_event_paths(const as_events *events, const as_event *event, as_span *bodies) {
    as_span found[AS_MAX_LINKED];
    uint32_t count = 0;
    if ((event->stored & (1u << AS_ROLE_FIRST_PATH)) != 0) {
        bodies[count++] = as_slab_span(&events->slab, event->texts[AS_ROLE_FIRST_PATH]);
    }
    const uint32_t linked =
        (event->linked_kinds & AS_LINK_PATHS) != 0 ? as_event_linked(events, event, AS_TYPE_PATH, found) : 0;
    for (uint32_t i = linked; i > 0; i--) { /* as they came */
        bodies[count++] = found[i - 1];
    }
    for (uint32_t i = 1; i < count; i++) { /* by insertion: they usually come in order */
        const as_span body = bodies[i];
        const uint64_t item = item_of(body);
        uint32_t at = i;
        for (; at > 0 && item_of(bodies[at - 1]) > item; at--) {
            bodies[at] = bodies[at - 1];
        }
        bodies[at] = body;
    }
    return count;
}

as_span as_path_nametype(as_span path) {
    const as_record record = {.type = AS_TYPE_PATH, .body = path};
    as_value values[AS_FIELDS];
    as_values_clear(values, AS_BIT(AS_FIELD_PATH_NAMETYPE));
    as_record_fields(&record, AS_BIT(AS_FIELD_PATH_NAMETYPE), values);
    const as_value nametype = values[AS_FIELD_PATH_NAMETYPE];
    return nametype.form == AS_FORM_ABSENT ? as_span_of(path.at, 0) : nametype.span;
}

bool as_path_is_object(as_span path) {
    const as_span nametype = as_path_nametype(path);
    return nametype.len > 0 && !as_span_is(nametype, AS_LITERAL("PARENT")) &&
           !as_span_is(nametype, AS_LITERAL("UNKNOWN"));
}

/* The PATH record that file fields come from: of those from first_path on, or of all if there are fewer, the first that
 * is neither PARENT nor UNKNOWN; else the first. at: NULL: none. */
static as_span chosen_path(const as_events *events, const as_event *event) {
    as_span paths[AS_MAX_PATHS];
    const uint32_t count = as_event_paths(events, event, paths);
    const uint32_t first = event->first_path < count ? event->first_path : 0;
    for (uint32_t i = first; i < count; i++) {
        if (as_path_is_object(paths[i])) {
            return paths[i];
        }
    }
    return count > 0 ? paths[first] : (as_span){0};
}

/* Values */

static bool read_record(uint16_t type, as_span body, uint64_t wanted, as_value values[AS_FIELDS]) {
    const as_record record = {.type = type, .body = body};
    return as_record_fields(&record, wanted, values);
}

/* The first record of the event, if it does not belong to a system call: its values precede those of the call. That of
 * an operation of io_uring counts only without a call. */
static bool read_main(const as_events *events, const as_event *event, uint64_t wanted, as_value values[AS_FIELDS]) {
    as_span bodies[AS_MAX_LINKED];
    const uint16_t type = event->main_type == AS_TYPE_APPARMOR ? AS_TYPE_AVC : event->main_type;
    const uint32_t count = as_event_linked(events, event, type, bodies);
    return count == 0 || read_record(type, bodies[count - 1], wanted, values);
}

/* As as_event_fields, of an event with linked records. */
__attribute__((noinline)) static bool read_linked(const as_events *events, const as_event *event, uint64_t wanted,
                                                  as_value values[AS_FIELDS]) {
    bool complete = true;
    const bool submitted = event->main_type == AS_TYPE_URINGOP && (event->stored & (1u << AS_ROLE_SYSCALL)) != 0;
    if ((event->linked_kinds & AS_LINK_MAIN) != 0 && !submitted) {
        complete = read_main(events, event, wanted, values);
    }
    if ((event->linked_kinds & AS_LINK_PATHS) != 0 && (wanted & AS_PATH_FIELDS) != 0) {
        const as_span path = chosen_path(events, event);
        complete = (path.at == NULL || read_record(AS_TYPE_PATH, path, wanted, values)) && complete;
    }
    if ((event->linked_kinds & AS_LINK_EXECVE) != 0 && (wanted & AS_BIT(AS_FIELD_ARGC)) != 0) {
        as_span bodies[AS_MAX_LINKED];
        for (uint32_t i = as_event_linked(events, event, AS_TYPE_EXECVE, bodies); i > 0; i--) {
            read_record(AS_TYPE_EXECVE, bodies[i - 1], AS_BIT(AS_FIELD_ARGC), values);
        }
    }
    return complete;
}

/* Continue with a record: kept fields in steps, the others in a separate pass. */
static bool read_on(uint16_t type, as_span body, as_record_cursor *cursor, uint64_t kept, uint64_t wanted,
                    uint64_t *located, as_value values[AS_FIELDS]) {
    const as_record record = {.type = type, .body = body};
    bool complete = true;
    if ((wanted & kept) != 0) {
        complete = as_record_fields_on(&record, cursor, wanted & kept, kept, located, values);
    }
    return ((wanted & ~kept) == 0 || as_record_fields(&record, wanted & ~kept, values)) && complete;
}

/* Take the values of a known start of the SYSCALL record, kept ones in passing. Returns the fields that are left. */
static uint64_t read_head(const as_head *head, as_span body, as_event_cursors *cursors, uint64_t wanted,
                          uint64_t *located, as_value values[AS_FIELDS]) {
    const uint64_t fields = (wanted | cursors->kept) & AS_HEAD_BITS & ~*located;
    as_head_values(head, body, fields, values);
    *located |= fields;
    if (cursors->call.at < head->len) {
        cursors->call = (as_record_cursor){.at = head->len, .expected = AS_HEAD_FIELDS};
    }
    return wanted & ~AS_HEAD_BITS;
}

/* The same, of a SYSCALL record, whose end is usually known, and its start if it is that of a log. */
static bool read_call(as_span body, const as_head *head, as_event_cursors *cursors, uint64_t wanted, uint64_t *located,
                      as_value values[AS_FIELDS]) {
    const as_record record = {.type = AS_TYPE_SYSCALL, .body = body};
    as_record_cursor *cursor = &cursors->call;
    if (head != NULL) {
        wanted = read_head(head, body, cursors, wanted, located, values);
    }
    if (cursors->tails != NULL && cursors->tail == NULL && (wanted & cursors->kept & AS_TAIL_BITS) != 0) {
        const uint64_t before = AS_BIT(AS_TAIL_FIRST - 1);
        if (cursor->expected < AS_TAIL_FIRST) {
            as_record_fields_on(&record, cursor, before, cursors->kept | before, located, values);
        }
        cursors->tail = as_tail_of(cursors->tails, &record, cursor);
        cursors->tail_at = cursor->at;
    }
    if (cursors->tail != NULL) {
        as_tail_values(cursors->tail, as_span_skip(body, cursors->tail_at), wanted, values);
        *located |= wanted & AS_TAIL_BITS;
        wanted &= ~*located;
    }
    return wanted == 0 || read_on(AS_TYPE_SYSCALL, body, cursor, cursors->kept, wanted, located, values);
}

static bool is_stored(const as_event *event, as_role role) {
    return (event->stored & (1u << role)) != 0;
}

/* The start of the event's SYSCALL record; NULL: unknown. Only its owner adds a text's start, so a slot that was used
 * before is not mistaken for this text. */
static const as_head *known_head(const as_events *events, const as_event *event) {
    return (event->seen & ITEMS_READ) == 0 ? NULL : as_heads_find(&events->heads, event->texts[AS_ROLE_SYSCALL].slot);
}

bool as_event_fields(const as_events *events, const as_event *event, as_event_cursors *cursors, uint64_t wanted,
                     uint64_t *located, as_value values[AS_FIELDS]) {
    const bool linked = (event->linked_kinds & AS_LINK_MAIN) != 0 ||
                        (event->linked_kinds != 0 && (wanted & (AS_PATH_FIELDS | AS_BIT(AS_FIELD_ARGC))) != 0);
    bool complete = !linked || read_linked(events, event, wanted, values);
    if ((wanted & AS_CALL_FIELDS) != 0 && is_stored(event, AS_ROLE_SYSCALL)) {
        const as_span body = as_slab_span(&events->slab, event->texts[AS_ROLE_SYSCALL]);
        const bool first = (event->linked_kinds & AS_LINK_MAIN) != 0; /* values of another record precede */
        complete =
            (first ? read_record(AS_TYPE_SYSCALL, body, wanted, values)
                   : read_call(body, known_head(events, event), cursors, wanted & AS_CALL_FIELDS, located, values)) &&
            complete;
    }
    /* Of several, read_linked has chosen one. */
    if ((wanted & AS_PATH_FIELDS) != 0 && is_stored(event, AS_ROLE_FIRST_PATH) &&
        (event->linked_kinds & AS_LINK_PATHS) == 0) {
        const as_span body = as_slab_span(&events->slab, event->texts[AS_ROLE_FIRST_PATH]);
        complete =
            read_on(AS_TYPE_PATH, body, &cursors->path, cursors->kept, wanted & AS_PATH_FIELDS, located, values) &&
            complete;
    }
    if ((wanted & AS_BIT(AS_FIELD_CWD)) != 0 && is_stored(event, AS_ROLE_CWD)) {
        const as_span body = as_slab_span(&events->slab, event->texts[AS_ROLE_CWD]);
        complete = read_record(AS_TYPE_CWD, body, wanted, values) && complete;
    }
    if ((wanted & AS_BIT(AS_FIELD_PROCTITLE)) != 0 && is_stored(event, AS_ROLE_PROCTITLE)) {
        const as_span body = as_slab_span(&events->slab, event->texts[AS_ROLE_PROCTITLE]);
        complete = read_record(AS_TYPE_PROCTITLE, body, wanted, values) && complete;
    }
    if ((wanted & AS_BIT(AS_FIELD_NODE)) != 0 && is_stored(event, AS_ROLE_NODE)) {
        const as_span text = as_slab_span(&events->slab, event->texts[AS_ROLE_NODE]);
        values[AS_FIELD_NODE] = (as_value){.span = text, .form = AS_FORM_QUOTED};
    }
    return complete;
}
