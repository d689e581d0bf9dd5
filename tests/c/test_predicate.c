/* Part of stage 5: the operators, one field at a time. */
#include "_ring/predicate.h"

#include <stdlib.h>

#include "check.h"
#include "samples.h"

enum { MEMORY = 1 << 16 };
static _Alignas(16) uint8_t memory[MEMORY];

static as_predicates predicates_of(const as_rules *rules) {
    const as_config config = sample_config();
    as_predicates predicates;
    as_arena counting = {.base = NULL};
    as_arena from = {.base = memory};
    memset(memory, 0, sizeof memory);
    as_predicates_init(&predicates, &config, rules, &counting);
    CHECK(counting.used <= sizeof memory);
    as_predicates_init(&predicates, &config, rules, &from);
    CHECK_EQUAL(counting.used, from.used);
    as_predicates_begin_event(&predicates);
    return predicates;
}

/* True when a value of this field fits a predicate of one operand. */
static bool fits(as_predicate predicate, const char *text, size_t len, as_operand only, as_form form,
                 const char *value) {
    predicate.operands = predicate.op == AS_OP_PRESENT ? 0 : 1;
    only.len = (uint32_t)len;
    const as_rules rules = {.predicates = &predicate,
                            .operands = &only,
                            .text = (const uint8_t *)text,
                            .predicate_count = 1,
                            .operand_count = 1,
                            .text_len = (uint32_t)len};
    as_predicates predicates = predicates_of(&rules);
    static as_event_values located;
    as_value *const values = located.values;
    located = (as_event_values){.located = AS_ALL_FIELDS};
    values[predicate.field] = (as_value){.span = guarded_span(value, strlen(value)), .form = form};
    return as_predicate_holds(&predicates, 0, &located);
}

static bool text_fits(as_op op, uint8_t flags, const char *operand, const char *value) {
    const as_predicate predicate = {.field = AS_FIELD_COMM, .op = (uint8_t)op, .flags = flags};
    return fits(predicate, operand, strlen(operand), (as_operand){0}, AS_FORM_QUOTED, value);
}

static bool number_fits(as_field field, as_op op, int64_t number, uint64_t mask, const char *value) {
    const as_predicate predicate = {.field = (uint8_t)field, .op = (uint8_t)op};
    return fits(predicate, "", 0, (as_operand){.number = (uint64_t)number, .mask = mask}, AS_FORM_BARE, value);
}

static bool length_fits(as_op op, uint64_t number, const char *value) {
    const as_predicate predicate = {.field = AS_FIELD_COMM, .op = AS_OP_LENGTH, .length_op = (uint8_t)op};
    return fits(predicate, "", 0, (as_operand){.number = number}, AS_FORM_QUOTED, value);
}

static bool present(as_field field, as_form form, const char *value) {
    const as_predicate predicate = {.field = (uint8_t)field, .op = AS_OP_PRESENT};
    return fits(predicate, "", 0, (as_operand){0}, form, value);
}

