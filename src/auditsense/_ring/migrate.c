#include "migrate.h"

#include "closing.h"

#define NONE UINT32_MAX

/* Whether the windows of a rule are of use to its counterpart. */
static bool same_windows(const as_rule *rule, const as_rule *other) {
    return rule->kind == other->kind && rule->stages == other->stages && rule->count == other->count;
}

static bool same_keys(const as_filter *filter, const as_filter *other) {
    return filter->key_count == other->key_count && filter->optional_keys == other->optional_keys &&
           memcmp(filter->keys, other->keys, filter->key_count) == 0;
}

/* Whether the filters of a rule and its counterpart have the same keys at each stage: those of a rule that counts
 * matches, all filters of both. */
static bool keys_fit(const as_match *match, uint32_t rule, const as_match *other, uint32_t other_rule) {
    bool same = true;
    for (uint32_t i = 0; same && i < match->filter_count; i++) {
        const as_filter *filter = &match->filters[i];
        for (uint32_t j = 0; same && filter->rule == rule && j < other->filter_count; j++) {
            const as_filter *counterpart = &other->filters[j];
            same = counterpart->rule != other_rule || counterpart->first_stage != filter->first_stage ||
                   counterpart->until != filter->until || same_keys(filter, counterpart);
        }
    }
    return same;
}

static bool fits(const as_ring *ring, const as_ring *from, const uint32_t *rules) {
    _Static_assert(sizeof(as_config) == 2 * 8 + 12 * 4, "compared as bytes, so it must have no padding");
    const bool fresh = ring->stats.datagrams == 0 && ring->stats.lines == 0 && ring->lines.len == 0;
    if (!fresh || memcmp(&ring->config, &from->config, sizeof ring->config) != 0 ||
        ring->windows.actor_fields != from->windows.actor_fields) {
        return false;
    }
    for (uint32_t i = 0; i < from->match.rule_count; i++) {
        if (rules[i] != NONE &&
            (rules[i] >= ring->match.rule_count || !same_windows(&from->match.rules[i], &ring->match.rules[rules[i]]) ||
             !keys_fit(&from->match, i, &ring->match, rules[i]))) {
            return false;
        }
    }
    return true;
}

/* Rules that stay keep the number of the table that they came with. */
static void migrate_rules(as_match *match, const as_match *from, const uint32_t *rules) {
    match->tables = from->tables + 1;
    for (uint32_t i = 0; i < match->rule_count; i++) {
        match->rule_facts[i].since = match->tables;
    }
    for (uint32_t i = 0; i < from->rule_count; i++) {
        if (rules[i] != NONE) {
            match->rule_facts[rules[i]].since = from->rule_facts[i].since;
        }
    }
}

/* The filter of a class that a filter of an earlier table is now; NONE: its rule is gone. */
static uint32_t filter_now(const as_match *match, uint32_t class_index, const as_filter *old, const uint32_t *rules) {
    const as_match_class *row = &match->classes[class_index];
    for (uint32_t i = row->first_filter; rules[old->rule] != NONE && i < row->first_filter + row->filters; i++) {
        const as_filter *filter = &match->filters[i];
        if (filter->rule == rules[old->rule] && filter->first_stage == old->first_stage &&
            filter->until == old->until) {
            return i;
        }
    }
    return NONE;
}

/* Find the class of an event in the new table, from its records. */
static void migrate_class(as_ring *ring, as_event *event) {
    const uint32_t tables = event->tables;
    uint16_t class_index;
    if ((event->stored & (1u << AS_ROLE_SYSCALL)) != 0) {
        const as_record syscall = {.type = AS_TYPE_SYSCALL,
                                   .body = as_slab_span(&ring->events.slab, event->texts[AS_ROLE_SYSCALL])};
        as_classes look_up = ring->classes; /* it would count unknown architectures again */
        class_index = as_class_of_record(&look_up, &syscall);
        if (event->main_type != AS_TYPE_SYSCALL) {
            class_index = as_class_of_main(&ring->classes, event->main_type, class_index);
        }
    } else if (event->state == AS_OPEN || event->class_index == 0) {
        return; /* not known yet, or not wanted */
    } else {
        class_index = as_event_class_without_call(&ring->events, event);
    }
    as_event_set_class(&ring->events, event, class_index);
    event->tables = tables;
}

/* The filters of the held events in the new table; those of more filters are matched again. */
static void migrate_held(as_ring *ring, const as_ring *from, const uint32_t *rules) {
    uint32_t at = ring->events.lists[AS_LIST_ALL][AS_HELD].first;
    for (; at != NONE; at = ring->events.slots[at].links[AS_LIST_ALL].next) {
        as_held *held = &ring->order.held[at];
        const uint32_t count = held->count <= AS_HELD_FILTERS ? held->count : 0;
        uint32_t left = 0;
        for (uint32_t i = 0; i < count; i++) {
            const as_filter *old = &from->match.filters[held->matched[i]];
            const uint32_t now = filter_now(&ring->match, ring->events.slots[at].class_index, old, rules);
            if (now != NONE) {
                held->matched[left++] = (uint16_t)now;
            }
        }
        held->count = count > 0 ? (uint16_t)left : held->count;
    }
}

