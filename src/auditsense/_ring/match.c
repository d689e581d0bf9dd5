#include "match.h"

/* Budget of exceptions per event (like.h). An exception that exhausts it does not apply. */
enum { EXCEPTION_STEPS = 49152 };

/* Fields that cost less to read at once than one by one. One of them is the architecture, which texts for some of them
 * are compared with. */
#define NEAR (AS_RANGE(AS_FIELD_ARCH, AS_FIELD_PID) | AS_BIT(AS_FIELD_NODE))

/* With this number of filters, some are usually decided before all fields are read. */
enum { SEVERAL = 3 };

/* What an exec enters into the process table. */
#define EXEC_FIELDS                                                                                             \
    (AS_BIT(AS_FIELD_SUCCESS) | AS_RANGE(AS_FIELD_PPID, AS_FIELD_PID) | AS_RANGE(AS_FIELD_COMM, AS_FIELD_EXE) | \
     AS_BIT(AS_FIELD_NODE))

static void copy(void *to, const void *from, size_t n, size_t size) {
    if (n > 0) {
        memcpy(to, from, n * size);
    }
}

uint64_t as_filter_keys(const as_filter *filter) {
    uint64_t fields = 0;
    for (uint32_t i = 0; i < filter->key_count; i++) {
        fields |= AS_BIT(filter->keys[i]);
    }
    return fields;
}

static uint64_t filter_fields(const as_match *match, const as_filter *filter) {
    return as_program_fields(&match->predicates, filter->start) | as_filter_keys(filter);
}

/* What a filter needs of the last byte of a path: if it has anchors, one of them holds. */
static uint64_t gate_of(const as_match *match, const as_rules *rules, const as_filter *filter) {
    uint64_t gate = filter->anchors == 0 ? UINT64_MAX : 0;
    for (uint32_t i = 0; i < filter->anchors; i++) {
        const uint32_t at = rules->anchors[filter->first_anchor + i];
        gate |= as_predicate_has_ends(&match->predicates, at) ? as_predicate_ends(&match->predicates, at) : UINT64_MAX;
    }
    return gate;
}

static void find_gates(as_match *match, const as_rules *rules) {
    for (uint32_t i = 0; i < match->filter_count; i++) {
        match->gates[i] = gate_of(match, rules, &match->filters[i]);
    }
    for (uint32_t i = 0; i < match->class_count; i++) {
        as_match_class *row = &match->classes[i];
        for (uint32_t j = 0; row->filters >= SEVERAL && j < row->filters; j++) {
            row->gated = row->gated || match->gates[row->first_filter + j] != UINT64_MAX;
        }
    }
}

static void find_fields(as_match *match) {
    match->read_fields = 0;
    for (uint32_t i = 0; i < match->class_count; i++) {
        as_match_class *row = &match->classes[i];
        uint64_t first = as_candidates_fields(&match->candidates, i, &match->predicates);
        const bool indexed = first != 0;
        bool steps = false; /* of sequences and samples, which keep all fields of their events */
        for (uint32_t j = 0; j < row->filters; j++) {
            const as_filter *filter = &match->filters[row->first_filter + j];
            row->fields |= filter_fields(match, filter);
            const uint32_t kind = match->rules[filter->rule].kind;
            steps = steps || kind == AS_RULE_SEQUENCE || kind == AS_RULE_SAMPLE;
            first |= indexed ? 0 : as_program_first_fields(&match->predicates, filter->start);
        }
        row->kept_fields = row->fields | (row->executes ? EXEC_FIELDS : 0) | (steps ? AS_ALL_FIELDS : 0);
        row->first_fields = (first | (row->fields & NEAR)) & AS_LOADED_FIELDS;
        if (row->filters < SEVERAL && !steps && !row->executes) {
            row->kept_fields = 0; /* one pass is enough */
            row->first_fields = row->fields & AS_LOADED_FIELDS;
        }
        match->read_fields |= row->fields;
    }
    for (uint32_t i = 0; i < match->rule_count; i++) {
        const as_rule *rule = &match->rules[i];
        for (uint32_t j = 0; j < rule->exceptions; j++) {
            match->rule_facts[i].exception_fields |=
                as_program_fields(&match->predicates, match->exceptions[rule->first_exception + j].start);
        }
        match->read_fields |= match->rule_facts[i].exception_fields;
    }
}

static uint32_t largest_class(const as_rules *rules) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < rules->class_count; i++) {
        most = rules->classes[i].filters > most ? rules->classes[i].filters : most;
    }
    return most;
}

