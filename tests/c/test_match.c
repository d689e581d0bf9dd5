/* Stage 4, match: which tables are valid, what a SYSCALL record alone decides, and the operators. */
#include "_ring/match.h"

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

/* A table of one rule with one test of one operand, each to be spoilt. */
typedef struct {
    as_rule rule;
    as_call call;
    as_test test;
    as_operand operand;
    as_exception exception;
    as_rules rules;
} spoilable;

static spoilable *good_table(void) {
    static spoilable good;
    good = (spoilable){.rule = {.calls = 1,
                                .tests = 1,
                                .keys = {AS_FIELD_PID, AS_FIELD_NODE},
                                .key_count = 2,
                                .count = 2,
                                .span_ms = 1,
                                .exceptions = 1},
                       .call = {.arch = 1, .syscall = 2},
                       .test = {.field = AS_FIELD_COMM, .op = AS_OP_TEXT, .operands = 1},
                       .operand = {.at = 0, .len = 4},
                       .exception = {.until_ms = UINT64_MAX, .tests = 1},
                       .rules = {.rule_count = 1,
                                 .call_count = 1,
                                 .test_count = 1,
                                 .operand_count = 1,
                                 .exception_count = 1,
                                 .text_len = 4}};
    good.rules.rules = &good.rule;
    good.rules.calls = &good.call;
    good.rules.tests = &good.test;
    good.rules.operands = &good.operand;
    good.rules.exceptions = &good.exception;
    good.rules.text = (const uint8_t *)"text";
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

static void valid_tables(void) {
    CASE("an empty table and a whole one are valid");
    const as_rules empty = {0};
    CHECK(as_rules_valid(&empty));
    CHECK(as_rules_valid(&good_table()->rules));

    CASE("a rule's numbers have bounds");
    SPOILT(rule.count, 0);
    SPOILT(rule.count, 65);
    STILL_GOOD(rule.count, 64);
    SPOILT(rule.span_ms, 0);
    SPOILT(rule.span_ms, 86400001);
    STILL_GOOD(rule.span_ms, 86400000);
    SPOILT(rule.merge_ms, 86400001);
    STILL_GOOD(rule.merge_ms, 86400000);
    SPOILT(rule.key_count, 3);
    SPOILT(rule.keys[0], AS_FIELDS);
    SPOILT(rule.keys[1], UINT32_MAX);

    CASE("no range leaves its array, also where adding would wrap");
    SPOILT(rule.first_call, 1);
    SPOILT(rule.first_call, 2);
    SPOILT(rule.calls, 2);
    SPOILT(rule.calls, UINT32_MAX);
    SPOILT(rule.first_test, UINT32_MAX);
    SPOILT(rule.tests, 2);
    SPOILT(test.first_operand, 1);
    SPOILT(test.operands, UINT32_MAX);
    SPOILT(operand.at, 1);
    SPOILT(operand.len, 5);
    SPOILT(operand.at, UINT32_MAX);
    SPOILT(rule.first_exception, 1);
    SPOILT(rule.exceptions, 2);
    SPOILT(rule.exceptions, UINT32_MAX);
    SPOILT(exception.first_test, 1);
    SPOILT(exception.tests, 2);
    SPOILT(exception.tests, UINT32_MAX);
    STILL_GOOD(rule.exceptions, 0);
    STILL_GOOD(exception.tests, 0);
    STILL_GOOD(exception.until_ms, 0);

    CASE("a test names a field, an operator, and yes or no");
    SPOILT(test.field, AS_FIELDS);
    SPOILT(test.op, AS_OP_PRESENT + 1);
    SPOILT(test.negated, 2);

    CASE("every entry of a table is looked at, the last one too");
    for (int spoilt = 0; spoilt <= 4; spoilt++) {
        const spoilable *good = good_table();
        as_rule rules[3] = {good->rule, good->rule, good->rule};
        as_test tests[3] = {good->test, good->test, good->test};
        as_operand operands[3] = {good->operand, good->operand, good->operand};
        as_exception exceptions[3] = {good->exception, good->exception, good->exception};
        as_rules table = good->rules;
        table.rules = rules;
        table.tests = tests;
        table.operands = operands;
        table.exceptions = exceptions;
        table.rule_count = table.test_count = table.operand_count = table.exception_count = 3;
        rules[2].count = spoilt == 1 ? 0 : rules[2].count;
        tests[2].field = spoilt == 2 ? AS_FIELDS : tests[2].field;
        operands[2].at = spoilt == 3 ? 1 : operands[2].at;
        exceptions[2].tests = spoilt == 4 ? 4 : exceptions[2].tests;
        CHECK(as_rules_valid(&table) == (spoilt == 0));
    }

    CASE("a table may have 65,536 of everything but rules");
    enum { MOST = 65536 };
    as_test *tests = calloc(MOST, sizeof *tests);
    as_operand *operands = calloc(MOST, sizeof *operands);
    as_exception *exceptions = calloc(MOST, sizeof *exceptions);
    const as_rules largest = {.tests = tests,
                              .operands = operands,
                              .exceptions = exceptions,
                              .call_count = MOST,
                              .test_count = MOST,
                              .operand_count = MOST,
                              .exception_count = MOST,
                              .text_len = MOST,
                              .arch_count = MOST};
    CHECK(as_rules_valid(&largest));
    free(tests);
    free(operands);
    free(exceptions);

    CASE("a table has at most 64 rules and 65,536 of everything else");
    SPOILT(rules.rule_count, 65);
    SPOILT(rules.call_count, 65537);
    SPOILT(rules.test_count, 65537);
    SPOILT(rules.operand_count, 65537);
    SPOILT(rules.exception_count, 65537);
    SPOILT(rules.text_len, 65537);
}

static as_record syscall_record(as_span body) {
    return (as_record){.type = AS_TYPE_SYSCALL, .body = body};
}

#define WANTS(match, text) as_match_candidates((match), &(as_record){.type = AS_TYPE_SYSCALL, .body = GUARDED(text)})

static void wants(void) {
    static const as_call calls[] = {{0xc000003e, 257}, {0xc000003e, 2}, {0x40000003, 295}};
    static const as_rule rules[] = {{.first_call = 0, .calls = 2, .count = 1, .span_ms = 1},
                                    {.first_call = 1, .calls = 2, .count = 1, .span_ms = 1},
                                    {.count = 1, .span_ms = 1}};
    as_rules table = {.rules = rules, .calls = calls, .rule_count = 2, .call_count = 3};
    as_match match = match_of(&table);

    CASE("the candidates for a call are the rules that name it with its arch");
    CHECK_EQUAL(WANTS(&match, SAMPLE_SYSCALL), 1);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=2 success=yes pid=1"), 3);
    CHECK_EQUAL(WANTS(&match, "arch=40000003 syscall=295 success=yes pid=1"), 2);
    CHECK_EQUAL(WANTS(&match, "arch=40000003 syscall=257 success=yes pid=1"), 0);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=2570 success=yes pid=1"), 0);

    CASE("a SYSCALL record that does not say which call is wanted by no rule that names calls");
    CHECK_EQUAL(WANTS(&match, ""), 0);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e success=yes exit=0 a0=0 a1=0"), 0);
    CHECK_EQUAL(WANTS(&match, "syscall=257 success=yes exit=0 a0=0 a1=0"), 0);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e1 syscall=257 success=yes exit=0"), 0);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=4294967553 success=yes"), 0);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=x257 success=yes exit=0"), 0);

    CASE("a short record is looked at as a long one is");
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=257"), 1);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=257 "), 1);

    CASE("a number that the quick look would cut in two is read whole");
    CHECK_EQUAL(WANTS(&match, "arch=c000003e foo=bar syscall=2570 pid=1"), 0);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e fo=bar syscall=257 pid=1"), 1);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e foo=some-more-text-than-fits syscall=257 pid=1"), 1);
    CHECK_EQUAL(WANTS(&match, "arch=000000000000000000000000000c000003e syscall=257"), 1);
    CHECK_EQUAL(WANTS(&match, "syscall=257 success=yes exit=0 a0=0 a1=0 arch=c000003e"), 1);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=0000000000000000257 success=yes"), 1);
    CHECK_EQUAL(WANTS(&match, "arch=c000003e syscall=\"257\" success=yes exit=0"), 1);
    CHECK_EQUAL(WANTS(&match, "arch=\"c000003e\" syscall=257 success=yes exit=0"), 1);

    CASE("a record of another type tells nothing, a ring operation names no system call");
    const as_record path = {.type = AS_TYPE_PATH, .body = GUARDED("item=0")};
    const as_record uring = {.type = AS_TYPE_URINGOP, .body = GUARDED("uring_op=18")};
    CHECK(as_match_candidates(&match, &path) == UINT64_MAX);
    CHECK_EQUAL(as_match_candidates(&match, &uring), 0);

    CASE("a rule without calls wants every one");
    table.rule_count = 3;
    match = match_of(&table);
    CHECK_EQUAL(WANTS(&match, SAMPLE_SYSCALL), 5);
    CHECK_EQUAL(WANTS(&match, "arch=b7 syscall=1 success=yes exit=0 a0=0"), 4);
    CHECK_EQUAL(WANTS(&match, ""), 4);

    CASE("the call of the record before is taken for no other one");
    static const char *const odd[] = {"arch=c000003e syscall=2 x=y",
                                      "arch=c000003e syscall=25 x=y",
                                      "arch=c000003e syscall=257 x=y",
                                      "arch=c000003e syscall=2570 x=y",
                                      "arch=c000003e syscall=257",
                                      "arch=c000003e syscall=257x a=b",
                                      "arch=000000000000000000000000c000003e syscall=257 x=y"};
    static const uint64_t wanted[] = {7, 4, 5, 4, 5, 4, 5};
    for (size_t i = 0; i < 49; i++) {
        const size_t pair[] = {i / 7, i % 7};
        for (size_t j = 0; j < 2; j++) {
            const as_record record = syscall_record(guarded_span(odd[pair[j]], strlen(odd[pair[j]])));
            CHECK_EQUAL(as_match_candidates(&match, &record), wanted[pair[j]]);
        }
    }

    CASE("a call is remembered when its text has room, and only then");
    for (int zeros = 8; zeros < 40; zeros++) {
        char body[128];
        const int len = snprintf(body, sizeof body, "arch=%0*x syscall=257 ", zeros, 0xc000003e);
        const uint32_t read = (uint32_t)len;
        (void)snprintf(body + len, sizeof body - (size_t)len, "x=y");
        match = match_of(&table);
        CHECK_EQUAL(WANTS(&match, body), 5);
        CHECK_EQUAL(match.last.len, read <= sizeof match.last.text ? read : 0);
    }

    CASE("64 rules and thousands of calls are distinguished");
    static as_call many[8192];
    static as_rule all[64];
    for (uint32_t i = 0; i < 8192; i++) {
        many[i] = (as_call){.arch = 0xc000003e + i % 3, .syscall = i};
    }
    for (uint32_t i = 0; i < 64; i++) {
        all[i] = (as_rule){.first_call = i * 128, .calls = 128, .count = 1, .span_ms = 1};
    }
    const as_rules large = {.rules = all, .calls = many, .rule_count = 64, .call_count = 8192};
    match = match_of(&large);
    for (uint32_t i = 0; i < 8192; i++) {
        char body[64];
        const int len = snprintf(body, sizeof body, "arch=%x syscall=%u success=yes", 0xc000003e + i % 3, i);
        const as_record record = syscall_record(guarded_span(body, (size_t)len));
        CHECK(as_match_candidates(&match, &record) == UINT64_C(1) << i / 128);
    }
}