static void texts(void) {
    CASE("text is compared byte for byte");
    CHECK(text_fits(AS_OP_TEXT, 0, "/proc", "/proc"));
    CHECK(!text_fits(AS_OP_TEXT, 0, "/proc", "/Proc"));
    CHECK(!text_fits(AS_OP_TEXT, 0, "/proc", "/proc/"));
    CHECK(!text_fits(AS_OP_TEXT, 0, "/proc", "/pro"));
    CHECK(text_fits(AS_OP_TEXT, 0, "", ""));
    CHECK(!text_fits(AS_OP_TEXT, 0, "", "x"));
    CHECK(!text_fits(AS_OP_TEXT, 0, "a*", "ab"));

    CASE("or without regard to ASCII case");
    CHECK(text_fits(AS_OP_TEXT, AS_FOLD_CASE, "/pRoC", "/Proc"));
    CHECK(!text_fits(AS_OP_TEXT, AS_FOLD_CASE, "/proc", "/Pro"));
    CHECK(!text_fits(AS_OP_TEXT, AS_FOLD_CASE, "[z]", "{Z}"));

    CASE("* is any run and ? any byte; case matters or not");
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
        if (!CHECK_EQUAL(text_fits(AS_OP_LIKE, AS_FOLD_CASE, likes[i].pattern, likes[i].text), likes[i].fits)) {
            printf("# pattern '%s', text '%s'\n", likes[i].pattern, likes[i].text);
        }
    }

    CHECK(!text_fits(AS_OP_LIKE, 0, "FfFf*", "fFfFx"));
    CHECK(text_fits(AS_OP_LIKE, 0, "FfFf*", "FfFfx"));

    CASE("hex is decoded before it is compared");
    const as_predicate path = {.field = AS_FIELD_PATH_NAME, .op = AS_OP_TEXT};
    CHECK(fits(path, "/proc", 5, (as_operand){0}, AS_FORM_BARE, "2F70726F63"));
    CHECK(!fits(path, "/proc", 5, (as_operand){0}, AS_FORM_BARE, "2f70726f63"));

    CASE("an absent field fits nothing");
    const as_predicate comm = {.field = AS_FIELD_COMM, .op = AS_OP_LIKE};
    CHECK(fits(comm, "*", 1, (as_operand){0}, AS_FORM_QUOTED, ""));
    CHECK(!fits(comm, "*", 1, (as_operand){0}, AS_FORM_BARE, "(null)"));
    CHECK(!fits(comm, "*", 1, (as_operand){0}, AS_FORM_ABSENT, ""));

    CASE("whether a field is there does not depend on what it says");
    CHECK(present(AS_FIELD_COMM, AS_FORM_QUOTED, "ps"));
    CHECK(present(AS_FIELD_COMM, AS_FORM_QUOTED, ""));
    CHECK(present(AS_FIELD_PID, AS_FORM_BARE, "x"));
    CHECK(!present(AS_FIELD_COMM, AS_FORM_BARE, "(null)"));
    CHECK(!present(AS_FIELD_COMM, AS_FORM_BARE, "?"));
    CHECK(!present(AS_FIELD_COMM, AS_FORM_ABSENT, ""));
}

static void numbers(void) {
    CASE("numbers are compared under a mask, in the base of their field");
    CHECK(number_fits(AS_FIELD_A0, AS_OP_NUMBER, 0xffffff9c, UINT32_MAX, "ffffffffffffff9c"));
    CHECK(number_fits(AS_FIELD_A0, AS_OP_NUMBER, 0xffffff9c, UINT32_MAX, "deadbeefffffff9c"));
    CHECK(!number_fits(AS_FIELD_A0, AS_OP_NUMBER, 0xffffff9c, UINT64_MAX, "ffffffffffffff9c"));
    CHECK(number_fits(AS_FIELD_PID, AS_OP_NUMBER, 10, UINT64_MAX, "10"));
    CHECK(number_fits(AS_FIELD_PATH_MODE, AS_OP_NUMBER, 040555, UINT64_MAX, "040555"));
    CHECK(number_fits(AS_FIELD_EXIT, AS_OP_NUMBER, -13, UINT64_MAX, "-13"));
    CHECK(!number_fits(AS_FIELD_PID, AS_OP_NUMBER, 10, UINT64_MAX, "a"));
    CHECK(!number_fits(AS_FIELD_COMM, AS_OP_NUMBER, 10, UINT64_MAX, "10"));

    CASE("a mask of none asks whether it is a number");
    CHECK(number_fits(AS_FIELD_PID, AS_OP_NUMBER, 0, 0, "7"));
    CHECK(!number_fits(AS_FIELD_PID, AS_OP_NUMBER, 0, 0, "?"));

    CASE("numbers have an order, negative ones below zero");
    static const struct {
        const char *value;
        int order; /* to -13 */
    } exits[] = {{"-14", -1}, {"-13", 0}, {"-12", 1}, {"0", 1}, {"13", 1}};
    for (size_t i = 0; i < sizeof exits / sizeof *exits; i++) {
        CHECK(number_fits(AS_FIELD_EXIT, AS_OP_LESS, -13, 0, exits[i].value) == (exits[i].order < 0));
        CHECK(number_fits(AS_FIELD_EXIT, AS_OP_AT_MOST, -13, 0, exits[i].value) == (exits[i].order <= 0));
        CHECK(number_fits(AS_FIELD_EXIT, AS_OP_GREATER, -13, 0, exits[i].value) == (exits[i].order > 0));
        CHECK(number_fits(AS_FIELD_EXIT, AS_OP_AT_LEAST, -13, 0, exits[i].value) == (exits[i].order >= 0));
    }
    CHECK(!number_fits(AS_FIELD_EXIT, AS_OP_AT_LEAST, -13, 0, "x"));
    CHECK(!number_fits(AS_FIELD_EXIT, AS_OP_LESS, -13, 0, "?"));

    CASE("a length is a number of characters");
    CHECK(length_fits(AS_OP_NUMBER, 3, "abc"));
    CHECK(length_fits(AS_OP_NUMBER, 0, ""));
    CHECK(length_fits(AS_OP_NUMBER, 3, "a\xc3\xa9\xe2\x82\xac"));
    CHECK(!length_fits(AS_OP_NUMBER, 4, "abc"));
    CHECK(length_fits(AS_OP_GREATER, 2, "abc"));
    CHECK(!length_fits(AS_OP_LESS, 3, "abc"));
}

