#include "sequence.h"

#include "hash.h"

#define NONE UINT32_MAX

/* The order in which fields are kept until the space of a step is used up; then come all others. */
static const uint8_t first_fields[] = {
    AS_FIELD_SYSCALL,   AS_FIELD_ARCH,      AS_FIELD_SUCCESS,     AS_FIELD_EXIT,        AS_FIELD_PID,  AS_FIELD_PPID,
    AS_FIELD_UID,       AS_FIELD_EUID,      AS_FIELD_AUID,        AS_FIELD_SES,         AS_FIELD_COMM, AS_FIELD_EXE,
    AS_FIELD_PATH_NAME, AS_FIELD_SOCKET_IP, AS_FIELD_SOCKET_PORT, AS_FIELD_SOCKET_PATH, AS_FIELD_ACCT, AS_FIELD_ADDR,
    AS_FIELD_RESULT,    AS_FIELD_CWD,       AS_FIELD_ARGS};

static bool is_staged(const as_rule *rule) {
    return rule->kind == AS_RULE_SEQUENCE || rule->kind == AS_RULE_SAMPLE;
}

/* Heads that a key of this rule needs. */
static uint32_t heads_of(const as_rule *rule) {
    switch (rule->kind) {
    case AS_RULE_SEQUENCE:
        return rule->stages - 1;
    case AS_RULE_SAMPLE:
        return rule->stages * rule->stages;
    default:
        return 0;
    }
}

/* Steps that a key of this rule can hold, and one more sequence: the one just completed. */
static uint32_t steps_of(const as_rule *rule) {
    switch (rule->kind) {
    case AS_RULE_SEQUENCE:
        return rule->stages * (rule->stages + 1) / 2 + rule->stages;
    case AS_RULE_SAMPLE:
        return rule->stages * (rule->stages + 1) + 1;
    default:
        return 0;
    }
}

void as_sequences_init(as_sequences *sequences, const as_config *config, const as_rules *rules, as_arena *arena) {
    uint32_t steps = 0;
    uint32_t stamps = 0;
    memset(sequences, 0, sizeof *sequences);
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        const uint32_t heads = heads_of(&rules->rules[i]);
        const uint32_t needed = steps_of(&rules->rules[i]);
        const uint32_t stages = is_staged(&rules->rules[i]) ? rules->rules[i].stages : 0;
        sequences->most_stages = stages > sequences->most_stages ? stages : sequences->most_stages;
        sequences->width = heads > sequences->width ? heads : sequences->width;
        steps = needed > steps ? needed : steps;
        sequences->staged |= stages > 0;
        stamps = rules->rules[i].limit > stamps ? rules->rules[i].limit : stamps;
    }
    sequences->seed = config->seed;
    sequences->slot_count = sequences->staged ? config->key_slots : 0;
    sequences->step_count = sequences->width > 0 ? config->key_slots + steps : 0;
    sequences->stamp_count = stamps > 0 ? config->key_slots + stamps : 0;
    sequences->free_stamp = NONE;
    sequences->free_slot = NONE;
    sequences->free_step = AS_NO_STEP;
    sequences->oldest = NONE;
    sequences->newest = NONE;
    sequences->done = AS_NO_STEP;
    sequences->fired_slot = NONE;
    const uint32_t buckets = as_power_of_two(sequences->slot_count);
    sequences->bucket_mask = buckets - 1;
    as_sequences_select_fields(sequences, AS_ALL_FIELDS);
    sequences->slots = as_arena_alloc(arena, sequences->slot_count, sizeof *sequences->slots);
    sequences->heads = as_arena_alloc(arena, sequences->slot_count, sequences->width * sizeof *sequences->heads);
    sequences->steps = as_arena_alloc(arena, sequences->step_count, sizeof *sequences->steps);
    sequences->stamps = as_arena_alloc(arena, sequences->stamp_count, sizeof *sequences->stamps);
    sequences->buckets = as_arena_alloc(arena, buckets, sizeof *sequences->buckets);
    for (uint32_t i = 0; sequences->buckets != NULL && i < buckets; i++) {
        sequences->buckets[i] = NONE;
    }
}

