#include "hit.h"

#include "rules.h"

/* A hit's text comes from a few records, and decoding never makes one longer; arguments and what the process table knows
 * have separate bounds. */
enum {
    FIXED_BYTES = 262144,
    MAX_TEXTS = 6,
    DECODED_BYTES = AS_ARGS_BYTES + AS_CAPABILITY_BYTES + (int)sizeof(as_socket_address),
    PROCESS_BYTES = 3 * 8192, /* a process, its parent and its leader: paths, arguments and ids */
    RUN_MS = 1000
};

void as_hits_init(as_hits *hits, const as_config *config, as_arena *arena) {
    hits->capacity = config->hit_bytes;
    hits->used = 0;
    hits->drained = 0;
    hits->second = 0;
    hits->run_start = 0;
    hits->most = MAX_TEXTS * config->datagram_bytes + (uint32_t)sizeof(as_hit) +
                 AS_MOST_COUNT * (uint32_t)sizeof(as_event_id) + AS_FIELDS * (uint32_t)sizeof(as_hit_field) +
                 DECODED_BYTES + PROCESS_BYTES + 8;
    hits->bytes = as_arena_alloc(arena, hits->capacity, 1);
    as_hits_select_fields(hits, AS_ALL_FIELDS);
    _Static_assert(sizeof(as_hit) + AS_MOST_COUNT * sizeof(as_event_id) + AS_FIELDS * sizeof(as_hit_field) +
                           DECODED_BYTES + PROCESS_BYTES + 8 <=
                       FIXED_BYTES / 2,
                   "as_config.hit_bytes guarantees space for one hit");
}

void as_hits_select_fields(as_hits *hits, uint64_t fields) {
    hits->fields = fields & ~AS_RULE_FIELDS;
    for (uint32_t field = 0; field < AS_FIELDS; field++) {
        hits->none[field] = (as_hit_field){.at = 0, .len = ((fields | AS_RULE_FIELDS) & AS_BIT(field)) != 0 ? 0 : 1};
    }
}

bool as_hits_has_space(const as_hits *hits) {
    return hits->capacity - hits->used >= hits->most;
}

/* Begin a new run when a window completes in another second than the previous one. */
static void update_run(as_hits *hits, uint64_t ms) {
    const uint64_t second = ms / RUN_MS;
    if (second != hits->second) {
        hits->second = second;
        hits->run_start = hits->drained + hits->used + 1;
    }
}

/* Most values are a few bytes: for those a call costs more than the copy. */
static void copy(uint8_t *out, as_span text) {
    if (text.len >= 32) {
        memcpy(out, text.at, text.len);
        return;
    }
    uint32_t at = 0;
    for (; text.len - at >= 8; at += 8) {
        memcpy(out + at, text.at + at, 8);
    }
    for (; at < text.len; at++) {
        out[at] = text.at[at];
    }
}

uint64_t as_hits_append(as_hits *hits, const as_hit *hit, const as_event_id *ids, const as_value values[AS_FIELDS]) {
    const uint32_t count = hit->ids;
    update_run(hits, ids[count - 1].ms);
    uint8_t *start = hits->bytes + hits->used;
    uint8_t *id_bytes = start + sizeof(as_hit);
    uint8_t *field_bytes = id_bytes + count * sizeof *ids;
    uint32_t at = (uint32_t)(sizeof(as_hit) + count * sizeof *ids + AS_FIELDS * sizeof(as_hit_field));
    memcpy(id_bytes, ids, count * sizeof *ids);
    memcpy(field_bytes, hits->none, sizeof hits->none);
    for (uint64_t fields = hits->fields; fields != 0; fields &= fields - 1) {
        const uint32_t field = (uint32_t)__builtin_ctzll(fields);
        const as_kind kind = as_field_kind((as_field)field);
        as_span text;
        if (field == AS_FIELD_PROCTITLE ? as_value_bytes(values[field], kind, start + at, &text)
                                        : as_value_text(values[field], kind, start + at, &text)) {
            if (text.at != start + at) {
                copy(start + at, text);
            }
            const as_hit_field entry = {.at = at, .len = text.len};
            at += text.len;
            memcpy(field_bytes + field * sizeof entry, &entry, sizeof entry);
        }
    }
    const uint32_t size = (at + 7) / 8 * 8;
    memset(start + at, 0, size - at);
    as_hit sized = *hit;
    sized.size = size;
    memcpy(start, &sized, sizeof sized);
    const uint64_t place = hits->drained + hits->used + 1;
    hits->used += size;
    return place;
}

void as_hits_reserve_members(as_hits *hits, uint32_t events) {
    hits->most += events * (AS_MEMBER_BYTES + (uint32_t)sizeof(as_hit_field));
}

void as_hits_append_members(as_hits *hits, uint64_t place, const as_completed *completed) {
    uint8_t *start = hits->bytes + (place - 1 - hits->drained);
    as_hit hit;
    memcpy(&hit, start, sizeof hit);
    hit.members = hit.size;
    uint32_t at = hit.size + (completed->count - 1) * (uint32_t)sizeof(as_hit_field);
    for (uint32_t i = 0; i + 1 < completed->count; i++) {
        const as_step *step = completed->steps[i];
        const as_hit_field entry = {.at = at, .len = step->member_len};
        memcpy(start + hit.members + i * sizeof entry, &entry, sizeof entry);
        memcpy(start + at, step->member, step->member_len);
        at += step->member_len;
    }
    hit.size = (at + 7) / 8 * 8;
    memset(start + at, 0, hit.size - at);
    memcpy(start, &hit, sizeof hit);
    hits->used += hit.size - hit.members;
}

bool as_hits_merge(as_hits *hits, uint64_t place, uint64_t ms, uint32_t merge_ms) {
    update_run(hits, ms);
    if (place <= hits->drained || place < hits->run_start) {
        return false;
    }
    uint8_t *start = hits->bytes + (place - 1 - hits->drained);
    as_hit hit;
    memcpy(&hit, start, sizeof hit);
    if (ms > hit.last_ms && ms - hit.last_ms > merge_ms) {
        return false;
    }
    hit.more++;
    hit.last_ms = ms > hit.last_ms ? ms : hit.last_ms;
    memcpy(start, &hit, sizeof hit);
    return true;
}

uint32_t as_hits_borrow(as_hits *hits, const uint8_t **out) {
    const uint32_t lent = hits->used;
    *out = hits->bytes;
    hits->drained += lent;
    hits->used = 0;
    return lent;
}

uint32_t as_hits_drain(as_hits *hits, uint8_t *out) {
    const uint8_t *lent;
    const uint32_t moved = as_hits_borrow(hits, &lent);
    memcpy(out, lent, moved);
    return moved;
}