static void networks(void) {
    static const struct {
        const char *network; /* 16 bytes */
        uint32_t bits;
        const char *inside; /* separated by blanks */
        const char *outside;
    } cases[] = {
        {"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\0\0\0", 104, "10.0.0.0 10.255.255.255 ::ffff:10.1.2.3 ::ffff:a01:203",
         "11.0.0.0 9.255.255.255 10.0.0 10.0.0.0.0 10.0.0.256 10.0.0.0000 010.x.0.0 ::10.0.0.1 x 1"},
        {"\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\x01", 128, "127.0.0.1 0:0:0:0:0:ffff:7f00:1", "127.0.0.2 ::1"},
        {"\0\0\0\0\0\0\0\0\0\0\xff\xff\xac\x10\0\0", 108, "172.16.0.0 172.31.255.255", "172.32.0.0 172.15.0.1"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 128, "::1 0:0:0:0:0:0:0:1 0::0:1", "::2 127.0.0.1 1::"},
        {"\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 10, "fe80::1 FEBF:1::2 fe80:: fe80:1:2:3:4:5:6:7",
         "fec0::1 fe80 fe80: fe80::1::2 fe80:1:2:3:4:5:6 fe80:1:2:3:4:5:6:7:8 fe80::1: :fe80::1 fe80::12345 fe80:::1 "
         "fe80::1.2.3"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 0, ":: 1::2 9.9.9.9 1:2:3:4:5:6:7.8.9.1", "x ::g 1:2:3:4:5:6:7:8.9.1.2"}};
    CASE("an address is inside a network or not; a text that is no address is not");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int inside = 0; inside < 2; inside++) {
            const char *rest = inside == 1 ? cases[i].inside : cases[i].outside;
            while (*rest != '\0') {
                char address[64] = {0};
                const size_t len = strcspn(rest, " ");
                memcpy(address, rest, len);
                rest += len + (rest[len] == ' ' ? 1 : 0);
                const as_predicate predicate = {.field = AS_FIELD_COMM, .op = AS_OP_NETWORK};
                const as_operand operand = {.number = cases[i].bits};
                if (!CHECK_EQUAL(fits(predicate, cases[i].network, 16, operand, AS_FORM_QUOTED, address), inside)) {
                    printf("# %s in network %zu\n", address, i);
                }
            }
        }
    }
    CASE("an empty text is no address");
    const as_predicate predicate = {.field = AS_FIELD_COMM, .op = AS_OP_NETWORK};
    CHECK(!fits(predicate, cases[5].network, 16, (as_operand){0}, AS_FORM_QUOTED, ""));
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
    static const as_predicate rows[] = {
        {.field = AS_FIELD_EXE, .op = AS_OP_LIKE, .first_operand = 0, .operands = 1},
        {.field = AS_FIELD_CWD, .op = AS_OP_LIKE, .first_operand = 1, .operands = 1},
        {.field = AS_FIELD_EXE, .op = AS_OP_LIKE, .first_operand = 2, .operands = 1},
        {.field = AS_FIELD_PROCTITLE, .op = AS_OP_LIKE, .first_operand = 0, .operands = 1}};
    const as_rules table = {.predicates = rows,
                            .operands = operands,
                            .text = text,
                            .predicate_count = 4,
                            .operand_count = 3,
                            .text_len = 6};
    as_predicates predicates = predicates_of(&table);
    char exe[1200];
    char cwd[1200];
    static as_event_values located;
    as_value *const values = located.values;
    located = (as_event_values){.located = AS_ALL_FIELDS};

    CASE("long texts of several fields are decoded for all predicates, up to the longest record there is");
    for (uint32_t len = 30; len <= 512; len += 241) {
        as_predicates_begin_event(&predicates);
        values[AS_FIELD_EXE] = (as_value){.span = hex_of(exe, 'a', len), .form = AS_FORM_BARE};
        values[AS_FIELD_EXE].span =
            (memmove(exe, values[AS_FIELD_EXE].span.at, 2 * len), as_span_of((uint8_t *)exe, 2 * len));
        values[AS_FIELD_CWD] = (as_value){.span = hex_of(cwd, 'b', len), .form = AS_FORM_BARE};
        values[AS_FIELD_PROCTITLE] = values[AS_FIELD_EXE];
        for (int twice = 0; twice < 2; twice++) {
            CHECK(as_predicate_holds(&predicates, 0, &located));
            CHECK(as_predicate_holds(&predicates, 1, &located));
            CHECK(!as_predicate_holds(&predicates, 2, &located));
            CHECK(as_predicate_holds(&predicates, 3, &located));
        }
    }

    CASE("what is known of a text is not known of that of the next event");
    values[AS_FIELD_EXE] = values[AS_FIELD_CWD];
    as_predicates_begin_event(&predicates);
    CHECK(!as_predicate_holds(&predicates, 0, &located));
}