/* Copy the texts of the events in this state, and find their classes. */
static void migrate_pending(as_ring *ring, const as_ring *from, as_event_state state) {
    as_events *events = &ring->events;
    uint32_t at = from->events.lists[AS_LIST_ALL][state].first;
    for (; at != NONE; at = events->slots[at].links[AS_LIST_ALL].next) {
        as_event *event = &events->slots[at];
        for (unsigned role = 0; role < AS_ROLES; role++) {
            if ((event->stored & (1u << role)) != 0) {
                as_slab_copy(&events->slab, &from->events.slab, event->texts[role]);
            }
        }
        as_slab_copy_linked(&events->slab, &from->events.slab, event->linked);
        migrate_class(ring, event);
    }
}

static void migrate_events(as_ring *ring, const as_ring *old) {
    as_events *events = &ring->events;
    const as_events *from = &old->events;
    memcpy(events->slots, from->slots, (size_t)from->slot_count * sizeof *from->slots);
    memcpy(events->buckets, from->buckets, ((size_t)from->bucket_mask + 1) * sizeof *from->buckets);
    memcpy(events->lists, from->lists, sizeof from->lists);
    memcpy(events->profiles, from->profiles, sizeof from->profiles);
    events->clock_ms = from->clock_ms;
    events->now_ms = from->now_ms;
    events->newest_ms = from->newest_ms;
    events->newest_serial = from->newest_serial;
    events->begun = from->begun;
    events->latest = from->latest;
    events->ready = from->ready;
    events->some_absent = from->some_absent;
    events->tables = ring->match.tables;
    as_events_reserve(events, from->held);
    as_slab_migrate(&events->slab, &from->slab);
    migrate_pending(ring, old, AS_OPEN);
    migrate_pending(ring, old, AS_HELD);
}

static void migrate_serials(as_serials *serials, const as_serials *from) {
    uint64_t *seen = serials->seen;
    memcpy(seen, from->seen, AS_SERIAL_WINDOW / 8);
    *serials = *from;
    serials->seen = seen;
}

static void migrate_window(as_windows *windows, const as_windows *from, const as_window *old, uint32_t rule,
                           as_stats *stats) {
    as_window *window = as_windows_of(windows, rule, old->key, stats);
    as_entry *entries = &windows->entries[(size_t)(window - windows->slots) * windows->depth];
    for (uint32_t i = 0; i < old->len; i++) {
        entries[i] = as_window_entry(from, old, i);
    }
    window->len = old->len;
    window->last_ms = old->last_ms;
}

/* Slot by slot, so that slots keep their numbers if no rule is gone; then in order of last use. */
static void migrate_windows(as_windows *windows, const as_windows *from, const uint32_t *rules, as_stats *stats) {
    for (uint32_t i = 0; i < from->used; i++) {
        if (rules[from->slots[i].rule] != NONE) {
            migrate_window(windows, from, &from->slots[i], rules[from->slots[i].rule], stats);
        }
    }
    for (uint32_t at = from->used == 0 ? NONE : from->oldest; at != NONE; at = from->slots[at].newer) {
        const as_window *old = &from->slots[at];
        if (rules[old->rule] != NONE) {
            as_windows_of(windows, rules[old->rule], old->key, stats)->keys = old->keys;
        }
    }
    windows->keys = from->keys;
    windows->drawn = from->drawn;
}

bool as_migrate(as_ring *ring, const as_ring *from, const uint32_t *rules) {
    if (!fits(ring, from, rules)) {
        return false;
    }
    ring->stats = from->stats;
    ring->values.cut_args = from->values.cut_args;
    ring->stats.live_keys = 0;
    ring->stamp = from->stamp;
    ring->deferred_errno = from->deferred_errno;
    as_classes_migrate(&ring->classes, &from->classes);
    migrate_rules(&ring->match, &from->match, rules);
    as_datagrams_migrate(&ring->datagrams, &from->datagrams);
    memcpy(ring->lines.rest, from->lines.rest, from->lines.len);
    ring->lines.len = from->lines.len;
    ring->lines.cut = from->lines.cut;
    ring->lines.sample_len = from->lines.sample_len;
    memcpy(ring->lines.sample, from->lines.sample, from->lines.sample_len);
    as_hits_select_fields(&ring->hits, from->hits.fields);
    as_sequences_select_fields(&ring->sequences, from->hits.fields);
    as_events_select_fields(&ring->events, from->hits.fields | as_ring_read_fields(ring), as_ring_read_fields(ring));
    migrate_events(ring, from);
    as_order_migrate(&ring->order, &from->order);
    migrate_held(ring, from, rules);
    migrate_serials(&ring->serials, &from->serials);
    ring->steps = from->steps;
    memcpy(ring->actors, from->actors, sizeof ring->actors);
    as_processes_migrate(&ring->processes, &from->processes);
    migrate_windows(&ring->windows, &from->windows, rules, &ring->stats);
    as_sequences_migrate(&ring->sequences, &from->sequences, ring->match.rules, rules, &ring->stats);
    return true;
}
