#include "match.h"

#include "hash.h"

/* An event's strings are hex from at most four records, and decode to half their size. */
enum { DECODED = 2, LONG = 64 };
/* Budget of exceptions per event (like.h). An exception that exhausts it does not apply. */
enum { EXCEPTION_STEPS = 49152 };
enum { MAX_RULES = 64, MAX_COUNT = 64, MAX_ENTRIES = 65536, MAX_SPAN_MS = 86400000 };

/* True if [first, first + count) lies inside an array of this size. */
static bool inside(uint32_t first, uint32_t count, uint32_t size) {
    return first <= size && count <= size - first;
}

static bool rule_valid(const as_rules *rules, const as_rule *rule) {
    bool valid = inside(rule->first_call, rule->calls, rules->call_count) &&
                 inside(rule->first_test, rule->tests, rules->test_count) && rule->key_count <= 2 && rule->count >= 1 &&
                 rule->count <= MAX_COUNT && rule->span_ms >= 1 && rule->span_ms <= MAX_SPAN_MS &&
                 rule->merge_ms <= MAX_SPAN_MS &&
                 inside(rule->first_exception, rule->exceptions, rules->exception_count);
    for (uint32_t i = 0; valid && i < rule->key_count; i++) {
        valid = rule->keys[i] < AS_FIELDS;
    }
    return valid;
}

static bool test_valid(const as_rules *rules, const as_test *test) {
    return test->field < AS_FIELDS && test->op <= AS_OP_PRESENT && test->negated <= 1 &&
           inside(test->first_operand, test->operands, rules->operand_count);
}

bool as_rules_valid(const as_rules *rules) {
    bool valid = (rules->actor_fields & ~AS_ALL_FIELDS) == 0 && rules->rule_count <= MAX_RULES &&
                 rules->call_count <= MAX_ENTRIES && rules->test_count <= MAX_ENTRIES &&
                 rules->operand_count <= MAX_ENTRIES && rules->exception_count <= MAX_ENTRIES &&
                 rules->text_len <= MAX_ENTRIES && rules->arch_count <= MAX_ENTRIES;
    for (uint32_t i = 0; valid && i < rules->rule_count; i++) {
        valid = rule_valid(rules, &rules->rules[i]);
    }
    for (uint32_t i = 0; valid && i < rules->test_count; i++) {
        valid = test_valid(rules, &rules->tests[i]);
    }
    for (uint32_t i = 0; valid && i < rules->exception_count; i++) {
        valid = inside(rules->exceptions[i].first_test, rules->exceptions[i].tests, rules->test_count);
    }
    for (uint32_t i = 0; valid && i < rules->operand_count; i++) {
        valid = inside(rules->operands[i].at, rules->operands[i].len, rules->text_len);
    }
    return valid;
}

static as_call_slot *call_slot(const as_match *match, as_call call) {
    uint64_t at = as_mix(match->seed, (uint64_t)call.arch << 32 | call.syscall);
    for (;; at++) {
        as_call_slot *slot = &match->calls[at & match->call_mask];
        if (slot->rules == 0 || (slot->call.arch == call.arch && slot->call.syscall == call.syscall)) {
            return slot;
        }
    }
}

static void copy(void *to, const void *from, size_t n, size_t size) {
    if (n > 0) {
        memcpy(to, from, n * size);
    }
}

/* True if an operand applies to some architectures only. */
static bool depends_on_arch(const as_match *match, const as_test *test) {
    bool depends = false;
    for (uint32_t i = 0; test->op < AS_OP_NUMBER && i < test->operands; i++) {
        depends |= match->operands[test->first_operand + i].mask != 0;
    }
    return depends;
}

static uint64_t tested_fields(const as_match *match, uint32_t first, uint32_t count) {
    uint64_t fields = 0;
    for (uint32_t i = 0; i < count; i++) {
        const as_test *test = &match->tests[first + i];
        fields |= AS_BIT(test->field) | (depends_on_arch(match, test) ? AS_BIT(AS_FIELD_ARCH) : 0);
    }
    return fields;
}