uint32_t as_sequences_most_members(const as_sequences *sequences) {
    return sequences->most_stages > 0 ? sequences->most_stages - 1 : 0;
}

void as_sequences_select_fields(as_sequences *sequences, uint64_t fields) {
    sequences->member_fields = fields & ~AS_RULE_FIELDS;
    sequences->kept_count = 0;
    uint64_t rest = sequences->member_fields;
    for (size_t i = 0; i < sizeof first_fields; i++) {
        if ((rest & AS_BIT(first_fields[i])) != 0) {
            sequences->kept[sequences->kept_count++] = first_fields[i];
            rest &= ~AS_BIT(first_fields[i]);
        }
    }
    for (; rest != 0; rest &= rest - 1) {
        sequences->kept[sequences->kept_count++] = (uint8_t)__builtin_ctzll(rest);
    }
}

/* Keys */

bool as_sequence_key(const as_sequences *sequences, const as_filter *filter, as_event_values *values, uint64_t key[2]) {
    key[0] = key[1] = 0;
    for (uint32_t i = 0; i < filter->key_count; i++) {
        const as_field field = (as_field)filter->keys[i];
        const bool optional = (filter->optional_keys >> i & 1) != 0 || field == AS_FIELD_NODE; /* this host */
        as_span text;
        const bool present = as_event_text(values, field, &text);
        if (!present && !optional) {
            return false;
        }
        /* An absent value is hashed as 1, a present one as an even number. */
        for (uint32_t half = 0; half < 2; half++) {
            const uint64_t seed = sequences->seed + half;
            key[half] = as_mix(seed ^ key[half], present ? as_hash_bytes(seed, text) << 1 : 1);
        }
    }
    return true;
}

static uint32_t *bucket_of(const as_sequences *sequences, uint32_t rule, const uint64_t key[2]) {
    const uint64_t hash = as_mix(sequences->seed, as_mix(sequences->seed ^ rule, key[0]) ^ key[1]);
    return &sequences->buckets[(hash ^ hash >> 32) & sequences->bucket_mask];
}

static uint32_t *heads_at(const as_sequences *sequences, uint32_t slot) {
    return &sequences->heads[(size_t)slot * sequences->width];
}

static void leave_order(as_sequences *sequences, uint32_t at) {
    const as_pending *slot = &sequences->slots[at];
    if (slot->older == NONE) {
        sequences->oldest = slot->newer;
    } else {
        sequences->slots[slot->older].newer = slot->newer;
    }
    if (slot->newer == NONE) {
        sequences->newest = slot->older;
    } else {
        sequences->slots[slot->newer].older = slot->older;
    }
}

static void become_newest(as_sequences *sequences, uint32_t at) {
    as_pending *slot = &sequences->slots[at];
    slot->older = sequences->newest;
    slot->newer = NONE;
    if (sequences->newest == NONE) {
        sequences->oldest = at;
    } else {
        sequences->slots[sequences->newest].newer = at;
    }
    sequences->newest = at;
}

/* Steps */

/* Free a pending sequence from its last step on. */
static void drop(as_sequences *sequences, uint32_t *head) {
    while (*head != AS_NO_STEP) {
        as_step *step = &sequences->steps[*head];
        const uint32_t before = step->before;
        step->before = sequences->free_step;
        sequences->free_step = *head;
        *head = before;
    }
}

static void drop_all(as_sequences *sequences, uint32_t slot) {
    for (uint32_t i = 0; i < sequences->width; i++) {
        drop(sequences, &heads_at(sequences, slot)[i]);
    }
}

/* Forget the oldest reported hit of a key. */
static void drop_stamp(as_sequences *sequences, as_pending *slot) {
    const uint32_t at = slot->first_stamp;
    slot->first_stamp = sequences->stamps[at].next;
    slot->reported--;
    sequences->stamps[at].next = sequences->free_stamp;
    sequences->free_stamp = at;
}

