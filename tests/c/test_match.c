/* Stage 5, match: programs, the filters of a class, shared predicates and exceptions. */
#include "_ring/match.h"

#include "_ring/rules.h"
#include "check.h"
#include "samples.h"

static _Alignas(16) uint8_t memory[1 << 20];

static as_match match_of(const as_rules *rules) {
    const as_config config = sample_config();
    as_match match;
    as_arena counting = {.base = NULL};
    as_arena from = {.base = memory};
    memset(memory, 0, sizeof memory);
    CHECK(as_rules_valid(rules));
    as_match_init(&match, &config, rules, &counting);
    CHECK(counting.used <= sizeof memory);
    as_match_init(&match, &config, rules, &from);
    CHECK_EQUAL(counting.used, from.used);
    return match;
}

/* Bits of the rules whose filters fit an event of this class. */
static uint32_t matching(as_match *match, uint32_t class_index, as_event_values *fields) {
    const uint32_t count = as_match_event(match, class_index, 0, fields);
    uint32_t rules = 0;
    for (uint32_t i = 0; i < count; i++) {
        rules |= 1u << match->filters[match->matched[i]].rule;
    }
    return rules;
}

static void events(void) {
    const as_rules rules = sample_rules(0, 2);
    as_match match = match_of(&rules);
    static as_event_values located;
    as_value *const values = located.values;
    located = (as_event_values){.located = AS_ALL_FIELDS};
    const as_record call = {.type = AS_TYPE_SYSCALL, .body = GUARDED(SAMPLE_SYSCALL)};
    const as_record path = {.type = AS_TYPE_PATH, .body = GUARDED(SAMPLE_PATH)};

    CASE("all predicates of a conjunction must hold; a filter without a program fits always");
    as_record_fields(&call, AS_ALL_FIELDS, values);
    CHECK_EQUAL(matching(&match, 1, &located), 2);
    as_record_fields(&path, AS_ALL_FIELDS, values);
    CHECK_EQUAL(matching(&match, 1, &located), 3);

    CASE("any operand of a predicate is enough");
    values[AS_FIELD_A2].span = GUARDED("88000");
    values[AS_FIELD_A0].span = GUARDED("FFFFFF9C");
    CHECK_EQUAL(matching(&match, 1, &located), 3);
    values[AS_FIELD_A2].span = GUARDED("90800");
    CHECK_EQUAL(matching(&match, 1, &located), 2);

    CASE("only the filters of the class are asked, and none of the class that is not wanted");
    values[AS_FIELD_A2].span = GUARDED("88000");
    CHECK_EQUAL(matching(&match, 2, &located), 2);
    CHECK_EQUAL(matching(&match, 0, &located), 0);

    CASE("a class reads the fields of its filters only");
    CHECK_EQUAL(match.classes[0].fields, 0);
    CHECK_EQUAL(match.classes[1].fields, AS_BIT(AS_FIELD_PATH_NAME) | AS_BIT(AS_FIELD_A0) | AS_BIT(AS_FIELD_A2) |
                                             AS_BIT(AS_FIELD_PID) | AS_BIT(AS_FIELD_NODE));
    CHECK_EQUAL(match.classes[2].fields, 0);
    CHECK_EQUAL(match.read_fields, match.classes[1].fields);

    CASE("a rule of a later table decides no event of an earlier one");
    match.rule_facts[0].since = 1;
    CHECK_EQUAL(as_match_event(&match, 1, 0, &located), 1);
    CHECK_EQUAL(as_match_event(&match, 1, 1, &located), 2);
}

