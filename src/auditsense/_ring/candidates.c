#include "candidates.h"

#include "hash.h"

#define NONE UINT32_MAX

/* With fewer filters, evaluating them costs less than looking up the event's texts. */
enum { FEW_FILTERS = 8 };

static bool is_text(const as_rules *rules, const as_predicate *predicate) {
    bool text = predicate->op == AS_OP_TEXT;
    for (uint32_t i = 0; text && i < predicate->operands; i++) {
        text = rules->operands[predicate->first_operand + i].mask == 0;
    }
    return text;
}

/* Words of a tail before the bits: its number, 0 for none, and the class. */
enum { NUMBER, CLASS, HEAD };

/* Numbers of an index: counted in the first pass, and while it is built. */
typedef struct {
    uint32_t texts;
    uint32_t patterns;
    uint32_t groups;
    uint32_t words;
    uint32_t most_words;
} sizes;

static uint32_t words_of(uint32_t filters) {
    return (filters + 63) / 64;
}

static bool is_indexed(const as_class *row) {
    return row->filters >= FEW_FILTERS;
}

static sizes count(const as_rules *rules) {
    sizes all = {0};
    for (uint32_t i = 0; i < rules->class_count; i++) {
        const as_class *row = &rules->classes[i];
        if (!is_indexed(row)) {
            continue;
        }
        const uint32_t words = words_of(row->filters);
        uint32_t anchors = 0;
        for (uint32_t j = 0; j < row->filters; j++) {
            const as_filter *filter = &rules->filters[row->first_filter + j];
            for (uint32_t k = 0; k < filter->anchors; k++) {
                const as_predicate *predicate = &rules->predicates[rules->anchors[filter->first_anchor + k]];
                const bool text = is_text(rules, predicate);
                all.texts += text ? predicate->operands : 0;
                all.patterns += text ? 0 : 1;
            }
            anchors += filter->anchors;
        }
        all.words += words;
        all.most_words = words > all.most_words ? words : all.most_words;
        all.groups += anchors < 2 * AS_FIELDS ? anchors : 2 * AS_FIELDS;
    }
    return all;
}

static uint8_t byte_of(as_span text, uint32_t at, bool fold) {
    return fold ? as_lower(text.at[at]) : text.at[at];
}

/* One of the marks of a group, the same in any case. */
static uint32_t mark_of(as_span text) {
    enum { MARKS = 1024 };
    if (text.len == 0) {
        return 0;
    }
    return (text.len * 37u + as_lower(text.at[0]) * 5u + as_lower(text.at[text.len - 1]) * 131u +
            as_lower(text.at[text.len / 2]) * 29u) %
           MARKS;
}

static uint64_t hash_of(const as_candidates *candidates, uint32_t class_index, const as_anchor_group *group,
                        as_span text) {
    const uint64_t seed = candidates->seed ^ ((uint64_t)class_index << 9 | (uint64_t)group->field << 1 | group->fold);
    if (!group->fold) {
        return as_hash_bytes(seed, text);
    }
    uint64_t hash = as_mix(seed, text.len);
    for (uint32_t at = 0; at < text.len; at += 8) {
        uint64_t word = 0;
        for (uint32_t i = 0; i < 8 && at + i < text.len; i++) {
            word |= (uint64_t)byte_of(text, at + i, true) << (8 * i);
        }
        hash = as_mix(hash ^ seed, word);
    }
    return hash;
}

static uint32_t *bucket_of(const as_candidates *candidates, uint64_t hash) {
    return &candidates->buckets[(hash ^ hash >> 32) & candidates->bucket_mask];
}

/* The group of these texts; a new one if there is none. */
static as_anchor_group *group_of(as_candidates *candidates, as_anchored_class *row, uint8_t field, bool fold) {
    as_anchor_group *groups = &candidates->groups[row->first_group];
    uint32_t at = 0;
    while (at < row->groups && (groups[at].field != field || groups[at].fold != fold)) {
        at++;
    }
    if (at == row->groups) { /* sorted, for as_candidates_find */
        for (; at > 0 && groups[at - 1].field > field; at--) {
            groups[at] = groups[at - 1];
        }
        groups[at] = (as_anchor_group){.field = field, .fold = fold, .of_tail = (AS_BIT(field) & AS_TAIL_BITS) != 0};
        row->groups++;
    }
    return &groups[at];
}

