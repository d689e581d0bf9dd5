#include "window.h"

#include "hash.h"

#define NONE UINT32_MAX

enum { SAMPLES = 4, MAX_DRAWS = 16 };

void as_windows_init(as_windows *windows, const as_config *config, const as_rules *rules, as_arena *arena) {
    uint32_t most = 0;
    uint32_t span_ms = 0;
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        most = rules->rules[i].count > most ? rules->rules[i].count : most;
        span_ms = rules->rules[i].span_ms > span_ms ? rules->rules[i].span_ms : span_ms;
    }
    /* Without a rule that counts there are no windows. */
    windows->slot_count = most > 1 ? config->key_slots : 0;
    windows->slack = config->window_slack;
    windows->depth = as_power_of_two(most + config->window_slack);
    windows->seed = config->seed;
    windows->actor_fields = rules->actor_fields;
    windows->keys = 0;
    windows->drawn = 0;
    windows->span_ms = span_ms;
    windows->used = 0;
    windows->oldest = NONE;
    windows->newest = NONE;
    const uint32_t buckets = as_power_of_two(windows->slot_count);
    windows->bucket_mask = buckets - 1;
    windows->slots = as_arena_alloc(arena, windows->slot_count, sizeof *windows->slots);
    /* The matches of one key are at most 2,048 times 16 bytes. */
    windows->entries = as_arena_alloc(arena, windows->slot_count, windows->depth * sizeof *windows->entries);
    windows->buckets = as_arena_alloc(arena, buckets, sizeof *windows->buckets);
    for (uint32_t i = 0; windows->buckets != NULL && i < buckets; i++) {
        windows->buckets[i] = NONE;
    }
}

/* The value of a key field. False: it is absent. */
static bool key_value(const as_windows *windows, as_field field, const as_value values[AS_FIELDS], uint8_t *scratch,
                      uint64_t *out) {
    const as_kind kind = as_field_kind(field);
    as_span text;
    if (kind != AS_KIND_WORD && kind != AS_KIND_STRING) {
        return as_value_number(values[field], kind, out);
    }
    if (as_value_text(values[field], kind, scratch, &text)) {
        *out = as_hash_bytes(windows->seed, text);
        return true;
    }
    return field == AS_FIELD_NODE; /* without a node: this host */
}

bool as_window_key(const as_windows *windows, const as_filter *filter, const as_value values[AS_FIELDS],
                   uint8_t *scratch, uint64_t key[2]) {
    key[0] = 0;
    key[1] = 0;
    for (uint32_t i = 0; i < filter->key_count; i++) {
        const bool optional = (filter->optional_keys >> i & 1) != 0;
        uint64_t value = 0;
        if (!key_value(windows, (as_field)filter->keys[i], values, scratch, &value)) {
            if (!optional) {
                return false;
            }
            value = 1;
        } else if (optional) {
            value = as_mix(windows->seed, value) << 1; /* so it differs from an absent one */
        }
        if (i < 2) {
            key[i] = value;
        } else {
            key[i - 2] = as_mix(windows->seed ^ key[i - 2], value);
        }
    }
    return true;
}

uint32_t as_window_actor(const as_windows *windows, const as_value values[AS_FIELDS], uint8_t *scratch) {
    uint64_t hash = 0;
    for (uint64_t fields = windows->actor_fields; fields != 0; fields &= fields - 1) {
        const as_field field = (as_field)__builtin_ctzll(fields);
        as_span text;
        const bool present = as_value_text(values[field], as_field_kind(field), scratch, &text);
        /* An absent value is hashed as 1, a present one as an even number. */
        hash = as_mix(windows->seed ^ hash, present ? as_hash_bytes(windows->seed, text) << 1 : 1);
    }
    return (uint32_t)(hash >> 33);
}

/* The table */

static as_entry *entry_at(const as_windows *windows, const as_window *window, uint32_t place) {
    const size_t slot = (size_t)(window - windows->slots);
    return &windows->entries[slot * windows->depth + ((window->start + place) & (windows->depth - 1))];
}