/* (comm = a or exe = a) and not tty = a, with predicates that several programs share. */
static void programs(void) {
    static const as_operand operand = {.at = 0, .len = 1};
    static const as_predicate predicates[] = {{.field = AS_FIELD_COMM, .op = AS_OP_TEXT, .operands = 1},
                                              {.field = AS_FIELD_EXE, .op = AS_OP_TEXT, .operands = 1},
                                              {.field = AS_FIELD_TTY, .op = AS_OP_TEXT, .operands = 1}};
    static const as_node nodes[] = {{0, 2, 1},
                                    {1, 2, AS_NODE_FALSE},
                                    {2, AS_NODE_FALSE, AS_NODE_TRUE},
                                    {0, AS_NODE_FALSE, AS_NODE_TRUE},
                                    {2, AS_NODE_TRUE, AS_NODE_FALSE}};
    static const as_rule rules[] = {{.stages = 1, .count = 1, .span_ms = 1},
                                    {.stages = 1, .count = 1, .span_ms = 1},
                                    {.stages = 1, .count = 1, .span_ms = 1}};
    static const as_filter filters[] = {{.start = 0, .stages = 1, .rule = 0},
                                        {.start = 3, .stages = 1, .rule = 1},
                                        {.start = 4, .stages = 1, .rule = 2}};
    as_rules table = rules_of_every_call(rules, filters, 3);
    table.nodes = nodes;
    table.predicates = predicates;
    table.operands = &operand;
    table.text = (const uint8_t *)"a";
    table.node_count = 5;
    table.predicate_count = 3;
    table.operand_count = 1;
    table.text_len = 1;
    as_match match = match_of(&table);

    CASE("or, and, not: for every value of three fields, also absent ones, in any order of events");
    static const char *const texts[] = {NULL, "a", "b"};
    for (uint32_t at = 0; at < 27 * 27; at++) {
        const uint32_t event = at * 7 % 27;
        const char *comm = texts[event % 3];
        const char *exe = texts[event / 3 % 3];
        const char *tty = texts[event / 9];
        static as_event_values located;
        as_value *const values = located.values;
        located = (as_event_values){.located = AS_ALL_FIELDS};
        const as_field fields[] = {AS_FIELD_COMM, AS_FIELD_EXE, AS_FIELD_TTY};
        const char *const given[] = {comm, exe, tty};
        bool is_a[3];
        for (size_t i = 0; i < 3; i++) {
            is_a[i] = given[i] != NULL && given[i][0] == 'a';
            if (given[i] != NULL) {
                values[fields[i]] = (as_value){.span = guarded_span(given[i], 1), .form = AS_FORM_QUOTED};
            }
        }
        const uint32_t wanted = ((is_a[0] || is_a[1]) && !is_a[2] ? 1u : 0) | (is_a[0] ? 0 : 2u) | (is_a[2] ? 4u : 0);
        CHECK_EQUAL(matching(&match, 1, &located), wanted);
    }

    CASE("predicates that several nodes have are shared, and known results end with their event");
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQUAL(match.predicates.rows[i].flags, i == 1 ? AS_OF_TAIL : AS_SHARED | AS_OF_TAIL);
    }
    static as_event_values located;
    as_value *const values = located.values;
    located = (as_event_values){.located = AS_ALL_FIELDS};
    values[AS_FIELD_COMM] = (as_value){.span = GUARDED("a"), .form = AS_FORM_QUOTED};
    CHECK_EQUAL(matching(&match, 1, &located), 1);
    values[AS_FIELD_COMM].span = GUARDED("b");
    CHECK_EQUAL(matching(&match, 1, &located), 2);

    CASE("results for the end of a SYSCALL record are those of its first event, until the end is another one");
    static as_tails tails;
    as_tail *const tail = &tails.tails[AS_TAILS - 1];
    *tail = (as_tail){.number = 1, .forms = {[AS_FIELD_COMM - AS_TAIL_FIRST] = AS_FORM_QUOTED}};
    located.tails = &tails;
    located.cursors.tail = tail;
    CHECK_EQUAL(matching(&match, 1, &located), 2);
    values[AS_FIELD_COMM].span = GUARDED("a");
    CHECK_EQUAL(matching(&match, 1, &located), 2);
    tail->number = 2;
    CHECK_EQUAL(matching(&match, 1, &located), 1);

    CASE("an end without a name has none: the name comes from elsewhere");
    tail->number = 3;
    tail->forms[AS_FIELD_COMM - AS_TAIL_FIRST] = AS_FORM_ABSENT;
    CHECK_EQUAL(matching(&match, 1, &located), 1);
    values[AS_FIELD_COMM].span = GUARDED("b");
    CHECK_EQUAL(matching(&match, 1, &located), 2);

    CASE("exceptions use no result of another event");
    tail->forms[AS_FIELD_COMM - AS_TAIL_FIRST] = AS_FORM_QUOTED;
    CHECK_EQUAL(matching(&match, 1, &located), 2);
    values[AS_FIELD_COMM].span = GUARDED("a");
    CHECK_EQUAL(matching(&match, 1, &located), 2);
    as_predicates_limit(&match.predicates, 1000);
    CHECK(as_predicate_holds(&match.predicates, 0, &located));
}