/* True when a value of this field fits a test of one operand. */
static bool fits(as_field field, as_op op, const char *operand, uint64_t number, uint64_t mask, uint32_t negated,
                 as_form form, const char *value) {
    const as_rule rule = {.tests = 1, .count = 1, .span_ms = 1};
    const as_test test = {.field = (uint32_t)field, .op = (uint32_t)op, .negated = negated, .operands = 1};
    const as_operand only = {.number = number, .mask = mask, .len = (uint32_t)strlen(operand)};
    const as_rules rules = {.rules = &rule,
                            .tests = &test,
                            .operands = &only,
                            .text = (const uint8_t *)operand,
                            .rule_count = 1,
                            .test_count = 1,
                            .operand_count = 1,
                            .text_len = (uint32_t)strlen(operand)};
    const as_match match = match_of(&rules);
    as_value values[AS_FIELDS] = {0};
    values[field] = (as_value){.span = guarded_span(value, strlen(value)), .form = form};
    return as_match_event(&match, UINT64_MAX, values) == 1;
}

static bool text_fits(as_op op, const char *operand, const char *value) {
    return fits(AS_FIELD_COMM, op, operand, 0, 0, 0, AS_FORM_QUOTED, value);
}

static bool number_fits(as_field field, uint64_t number, uint64_t mask, const char *value) {
    return fits(field, AS_OP_NUMBER, "", number, mask, 0, AS_FORM_BARE, value);
}