static void free_slot(as_sequences *sequences, uint32_t at, as_stats *stats) {
    as_pending *slot = &sequences->slots[at];
    uint32_t *link = bucket_of(sequences, slot->rule, slot->key);
    drop_all(sequences, at);
    while (slot->reported > 0) {
        drop_stamp(sequences, slot);
    }
    while (*link != at) {
        link = &sequences->slots[*link].next_in_bucket;
    }
    *link = slot->next_in_bucket;
    leave_order(sequences, at);
    slot->next_in_bucket = sequences->free_slot;
    sequences->free_slot = at;
    stats->live_keys--;
}

/* Free a slot that holds nothing to remember. */
static void free_if_idle(as_sequences *sequences, uint32_t at, as_stats *stats) {
    bool idle = !sequences->slots[at].fired && sequences->slots[at].reported == 0;
    for (uint32_t i = 0; idle && i < sequences->width; i++) {
        idle = heads_at(sequences, at)[i] == AS_NO_STEP;
    }
    if (idle) {
        free_slot(sequences, at, stats);
    }
}

static void evict_oldest(as_sequences *sequences, as_stats *stats) {
    free_slot(sequences, sequences->oldest, stats);
    stats->keys_evicted++;
}

static uint32_t find(as_sequences *sequences, uint32_t rule, const uint64_t key[2]) {
    uint32_t at = *bucket_of(sequences, rule, key);
    while (at != NONE) {
        const as_pending *slot = &sequences->slots[at];
        if (slot->rule == rule && slot->key[0] == key[0] && slot->key[1] == key[1]) {
            leave_order(sequences, at);
            become_newest(sequences, at);
            return at;
        }
        at = slot->next_in_bucket;
    }
    return NONE;
}

static uint32_t create(as_sequences *sequences, uint32_t rule, const uint64_t key[2], as_stats *stats) {
    if (sequences->free_slot == NONE && sequences->slots_used == sequences->slot_count) {
        evict_oldest(sequences, stats);
    }
    const uint32_t at = sequences->free_slot == NONE ? sequences->slots_used++ : sequences->free_slot;
    as_pending *slot = &sequences->slots[at];
    sequences->free_slot = at == sequences->free_slot ? slot->next_in_bucket : sequences->free_slot;
    uint32_t *bucket = bucket_of(sequences, rule, key);
    *slot = (as_pending){.key = {key[0], key[1]}, .rule = (uint16_t)rule, .next_in_bucket = *bucket};
    *bucket = at;
    for (uint32_t i = 0; i < sequences->width; i++) {
        heads_at(sequences, at)[i] = AS_NO_STEP;
    }
    become_newest(sequences, at);
    stats->live_keys++;
    return at;
}

static uint32_t find_or_create(as_sequences *sequences, uint32_t rule, const uint64_t key[2], as_stats *stats) {
    const uint32_t at = find(sequences, rule, key);
    return at == NONE ? create(sequences, rule, key, stats) : at;
}

/* A free step. There are more than one key can hold, so other keys have the rest: the newest one is not evicted. */
static uint32_t take_step(as_sequences *sequences, as_stats *stats) {
    while (sequences->free_step == AS_NO_STEP && sequences->steps_used == sequences->step_count) {
        evict_oldest(sequences, stats);
    }
    if (sequences->free_step == AS_NO_STEP) {
        return sequences->steps_used++;
    }
    const uint32_t at = sequences->free_step;
    sequences->free_step = sequences->steps[at].before;
    return at;
}

/* Bytes before the text of a kept field. */
enum { FIELD_HEAD = 4 };

/* Copy without a call, which costs more for most values. */
static inline void copy_value(uint8_t *to, as_span text) {
    enum { LONG = 16 };
    if (text.len > LONG) {
        memcpy(to, text.at, text.len);
        return;
    }
    if (text.len >= 8) {
        memcpy(to, text.at, 8);
        memcpy(to + text.len - 8, text.at + text.len - 8, 8);
        return;
    }
    for (uint32_t i = 0; i < text.len; i++) {
        to[i] = text.at[i];
    }
}

