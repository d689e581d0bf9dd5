/* The rule table: which ones are valid. */
#include "_ring/rules.h"

#include <stdlib.h>

#include "_ring/record.h"
#include "check.h"
#include "samples.h"

/* A table with one or two of everything, each to be spoilt. */
typedef struct {
    as_rule rule;
    as_class classes[2];
    as_call call;
    as_main main;
    as_filter filter;
    uint16_t anchor;
    as_node nodes[2];
    as_predicate predicate;
    as_operand operand;
    as_exception exception;
    as_rules rules;
} spoilable;

static spoilable *good_table(void) {
    static spoilable good;
    good = (spoilable){.rule = {.kind = AS_RULE_RUNS, .stages = 1, .count = 2, .span_ms = 1, .exceptions = 1},
                       .classes = {{0}, {.filters = 1, .first_path = 2, .flags = AS_CLASS_EXECUTES | AS_CLASS_KEPT}},
                       .call = {.arch = 1, .syscall = 2, .class_index = 1},
                       .main = {.type = 1400, .call_class = AS_CLASS_NONE, .class_index = 1},
                       .filter = {.stages = 1,
                                  .anchors = 1,
                                  .keys = {AS_FIELD_PID, AS_FIELD_NODE, AS_FIELD_UID, AS_FIELD_EXE},
                                  .key_count = 4,
                                  .optional_keys = 15},
                       .nodes = {{0, 1, AS_NODE_FALSE}, {0, AS_NODE_TRUE, AS_NODE_FALSE}},
                       .predicate = {.field = AS_FIELD_COMM, .op = AS_OP_TEXT, .operands = 1},
                       .operand = {.at = 0, .len = 4},
                       .exception = {.until_ms = UINT64_MAX, .start = 1},
                       .rules = {.rule_count = 1,
                                 .class_count = 2,
                                 .call_count = 1,
                                 .main_count = 1,
                                 .filter_count = 1,
                                 .anchor_count = 1,
                                 .node_count = 2,
                                 .predicate_count = 1,
                                 .operand_count = 1,
                                 .exception_count = 1,
                                 .text_len = 16,
                                 .other_call_class = 1}};
    good.rules.rules = &good.rule;
    good.rules.classes = good.classes;
    good.rules.calls = &good.call;
    good.rules.mains = &good.main;
    good.rules.filters = &good.filter;
    good.rules.anchors = &good.anchor;
    good.rules.nodes = good.nodes;
    good.rules.predicates = &good.predicate;
    good.rules.operands = &good.operand;
    good.rules.exceptions = &good.exception;
    good.rules.text = (const uint8_t *)"sixteen bytes...";
    return &good;
}

#define SPOILT(path, value)                     \
    do {                                        \
        spoilable *spoilt = good_table();       \
        spoilt->path = (value);                 \
        CHECK(!as_rules_valid(&spoilt->rules)); \
    } while (0)
#define STILL_GOOD(path, value)                 \
    do {                                        \
        spoilable *changed = good_table();      \
        changed->path = (value);                \
        CHECK(as_rules_valid(&changed->rules)); \
    } while (0)

