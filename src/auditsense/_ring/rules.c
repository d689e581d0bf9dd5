#include "rules.h"

#include "classes.h"
#include "record.h"
#include "regex.h"

enum {
    MAX_RULES = 1024,
    MAX_CLASSES = 65535,
    MAX_FILTERS = 65535,
    MAX_PREDICATES = 8192,
    MAX_SESSIONS = 64,
    MAX_ENTRIES = 65536,
    MAX_TEXT = 1 << 20,
    MAX_INDEXED = 1 << 24,
    MAX_SPAN_MS = 604800000,
    MAX_LIMIT = 65535,
    MAX_KEYS = 4,
    MAX_DIRECTORY = 4,
    MAX_PATH = 2,
    ADDRESS_BYTES = 16,
    ADDRESS_BITS = 128
};

/* True if [first, first + count) lies inside an array of this size. */
static bool inside(uint32_t first, uint32_t count, uint32_t size) {
    return first <= size && count <= size - first;
}

static bool program_valid(const as_rules *rules, uint32_t start) {
    return start < rules->node_count || start == AS_NODE_TRUE;
}

/* The numbers that depend on the kind. */
static bool kind_valid(const as_rule *rule) {
    const bool staged = rule->kind == AS_RULE_SEQUENCE || rule->kind == AS_RULE_SAMPLE;
    const uint32_t most = rule->kind == AS_RULE_SEQUENCE ? AS_MOST_COUNT : AS_MOST_ITEMS;
    const uint32_t fewest = rule->kind == AS_RULE_SEQUENCE && rule->limit > 0 ? 1 : 2;
    const bool stages = staged ? rule->stages >= fewest && rule->stages <= most : rule->stages == 1;
    const bool count = rule->kind == AS_RULE_RUNS ? rule->count >= 2 && rule->count <= AS_MOST_COUNT : rule->count == 1;
    return stages && count && (staged ? rule->merge_ms == 0 : rule->limit == 0);
}

static bool rule_valid(const as_rules *rules, const as_rule *rule) {
    return rule->kind <= AS_RULE_SAMPLE && kind_valid(rule) && rule->span_ms >= 1 && rule->span_ms <= MAX_SPAN_MS &&
           rule->merge_ms <= MAX_SPAN_MS && rule->limit <= MAX_LIMIT && rule->limit_ms <= MAX_SPAN_MS &&
           inside(rule->first_exception, rule->exceptions, rules->exception_count);
}

static bool keys_valid(const as_filter *filter) {
    bool valid = filter->key_count <= MAX_KEYS && filter->optional_keys >> filter->key_count == 0;
    for (uint32_t i = 0; valid && i < filter->key_count; i++) {
        valid = filter->keys[i] < AS_FIELDS;
    }
    return valid;
}

/* The stages that a filter stands for. */
static bool stages_valid(const as_rule *rule, const as_filter *filter) {
    if (filter->until != 0) {
        return rule->kind == AS_RULE_SEQUENCE && filter->until == 1 && filter->first_stage == 0 && filter->stages == 1;
    }
    return filter->stages >= 1 && inside(filter->first_stage, filter->stages, rule->stages) &&
           (rule->kind == AS_RULE_SEQUENCE || filter->stages == 1);
}

static bool filter_valid(const as_rules *rules, const as_filter *filter) {
    return program_valid(rules, filter->start) && filter->rule < rules->rule_count && keys_valid(filter) &&
           stages_valid(&rules->rules[filter->rule], filter) &&
           inside(filter->first_anchor, filter->anchors, rules->anchor_count);
}

/* The order in which the filters of an event are applied. */
static bool in_order(const as_filter *filter, const as_filter *next) {
    if (filter->rule != next->rule) {
        return filter->rule < next->rule;
    }
    return filter->until == 0 && (next->until == 1 || filter->first_stage > next->first_stage);
}

static bool class_valid(const as_rules *rules, const as_class *row) {
    bool valid = inside(row->first_filter, row->filters, rules->filter_count) && row->first_path <= MAX_PATH &&
                 row->flags <= (AS_CLASS_EXECUTES | AS_CLASS_KEPT) && row->directory <= MAX_DIRECTORY;
    for (uint32_t i = 1; valid && i < row->filters; i++) {
        const as_filter *filter = &rules->filters[row->first_filter + i];
        valid = in_order(filter - 1, filter);
    }
    return valid;
}

static bool target_valid(const as_rules *rules, uint32_t node, uint16_t target) {
    return target >= AS_NODE_FALSE || (target > node && target < rules->node_count);
}

static bool node_valid(const as_rules *rules, uint32_t at) {
    const as_node *node = &rules->nodes[at];
    return node->predicate < rules->predicate_count && target_valid(rules, at, node->yes) &&
           target_valid(rules, at, node->no);
}

static bool length_valid(const as_predicate *predicate) {
    return predicate->op != AS_OP_LENGTH || predicate->length_op == AS_OP_NUMBER ||
           (predicate->length_op >= AS_OP_LESS && predicate->length_op <= AS_OP_AT_LEAST);
}

static bool network_valid(const as_rules *rules, const as_predicate *predicate) {
    bool valid = true;
    for (uint32_t i = 0; valid && predicate->op == AS_OP_NETWORK && i < predicate->operands; i++) {
        const as_operand *operand = &rules->operands[predicate->first_operand + i];
        valid = operand->len == ADDRESS_BYTES && operand->number <= ADDRESS_BITS;
    }
    return valid;
}