static void add_texts(as_candidates *candidates, const as_rules *rules, uint32_t class_index, uint16_t filter,
                      const as_predicate *predicate, sizes *used) {
    as_anchor_group *group = group_of(candidates, &candidates->classes[class_index], predicate->field,
                                      (predicate->flags & AS_FOLD_CASE) != 0);
    for (uint32_t i = 0; i < predicate->operands; i++) {
        const as_operand *operand = &rules->operands[predicate->first_operand + i];
        const as_span text = as_span_of(rules->text + operand->at, operand->len);
        const uint64_t hash = hash_of(candidates, class_index, group, text);
        uint32_t *bucket = bucket_of(candidates, hash);
        group->marks[mark_of(text) / 64] |= UINT64_C(1) << mark_of(text) % 64;
        candidates->texts[used->texts] = (as_anchor_text){.hash = hash, .next = *bucket, .filter = filter};
        *bucket = used->texts++;
    }
}

static void add_filter(as_candidates *candidates, const as_rules *rules, uint32_t class_index, uint32_t number,
                       as_predicates *predicates, sizes *used) {
    as_anchored_class *row = &candidates->classes[class_index];
    const as_filter *filter = &rules->filters[rules->classes[class_index].first_filter + number];
    if (filter->anchors == 0) {
        candidates->always[row->first_always + number / 64] |= UINT64_C(1) << number % 64;
    }
    for (uint32_t i = 0; i < filter->anchors; i++) {
        const uint16_t at = rules->anchors[filter->first_anchor + i];
        const as_predicate *predicate = &rules->predicates[at];
        if (is_text(rules, predicate)) {
            add_texts(candidates, rules, class_index, (uint16_t)number, predicate, used);
        } else {
            const bool of_tail = (predicates->rows[at].flags & AS_OF_TAIL) != 0;
            predicates->rows[at].flags |= AS_SHARED;
            candidates->patterns[used->patterns++] =
                (as_anchor_pattern){.predicate = at, .filter = (uint16_t)number, .of_tail = of_tail};
            row->tails = row->tails || of_tail;
            row->patterns++;
        }
    }
}

void as_candidates_init(as_candidates *candidates, const as_config *config, const as_rules *rules,
                        as_predicates *predicates, as_arena *arena) {
    const sizes all = count(rules);
    const uint32_t buckets = as_power_of_two(all.texts);
    candidates->seed = config->seed;
    candidates->bucket_mask = buckets - 1;
    candidates->classes = as_arena_alloc(arena, rules->class_count, sizeof *candidates->classes);
    candidates->texts = as_arena_alloc(arena, all.texts, sizeof *candidates->texts);
    candidates->buckets = as_arena_alloc(arena, buckets, sizeof *candidates->buckets);
    candidates->patterns = as_arena_alloc(arena, all.patterns, sizeof *candidates->patterns);
    candidates->groups = as_arena_alloc(arena, all.groups, sizeof *candidates->groups);
    candidates->always = as_arena_alloc(arena, all.words, sizeof *candidates->always);
    candidates->found = as_arena_alloc(arena, all.most_words, sizeof *candidates->found);
    candidates->tail_words = all.most_words > 0 ? HEAD + all.most_words : 0;
    candidates->tails = as_arena_alloc(arena, (size_t)AS_TAILS * candidates->tail_words, sizeof *candidates->tails);
    if (candidates->buckets == NULL) {
        return;
    }
    for (uint32_t i = 0; i < buckets; i++) {
        candidates->buckets[i] = NONE;
    }
    sizes used = {0};
    for (uint32_t i = 0; i < rules->class_count; i++) {
        as_anchored_class *row = &candidates->classes[i];
        *row = (as_anchored_class){.indexed = is_indexed(&rules->classes[i]),
                                   .filters = rules->classes[i].filters,
                                   .words = words_of(rules->classes[i].filters),
                                   .first_always = used.words,
                                   .first_group = used.groups,
                                   .first_pattern = used.patterns};
        for (uint32_t j = 0; row->indexed && j < row->filters; j++) {
            add_filter(candidates, rules, i, j, predicates, &used);
        }
        used.words += row->indexed ? row->words : 0;
        used.groups += row->groups;
        for (uint32_t j = 0; j < row->groups; j++) {
            row->tails = row->tails || candidates->groups[row->first_group + j].of_tail;
        }
    }
}