/* Three filters: two for names of files, in different fields, and one for any. */
static void gates(void) {
    static const as_operand operands[] = {{.at = 0, .len = 2}, {.at = 2, .len = 2}};
    static const as_predicate predicates[] = {
        {.field = AS_FIELD_PATH_NAME, .op = AS_OP_TEXT, .operands = 1},
        {.field = AS_FIELD_PATHS, .op = AS_OP_LIKE, .first_operand = 1, .operands = 1},
        {.field = AS_FIELD_PATH_NAME, .op = AS_OP_PRESENT}};
    static const as_node nodes[] = {
        {0, AS_NODE_TRUE, AS_NODE_FALSE}, {1, AS_NODE_TRUE, AS_NODE_FALSE}, {2, AS_NODE_TRUE, AS_NODE_FALSE}};
    static const uint16_t anchors[] = {0, 1, 2};
    static const as_rule rules[] = {{.stages = 1, .count = 1, .span_ms = 1},
                                    {.stages = 1, .count = 1, .span_ms = 1},
                                    {.stages = 1, .count = 1, .span_ms = 1}};
    static const as_filter filters[] = {{.start = 0, .stages = 1, .rule = 0, .first_anchor = 0, .anchors = 1},
                                        {.start = 1, .stages = 1, .rule = 1, .first_anchor = 1, .anchors = 1},
                                        {.start = 2, .stages = 1, .rule = 2, .first_anchor = 2, .anchors = 1}};
    as_rules table = rules_of_every_call(rules, filters, 3);
    table.nodes = nodes;
    table.predicates = predicates;
    table.operands = operands;
    table.anchors = anchors;
    table.text = (const uint8_t *)"/a*b";
    table.node_count = 3;
    table.predicate_count = 3;
    table.operand_count = 2;
    table.anchor_count = 3;
    table.text_len = 4;
    as_match match = match_of(&table);
    CHECK(match.classes[1].gated);

    CASE("a filter is skipped if no path of the event can end as it needs, and no other one is");
    static const struct {
        const char *name;
        uint32_t rules;
    } events[] = {{"/a", 5}, {"/b", 6}, {"ab", 6}, {"/c", 4}, {"", 4}, {"/A", 4}, {NULL, 0}};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        static as_events none;
        static as_event event;
        static as_event_values located;
        located =
            (as_event_values){.events = &none, .event = &event, .located = AS_ALL_FIELDS & ~AS_BIT(AS_FIELD_PATHS)};
        if (events[i].name != NULL) {
            const as_span name = guarded_span(events[i].name, strlen(events[i].name));
            located.values[AS_FIELD_PATH_NAME] = (as_value){.span = name, .form = AS_FORM_QUOTED};
        }
        CHECK_EQUAL(matching(&match, 1, &located), events[i].rules);
    }
}

int main(void) {
    events();
    programs();
    gates();
    return check_done();
}