/* A text operand that is for some architectures only. */
static void operands_of_an_architecture(void) {
    static const uint8_t text[] = "80000a0000";
    static const as_operand operands[] = {{.at = 0, .len = 5}, {.number = 40, .mask = 0xffff, .at = 5, .len = 5}};
    static const as_predicate rows[] = {{.field = AS_FIELD_A2, .op = AS_OP_TEXT, .operands = 2},
                                        {.field = AS_FIELD_A2, .op = AS_OP_TEXT, .first_operand = 1, .operands = 1},
                                        {.field = AS_FIELD_A2, .op = AS_OP_TEXT, .operands = 1},
                                        {.field = AS_FIELD_A2, .op = AS_OP_NUMBER, .first_operand = 1, .operands = 1}};
    static const as_node nodes[] = {{0, AS_NODE_TRUE, AS_NODE_FALSE},
                                    {1, AS_NODE_TRUE, AS_NODE_FALSE},
                                    {2, AS_NODE_TRUE, AS_NODE_FALSE},
                                    {3, AS_NODE_TRUE, AS_NODE_FALSE},
                                    {2, AS_NODE_TRUE, 5},
                                    {1, AS_NODE_TRUE, AS_NODE_FALSE}};
    const as_rules rules = {.predicates = rows,
                            .nodes = nodes,
                            .operands = operands,
                            .text = text,
                            .predicate_count = 4,
                            .node_count = 6,
                            .operand_count = 2,
                            .text_len = 10};
    as_predicates predicates = predicates_of(&rules);
    static const struct {
        const char *arch; /* NULL: absent */
        const char *flags;
        bool fits;
    } events[] = {{"40000028", "a0000", true},  {"28", "a0000", true},        {"c000003e", "a0000", false},
                  {"c00000b7", "a0000", false}, {"c000003e", "80000", true},  {"40000028", "80000", true},
                  {"40000028", "A0000", false}, {NULL, "80000", true},        {NULL, "a0000", false},
                  {"nonsense", "a0000", false}, {"100000028", "a0000", true}, {"4000002", "a0000", false}};

    CASE("an operand of an architecture fits its events only; the architecture is read for it");
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        static as_event_values located;
        as_value *const values = located.values;
        located = (as_event_values){.located = AS_ALL_FIELDS};
        values[AS_FIELD_A2] =
            (as_value){.span = guarded_span(events[i].flags, strlen(events[i].flags)), .form = AS_FORM_BARE};
        if (events[i].arch != NULL) {
            values[AS_FIELD_ARCH] =
                (as_value){.span = guarded_span(events[i].arch, strlen(events[i].arch)), .form = AS_FORM_BARE};
        }
        as_predicates_begin_event(&predicates);
        CHECK_EQUAL(as_predicate_holds(&predicates, 0, &located), events[i].fits);
    }

    CASE("the architecture is read for such operands, and for no other ones");
    CHECK_EQUAL(as_program_fields(&predicates, 0), AS_BIT(AS_FIELD_A2) | AS_BIT(AS_FIELD_ARCH));
    CHECK_EQUAL(as_program_fields(&predicates, 1), AS_BIT(AS_FIELD_A2) | AS_BIT(AS_FIELD_ARCH));
    CHECK_EQUAL(as_program_fields(&predicates, 2), AS_BIT(AS_FIELD_A2));
    CHECK_EQUAL(as_program_fields(&predicates, 3), AS_BIT(AS_FIELD_A2));

    CASE("a program reads the fields of all its nodes");
    CHECK_EQUAL(as_program_fields(&predicates, 4), AS_BIT(AS_FIELD_A2) | AS_BIT(AS_FIELD_ARCH));
    CHECK_EQUAL(as_program_fields(&predicates, AS_NODE_TRUE), 0);
}