static void bounds(void) {
    CASE("an empty table and a whole one are valid");
    const as_rules empty = {0};
    CHECK(as_rules_valid(&empty));
    CHECK(as_rules_valid(&good_table()->rules));

    CASE("a rule's numbers have bounds, and what counts to one is an event");
    SPOILT(rule.count, 0);
    SPOILT(rule.count, 1);
    SPOILT(rule.count, 102);
    STILL_GOOD(rule.count, 101);
    SPOILT(rule.kind, AS_RULE_EVENT);
    SPOILT(rule.kind, AS_RULE_SAMPLE + 1);
    SPOILT(rule.limit, 1);
    SPOILT(rule.stages, 0);
    SPOILT(rule.stages, 2);
    SPOILT(rule.span_ms, 0);
    SPOILT(rule.span_ms, 604800001);
    STILL_GOOD(rule.span_ms, 604800000);
    SPOILT(rule.merge_ms, 604800001);
    STILL_GOOD(rule.merge_ms, 604800000);

    CASE("a filter has up to four keys, and only those can be optional");
    SPOILT(filter.key_count, 5);
    SPOILT(filter.keys[0], AS_FIELDS);
    SPOILT(filter.keys[3], 255);
    SPOILT(filter.optional_keys, 16);
    SPOILT(filter.key_count, 3);
    STILL_GOOD(filter.optional_keys, 0);

    CASE("a filter is of a rule that exists, and of one of its stages");
    SPOILT(filter.rule, 1);
    SPOILT(filter.first_stage, 1);
    SPOILT(filter.stages, 0);
    SPOILT(filter.stages, 2);
    SPOILT(filter.until, 1);

    CASE("no range leaves its array, also where adding would wrap");
    SPOILT(classes[1].first_filter, 1);
    SPOILT(classes[1].filters, 2);
    SPOILT(classes[1].filters, UINT32_MAX);
    SPOILT(filter.first_anchor, 1);
    SPOILT(filter.anchors, 2);
    SPOILT(predicate.first_operand, 1);
    SPOILT(predicate.operands, UINT32_MAX);
    SPOILT(operand.at, 13);
    SPOILT(operand.len, 17);
    SPOILT(operand.at, UINT32_MAX);
    SPOILT(rule.first_exception, 1);
    SPOILT(rule.exceptions, 2);
    SPOILT(rule.exceptions, UINT32_MAX);
    STILL_GOOD(rule.exceptions, 0);
    STILL_GOOD(exception.until_ms, 0);

    CASE("every index names an element");
    SPOILT(anchor, 1);
    SPOILT(nodes[0].predicate, 1);
    SPOILT(call.class_index, 2);
    SPOILT(call.class_index, UINT32_MAX);
    STILL_GOOD(call.class_index, 0);
    SPOILT(main.class_index, 2);
    SPOILT(main.call_class, 2);
    STILL_GOOD(main.call_class, 1);
    SPOILT(rules.other_call_class, 2);
    SPOILT(rules.class_count, 1);

    CASE("the first class has nothing, and others know what they are for");
    SPOILT(classes[0].filters, 1);
    SPOILT(classes[0].flags, AS_CLASS_KEPT);
    SPOILT(classes[1].first_path, 3);
    SPOILT(classes[1].flags, 4);

    CASE("a predicate names a field and an operator");
    SPOILT(predicate.field, AS_FIELDS);
    SPOILT(predicate.op, AS_OP_AT_LEAST + 1);
    SPOILT(predicate.flags, 2);
    STILL_GOOD(predicate.flags, AS_FOLD_CASE);

    CASE("actor fields are fields; flags are known ones");
    SPOILT(rules.actor_fields, UINT64_C(1) << AS_FIELDS);
    SPOILT(rules.flags, 4);
    STILL_GOOD(rules.flags, AS_STRICT | AS_PROCESSES);
}

/* A table whose rule has stages. */
static bool staged_is_valid(as_rule_kind kind, uint32_t stages, uint16_t first_stage, uint16_t count, uint16_t until) {
    spoilable *table = good_table();
    table->rule.kind = kind;
    table->rule.count = 1;
    table->rule.stages = stages;
    table->filter.first_stage = first_stage;
    table->filter.stages = count;
    table->filter.until = until;
    return as_rules_valid(&table->rules);
}

static void stages(void) {
    CASE("a sequence has 2 to 101 stages, and each filter stands for some of them");
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 1, 0, 1, 0));
    CHECK(staged_is_valid(AS_RULE_SEQUENCE, 2, 0, 1, 0));
    CHECK(staged_is_valid(AS_RULE_SEQUENCE, 101, 0, 101, 0));
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 102, 0, 101, 0));
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 101, 1, 101, 0));
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 3, 3, 1, 0));
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 3, 0, 0, 0));

    CASE("a sample has 2 to 8 items, with a filter each");
    CHECK(!staged_is_valid(AS_RULE_SAMPLE, 1, 0, 1, 0));
    CHECK(staged_is_valid(AS_RULE_SAMPLE, 8, 7, 1, 0));
    CHECK(!staged_is_valid(AS_RULE_SAMPLE, 9, 0, 1, 0));
    CHECK(!staged_is_valid(AS_RULE_SAMPLE, 3, 0, 2, 0));

    CASE("only a sequence has an end, which is of no stage");
    CHECK(staged_is_valid(AS_RULE_SEQUENCE, 3, 0, 1, 1));
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 3, 1, 1, 1));
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 3, 0, 2, 1));
    CHECK(!staged_is_valid(AS_RULE_SEQUENCE, 3, 0, 1, 2));
    CHECK(!staged_is_valid(AS_RULE_SAMPLE, 3, 0, 1, 1));
}

static void programs(void) {
    CASE("a program goes forward, to a node or an end: it cannot run for ever");
    SPOILT(nodes[0].yes, 0);
    SPOILT(nodes[1].yes, 0);
    SPOILT(nodes[1].no, 1);
    SPOILT(nodes[0].no, 2);
    STILL_GOOD(nodes[0].no, 1);
    STILL_GOOD(nodes[1].yes, AS_NODE_FALSE);

    CASE("it starts at a node, or holds");
    SPOILT(filter.start, 2);
    SPOILT(filter.start, AS_NODE_FALSE);
    STILL_GOOD(filter.start, AS_NODE_TRUE);
    SPOILT(exception.start, 2);
    SPOILT(exception.start, 0x10000);
    STILL_GOOD(exception.start, AS_NODE_TRUE);
}