static void operators(void) {
    CASE("text is compared byte for byte");
    CHECK(text_fits(AS_OP_TEXT, "/proc", "/proc"));
    CHECK(!text_fits(AS_OP_TEXT, "/proc", "/Proc"));
    CHECK(!text_fits(AS_OP_TEXT, "/proc", "/proc/"));
    CHECK(!text_fits(AS_OP_TEXT, "/proc", "/pro"));
    CHECK(text_fits(AS_OP_TEXT, "", ""));
    CHECK(!text_fits(AS_OP_TEXT, "", "x"));

    CASE("like knows no case, * is any run and ? any byte");
    static const struct {
        const char *pattern;
        const char *text;
        bool fits;
    } likes[] = {{"ffffff9c", "FFFFFF9C", true},
                 {"FfFf", "fFfF", true},
                 {"a", "", false},
                 {"", "", true},
                 {"", "a", false},
                 {"*", "", true},
                 {"*", "abc", true},
                 {"a*", "abc", true},
                 {"*c", "abc", true},
                 {"*b*", "abc", true},
                 {"*d*", "abc", false},
                 {"a?c", "abc", true},
                 {"a?c", "ac", false},
                 {"???", "abc", true},
                 {"????", "abc", false},
                 {"a*b*c", "aXbYbZc", true},
                 {"*aab", "aaaab", true},
                 {"*ab*ab", "abab", true},
                 {"*ab*ab", "aab", false},
                 {"a**b", "ab", true},
                 {"*?", "a", true},
                 {"*?", "", false},
                 {"abc", "abd", false},
                 {"ab*", "a", false},
                 {"[z]", "{Z}", false},
                 {"@", "`", false},
                 {"a***", "a", true},
                 {"*a?", "aab", true}};
    for (size_t i = 0; i < sizeof likes / sizeof *likes; i++) {
        if (!CHECK_EQUAL(text_fits(AS_OP_LIKE, likes[i].pattern, likes[i].text), likes[i].fits)) {
            printf("# pattern '%s', text '%s'\n", likes[i].pattern, likes[i].text);
        }
    }

    CASE("numbers are compared under a mask, in the base of their field");
    CHECK(number_fits(AS_FIELD_A0, 0xffffff9c, UINT32_MAX, "ffffffffffffff9c"));
    CHECK(number_fits(AS_FIELD_A0, 0xffffff9c, UINT32_MAX, "deadbeefffffff9c"));
    CHECK(!number_fits(AS_FIELD_A0, 0xffffff9c, UINT64_MAX, "ffffffffffffff9c"));
    CHECK(number_fits(AS_FIELD_PID, 10, UINT64_MAX, "10"));
    CHECK(number_fits(AS_FIELD_PATH_MODE, 040555, UINT64_MAX, "040555"));
    CHECK(number_fits(AS_FIELD_EXIT, UINT64_MAX - 12, UINT64_MAX, "-13"));
    CHECK(!number_fits(AS_FIELD_PID, 10, UINT64_MAX, "a"));
    CHECK(!number_fits(AS_FIELD_COMM, 10, UINT64_MAX, "10"));

    CASE("hex is decoded before it is compared");
    CHECK(fits(AS_FIELD_PATH_NAME, AS_OP_TEXT, "/proc", 0, 0, 0, AS_FORM_BARE, "2F70726F63"));
    CHECK(!fits(AS_FIELD_PATH_NAME, AS_OP_TEXT, "/proc", 0, 0, 0, AS_FORM_BARE, "2f70726f63"));

    CASE("a negated test holds for every other value, and for no absent one");
    CHECK(fits(AS_FIELD_COMM, AS_OP_TEXT, "ps", 0, 0, 1, AS_FORM_QUOTED, "top"));
    CHECK(!fits(AS_FIELD_COMM, AS_OP_TEXT, "ps", 0, 0, 1, AS_FORM_QUOTED, "ps"));
    CHECK(!fits(AS_FIELD_COMM, AS_OP_TEXT, "ps", 0, 0, 1, AS_FORM_BARE, "(null)"));
    CHECK(!fits(AS_FIELD_COMM, AS_OP_TEXT, "ps", 0, 0, 1, AS_FORM_ABSENT, ""));
    CHECK(!fits(AS_FIELD_PID, AS_OP_NUMBER, "", 7, UINT64_MAX, 1, AS_FORM_BARE, "?"));
    CHECK(!fits(AS_FIELD_PID, AS_OP_NUMBER, "", 7, UINT64_MAX, 1, AS_FORM_BARE, "7"));
    CHECK(fits(AS_FIELD_PID, AS_OP_NUMBER, "", 7, UINT64_MAX, 1, AS_FORM_BARE, "8"));

    CASE("whether a field is there can be asked, either way, and does not depend on what it says");
    CHECK(fits(AS_FIELD_COMM, AS_OP_PRESENT, "", 0, 0, 0, AS_FORM_QUOTED, "ps"));
    CHECK(fits(AS_FIELD_COMM, AS_OP_PRESENT, "", 0, 0, 0, AS_FORM_QUOTED, ""));
    CHECK(fits(AS_FIELD_PID, AS_OP_PRESENT, "", 0, 0, 0, AS_FORM_BARE, "x"));
    CHECK(!fits(AS_FIELD_COMM, AS_OP_PRESENT, "", 0, 0, 0, AS_FORM_BARE, "(null)"));
    CHECK(!fits(AS_FIELD_COMM, AS_OP_PRESENT, "", 0, 0, 0, AS_FORM_ABSENT, ""));
    CHECK(!fits(AS_FIELD_COMM, AS_OP_PRESENT, "", 0, 0, 1, AS_FORM_QUOTED, "ps"));
    CHECK(fits(AS_FIELD_COMM, AS_OP_PRESENT, "", 0, 0, 1, AS_FORM_BARE, "?"));
    CHECK(fits(AS_FIELD_COMM, AS_OP_PRESENT, "", 0, 0, 1, AS_FORM_ABSENT, ""));
}