/* Append a field as its number, whether it was cut, its length and its bytes. There is room for one byte at least. */
static inline void append_text(as_member *member, as_field field, as_span text) {
    const uint32_t room = AS_MEMBER_BYTES - FIELD_HEAD - member->len;
    const uint32_t len = text.len < room ? text.len : room;
    uint8_t *out = member->bytes + member->len;
    out[0] = (uint8_t)field;
    out[1] = len < text.len ? 1 : 0;
    out[2] = (uint8_t)len;
    out[3] = (uint8_t)(len >> 8);
    copy_value(out + FIELD_HEAD, as_span_of(text.at, len));
    member->len += FIELD_HEAD + len;
}

/* The text of a field to keep. Words are never decoded, and what is not a marker such as (null) is their text. */
static inline bool text_to_keep(as_event_values *values, as_field field, as_span *text) {
    const as_value *value = &values->values[field];
    if ((AS_BIT(field) & AS_LOADED_FIELDS) == 0) {
        return as_event_text(values, field, text);
    }
    *text = value->span;
    if (value->form == AS_FORM_ABSENT) {
        return false;
    }
    const bool string = as_field_kind(field) == AS_KIND_STRING;
    if (text->len > 0 && (value->form == AS_FORM_QUOTED || (!string && text->at[0] != '(' && text->at[0] != '?'))) {
        return true;
    }
    return string ? as_event_text(values, field, text) : as_value_text(*value, as_field_kind(field), NULL, text);
}

/* The kept fields of the current event, which are the same for all of its steps. */
static const as_member *member_of(as_sequences *sequences, as_event_values *values) {
    as_member *member = &sequences->member;
    if (member->number == values->number) {
        return member;
    }
    member->number = values->number;
    member->len = 0;
    as_event_values_load(values, sequences->member_fields & AS_PLAIN_FIELDS);
    for (uint32_t i = 0; i < sequences->kept_count && member->len + FIELD_HEAD < AS_MEMBER_BYTES; i++) {
        const as_field field = (as_field)sequences->kept[i];
        as_span text;
        if (text_to_keep(values, field, &text)) {
            append_text(member, field, text);
        }
    }
    return member;
}

/* A step for this event. before: the one that it follows. */
static uint32_t add_step(as_sequences *sequences, as_event_id id, uint32_t before, as_event_values *values,
                         as_stats *stats) {
    const uint32_t at = take_step(sequences, stats);
    as_step *step = &sequences->steps[at];
    step->ms = id.ms;
    step->first_ms = before == AS_NO_STEP ? id.ms : sequences->steps[before].first_ms;
    step->serial = id.serial;
    step->before = before;
    const as_member *member = member_of(sequences, values);
    step->member_len = member->len;
    memcpy(step->member, member->bytes, member->len);
    return at;
}

static bool is_before(as_event_id id, const as_step *step) {
    return id.ms < step->ms || (id.ms == step->ms && id.serial < step->serial);
}

static as_event_id id_of(const as_step *step) {
    return (as_event_id){.ms = step->ms, .serial = step->serial};
}

/* Remember a reported hit of the newest key. There are more stamps than one key can hold, as with steps. */
static void add_stamp(as_sequences *sequences, as_pending *slot, uint64_t ms, as_stats *stats) {
    while (sequences->free_stamp == NONE && sequences->stamps_used == sequences->stamp_count) {
        evict_oldest(sequences, stats);
    }
    const uint32_t at = sequences->free_stamp == NONE ? sequences->stamps_used++ : sequences->free_stamp;
    as_reported_hit *stamp = &sequences->stamps[at];
    sequences->free_stamp = at == sequences->free_stamp ? stamp->next : sequences->free_stamp;
    *stamp = (as_reported_hit){.ms = ms, .next = NONE};
    if (slot->reported == 0) {
        slot->first_stamp = at;
    } else {
        sequences->stamps[slot->last_stamp].next = at;
    }
    slot->last_stamp = at;
    slot->reported++;
}

