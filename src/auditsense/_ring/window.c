#include "window.h"

#include "hash.h"

#define NONE UINT32_MAX

enum { CANDIDATES = 4, DRAWS = 16 };

void as_windows_carve(as_windows *windows, const as_config *config, const as_rules *rules, as_carver *from) {
    uint32_t most = 0;
    uint32_t span_ms = 0;
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        most = rules->rules[i].count > most ? rules->rules[i].count : most;
        span_ms = rules->rules[i].span_ms > span_ms ? rules->rules[i].span_ms : span_ms;
    }
    /* Without a rule that counts there are no windows to make room for. */
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
    windows->slots = as_carve(from, windows->slot_count, sizeof *windows->slots);
    windows->entries = as_carve(from, (size_t)windows->slot_count * windows->depth, sizeof *windows->entries);
    windows->buckets = as_carve(from, buckets, sizeof *windows->buckets);
    for (uint32_t i = 0; windows->buckets != NULL && i < buckets; i++) {
        windows->buckets[i] = NONE;
    }
}

bool as_window_key(const as_windows *windows, const as_rule *rule, const as_value values[AS_FIELDS],
                   uint8_t *scratch, uint64_t key[2]) {
    key[0] = 0;
    key[1] = 0;
    for (uint32_t i = 0; i < rule->key_count; i++) {
        const as_field field = (as_field)rule->keys[i];
        const as_kind kind = as_field_kind(field);
        as_span text;
        if (kind != AS_KIND_WORD && kind != AS_KIND_STRING) {
            if (!as_value_number(values[field], kind, &key[i])) {
                return false;
            }
        } else if (as_value_text(values[field], kind, scratch, &text)) {
            key[i] = as_hash_bytes(windows->seed, text);
        } else if (field != AS_FIELD_NODE) { /* without a node it is this host */
            return false;
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
        /* An absent value goes in as 1, a present one as an even number. */
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

/* The last match of the oldest key could still be part of a window that is completed now. Now is the last
 * match of the newest key; either way, because a clock may be set back. */
static bool oldest_counts(const as_windows *windows) {
    const uint64_t oldest = windows->slots[windows->oldest].last_ms;
    const uint64_t now = windows->slots[windows->newest].last_ms;
    return (now > oldest ? now - oldest : oldest - now) <= windows->span_ms;
}

static bool recent(const as_windows *windows, uint32_t slot) {
    return windows->keys - windows->slots[slot].keys <= windows->slot_count / 2;
}

/* Which slot of a full table makes room. Ties go to the first that was drawn: were it always the oldest, no
 * key would live long enough to get its second match. The numbers are the same in every ring, so that no
 * result depends on the seed; whoever would make use of that has to know every match of the host in order. */
static uint32_t victim(as_windows *windows) {
    uint32_t chosen = windows->oldest;
    if (!oldest_counts(windows)) {
        return chosen;
    }
    uint32_t candidates = 0;
    for (uint32_t i = 0; i < DRAWS && candidates < CANDIDATES; i++) {
        const uint32_t at = (uint32_t)((as_mix(0, ++windows->drawn) >> 32) * windows->slot_count >> 32);
        if (!recent(windows, at)) {
            const bool fewer = windows->slots[at].len < windows->slots[chosen].len;
            chosen = candidates == 0 || fewer ? at : chosen;
            candidates++;
        }
    }
    return chosen;
}

static as_window *make_room(as_windows *windows, as_stats *stats) {
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
    as_window *window = make_room(windows, stats);
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

uint32_t as_window_add(as_windows *windows, as_window *window, uint32_t count, as_entry entry) {
    uint32_t place = window->len;
    while (place > 0 && entry_at(windows, window, place - 1)->ms > entry.ms) {
        place--;
    }
    if (window->len == count + windows->slack) {
        if (place == 0) {
            return UINT32_MAX;
        }
        window->start++; /* the oldest falls out; the mask keeps it in the ring */
        window->len--;
        place--;
    }
    for (uint32_t i = window->len; i > place; i--) {
        *entry_at(windows, window, i) = *entry_at(windows, window, i - 1);
    }
    *entry_at(windows, window, place) = entry;
    window->len++;
    window->last_ms = entry.ms > window->last_ms ? entry.ms : window->last_ms;
    return place;
}

bool as_window_complete(as_windows *windows, as_window *window, const as_rule *rule, uint32_t *place,
                        uint32_t *first) {
    for (uint32_t i = *place; i < window->len; i++) {
        as_entry *last = entry_at(windows, window, i);
        if (i + 1 >= rule->count && last->complete == 0 &&
            last->ms - entry_at(windows, window, i + 1 - rule->count)->ms <= rule->span_ms) {
            last->complete = 1;
            *first = i + 1 - rule->count;
            *place = i + 1;
            return true;
        }
    }
    return false;
}