/* Find the needed fields: those of rules before matching, the additional ones of exceptions after it. */
static void find_fields(as_match *match) {
    for (uint32_t i = 0; i < match->rule_count; i++) {
        const as_rule *rule = &match->rules[i];
        match->fields |= tested_fields(match, rule->first_test, rule->tests);
        for (uint32_t j = 0; j < rule->key_count; j++) {
            match->fields |= AS_BIT(rule->keys[j]);
        }
        match->with_exceptions |= rule->exceptions > 0 ? UINT64_C(1) << i : 0;
    }
    for (uint32_t i = 0; i < match->exception_count; i++) {
        match->exception_fields |= tested_fields(match, match->exceptions[i].first_test, match->exceptions[i].tests);
    }
    match->exception_fields &= ~match->fields;
}

void as_match_init(as_match *match, const as_config *config, const as_rules *rules, as_arena *arena) {
    const uint32_t call_slots = as_power_of_two(2 * rules->call_count + 1);
    match->seed = config->seed;
    match->any_call = 0;
    match->last.len = 0;
    match->fields = 0;
    match->exception_fields = 0;
    match->with_exceptions = 0;
    match->call_mask = call_slots - 1;
    match->rule_count = rules->rule_count;
    match->exception_count = rules->exception_count;
    match->arch_count = rules->arch_count;
    match->last_known_arch = rules->arch_count > 0 ? rules->arches[0] : 0;
    match->unknown_count = 0;
    match->unknown_records = 0;
    match->rules = as_arena_alloc(arena, rules->rule_count, sizeof *rules->rules);
    match->tests = as_arena_alloc(arena, rules->test_count, sizeof *rules->tests);
    match->operands = as_arena_alloc(arena, rules->operand_count, sizeof *rules->operands);
    match->exceptions = as_arena_alloc(arena, rules->exception_count, sizeof *rules->exceptions);
    match->exception_counts = as_arena_alloc(arena, rules->exception_count, sizeof *match->exception_counts);
    match->arches = as_arena_alloc(arena, rules->arch_count, sizeof *rules->arches);
    match->text = as_arena_alloc(arena, rules->text_len, 1);
    match->calls = as_arena_alloc(arena, call_slots, sizeof *match->calls);
    match->scratch_bytes = DECODED * config->datagram_bytes;
    match->scratch = as_arena_alloc(arena, match->scratch_bytes + LONG, 1);
    match->cache = as_arena_alloc(arena, 1, sizeof *match->cache);
    if (match->scratch == NULL) {
        return;
    }
    copy(match->rules, rules->rules, rules->rule_count, sizeof *rules->rules);
    copy(match->tests, rules->tests, rules->test_count, sizeof *rules->tests);
    copy(match->operands, rules->operands, rules->operand_count, sizeof *rules->operands);
    copy(match->exceptions, rules->exceptions, rules->exception_count, sizeof *rules->exceptions);
    copy(match->text, rules->text, rules->text_len, 1);
    copy(match->arches, rules->arches, rules->arch_count, sizeof *rules->arches);
    find_fields(match);
    for (uint32_t i = 0; i < rules->rule_count; i++) {
        const as_rule *rule = &rules->rules[i];
        const uint64_t bit = UINT64_C(1) << i;
        match->any_call |= rule->calls == 0 ? bit : 0;
        for (uint32_t j = 0; j < rule->calls; j++) {
            const as_call call = rules->calls[rule->first_call + j];
            as_call_slot *slot = call_slot(match, call);
            slot->call = call;
            slot->rules |= bit;
        }
    }
}

static bool arch_known(as_match *match, uint32_t arch) {
    bool known = match->arch_count == 0 || arch == match->last_known_arch;
    for (uint32_t i = 0; !known && i < match->arch_count; i++) {
        known = match->arches[i] == arch;
    }
    match->last_known_arch = known ? arch : match->last_known_arch;
    return known;
}

