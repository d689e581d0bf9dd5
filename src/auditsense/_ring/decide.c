#include "decide.h"

static void put_hit(as_ring *ring, uint32_t rule, const as_event_id *ids, uint32_t count, uint32_t others) {
    if (!ring->decision.whole) {
        ring->decision.whole = true;
        as_values_clear(ring->decision.values, ring->hits.fields);
        as_event_fields(&ring->events, ring->decision.event, ring->hits.fields, ring->decision.values);
    }
    const uint64_t place = as_hits_put(&ring->hits, rule, ids, count, others, ring->decision.values);
    ring->stats.hits++;
    if (ring->decision.window != NULL) {
        ring->decision.window->pending = place;
        ring->decision.window->pending_actor = ring->decision.actor;
    }
}

static void complete(as_ring *ring, uint32_t index, uint32_t first) {
    const as_rule *rule = &ring->match.rules[index];
    as_window *window = ring->decision.window;
    const uint64_t ms = as_window_entry(&ring->windows, window, first + rule->count - 1).ms;
    ring->stats.sequences++;
    if (rule->merge_ms != 0 && window->pending_actor == ring->decision.actor &&
        as_hits_merge(&ring->hits, window->pending, ms, rule->merge_ms)) {
        return;
    }
    as_event_id ids[64];
    uint32_t others = 0;
    for (uint32_t i = 0; i < rule->count; i++) {
        const as_entry entry = as_window_entry(&ring->windows, window, first + i);
        ids[i] = (as_event_id){.ms = entry.ms, .serial = entry.serial};
        others += entry.actor != ring->decision.actor ? 1 : 0;
    }
    put_hit(ring, index, ids, rule->count, others);
}

/* Find out who made the event, once for all rules that have a window for it. */
static void find_actor(as_ring *ring) {
    as_decision *decision = &ring->decision;
    const uint64_t unread = ring->windows.actor_fields & ~ring->match.fields;
    if (!decision->actor_known) {
        decision->actor_known = true;
        as_values_clear(decision->values, unread);
        as_event_fields(&ring->events, decision->event, unread, decision->values);
        decision->actor = as_window_actor(&ring->windows, decision->values, ring->match.scratch);
    }
}

/* Put the event into the window of this rule's key. False: it has no key, or the window has no place for it. */
static bool enter_window(as_ring *ring, uint32_t index) {
    as_decision *decision = &ring->decision;
    const as_rule *rule = &ring->match.rules[index];
    uint64_t key[2];
    if (!as_window_key(&ring->windows, rule, decision->values, ring->match.scratch, key)) {
        ring->stats.keyless++;
        return false;
    }
    find_actor(ring);
    const as_entry entry = {
        .ms = decision->event->ms, .serial = decision->event->serial, .actor = decision->actor & (UINT32_MAX >> 1)};
    decision->window = as_windows_of(&ring->windows, index, key, &ring->stats);
    const bool added = as_window_add(&ring->windows, decision->window, rule, entry, &decision->search);
    ring->stats.stale += added ? 0 : 1;
    return added;
}

/* Serve one rule with the event. False: the hits are full; call again when they were drained. */
static bool serve(as_ring *ring, uint32_t index) {
    as_decision *decision = &ring->decision;
    const as_rule *rule = &ring->match.rules[index];
    uint32_t first = 0;
    if (!as_hits_room(&ring->hits)) {
        return false;
    }
    if (rule->count == 1) {
        const as_event_id id = {.ms = decision->event->ms, .serial = decision->event->serial};
        ring->stats.matches++;
        ring->stats.sequences++;
        put_hit(ring, index, &id, 1, 0);
        return true;
    }
    if (decision->window == NULL) {
        ring->stats.matches++;
        if (!enter_window(ring, index)) {
            return true;
        }
    }
    while (as_hits_room(&ring->hits)) {
        if (!as_window_complete(&ring->windows, decision->window, rule, &decision->search, &first)) {
            return true;
        }
        complete(ring, index, first);
    }
    return false;
}

void as_decide_begin(as_ring *ring, as_event *event) {
    as_decision *decision = &ring->decision;
    /* values is large, and mostly little of it is needed: see as_values_clear. */
    memset(decision, 0, offsetof(as_decision, values));
    decision->event = event;
    /* Without its SYSCALL record nobody can say which call it was. */
    if (event->wanted != 0 && (event->kept & (1u << AS_ROLE_SYSCALL)) != 0) {
        as_values_clear(decision->values, ring->match.fields);
        as_event_fields(&ring->events, event, ring->match.fields, decision->values);
        decision->matching = as_match_event(&ring->match, event->wanted, decision->values);
        if ((decision->matching & ring->match.excepting) != 0) {
            decision->matching = as_match_except(&ring->match, &ring->events, event, decision->matching,
                                                 decision->values, &ring->stats);
        }
    }
}

bool as_decide(as_ring *ring) {
    as_decision *decision = &ring->decision;
    while (decision->matching != 0) {
        if (!serve(ring, (uint32_t)__builtin_ctzll(decision->matching))) {
            return false;
        }
        decision->matching &= decision->matching - 1;
        decision->window = NULL;
    }
    return true;
}