/* Whether another hit of this key is within the rule's limit. */
static bool within_limit(as_sequences *sequences, uint32_t at, const as_rule *rule, uint64_t ms, as_stats *stats) {
    as_pending *slot = &sequences->slots[at];
    if (rule->limit == 0) {
        return true;
    }
    while (slot->reported > 0 && ms > sequences->stamps[slot->first_stamp].ms &&
           ms - sequences->stamps[slot->first_stamp].ms > rule->limit_ms) {
        drop_stamp(sequences, slot);
    }
    if (slot->reported >= rule->limit) {
        stats->limited++;
        return false;
    }
    add_stamp(sequences, slot, ms, stats);
    return true;
}

/* Sequences */

/* Describe the sequence that ends with this step, completed by this event. */
static void complete_sequence(as_sequences *sequences, uint32_t last, uint32_t stages, as_event_id id) {
    as_completed *completed = &sequences->completed;
    uint32_t at = last;
    completed->count = stages;
    completed->ids[stages - 1] = id;
    completed->steps[stages - 1] = NULL;
    for (uint32_t i = stages - 1; i-- > 0;) {
        completed->ids[i] = id_of(&sequences->steps[at]);
        completed->steps[i] = &sequences->steps[at];
        at = sequences->steps[at].before;
    }
}

/* Try one stage after the first. True: the sequence is complete. */
static bool apply_stage(as_sequences *sequences, const as_rule *rule, uint32_t slot, uint32_t stage, as_event_id id,
                        as_event_values *values, as_stats *stats) {
    uint32_t *heads = heads_at(sequences, slot);
    uint32_t waiting = heads[stage - 1];
    if (waiting == AS_NO_STEP) {
        return false;
    }
    heads[stage - 1] = AS_NO_STEP;
    const as_step *step = &sequences->steps[waiting];
    sequences->late |= is_before(id, step);
    if (id.ms > step->first_ms && id.ms - step->first_ms > rule->span_ms) {
        drop(sequences, &waiting);
        return false;
    }
    if (stage == rule->stages - 1) {
        complete_sequence(sequences, waiting, rule->stages, id);
        sequences->done = waiting;
        return within_limit(sequences, slot, rule, id.ms, stats);
    }
    drop(sequences, &heads[stage]);
    heads[stage] = add_step(sequences, id, waiting, values, stats);
    return false;
}

static bool apply_sequence(as_sequences *sequences, const as_rule *rule, const as_filter *filter, const uint64_t key[2],
                           as_event_id id, as_event_values *values, as_stats *stats) {
    uint32_t slot = find(sequences, filter->rule, key);
    bool complete = false;
    if (filter->until != 0) {
        if (slot != NONE) {
            drop_all(sequences, slot);
            free_if_idle(sequences, slot, stats);
        }
        return false;
    }
    for (uint32_t stage = (uint32_t)filter->first_stage + filter->stages;
         slot != NONE && stage-- > filter->first_stage;) {
        if (stage > 0) {
            complete |= apply_stage(sequences, rule, slot, stage, id, values, stats);
        }
    }
    if (rule->stages == 1) { /* one event, of which only the number of hits is limited */
        slot = slot == NONE ? create(sequences, filter->rule, key, stats) : slot;
        complete_sequence(sequences, AS_NO_STEP, 1, id);
        return within_limit(sequences, slot, rule, id.ms, stats);
    }
    if (filter->first_stage == 0) {
        slot = slot == NONE ? create(sequences, filter->rule, key, stats) : slot;
        drop(sequences, heads_at(sequences, slot));
        *heads_at(sequences, slot) = add_step(sequences, id, AS_NO_STEP, values, stats);
    } else if (slot != NONE) {
        free_if_idle(sequences, slot, stats);
    }
    return complete;
}