uint64_t as_candidates_fields(const as_candidates *candidates, uint32_t class_index, const as_predicates *predicates) {
    const as_anchored_class *row = &candidates->classes[class_index];
    uint64_t fields = 0;
    for (uint32_t i = 0; i < row->groups; i++) {
        fields |= AS_BIT(candidates->groups[row->first_group + i].field);
    }
    for (uint32_t i = 0; i < row->patterns; i++) {
        fields |= AS_BIT(predicates->rows[candidates->patterns[row->first_pattern + i].predicate].field);
    }
    return fields;
}

static void look_up(const as_candidates *candidates, uint32_t class_index, const as_anchor_group *group, uint32_t mark,
                    as_span text, uint64_t *found) {
    if ((group->marks[mark / 64] >> mark % 64 & 1) == 0) {
        return;
    }
    const uint64_t hash = hash_of(candidates, class_index, group, text);
    for (uint32_t at = *bucket_of(candidates, hash); at != NONE; at = candidates->texts[at].next) {
        const as_anchor_text *anchor = &candidates->texts[at];
        if (anchor->hash == hash) {
            found[anchor->filter / 64] |= UINT64_C(1) << anchor->filter % 64;
        }
    }
}

/* Add the candidates by the anchors of the end of a SYSCALL record, or by the others. */
static void add_candidates(const as_candidates *candidates, uint32_t class_index, bool of_tail,
                           as_predicates *predicates, as_event_values *values, uint64_t *found) {
    const as_anchored_class *row = &candidates->classes[class_index];
    for (uint32_t i = 0; i < row->groups; i++) {
        const as_anchor_group *group = &candidates->groups[row->first_group + i];
        if (group->of_tail != of_tail) {
            continue;
        }
        /* The groups of a field in both cases follow each other. */
        const as_anchor_group *other = i + 1 < row->groups && group[1].field == group->field ? group + 1 : NULL;
        const as_list list = as_event_list(values, (as_field)group->field);
        for (uint32_t j = 0; j < list.count; j++) {
            const uint32_t mark = mark_of(list.at[j]);
            look_up(candidates, class_index, group, mark, list.at[j], found);
            if (other != NULL) {
                look_up(candidates, class_index, other, mark, list.at[j], found);
            }
        }
        i += other != NULL ? 1 : 0;
    }
    for (uint32_t i = 0; i < row->patterns; i++) {
        const as_anchor_pattern *pattern = &candidates->patterns[row->first_pattern + i];
        uint64_t *word = &found[pattern->filter / 64];
        const uint64_t bit = UINT64_C(1) << pattern->filter % 64;
        if (pattern->of_tail == of_tail && (*word & bit) == 0 &&
            as_predicate_holds(predicates, pattern->predicate, values)) {
            *word |= bit;
        }
    }
}

/* The candidates by the end of the SYSCALL record: usually known. */
static void add_of_tail(as_candidates *candidates, uint32_t class_index, as_predicates *predicates,
                        as_event_values *values) {
    const as_anchored_class *row = &candidates->classes[class_index];
    const as_tail *tail = as_event_tail(values);
    if (tail == NULL) {
        add_candidates(candidates, class_index, true, predicates, values, candidates->found);
        return;
    }
    uint64_t *kept = &candidates->tails[(size_t)as_tail_slot(values->tails, tail) * candidates->tail_words];
    if (kept[NUMBER] != tail->number || kept[CLASS] != class_index) {
        kept[NUMBER] = tail->number;
        kept[CLASS] = class_index;
        memset(kept + HEAD, 0, row->words * sizeof *kept);
        add_candidates(candidates, class_index, true, predicates, values, kept + HEAD);
    }
    for (uint32_t i = 0; i < row->words; i++) {
        candidates->found[i] |= kept[HEAD + i];
    }
}

const uint64_t *as_candidates_find(as_candidates *candidates, uint32_t class_index, as_predicates *predicates,
                                   as_event_values *values) {
    const as_anchored_class *row = &candidates->classes[class_index];
    if (!row->indexed) {
        return NULL;
    }
    memcpy(candidates->found, &candidates->always[row->first_always], row->words * sizeof *candidates->found);
    if (row->tails) {
        add_of_tail(candidates, class_index, predicates, values);
    }
    add_candidates(candidates, class_index, false, predicates, values, candidates->found);
    return candidates->found;
}