/* Write one byte repeatedly in the kernel's hex. */
static as_span hex_of(char *out, char byte, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        snprintf(out + 2 * i, 3, "%02X", (unsigned)byte);
    }
    return guarded_span(out, 2 * count);
}

static void long_texts(void) {
    static const uint8_t text[] = "*a*b*/";
    static const as_operand operands[] = {{.at = 0, .len = 3}, {.at = 2, .len = 3}, {.at = 4, .len = 2}};
    static const as_test tests[] = {
        {.field = AS_FIELD_EXE, .op = AS_OP_LIKE, .first_operand = 0, .operands = 1},
        {.field = AS_FIELD_CWD, .op = AS_OP_LIKE, .first_operand = 1, .operands = 1},
        {.field = AS_FIELD_EXE, .op = AS_OP_LIKE, .first_operand = 2, .operands = 1, .negated = 1},
        {.field = AS_FIELD_EXE, .op = AS_OP_LIKE, .first_operand = 0, .operands = 1},
        {.field = AS_FIELD_PROCTITLE, .op = AS_OP_LIKE, .first_operand = 0, .operands = 1}};
    static const as_rule rules[] = {{.tests = 4, .count = 1, .span_ms = 1},
                                    {.first_test = 4, .tests = 1, .count = 1, .span_ms = 1}};
    const as_rules table = {.rules = rules,
                            .tests = tests,
                            .operands = operands,
                            .text = text,
                            .rule_count = 2,
                            .test_count = 5,
                            .operand_count = 3,
                            .text_len = 6};
    const as_match match = match_of(&table);
    char exe[1200];
    char cwd[1200];
    as_value values[AS_FIELDS] = {0};

    CASE("long texts of several fields are decoded for all of their tests, up to the longest record there is");
    for (uint32_t len = 30; len <= 512; len += 241) {
        values[AS_FIELD_EXE] = (as_value){.span = hex_of(exe, 'a', len), .form = AS_FORM_BARE};
        values[AS_FIELD_EXE].span =
            (memmove(exe, values[AS_FIELD_EXE].span.at, 2 * len), as_span_of((uint8_t *)exe, 2 * len));
        values[AS_FIELD_CWD] = (as_value){.span = hex_of(cwd, 'b', len), .form = AS_FORM_BARE};
        values[AS_FIELD_PROCTITLE] = values[AS_FIELD_EXE];
        CHECK_EQUAL(as_match_event(&match, 3, values), 3);
    }

    CASE("what is known of a text is not known of that of the next event");
    values[AS_FIELD_EXE] = values[AS_FIELD_CWD];
    CHECK_EQUAL(as_match_event(&match, 3, values), 2);
    values[AS_FIELD_PROCTITLE] = values[AS_FIELD_CWD];
    CHECK_EQUAL(as_match_event(&match, 3, values), 0);
}