/* Samples */

static bool same_event(const as_step *left, const as_step *right) {
    return left->ms == right->ms && left->serial == right->serial;
}

/* Events for the items of a sample. Each event is named by the first head that has it. */
typedef struct {
    const as_sequences *sequences;
    const uint32_t *heads;
    uint32_t items;
    uint32_t event_of[AS_MOST_ITEMS]; /* of each item; NONE: not found yet */
    uint64_t tried;                   /* bits of the events */
} as_assignment;

static uint32_t name_of(const as_assignment *assignment, uint32_t head) {
    const as_step *steps = assignment->sequences->steps;
    uint32_t name = 0;
    while (assignment->heads[name] == AS_NO_STEP ||
           !same_event(&steps[assignment->heads[name]], &steps[assignment->heads[head]])) {
        name++;
    }
    return name;
}

/* Find an event for an item; another item that has it looks for another one. At most AS_MOST_ITEMS deep. */
static bool assign(as_assignment *assignment, uint32_t item) {
    const uint32_t items = assignment->items;
    for (uint32_t i = 0; i < items && assignment->heads[item * items + i] != AS_NO_STEP; i++) {
        const uint32_t event = name_of(assignment, item * items + i);
        if ((assignment->tried >> event & 1) != 0) {
            continue;
        }
        assignment->tried |= UINT64_C(1) << event;
        uint32_t owner = 0;
        while (owner < items && assignment->event_of[owner] != event) {
            owner++;
        }
        if (owner == items || assign(assignment, owner)) {
            assignment->event_of[item] = event;
            return true;
        }
    }
    return false;
}

/* Describe the sample if every item has a separate event; that of this head, of `item`, completes it. */
static bool complete_sample(as_sequences *sequences, uint32_t slot, uint32_t items, uint32_t item, uint32_t head,
                            as_event_id id) {
    as_completed *completed = &sequences->completed;
    as_assignment assignment = {.sequences = sequences, .heads = heads_at(sequences, slot), .items = items};
    for (uint32_t i = 0; i < items; i++) {
        assignment.event_of[i] = NONE;
    }
    const uint32_t newest = name_of(&assignment, head);
    assignment.event_of[item] = newest;
    for (uint32_t i = 0; i < items; i++) {
        assignment.tried = UINT64_C(1) << newest; /* it stays where it is */
        if (i != item && !assign(&assignment, i)) {
            return false;
        }
    }
    completed->count = 0;
    for (uint32_t i = 0; i < items; i++) {
        if (i != item) {
            const as_step *step = &sequences->steps[assignment.heads[assignment.event_of[i]]];
            completed->ids[completed->count] = id_of(step);
            completed->steps[completed->count++] = step;
        }
    }
    completed->ids[completed->count] = id;
    completed->steps[completed->count++] = NULL;
    return true;
}

/* Drop the events that are too old for one of this stamp. Those of an item are kept newest first. */
static void forget_old(as_sequences *sequences, uint32_t slot, uint32_t items, uint64_t newest_ms, uint32_t span_ms) {
    uint32_t *heads = heads_at(sequences, slot);
    for (uint32_t item = 0; item < items; item++) {
        uint32_t left = 0;
        for (uint32_t i = 0; i < items; i++) {
            uint32_t head = heads[item * items + i];
            heads[item * items + i] = AS_NO_STEP;
            if (head != AS_NO_STEP && newest_ms - sequences->steps[head].ms > span_ms) {
                drop(sequences, &head);
            } else if (head != AS_NO_STEP) {
                heads[item * items + left++] = head;
            }
        }
    }
}