static void count_unknown(as_match *match, uint32_t arch) {
    uint32_t at = 0;
    while (at < match->unknown_count && match->unknown[at].arch != arch) {
        at++;
    }
    match->unknown_records++;
    if (at == AS_UNKNOWN_ARCHES) {
        return;
    }
    if (at == match->unknown_count) {
        match->unknown[at] = (as_unknown_arch){.arch = arch};
        match->unknown_count++;
    }
    match->unknown[at].records++;
}

uint64_t as_match_candidates(as_match *match, const as_record *record) {
    if (record->type == AS_TYPE_URINGOP) {
        return 0; /* it names an io_uring operation, not a system call, and has no field of a rule */
    }
    if (record->type != AS_TYPE_SYSCALL) {
        return UINT64_MAX;
    }
    as_last_call *last = &match->last;
    if (last->len > 0 && as_span_starts_as(record->body, last->text, last->len)) {
        if (last->unknown) {
            count_unknown(match, last->arch);
        }
        return last->rules;
    }
    as_call call;
    uint32_t len;
    if (!as_record_call(record, &call.arch, &call.syscall, &len)) {
        return match->any_call;
    }
    const uint64_t rules = call_slot(match, call)->rules | match->any_call;
    const bool unknown = !arch_known(match, call.arch);
    if (unknown) {
        count_unknown(match, call.arch);
    }
    if (len > 0 && len <= sizeof last->text) {
        memcpy(last->text, record->body.at, len);
        last->len = len;
        last->arch = call.arch;
        last->unknown = unknown;
        last->rules = rules;
    }
    return rules;
}

/* True if an operand for some architectures applies to that of this event. */
static bool is_for_arch(const as_operand *operand, const as_value *arch) {
    uint64_t number = 0;
    return as_value_number(*arch, as_field_kind(AS_FIELD_ARCH), &number) && (number & operand->mask) == operand->number;
}

/* The text of a value. A long one is decoded once per event, regardless of the number of tests. */
static inline bool text_of(const as_match *match, uint32_t field, as_value value, as_span *text) {
    const as_kind kind = as_field_kind((as_field)field);
    if (value.form != AS_FORM_BARE || kind != AS_KIND_STRING || value.span.len < LONG) {
        return as_value_text(value, kind, match->scratch + match->scratch_bytes, text);
    }
    as_text_cache *cache = match->cache;
    if ((cache->decoded & AS_BIT(field)) == 0) {
        if (value.span.len / 2 > match->scratch_bytes - cache->used) {
            cache->decoded = 0;
            cache->used = 0;
        }
        as_value_text(value, kind, match->scratch + cache->used, &cache->texts[field]);
        cache->used += value.span.len / 2;
        cache->decoded |= AS_BIT(field);
    }
    *text = cache->texts[field];
    return true;
}

static bool like(const as_match *match, uint32_t field, as_span pattern, as_span text) {
    as_text_cache *cache = match->cache;
    if ((cache->compared & AS_BIT(field)) == 0) {
        as_like_cache_clear(&cache->like_caches[field]);
        cache->compared |= AS_BIT(field);
    }
    return as_like(pattern, text, &cache->like_caches[field], &cache->budget);
}

/* Reset for another event. */
static void clear_cache(const as_match *match, uint64_t steps) {
    match->cache->decoded = 0;
    match->cache->compared = 0;
    match->cache->used = 0;
    match->cache->budget = (as_like_budget){.left = steps};
}

static bool any_text(const as_match *match, const as_test *test, as_span text, const as_value *arch) {
    const as_operand *operand = &match->operands[test->first_operand];
    const as_operand *const end = operand + test->operands;
    for (; operand < end; operand++) {
        const as_span pattern = as_span_of(match->text + operand->at, operand->len);
        /* Equal bytes always match, and usually no other comparison is needed. */
        const bool same = (text.len == pattern.len && as_span_same(text, pattern)) ||
                          (test->op == AS_OP_LIKE && like(match, test->field, pattern, text));
        if (same && (operand->mask == 0 || is_for_arch(operand, arch))) {
            return true;
        }
    }
    return false;
}