static void events(void) {
    const as_rules rules = sample_rules(0, 2);
    const as_match match = match_of(&rules);
    as_value values[AS_FIELDS] = {0};
    const as_record call = syscall_record(GUARDED(SAMPLE_SYSCALL));
    const as_record path = {.type = AS_TYPE_PATH, .body = GUARDED(SAMPLE_PATH)};

    CASE("all tests of a rule must hold; a rule without tests holds always");
    as_record_fields(&call, AS_ALL_FIELDS, values);
    CHECK_EQUAL(as_match_event(&match, 3, values), 2);
    as_record_fields(&path, AS_ALL_FIELDS, values);
    CHECK_EQUAL(as_match_event(&match, 3, values), 3);

    CASE("any operand of a test is enough");
    values[AS_FIELD_A2].span = GUARDED("88000");
    values[AS_FIELD_A0].span = GUARDED("FFFFFF9C");
    CHECK_EQUAL(as_match_event(&match, 3, values), 3);
    values[AS_FIELD_A2].span = GUARDED("90800");
    CHECK_EQUAL(as_match_event(&match, 3, values), 2);

    CASE("only wanted rules are asked");
    CHECK_EQUAL(as_match_event(&match, 1, values), 0);
    CHECK_EQUAL(as_match_event(&match, 2, values), 2);
    CHECK_EQUAL(as_match_event(&match, 0, values), 0);
}