void as_match_init(as_match *match, const as_config *config, const as_rules *rules, as_arena *arena) {
    match->tables = 0;
    match->rule_count = rules->rule_count;
    match->class_count = rules->class_count;
    match->filter_count = rules->filter_count;
    match->exception_count = rules->exception_count;
    as_predicates_init(&match->predicates, config, rules, arena);
    as_candidates_init(&match->candidates, config, rules, &match->predicates, arena);
    match->rules = as_arena_alloc(arena, rules->rule_count, sizeof *rules->rules);
    match->rule_facts = as_arena_alloc(arena, rules->rule_count, sizeof *match->rule_facts);
    match->classes = as_arena_alloc(arena, rules->class_count, sizeof *match->classes);
    match->filters = as_arena_alloc(arena, rules->filter_count, sizeof *rules->filters);
    match->gates = as_arena_alloc(arena, rules->filter_count, sizeof *match->gates);
    match->exceptions = as_arena_alloc(arena, rules->exception_count, sizeof *rules->exceptions);
    match->exception_counts = as_arena_alloc(arena, rules->exception_count, sizeof *match->exception_counts);
    match->matched = as_arena_alloc(arena, largest_class(rules), sizeof *match->matched);
    if (match->predicates.scratch == NULL) {
        return;
    }
    copy(match->rules, rules->rules, rules->rule_count, sizeof *rules->rules);
    copy(match->filters, rules->filters, rules->filter_count, sizeof *rules->filters);
    copy(match->exceptions, rules->exceptions, rules->exception_count, sizeof *rules->exceptions);
    for (uint32_t i = 0; i < rules->class_count; i++) {
        match->classes[i] = (as_match_class){.first_filter = rules->classes[i].first_filter,
                                             .filters = rules->classes[i].filters,
                                             .executes = (rules->classes[i].flags & AS_CLASS_EXECUTES) != 0};
    }
    find_gates(match, rules);
    find_fields(match);
}

/* Append a filter to the matched ones if the event fits it. Returns how many were appended. */
static inline uint32_t try_filter(as_match *match, uint32_t at, uint32_t since, as_event_values *values,
                                  uint32_t count) {
    const as_filter *filter = &match->filters[at];
    const bool fits =
        as_program_holds(&match->predicates, filter->start, values) && match->rule_facts[filter->rule].since <= since;
    if (fits) {
        match->matched[count] = (uint16_t)at;
    }
    return fits ? 1 : 0;
}

uint32_t as_match_event(as_match *match, uint32_t class_index, uint32_t since, as_event_values *values) {
    const as_match_class *row = &match->classes[class_index];
    uint32_t count = 0;
    as_event_values_load(values, row->first_fields);
    as_predicates_begin_event(&match->predicates);
    const uint64_t *candidates = as_candidates_find(&match->candidates, class_index, &match->predicates, values);
    const uint64_t end = candidates == NULL && row->gated ? as_path_end(values) : UINT64_MAX;
    for (uint32_t i = 0; candidates == NULL && i < row->filters; i++) {
        if ((match->gates[row->first_filter + i] & end) != 0) {
            count += try_filter(match, row->first_filter + i, since, values, count);
        }
    }
    for (uint32_t word = 0; candidates != NULL && word < (row->filters + 63) / 64; word++) {
        for (uint64_t rest = candidates[word]; rest != 0; rest &= rest - 1) {
            const uint32_t i = 64 * word + (uint32_t)__builtin_ctzll(rest);
            count += try_filter(match, row->first_filter + i, since, values, count);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        as_event_values_load(values, as_filter_keys(&match->filters[match->matched[i]]) & AS_PLAIN_FIELDS);
    }
    return count;
}

/* The first exception of a rule that fits the event; NULL: none. */
static const as_exception *exception_for(as_match *match, const as_rule *rule, uint64_t ms, as_event_values *values) {
    for (uint32_t i = 0; i < rule->exceptions; i++) {
        const as_exception *exception = &match->exceptions[rule->first_exception + i];
        const bool active = exception->until_ms == UINT64_MAX || ms < exception->until_ms;
        match->predicates.cache->budget.refused = false;
        if (active && as_program_holds(&match->predicates, exception->start, values) &&
            !match->predicates.cache->budget.refused) {
            return exception;
        }
    }
    return NULL;
}

static bool is_excepted(as_match *match, const as_rule *rule, uint64_t ms, as_event_values *values, as_stats *stats) {
    const as_exception *exception = exception_for(match, rule, ms, values);
    if (exception != NULL && stats != NULL) {
        match->exception_counts[exception - match->exceptions]++;
        stats->excepted++;
    }
    return exception != NULL;
}

uint32_t as_match_except(as_match *match, uint64_t ms, uint32_t count, as_event_values *values, as_stats *stats) {
    uint64_t fields = 0;
    uint32_t exceptions = 0;
    uint32_t left = 0;
    if (match->exception_count == 0) {
        return count;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t rule = match->filters[match->matched[i]].rule;
        exceptions += match->rules[rule].exceptions;
        fields |= match->rule_facts[rule].exception_fields;
    }
    if (exceptions == 0) {
        return count;
    }
    as_predicates_limit(&match->predicates, EXCEPTION_STEPS);
    as_event_values_load(values, fields & AS_PLAIN_FIELDS);
    uint32_t previous = UINT32_MAX;
    bool excepted = false;
    for (uint32_t i = 0; i < count; i++) {
        const uint16_t at = match->matched[i];
        const uint32_t rule = match->filters[at].rule;
        excepted = rule == previous ? excepted : is_excepted(match, &match->rules[rule], ms, values, stats);
        previous = rule;
        if (!excepted) {
            match->matched[left++] = at;
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