static void lists(void) {
    static const as_operand operands[] = {{.at = 0, .len = 2}, {.at = 2, .len = 3}, {.number = 2}};
    static const as_predicate rows[] = {
        {.field = AS_FIELD_ARGS, .op = AS_OP_TEXT, .first_operand = 0, .operands = 1},
        {.field = AS_FIELD_ARGS, .op = AS_OP_LIKE, .first_operand = 1, .operands = 1},
        {.field = AS_FIELD_ARGS, .op = AS_OP_LENGTH, .length_op = AS_OP_NUMBER, .first_operand = 2, .operands = 1},
        {.field = AS_FIELD_ARGS, .op = AS_OP_PRESENT},
        {.field = AS_FIELD_CAPABILITIES, .op = AS_OP_PRESENT}};
    const as_rules rules = {.predicates = rows,
                            .operands = operands,
                            .text = (const uint8_t *)"-xz*c",
                            .predicate_count = 5,
                            .operand_count = 3,
                            .text_len = 5};
    static const as_event event;
    static as_span arguments[] = {{(const uint8_t *)"sh", 2}, {(const uint8_t *)"zabc", 4}, {(const uint8_t *)"-x", 2}};
    as_predicates predicates = predicates_of(&rules);
    static as_event_values located;
    located = (as_event_values){.located = AS_ALL_FIELDS, .decoded = AS_ALL_FIELDS, .args_read = true, .event = &event};
    located.args = (as_exec_args){.spans = arguments, .count = 3};
    located.texts[AS_FIELD_ARGS] = arguments[0];
    CASE("of a list any value is enough, its length is that of the first, and an empty one is absent");
    CHECK(as_predicate_holds(&predicates, 0, &located));
    CHECK(as_predicate_holds(&predicates, 1, &located));
    CHECK(as_predicate_holds(&predicates, 2, &located));
    CHECK(as_predicate_holds(&predicates, 3, &located));
    CHECK(!as_predicate_holds(&predicates, 4, &located));
    as_predicates_begin_event(&predicates);
    located.args.count = 1;
    CHECK(!as_predicate_holds(&predicates, 0, &located));
    CHECK(!as_predicate_holds(&predicates, 1, &located));
    CHECK(as_predicate_holds(&predicates, 3, &located));
    as_predicates_begin_event(&predicates);
    located.args.count = 0;
    CHECK(!as_predicate_holds(&predicates, 2, &located));
    CHECK(!as_predicate_holds(&predicates, 3, &located));
}

int main(void) {
    texts();
    numbers();
    networks();
    long_texts();
    operands_of_an_architecture();
    lists();
    return check_done();
}