static bool apply_sample(as_sequences *sequences, const as_rule *rule, const as_filter *filter, const uint64_t key[2],
                         as_event_id id, as_event_values *values, as_stats *stats) {
    const uint32_t at = find_or_create(sequences, filter->rule, key, stats);
    as_pending *slot = &sequences->slots[at];
    const uint32_t items = rule->stages;
    const bool newer = id.ms > slot->last_ms;
    const uint64_t distance = newer ? id.ms - slot->last_ms : slot->last_ms - id.ms;
    slot->last_ms = newer ? id.ms : slot->last_ms;
    if (slot->fired && (!newer || distance <= rule->span_ms)) {
        return false;
    }
    slot->fired = false;
    if (!newer && distance > rule->span_ms) {
        return false; /* too late */
    }
    forget_old(sequences, at, items, slot->last_ms, rule->span_ms);
    uint32_t *heads = heads_at(sequences, at) + (size_t)filter->first_stage * items;
    uint32_t place = 0;
    while (place < items && heads[place] != AS_NO_STEP && is_before(id, &sequences->steps[heads[place]])) {
        place++;
    }
    if (place == items) {
        return false; /* as many later ones are there, and did not complete it */
    }
    drop(sequences, &heads[items - 1]);
    memmove(heads + place + 1, heads + place, (items - 1 - place) * sizeof *heads);
    heads[place] = add_step(sequences, id, AS_NO_STEP, values, stats);
    const uint32_t head = (uint32_t)filter->first_stage * items + place;
    if (!complete_sample(sequences, at, items, filter->first_stage, head, id)) {
        return false;
    }
    slot->fired = true;
    sequences->fired_slot = at;
    return within_limit(sequences, at, rule, id.ms, stats);
}

/* Free what the hit of the previous event was made of. */
static void release_completed(as_sequences *sequences) {
    drop(sequences, &sequences->done);
    if (sequences->fired_slot != NONE) {
        drop_all(sequences, sequences->fired_slot);
        sequences->fired_slot = NONE;
    }
}

bool as_sequences_apply(as_sequences *sequences, const as_rule *rule, const as_filter *filter, const uint64_t key[2],
                        as_event_id id, as_event_values *values, as_stats *stats) {
    release_completed(sequences);
    sequences->late = false;
    return rule->kind == AS_RULE_SAMPLE ? apply_sample(sequences, rule, filter, key, id, values, stats)
                                        : apply_sequence(sequences, rule, filter, key, id, values, stats);
}

/* Migration */

static uint32_t copy_steps(as_sequences *sequences, const as_sequences *from, uint32_t head, as_stats *stats) {
    uint32_t first = AS_NO_STEP;
    uint32_t previous = AS_NO_STEP;
    for (; head != AS_NO_STEP; head = from->steps[head].before) {
        const uint32_t at = take_step(sequences, stats);
        sequences->steps[at] = from->steps[head];
        sequences->steps[at].before = AS_NO_STEP;
        if (previous == AS_NO_STEP) {
            first = at;
        } else {
            sequences->steps[previous].before = at;
        }
        previous = at;
    }
    return first;
}

/* What the last hit of `from` was made of is in no head, except of a sample that has fired. */
void as_sequences_migrate(as_sequences *sequences, const as_sequences *from, const as_rule *rules,
                          const uint32_t *indexes, as_stats *stats) {
    for (uint32_t old = from->oldest; old != NONE; old = from->slots[old].newer) {
        const as_pending *slot = &from->slots[old];
        const uint32_t rule = indexes[slot->rule];
        if (rule == NONE) {
            continue;
        }
        const uint32_t at = find_or_create(sequences, rule, slot->key, stats);
        as_pending *copy = &sequences->slots[at];
        copy->last_ms = slot->last_ms;
        for (uint32_t i = 0, stamp = slot->first_stamp; i < slot->reported; i++, stamp = from->stamps[stamp].next) {
            add_stamp(sequences, copy, from->stamps[stamp].ms, stats);
        }
        copy->fired = slot->fired;
        for (uint32_t i = 0; !slot->fired && i < heads_of(&rules[rule]); i++) {
            heads_at(sequences, at)[i] = copy_steps(sequences, from, heads_at(from, old)[i], stats);
        }
    }
}