static bool regex_valid(const as_rules *rules, const as_predicate *predicate) {
    bool valid = true;
    for (uint32_t i = 0; valid && predicate->op == AS_OP_REGEX && i < predicate->operands; i++) {
        const as_operand *operand = &rules->operands[predicate->first_operand + i];
        valid = as_regex_valid(as_span_of(rules->text + operand->at, operand->len));
    }
    return valid;
}

static bool predicate_valid(const as_rules *rules, const as_predicate *predicate) {
    return predicate->field < AS_FIELDS && predicate->op <= AS_OP_AT_LEAST && predicate->flags <= AS_FOLD_CASE &&
           length_valid(predicate) && inside(predicate->first_operand, predicate->operands, rules->operand_count) &&
           network_valid(rules, predicate) && regex_valid(rules, predicate);
}

static bool counts_valid(const as_rules *rules) {
    return rules->rule_count <= MAX_RULES && rules->class_count <= MAX_CLASSES && rules->call_count <= MAX_ENTRIES &&
           rules->main_count <= MAX_ENTRIES && rules->filter_count <= MAX_FILTERS &&
           rules->anchor_count <= MAX_ENTRIES && rules->node_count < AS_NODE_FALSE &&
           rules->predicate_count <= MAX_PREDICATES && rules->operand_count <= MAX_ENTRIES &&
           rules->exception_count <= MAX_ENTRIES && rules->text_len <= MAX_TEXT && rules->arch_count <= MAX_ENTRIES &&
           rules->session_count <= MAX_SESSIONS;
}

/* Whether a class exists; 0 always does. */
static bool class_exists(const as_rules *rules, uint32_t index) {
    return index < rules->class_count || index == 0;
}

static bool classes_valid(const as_rules *rules) {
    bool valid = class_exists(rules, rules->other_call_class);
    for (uint32_t i = 0; valid && i < rules->class_count; i++) {
        const as_class *row = &rules->classes[i];
        valid = class_valid(rules, row) && (i > 0 || (row->filters == 0 && row->flags == 0));
    }
    for (uint32_t i = 0; valid && i < rules->call_count; i++) {
        valid = class_exists(rules, rules->calls[i].class_index);
    }
    for (uint32_t i = 0; valid && i < rules->main_count; i++) {
        const as_main *row = &rules->mains[i];
        valid = class_exists(rules, row->class_index) && row->type >= AS_FIRST_LISTED &&
                row->type - AS_FIRST_LISTED < AS_LISTED_TYPES &&
                (row->call_class == AS_CLASS_NONE || class_exists(rules, row->call_class));
    }
    return valid;
}

static bool programs_valid(const as_rules *rules) {
    bool valid = true;
    for (uint32_t i = 0; valid && i < rules->filter_count; i++) {
        valid = filter_valid(rules, &rules->filters[i]);
    }
    for (uint32_t i = 0; valid && i < rules->anchor_count; i++) {
        valid = rules->anchors[i] < rules->predicate_count;
    }
    for (uint32_t i = 0; valid && i < rules->node_count; i++) {
        valid = node_valid(rules, i);
    }
    for (uint32_t i = 0; valid && i < rules->operand_count; i++) {
        valid = inside(rules->operands[i].at, rules->operands[i].len, rules->text_len);
    }
    for (uint32_t i = 0; valid && i < rules->predicate_count; i++) {
        valid = predicate_valid(rules, &rules->predicates[i]);
    }
    return valid;
}

/* Classes may share filters, and filters anchors: bounds what candidates.c adds up. */
static bool index_valid(const as_rules *rules) {
    uint64_t indexed = 0;
    for (uint32_t i = 0; indexed <= MAX_INDEXED && i < rules->class_count; i++) {
        const as_class *row = &rules->classes[i];
        for (uint32_t j = 0; indexed <= MAX_INDEXED && j < row->filters; j++) {
            const as_filter *filter = &rules->filters[row->first_filter + j];
            indexed++;
            for (uint32_t k = 0; indexed <= MAX_INDEXED && k < filter->anchors; k++) {
                indexed += 1 + (uint64_t)rules->predicates[rules->anchors[filter->first_anchor + k]].operands;
            }
        }
    }
    return indexed <= MAX_INDEXED;
}

bool as_rules_valid(const as_rules *rules) {
    bool valid = (rules->actor_fields & ~AS_ALL_FIELDS) == 0 &&
                 (rules->flags & ~(uint32_t)(AS_STRICT | AS_PROCESSES)) == 0 && counts_valid(rules) &&
                 programs_valid(rules) && classes_valid(rules) && index_valid(rules);
    for (uint32_t i = 0; valid && i < rules->rule_count; i++) {
        valid = rule_valid(rules, &rules->rules[i]);
    }
    for (uint32_t i = 0; valid && i < rules->exception_count; i++) {
        valid = program_valid(rules, rules->exceptions[i].start);
    }
    for (uint32_t i = 0; valid && i < rules->session_count; i++) {
        const as_session *row = &rules->sessions[i];
        valid = inside(row->name_at, row->name_len, rules->text_len) &&
                inside(row->type_at, row->type_len, rules->text_len);
    }
    return valid;
}
