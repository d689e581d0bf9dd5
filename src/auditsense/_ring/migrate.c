#include "migrate.h"

#define NONE UINT32_MAX

static bool same_windows(const as_rule *rule, const as_rule *other) {
    bool same = rule->count == other->count && rule->key_count == other->key_count;
    for (uint32_t i = 0; same && i < rule->key_count; i++) {
        same = rule->keys[i] == other->keys[i];
    }
    return same;
}

static bool fits(const as_ring *ring, const as_ring *from, const uint32_t *rules) {
    _Static_assert(sizeof(as_config) == 8 + 10 * 4, "compared as bytes, so it must have no padding");
    const bool fresh = ring->stats.datagrams == 0 && ring->stats.lines == 0 && ring->lines.len == 0;
    if (!fresh || memcmp(&ring->config, &from->config, sizeof ring->config) != 0 ||
        ring->windows.actor_fields != from->windows.actor_fields) {
        return false;
    }
    for (uint32_t i = 0; i < from->match.rule_count; i++) {
        if (rules[i] != NONE && (rules[i] >= ring->match.rule_count ||
                                 !same_windows(&from->match.rules[i], &ring->match.rules[rules[i]]))) {
            return false;
        }
    }
    return true;
}

/* Bits of the rules that stay, at their new indexes. */
static uint64_t renumber(uint64_t bits, const uint32_t *rules) {
    uint64_t renumbered = 0;
    for (; bits != 0; bits &= bits - 1) {
        const uint32_t to = rules[__builtin_ctzll(bits)];
        renumbered |= to == NONE ? 0 : UINT64_C(1) << to;
    }
    return renumbered;
}

/* Copy the texts of the events in this state, and renumber their candidate rules. */
static void migrate_pending(as_events *events, const as_events *from, as_event_state state, const uint32_t *rules) {
    uint32_t at = events->lists[AS_LIST_ALL][state].first;
    for (; at != NONE; at = events->slots[at].links[AS_LIST_ALL].next) {
        as_event *event = &events->slots[at];
        for (unsigned role = 0; role < AS_ROLES; role++) {
            if ((event->stored & (1u << role)) != 0) {
                as_slab_copy(&events->slab, &from->slab, event->texts[role]);
            }
        }
        as_slab_copy_linked(&events->slab, &from->slab, event->linked);
        /* Before its SYSCALL record every rule is a candidate, including new ones. */
        if ((event->stored & (1u << AS_ROLE_SYSCALL)) != 0) {
            event->candidates = renumber(event->candidates, rules);
        }
    }
}

static void migrate_events(as_events *events, const as_events *from, const uint32_t *rules) {
    memcpy(events->slots, from->slots, (size_t)from->slot_count * sizeof *from->slots);
    memcpy(events->buckets, from->buckets, ((size_t)from->bucket_mask + 1) * sizeof *from->buckets);
    memcpy(events->lists, from->lists, sizeof from->lists);
    memcpy(events->profiles, from->profiles, sizeof from->profiles);
    events->clock_ms = from->clock_ms;
    events->now_ms = from->now_ms;
    events->begun = from->begun;
    events->latest = from->latest;
    events->ready = from->ready;
    events->some_absent = from->some_absent;
    as_events_reserve(events, from->held);
    as_slab_migrate(&events->slab, &from->slab);
    migrate_pending(events, from, AS_OPEN, rules);
    migrate_pending(events, from, AS_HELD, rules);
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
    ring->stats.live_keys = 0;
    ring->stamp = from->stamp;
    ring->deferred_errno = from->deferred_errno;
    memcpy(ring->match.unknown, from->match.unknown, sizeof from->match.unknown);
    ring->match.unknown_count = from->match.unknown_count;
    ring->match.unknown_records = from->match.unknown_records;
    as_datagrams_migrate(&ring->datagrams, &from->datagrams);
    memcpy(ring->lines.rest, from->lines.rest, from->lines.len);
    ring->lines.len = from->lines.len;
    ring->lines.cut = from->lines.cut;
    ring->lines.sample_len = from->lines.sample_len;
    memcpy(ring->lines.sample, from->lines.sample, from->lines.sample_len);
    as_hits_select_fields(&ring->hits, from->hits.fields);
    as_events_select_fields(&ring->events, from->hits.fields | as_ring_read_fields(ring), as_ring_read_fields(ring));
    migrate_events(&ring->events, &from->events, rules);
    as_order_migrate(&ring->order, &from->order);
    migrate_serials(&ring->serials, &from->serials);
    ring->steps = from->steps;
    memcpy(ring->actors, from->actors, sizeof ring->actors);
    migrate_windows(&ring->windows, &from->windows, rules, &ring->stats);
    return true;
}