static uint32_t *bucket_of(const as_windows *windows, uint32_t rule, const uint64_t key[2]) {
    const uint64_t hash = as_mix(windows->seed, as_mix(windows->seed ^ rule, key[0]) ^ key[1]);
    return &windows->buckets[hash & windows->bucket_mask];
}

static void leave_order(as_windows *windows, const as_window *window) {
    if (window->older == NONE) {
        windows->oldest = window->newer;
    } else {
        windows->slots[window->older].newer = window->newer;
    }
    if (window->newer == NONE) {
        windows->newest = window->older;
    } else {
        windows->slots[window->newer].older = window->older;
    }
}

static void become_newest(as_windows *windows, as_window *window) {
    const uint32_t at = (uint32_t)(window - windows->slots);
    window->older = windows->newest;
    window->newer = NONE;
    if (windows->newest == NONE) {
        windows->oldest = at;
    } else {
        windows->slots[windows->newest].newer = at;
    }
    windows->newest = at;
}

/* Whether the last match of the oldest key can share a window with that of this one; in both directions, because a
 * clock may be set back. */
static bool oldest_counts_at(const as_windows *windows, uint32_t slot) {
    const uint64_t oldest = windows->slots[windows->oldest].last_ms;
    const uint64_t now = windows->slots[slot].last_ms;
    return (now > oldest ? now - oldest : oldest - now) <= windows->span_ms;
}

/* The current time is the last match of one of the two most recent keys: the match of the other may be late. */
static bool oldest_counts(const as_windows *windows) {
    const uint32_t newest = windows->newest;
    return oldest_counts_at(windows, newest) || oldest_counts_at(windows, windows->slots[newest].older);
}

static bool recent(const as_windows *windows, uint32_t slot) {
    return windows->keys - windows->slots[slot].keys <= windows->slot_count / 2;
}

/* The slot of a full table to evict. Ties go to the first one drawn: if it were always the oldest, no key would live
 * long enough for a second match. The random numbers are the same in every ring, so that no result depends on the seed;
 * to exploit that, an attacker must know every match of the host in order. */
static uint32_t victim(as_windows *windows) {
    uint32_t chosen = windows->oldest;
    if (!oldest_counts(windows)) {
        return chosen;
    }
    uint32_t samples = 0;
    for (uint32_t i = 0; i < MAX_DRAWS && samples < SAMPLES; i++) {
        const uint32_t at = (uint32_t)((as_mix(0, ++windows->drawn) >> 32) * windows->slot_count >> 32);
        if (!recent(windows, at)) {
            const bool fewer = windows->slots[at].len < windows->slots[chosen].len;
            chosen = samples == 0 || fewer ? at : chosen;
            samples++;
        }
    }
    return chosen;
}

static as_window *take_slot(as_windows *windows, as_stats *stats) {
    if (windows->used < windows->slot_count) {
        stats->live_keys++;
        return &windows->slots[windows->used++];
    }
    const uint32_t chosen = victim(windows);
    as_window *window = &windows->slots[chosen];
    uint32_t *at = bucket_of(windows, window->rule, window->key);
    while (*at != chosen) {
        at = &windows->slots[*at].next_in_bucket;
    }
    *at = window->next_in_bucket;
    leave_order(windows, window);
    stats->keys_evicted++;
    return window;
}

as_window *as_windows_of(as_windows *windows, uint32_t rule, const uint64_t key[2], as_stats *stats) {
    uint32_t *bucket = bucket_of(windows, rule, key);
    for (uint32_t at = *bucket; at != NONE; at = windows->slots[at].next_in_bucket) {
        as_window *window = &windows->slots[at];
        if (window->rule == rule && window->key[0] == key[0] && window->key[1] == key[1]) {
            leave_order(windows, window);
            become_newest(windows, window);
            window->keys = windows->keys;
            return window;
        }
    }
    as_window *window = take_slot(windows, stats);
    *window = (as_window){
        .key = {key[0], key[1]}, .keys = ++windows->keys, .rule = (uint16_t)rule, .next_in_bucket = *bucket};
    *bucket = (uint32_t)(window - windows->slots);
    become_newest(windows, window);
    return window;
}