static bool any_number(const as_match *match, const as_test *test, uint64_t number) {
    for (uint32_t i = 0; i < test->operands; i++) {
        const as_operand *operand = &match->operands[test->first_operand + i];
        if ((number & operand->mask) == operand->number) {
            return true;
        }
    }
    return false;
}

/* Operators that do not compare text. */
static bool other_holds(const as_test *test, as_value value, const as_match *match) {
    const as_kind kind = as_field_kind((as_field)test->field);
    const bool negated = test->negated == 1;
    uint64_t number = 0;
    if (test->op == AS_OP_PRESENT) {
        as_span text;
        return text_of(match, test->field, value, &text) != negated;
    }
    return as_value_number(value, kind, &number) && any_number(match, test, number) != negated;
}

static inline bool holds(const as_match *match, const as_test *test, const as_value values[AS_FIELDS]) {
    const as_value value = values[test->field];
    as_span text;
    if (test->op >= AS_OP_NUMBER) {
        return other_holds(test, value, match);
    }
    return text_of(match, test->field, value, &text) &&
           any_text(match, test, text, &values[AS_FIELD_ARCH]) != (test->negated == 1);
}

static inline bool all_hold(const as_match *match, uint32_t first, uint32_t count, const as_value values[AS_FIELDS]) {
    bool all = true;
    for (uint32_t i = 0; all && i < count; i++) {
        all = holds(match, &match->tests[first + i], values);
    }
    return all;
}

uint64_t as_match_event(const as_match *match, uint64_t candidates, const as_value values[AS_FIELDS]) {
    uint64_t matching = 0;
    clear_cache(match, UINT64_MAX);
    for (uint32_t i = 0; i < match->rule_count; i++) {
        const as_rule *rule = &match->rules[i];
        const bool all = (candidates >> i & 1) != 0 && all_hold(match, rule->first_test, rule->tests, values);
        matching |= all ? UINT64_C(1) << i : 0;
    }
    return matching;
}

/* The first exception of a rule that fits the event; NULL: none. */
static const as_exception *exception_for(const as_match *match, const as_rule *rule, uint64_t ms,
                                         const as_value values[AS_FIELDS]) {
    for (uint32_t i = 0; i < rule->exceptions; i++) {
        const as_exception *exception = &match->exceptions[rule->first_exception + i];
        const bool active = exception->until_ms == UINT64_MAX || ms < exception->until_ms;
        match->cache->budget.refused = false;
        if (active && all_hold(match, exception->first_test, exception->tests, values) &&
            !match->cache->budget.refused) {
            return exception;
        }
    }
    return NULL;
}

uint64_t as_match_except(const as_match *match, const as_events *events, const as_event *event, uint64_t matching,
                         as_value values[AS_FIELDS], as_stats *stats) {
    uint64_t left = matching;
    clear_cache(match, EXCEPTION_STEPS);
    as_values_clear(values, match->exception_fields);
    as_event_fields(events, event, match->exception_fields, values);
    for (uint64_t rest = matching & match->with_exceptions; rest != 0; rest &= rest - 1) {
        const as_rule *rule = &match->rules[__builtin_ctzll(rest)];
        const as_exception *exception = exception_for(match, rule, event->ms, values);
        if (exception != NULL) {
            match->exception_counts[exception - match->exceptions]++;
            stats->excepted++;
            left &= ~(rest & (0 - rest));
        }
    }
    return left;
}

int64_t as_match_exception_counts(const as_match *match, uint64_t *out, size_t size) {
    if (size < match->exception_count) {
        return AS_ARGUMENT;
    }
    copy(out, match->exception_counts, match->exception_count, sizeof *out);
    return match->exception_count;
}

int64_t as_match_unknown_arches(const as_match *match, as_unknown_arch *out, size_t size) {
    if (size < AS_UNKNOWN_ARCHES) {
        return AS_ARGUMENT;
    }
    copy(out, match->unknown, match->unknown_count, sizeof *out);
    return match->unknown_count;
}
