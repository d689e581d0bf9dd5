/* The processes of an event: what rules may ask of them, and what is not known. */
#include "_ring/event_processes.h"

#include "check.h"

enum { MEMORY = 1 << 22 };

static const as_session sessions[] = {{.name_at = 0, .name_len = 0, .type_at = 0, .type_len = 4}};
static const as_rules rules = {
    .sessions = sessions, .session_count = 1, .text = (const uint8_t *)"init", .text_len = 4};

static uint8_t *memory;
static as_processes processes;
static as_event_processes of;

static void enter(uint32_t pid, uint32_t parent, as_span name, as_span executable) {
    const as_span arguments[] = {name, GUARDED("-x")};
    const as_process_exec exec = {.ms = 1000,
                                  .pid = pid,
                                  .parent = parent,
                                  .name = name,
                                  .executable = executable,
                                  .arguments = arguments,
                                  .argument_count = 2,
                                  .arguments_known = true};
    as_processes_enter_exec(&processes, &exec);
}

static void event(uint32_t pid, uint32_t parent) {
    as_event_processes_begin(&of, &processes, 0, 2000, pid, parent);
}

static as_span text(as_field field) {
    as_span out = {0};
    as_event_process_text(&of, field, &out);
    return out;
}

static uint32_t bit(as_field field) {
    return 1u << (field - AS_FIELD_PARENT_NAME);
}

static void known(void) {
    const as_span *arguments;
    bool cut = true;
    event(12, 11);
    CASE("an event has the name, the executable and the arguments of its parent");
    CHECK_TEXT(text(AS_FIELD_PARENT_NAME), "bash");
    CHECK_TEXT(text(AS_FIELD_PARENT_EXECUTABLE), "/bin/bash");
    CHECK_TEXT(text(AS_FIELD_PARENT_ARGS), "bash\0-x");
    CHECK_TEXT(text(AS_FIELD_PARENT_COMMAND_LINE), "bash -x");
    CHECK_EQUAL(as_event_process_arguments(&of, AS_FIELD_PARENT_ARGS, &arguments, &cut), 2);
    CHECK_TEXT(arguments[1], "-x");
    CHECK(!cut);

    CASE("the entity of its parent is the one that the parent's own events have");
    const as_span entity = text(AS_FIELD_PARENT_ENTITY_ID);
    CHECK_EQUAL(entity.len, 16);
    uint8_t copy[16];
    memcpy(copy, entity.at, sizeof copy);
    event(11, 10);
    CHECK(as_span_same(text(AS_FIELD_ENTITY_ID), as_span_of(copy, sizeof copy)));

    CASE("the leader of its session is found through its ancestors");
    event(12, 11);
    CHECK_TEXT(text(AS_FIELD_LEADER_EXECUTABLE), "/sbin/cron");
    CHECK_TEXT(text(AS_FIELD_LEADER_ARGS), "cron\0-x");
    CHECK_TEXT(text(AS_FIELD_LEADER_TYPE), "init");
    CHECK_EQUAL(of.unknown, 0);

    CASE("a record that names no parent has that of the table");
    event(12, AS_PARENT_OF_TABLE);
    CHECK_TEXT(text(AS_FIELD_PARENT_NAME), "bash");

    CASE("another kind of event has the last exec of its process");
    as_span own;
    CHECK(as_event_process_text(&of, AS_FIELD_COMM, &own));
    CHECK_TEXT(own, "ls");
    CHECK(as_event_process_text(&of, AS_FIELD_COMMAND_LINE, &own));
    CHECK_TEXT(own, "ls -x");
    CHECK(as_event_process_text(&of, AS_FIELD_ARGS, &own));
    CHECK_TEXT(own, "ls\0-x");
}

static void not_known(void) {
    CASE("what is not known is absent, and kept as unknown");
    event(12, 99);
    CHECK_EQUAL(text(AS_FIELD_PARENT_NAME).len, 0);
    CHECK_EQUAL(of.unknown, bit(AS_FIELD_PARENT_NAME));
    text(AS_FIELD_PARENT_COMMAND_LINE);
    CHECK_EQUAL(of.unknown, bit(AS_FIELD_PARENT_NAME) | bit(AS_FIELD_PARENT_COMMAND_LINE));
    CHECK((of.unknown & AS_UNKNOWN_PARENT) != 0);

    CASE("process 1 has no parent: nothing of it is unknown");
    event(1, 0);
    text(AS_FIELD_PARENT_NAME);
    text(AS_FIELD_PARENT_ARGS);
    CHECK_EQUAL(of.unknown, 0);

    CASE("an executable that could not be read is unknown, its name is not");
    enter(20, 1, GUARDED("nginx"), (as_span){0});
    event(21, 20);
    CHECK_TEXT(text(AS_FIELD_PARENT_NAME), "nginx");
    CHECK_EQUAL(of.unknown, 0);
    text(AS_FIELD_PARENT_EXECUTABLE);
    CHECK_EQUAL(of.unknown, bit(AS_FIELD_PARENT_EXECUTABLE));

    CASE("arguments of the event's own process are unknown on their own");
    as_span own;
    event(98, 11);
    CHECK(!as_event_process_text(&of, AS_FIELD_COMMAND_LINE, &own));
    CHECK_EQUAL(of.unknown, AS_UNKNOWN_ARGUMENTS);
    CHECK(!as_event_process_text(&of, AS_FIELD_COMM, &own));
    CHECK_EQUAL(of.unknown, AS_UNKNOWN_ARGUMENTS | AS_UNKNOWN_NAME);
}

static void missing(void) {
    CASE("a parent that the table lacks is missing if a rule reads a field of the parent");
    event(12, 99);
    CHECK_EQUAL(as_event_processes_missing(&of, AS_BIT(AS_FIELD_PARENT_NAME), false), 99);
    CHECK_EQUAL(as_event_processes_missing(&of, AS_BIT(AS_FIELD_COMM), false), 0);

    CASE("the process itself is missing if its entity or its own arguments are needed");
    event(98, 11);
    CHECK_EQUAL(as_event_processes_missing(&of, AS_BIT(AS_FIELD_ENTITY_ID), false), 98);
    CHECK_EQUAL(as_event_processes_missing(&of, AS_BIT(AS_FIELD_ARGS), true), 98);
    CHECK_EQUAL(as_event_processes_missing(&of, AS_BIT(AS_FIELD_PARENT_NAME), false), 0);

    CASE("an ancestor is missing if the leader of the session is needed");
    enter(31, 30, GUARDED("sh"), GUARDED("/bin/sh"));
    event(31, 30);
    CHECK_EQUAL(as_event_processes_missing(&of, AS_BIT(AS_FIELD_LEADER_TYPE), false), 30);

    CASE("nothing is missing once procfs had nothing to tell");
    const as_process_facts absent = {.pid = 99, .read_ms = 2000, .flags = AS_FACTS_ABSENT};
    as_processes_enter_facts(&processes, &absent, 0);
    event(12, 99);
    CHECK_EQUAL(as_event_processes_missing(&of, AS_BIT(AS_FIELD_PARENT_NAME), false), 0);
}

int main(void) {
    as_arena arena = {.base = memory = calloc(1, MEMORY)};
    as_processes_init(&processes, 16, 7, true, &rules, &arena);
    CHECK(arena.used <= MEMORY);
    enter(10, 1, GUARDED("cron"), GUARDED("/sbin/cron"));
    enter(11, 10, GUARDED("bash"), GUARDED("/bin/bash"));
    enter(12, 11, GUARDED("ls"), GUARDED("/bin/ls"));
    known();
    not_known();
    missing();
    free(memory);
    return check_done();
}