/* The ring of one key */

as_entry as_window_entry(const as_windows *windows, const as_window *window, uint32_t place) {
    return *entry_at(windows, window, place);
}

/* The first position whose match is newer than ms; len: none. Usually it is the end. */
static uint32_t slot_after(const as_windows *windows, const as_window *window, uint64_t ms) {
    uint32_t low = 0;
    uint32_t high = window->len;
    if (high == 0 || entry_at(windows, window, high - 1)->ms <= ms) {
        return high;
    }
    while (low < high) {
        const uint32_t middle = (low + high) / 2;
        if (entry_at(windows, window, middle)->ms <= ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The oldest match that cannot share a window with one of this stamp; len: none. */
static uint32_t oldest_far_from(const as_windows *windows, const as_window *window, uint64_t ms, uint32_t span_ms) {
    const uint64_t oldest = entry_at(windows, window, 0)->ms;
    return oldest < ms && ms - oldest > span_ms ? 0 : slot_after(windows, window, ms + span_ms);
}

/* The match of a full window to drop for one that belongs at `place`; len: none. */
static uint32_t match_to_drop(const as_windows *windows, const as_window *window, const as_rule *rule, uint64_t ms,
                              uint32_t place) {
    if (place >= rule->count) {
        return 0;
    }
    /* More matches are newer than the slack allows: they may come from before a clock step back. */
    const uint32_t far = oldest_far_from(windows, window, ms, rule->span_ms);
    return far == window->len && place > 0 ? 0 : far;
}

/* Move the matches from `place` on up, into the free position after them. */
static void move_up(const as_windows *windows, const as_window *window, uint32_t place, uint32_t free) {
    for (uint32_t i = free; i > place; i--) {
        *entry_at(windows, window, i) = *entry_at(windows, window, i - 1);
    }
}

/* Free `place` in a window that is not full, by moving its nearer end. */
static void open_slot(const as_windows *windows, as_window *window, uint32_t place) {
    window->len++;
    if (place >= window->len / 2) {
        move_up(windows, window, place, window->len - 1u);
        return;
    }
    window->start--; /* the mask keeps it in the ring */
    for (uint32_t i = 0; i < place; i++) {
        *entry_at(windows, window, i) = *entry_at(windows, window, i + 1);
    }
}

bool as_window_add(as_windows *windows, as_window *window, const as_rule *rule, as_entry entry, as_search *search) {
    uint32_t place = slot_after(windows, window, entry.ms);
    const bool full = window->len == rule->count + windows->slack;
    const uint32_t dropped = full ? match_to_drop(windows, window, rule, entry.ms, place) : 0;
    if (full && dropped == window->len) {
        return false;
    }
    if (full && dropped == 0) {
        window->start++;
        window->len--;
        place -= place > 0 ? 1 : 0;
    }
    if (dropped == 0) {
        open_slot(windows, window, place);
    } else {
        move_up(windows, window, place, dropped); /* it is newer */
    }
    *entry_at(windows, window, place) = entry;
    /* A slightly late match does not make its key older; one from far back sets the time. */
    if (entry.ms > window->last_ms || window->last_ms - entry.ms > rule->span_ms) {
        window->last_ms = entry.ms;
    }
    search->next = place;
    /* Windows that end later do not contain it. */
    search->end = window->len - place < rule->count ? window->len : place + rule->count;
    return true;
}

bool as_window_complete(as_windows *windows, as_window *window, const as_rule *rule, as_search *search,
                        uint32_t *first) {
    uint32_t at = search->next + 1 < rule->count ? rule->count - 1 : search->next;
    for (; at < search->end; at++) {
        as_entry *last = entry_at(windows, window, at);
        if (last->complete == 0 && last->ms - entry_at(windows, window, at + 1 - rule->count)->ms <= rule->span_ms) {
            last->complete = 1;
            *first = at + 1 - rule->count;
            search->next = at + 1;
            return true;
        }
    }
    search->next = search->end;
    return false;
}