/* A text operand that is for some architectures only. */
static void operands_of_an_architecture(void) {
    static const uint8_t text[] = "80000a0000";
    static const as_operand operands[] = {{.at = 0, .len = 5}, {.number = 40, .mask = 0xffff, .at = 5, .len = 5}};
    const as_test test = {.field = AS_FIELD_A2, .op = AS_OP_TEXT, .operands = 2};
    const as_rule rule = {.tests = 1, .count = 1, .span_ms = 1};
    const as_rules rules = {.rules = &rule,
                            .tests = &test,
                            .operands = operands,
                            .text = text,
                            .rule_count = 1,
                            .test_count = 1,
                            .operand_count = 2,
                            .text_len = 10};
    const as_match match = match_of(&rules);
    static const struct {
        const char *arch; /* NULL: absent */
        const char *flags;
        bool fits;
    } events[] = {{"40000028", "a0000", true},  {"28", "a0000", true},        {"c000003e", "a0000", false},
                  {"c00000b7", "a0000", false}, {"c000003e", "80000", true},  {"40000028", "80000", true},
                  {"40000028", "A0000", false}, {NULL, "80000", true},        {NULL, "a0000", false},
                  {"nonsense", "a0000", false}, {"100000028", "a0000", true}, {"4000002", "a0000", false}};

    CASE("an operand of an architecture fits its events only; the architecture is read for it");
    CHECK((match.fields & AS_BIT(AS_FIELD_ARCH)) != 0);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        as_value values[AS_FIELDS] = {0};
        values[AS_FIELD_A2] =
            (as_value){.span = guarded_span(events[i].flags, strlen(events[i].flags)), .form = AS_FORM_BARE};
        if (events[i].arch != NULL) {
            values[AS_FIELD_ARCH] =
                (as_value){.span = guarded_span(events[i].arch, strlen(events[i].arch)), .form = AS_FORM_BARE};
        }
        CHECK_EQUAL(as_match_event(&match, 1, values), events[i].fits ? 1 : 0);
    }

    CASE("negated it is another test: an operand of another architecture does not fit");
    const as_test not = {.field = AS_FIELD_A2, .op = AS_OP_TEXT, .negated = 1, .operands = 2};
    as_rules negated = rules;
    negated.tests = &not;
    const as_match other = match_of(&negated);
    as_value values[AS_FIELDS] = {0};
    values[AS_FIELD_A2] = (as_value){.span = GUARDED("a0000"), .form = AS_FORM_BARE};
    values[AS_FIELD_ARCH] = (as_value){.span = GUARDED("c000003e"), .form = AS_FORM_BARE};
    CHECK_EQUAL(as_match_event(&other, 1, values), 1);
    values[AS_FIELD_ARCH].span = GUARDED("40000028");
    CHECK_EQUAL(as_match_event(&other, 1, values), 0);

    CASE("the architecture is read for a single operand of one");
    const as_test only = {.field = AS_FIELD_A2, .op = AS_OP_TEXT, .first_operand = 1, .operands = 1};
    as_rules single = rules;
    single.tests = &only;
    const as_match second = match_of(&single);
    CHECK_EQUAL(second.fields, AS_BIT(AS_FIELD_A2) | AS_BIT(AS_FIELD_ARCH));

    CASE("no architecture is read for operands without one, nor for numbers with a mask");
    const as_operand number = {.number = 1, .mask = 1};
    const as_test numeric = {.field = AS_FIELD_A2, .op = AS_OP_NUMBER, .operands = 1};
    as_rules plain = rules;
    plain.tests = &numeric;
    plain.operands = &number;
    plain.operand_count = 1;
    const as_match third = match_of(&plain);
    CHECK_EQUAL(third.fields & AS_BIT(AS_FIELD_ARCH), 0);
}

