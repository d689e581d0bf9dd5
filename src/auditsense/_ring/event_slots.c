#include "event_slots.h"

#include "hash.h"

#define NONE AS_NO_SLOT

void as_events_select_fields(as_events *events, uint64_t fields) {
    static const uint64_t of_role[] = {
        [AS_ROLE_SYSCALL] = AS_ALL_FIELDS, /* the call, and the number of PATHs */
        [AS_ROLE_CWD] = AS_BIT(AS_FIELD_CWD),  [AS_ROLE_PATH] = AS_PATH_FIELDS,
        [AS_ROLE_FIRST_PATH] = AS_PATH_FIELDS, [AS_ROLE_PROCTITLE] = AS_BIT(AS_FIELD_PROCTITLE),
        [AS_ROLE_NODE] = AS_BIT(AS_FIELD_NODE)};
    events->roles = 1u << AS_ROLE_SYSCALL;
    for (unsigned role = 0; role < AS_ROLES; role++) {
        events->roles |= (uint8_t)((fields & of_role[role]) != 0 ? 1u << role : 0);
    }
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

void as_events_init(as_events *events, const as_config *config, as_arena *arena) {
    /* Decided events keep the table full, and most lookups find nothing: with four buckets per slot those end at an
     * empty bucket instead of a slot that is in no cache. */
    const uint32_t buckets = as_power_of_two(4 * config->event_slots);
    memset(events, 0, sizeof *events);
    events->slot_count = config->event_slots;
    events->bucket_mask = buckets - 1;
    events->seed = config->seed;
    events->timeout_ms = config->event_timeout_ms;
    events->end = (as_event_end)config->end;
    events->ready = NONE;
    as_events_select_fields(events, AS_ALL_FIELDS);
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
        as_list_join(events, AS_LIST_ALL, &events->slots[i]);
    }
}

/* The table */

static uint32_t *bucket_of(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node) {
    const uint64_t hash = as_mix(events->seed, as_mix(events->seed ^ node, ms) ^ serial);
    return &events->buckets[hash & events->bucket_mask];
}

as_event *as_events_find(const as_events *events, uint64_t ms, uint32_t serial, uint64_t node) {
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

as_event *as_events_open(as_events *events, const as_record *record, uint64_t node) {
    as_event *event = as_list_first(events, AS_LIST_ALL, AS_FRESH);
    if (event == NULL) {
        event = as_list_first(events, AS_LIST_ALL, AS_DECIDED);
        unlink_bucket(events, event);
    }
    as_list_move(events, event, AS_OPEN);
    event->ms = record->ms;
    event->serial = record->serial;
    event->node = node;
    event->born_ms = events->clock_ms;
    event->begun = events->begun;
    event->candidates = UINT64_MAX;
    event->paths = 0;
    event->path_count = 0;
    event->items = 0;
    event->stored = 0;
    event->seen = 0;
    uint32_t *bucket = bucket_of(events, event->ms, event->serial, node);
    event->next_in_bucket = *bucket;
    *bucket = as_slot_of(events, event);
    return event;
}

as_event *as_events_closed(as_events *events) {
    return as_list_first(events, AS_LIST_ALL, AS_CLOSED);
}

void as_event_release(as_events *events, as_event *event) {
    for (unsigned role = 0; event->stored != 0; role++) {
        if ((event->stored & (1u << role)) != 0) {
            as_slab_release(&events->slab, event->texts[role]);
            event->stored &= (uint8_t)~(1u << role);
        }
    }
    if (event->large_texts > 0) {
        as_list_leave(events, AS_LIST_LARGE, event);
        event->large_texts = 0;
    }
}

void as_events_mark_decided(as_events *events, as_event *event) {
    as_event_release(events, event);
    as_list_move(events, event, AS_DECIDED);
}

void as_event_store(as_events *events, as_event *event, as_role role, as_span text) {
    if (event->candidates == 0 || (events->roles & (1u << role)) == 0) {
        return;
    }
    if (as_slab_store(&events->slab, text, &event->texts[role])) {
        event->stored |= (uint8_t)(1u << role);
        if (text.len > AS_SMALL_TEXT && event->large_texts++ == 0) {
            as_list_join(events, AS_LIST_LARGE, event);
        }
    }
}

bool as_event_fields(const as_events *events, const as_event *event, uint64_t wanted, as_value values[AS_FIELDS]) {
    static const uint16_t types[] = {[AS_ROLE_SYSCALL] = AS_TYPE_SYSCALL,
                                     [AS_ROLE_CWD] = AS_TYPE_CWD,
                                     [AS_ROLE_PATH] = AS_TYPE_PATH,
                                     [AS_ROLE_FIRST_PATH] = AS_TYPE_PATH,
                                     [AS_ROLE_PROCTITLE] = AS_TYPE_PROCTITLE};
    bool complete = true;
    for (unsigned role = 0; role < AS_ROLES; role++) {
        const bool outranked = role == AS_ROLE_FIRST_PATH && (event->stored & (1u << AS_ROLE_PATH)) != 0;
        if ((event->stored & (1u << role)) == 0 || outranked) {
            continue;
        }
        const as_span text = as_slab_span(&events->slab, event->texts[role]);
        if (role == AS_ROLE_NODE) {
            values[AS_FIELD_NODE] = (as_value){.span = text, .form = AS_FORM_QUOTED};
        } else {
            const as_record record = {.type = types[role], .body = text};
            complete = as_record_fields(&record, wanted, values) && complete;
        }
    }
    return complete;
}