static void operands(void) {
    CASE("a length is compared by a number's operator");
    for (uint32_t op = 0; op < 12; op++) {
        spoilable *table = good_table();
        table->predicate.op = AS_OP_LENGTH;
        table->predicate.length_op = (uint8_t)op;
        const bool good = op == AS_OP_NUMBER || (op >= AS_OP_LESS && op <= AS_OP_AT_LEAST);
        CHECK(as_rules_valid(&table->rules) == good);
    }

    CASE("a network is an address of 16 bytes and at most 128 bits");
    for (uint32_t bits = 127; bits <= 129; bits++) {
        for (uint32_t len = 15; len <= 16; len++) {
            spoilable *table = good_table();
            table->predicate.op = AS_OP_NETWORK;
            table->operand = (as_operand){.number = bits, .len = len};
            CHECK(as_rules_valid(&table->rules) == (bits <= 128 && len == 16));
        }
    }

    CASE("a regular expression is a program that can be run");
    SPOILT(predicate.op, AS_OP_REGEX);
}

static void sharing(void) {
    CASE("what filters share is bounded, so that no sum of the index wraps");
    enum { MANY = 65535, SHARED = 260 };
    static uint16_t anchors[MANY];
    static as_operand same[MANY];
    for (uint32_t operands = SHARED - 10; operands <= SHARED; operands += 10) {
        spoilable *table = good_table();
        table->rules.anchors = anchors;
        table->rules.anchor_count = table->filter.anchors = MANY;
        table->rules.operands = same;
        table->rules.operand_count = table->predicate.operands = operands;
        CHECK(as_rules_valid(&table->rules) == (operands < SHARED));
    }
}

static void order(void) {
    CASE("the filters of a class stand in the order of their rules");
    spoilable *table = good_table();
    as_rule rules[2] = {table->rule, table->rule};
    as_filter filters[2] = {table->filter, table->filter};
    table->rules.rules = rules;
    table->rules.rule_count = 2;
    table->rules.filters = filters;
    table->rules.filter_count = 2;
    table->classes[1].filters = 2;
    CHECK(!as_rules_valid(&table->rules));
    filters[1].rule = 1;
    CHECK(as_rules_valid(&table->rules));
    filters[0].rule = 1;
    filters[1].rule = 0;
    CHECK(!as_rules_valid(&table->rules));

    CASE("of one rule the last stage comes first, and what ends it last");
    static const struct {
        uint16_t stages[2];
        uint16_t until[2];
        bool valid;
    } orders[] = {{{1, 0}, {0, 0}, true}, {{0, 1}, {0, 0}, false}, {{1, 1}, {0, 0}, false},
                  {{0, 0}, {0, 1}, true}, {{0, 0}, {1, 0}, false}, {{0, 0}, {1, 1}, false}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        for (uint32_t j = 0; j < 2; j++) {
            rules[j] = (as_rule){.kind = AS_RULE_SEQUENCE, .stages = 2, .count = 1, .span_ms = 1};
            filters[j].rule = 0;
            filters[j].first_stage = orders[i].stages[j];
            filters[j].until = orders[i].until[j];
        }
        CHECK(as_rules_valid(&table->rules) == orders[i].valid);
    }
}

static void sizes(void) {
    CASE("every entry of a table is looked at, the last one too");
    for (int spoilt = 0; spoilt <= 4; spoilt++) {
        const spoilable *good = good_table();
        as_rule rules[3] = {good->rule, good->rule, good->rule};
        as_predicate predicates[3] = {good->predicate, good->predicate, good->predicate};
        as_operand operands[3] = {good->operand, good->operand, good->operand};
        as_exception exceptions[3] = {good->exception, good->exception, good->exception};
        as_rules table = good->rules;
        table.rules = rules;
        table.predicates = predicates;
        table.operands = operands;
        table.exceptions = exceptions;
        table.rule_count = table.predicate_count = table.operand_count = table.exception_count = 3;
        rules[2].count = spoilt == 1 ? 0 : rules[2].count;
        predicates[2].field = spoilt == 2 ? AS_FIELDS : predicates[2].field;
        operands[2].at = spoilt == 3 ? 16 : operands[2].at;
        exceptions[2].start = spoilt == 4 ? 4 : exceptions[2].start;
        CHECK(as_rules_valid(&table) == (spoilt == 0));
    }

    CASE("a table may be as large as its bounds, and not larger");
    SPOILT(rules.rule_count, 1025);
    SPOILT(rules.class_count, 65536);
    SPOILT(rules.call_count, 65537);
    SPOILT(rules.main_count, 65537);
    SPOILT(rules.filter_count, 65536);
    SPOILT(rules.anchor_count, 65537);
    SPOILT(rules.node_count, AS_NODE_FALSE);
    SPOILT(rules.predicate_count, 8193);
    SPOILT(rules.operand_count, 65537);
    SPOILT(rules.exception_count, 65537);
    SPOILT(rules.text_len, (1 << 20) + 1);
    SPOILT(rules.arch_count, 65537);
    const as_rules texts = {.text_len = 1 << 20, .arch_count = 65536};
    CHECK(as_rules_valid(&texts));
}

int main(void) {
    bounds();
    stages();
    programs();
    operands();
    sharing();
    order();
    sizes();
    return check_done();
}