static void see(as_match *match, const char *body) {
    const as_record record = syscall_record(guarded_span(body, strlen(body)));
    (void)as_match_candidates(match, &record);
}

static void unknown_architectures(void) {
    const as_call call = {.arch = 0xc000003e, .syscall = 257};
    const as_rule rule = {.calls = 1, .count = 1, .span_ms = 1};
    const uint32_t arches[] = {0xc000003e, 0x28};
    as_rules rules = {
        .rules = &rule, .calls = &call, .arches = arches, .rule_count = 1, .call_count = 1, .arch_count = 2};
    as_match match = match_of(&rules);
    as_unknown_arch out[AS_UNKNOWN_ARCHES + 1] = {0};

    CASE("records of known architectures are not counted, whatever their call");
    see(&match, "arch=c000003e syscall=257 success=yes");
    see(&match, "arch=c000003e syscall=1 success=yes");
    see(&match, "arch=28 syscall=9999 success=yes");
    see(&match, "success=yes");
    CHECK_EQUAL(match.unknown_records, 0);
    CHECK_EQUAL(as_match_unknown_arches(&match, out, AS_UNKNOWN_ARCHES), 0);

    CASE("others are, also when the same call comes again, and also architecture 0");
    for (int i = 0; i < 3; i++) {
        see(&match, "arch=deadbeef syscall=5 success=yes");
    }
    see(&match, "arch=deadbeef syscall=6 success=yes");
    see(&match, "arch=0 syscall=6 success=yes");
    see(&match, "arch=c000003e syscall=257 success=yes");
    see(&match, "arch=deadbeef syscall=5 success=yes");
    CHECK_EQUAL(as_match_unknown_arches(&match, out, AS_UNKNOWN_ARCHES), 2);
    CHECK_EQUAL(out[0].arch, 0xdeadbeef);
    CHECK_EQUAL(out[0].records, 5);
    CHECK_EQUAL(out[1].arch, 0);
    CHECK_EQUAL(out[1].records, 1);
    CHECK_EQUAL(match.unknown_records, 6);

    CASE("eight are counted separately, more together");
    for (uint32_t arch = 100; arch < 120; arch++) {
        char body[64];
        (void)snprintf(body, sizeof body, "arch=%x syscall=1 success=yes", arch);
        see(&match, body);
    }
    out[AS_UNKNOWN_ARCHES].records = 77;
    CHECK_EQUAL(as_match_unknown_arches(&match, out, AS_UNKNOWN_ARCHES + 1), AS_UNKNOWN_ARCHES);
    CHECK_EQUAL(out[AS_UNKNOWN_ARCHES - 1].arch, 105);
    CHECK_EQUAL(out[AS_UNKNOWN_ARCHES].records, 77);
    CHECK_EQUAL(match.unknown_records, 26);
    CHECK_EQUAL(as_match_unknown_arches(&match, out, AS_UNKNOWN_ARCHES - 1), AS_ARGUMENT);

    CASE("a table that names no architecture counts none");
    rules.arches = NULL;
    rules.arch_count = 0;
    match = match_of(&rules);
    see(&match, "arch=deadbeef syscall=5 success=yes");
    see(&match, "arch=0 syscall=5 success=yes");
    CHECK_EQUAL(match.unknown_records, 0);
}

/* The rules with exceptions are found at initialisation, regardless of the memory's content. */
static void exceptions(void) {
    const as_rules *const whole = &good_table()->rules;
    const as_rules empty = {0};
    const as_config config = sample_config();
    CASE("a rule with a single exception is looked at again, and no other rule");
    const as_match match = match_of(whole);
    CHECK_EQUAL(match.with_exceptions, 1);
    as_match used;
    as_arena from = {.base = memory};
    memset(&used, 0xff, sizeof used);
    as_match_init(&used, &config, &empty, &from);
    CHECK_EQUAL(used.with_exceptions, 0);
}

int main(void) {
    valid_tables();
    exceptions();
    wants();
    operators();
    long_texts();
    events();
    operands_of_an_architecture();
    unknown_architectures();
    return check_done();
}
