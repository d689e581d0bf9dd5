/* The process table: which process a pid means at a time, what is known of it, and the leader of its session. */
#include "_ring/process.h"

#include "check.h"

enum { MEMORY = 1 << 22, BOOT = 99 };

static uint8_t *memory;
#define TEXTS "initsshdshimcontainerrunc"
static const as_session sessions[] = {
    {.name_at = 0, .name_len = 0, .type_at = 0, .type_len = 4},   /* process 1: init */
    {.name_at = 4, .name_len = 4, .type_at = 4, .type_len = 4},   /* sshd: sshd */
    {.name_at = 8, .name_len = 4, .type_at = 12, .type_len = 9},  /* shim: container */
    {.name_at = 21, .name_len = 4, .type_at = 12, .type_len = 9}, /* runc: container */
};
static const as_rules rules = {
    .sessions = sessions, .session_count = 4, .text = (const uint8_t *)TEXTS, .text_len = sizeof TEXTS - 1};

static as_processes fresh(uint32_t slots) {
    as_processes processes;
    as_arena counting = {.base = NULL};
    as_arena from = {.base = memory};
    as_processes_init(&processes, slots, 7, true, &rules, &counting);
    CHECK(counting.used <= MEMORY);
    memset(memory, 0, MEMORY);
    as_processes_init(&processes, slots, 7, true, &rules, &from);
    CHECK_EQUAL(counting.used, from.used);
    return processes;
}

static as_span text(const char *zero_terminated) {
    return guarded_span(zero_terminated, strlen(zero_terminated));
}

/* An exec of "/bin/NAME" with the arguments NAME and "-x". */
static as_process *exec_of(as_processes *processes, uint32_t pid, uint32_t parent, uint64_t ms, const char *name) {
    char path[64];
    snprintf(path, sizeof path, "/bin/%s", name);
    const as_span arguments[] = {text(name), GUARDED("-x")};
    const as_process_exec exec = {.boot = BOOT,
                                  .ms = ms,
                                  .serial = 1,
                                  .pid = pid,
                                  .parent = parent,
                                  .name = text(name),
                                  .executable = text(path),
                                  .arguments = arguments,
                                  .argument_count = 2,
                                  .arguments_known = true};
    return as_processes_enter_exec(processes, &exec);
}

/* texts: name, executable, arguments, with a zero byte after each. */
static void facts_of(as_processes *processes, uint32_t pid, uint32_t parent, uint64_t start_ms, uint32_t flags,
                     as_span texts) {
    const as_process_facts facts = {.start_ms = start_ms,
                                    .read_ms = start_ms,
                                    .pid = pid,
                                    .parent = parent,
                                    .flags = flags,
                                    .texts = texts.at,
                                    .texts_len = texts.len};
    as_processes_enter_facts(processes, &facts, BOOT);
}

static as_process *found(as_processes *processes, uint32_t pid, uint64_t ms) {
    as_process *process;
    CHECK_EQUAL(as_processes_find(processes, 0, pid, ms, &process), AS_PROCESS_FOUND);
    return process;
}

static as_process_answer answer(as_processes *processes, uint32_t pid, uint64_t ms) {
    as_process *process;
    return as_processes_find(processes, 0, pid, ms, &process);
}

static as_span line_of(const as_processes *processes, const as_process *process) {
    const as_process_texts texts = as_processes_read(processes, process, 0);
    return as_processes_command_line(processes, &texts, 0);
}

static void execs(void) {
    as_processes processes = fresh(16);
    CASE("an exec enters a process with its name, its executable and its arguments");
    exec_of(&processes, 10, 1, 5000, "bash");
    const as_process *bash = found(&processes, 10, 5000);
    const as_process_texts texts = as_processes_read(&processes, bash, 0);
    CHECK_TEXT(as_process_name(bash), "bash");
    CHECK_TEXT(texts.executable, "/bin/bash");
    CHECK_TEXT(line_of(&processes, bash), "bash -x");
    CHECK_TEXT(texts.joined, "bash\0-x");
    CHECK_EQUAL(texts.argument_count, 2);
    CHECK_TEXT(texts.arguments[0], "bash");
    CHECK_TEXT(texts.arguments[1], "-x");
    CHECK_EQUAL(bash->parent, 1);
    CHECK_EQUAL(bash->origin, AS_PROCESS_EXEC);

    CASE("an exec of a known process replaces what is known of it, but it stays the same entity");
    const uint64_t entity = bash->entity;
    exec_of(&processes, 10, 1, 9000, "curl");
    CHECK_TEXT(as_process_name(found(&processes, 10, 9000)), "curl");
    CHECK_EQUAL(bash->entity == entity, 1);

    CASE("an exec that is reported late does not replace a later one");
    CHECK(exec_of(&processes, 10, 1, 8000, "old") != NULL);
    CHECK_TEXT(as_process_name(found(&processes, 10, 9000)), "curl");

    CASE("processes of one pid on two hosts are two");
    const as_process_exec elsewhere = {.node = 5, .ms = 5000, .pid = 10, .parent = 1, .name = GUARDED("elsewhere")};
    as_processes_enter_exec(&processes, &elsewhere);
    as_process *other;
    CHECK_EQUAL(as_processes_find(&processes, 5, 10, 9000, &other), AS_PROCESS_FOUND);
    CHECK_TEXT(as_process_name(other), "elsewhere");
    CHECK_TEXT(as_process_name(found(&processes, 10, 9000)), "curl");

    CASE("a process of another host that is not known cannot be asked for");
    CHECK_EQUAL(as_processes_find(&processes, 5, 11, 9000, &other), AS_PROCESS_UNKNOWN);
    CHECK_EQUAL(answer(&processes, 11, 9000), AS_PROCESS_MISSING);

    CASE("process 0 has no entry");
    CHECK_EQUAL(answer(&processes, 0, 9000), AS_PROCESS_UNKNOWN);
    CHECK(exec_of(&processes, 0, 1, 9000, "swapper") == NULL);
}

static void pids_used_again(void) {
    as_processes processes = fresh(16);
    CASE("an event from before the start of a process means an earlier one of its pid");
    facts_of(&processes, 20, 1, 50000, AS_FACTS_AT_START, GUARDED("late\0/bin/late\0"));
    CHECK_EQUAL(answer(&processes, 20, 50000 - AS_PROCESS_SLACK_MS), AS_PROCESS_FOUND);
    CHECK_EQUAL(answer(&processes, 20, 49999 - AS_PROCESS_SLACK_MS), AS_PROCESS_UNKNOWN);
    CHECK(exec_of(&processes, 20, 1, 40000, "early") == NULL);
    CHECK_TEXT(as_process_name(found(&processes, 20, 50000)), "late");

    CASE("an exec below a process that is no ancestor is one of another process");
    facts_of(&processes, 2, 1, 100, AS_FACTS_AT_START, GUARDED("shell\0/bin/shell\0"));
    facts_of(&processes, 3, 1, 200, AS_FACTS_AT_START, GUARDED("shell\0/bin/shell\0"));
    facts_of(&processes, 1, 0, 0, AS_FACTS_AT_START, GUARDED("init\0/sbin/init\0"));
    const uint64_t first = exec_of(&processes, 30, 2, 60000, "ls")->entity;
    CHECK(exec_of(&processes, 30, 3, 61000, "ls")->entity != first);

    CASE("an orphan goes to an ancestor and stays the same process");
    const uint64_t orphan = exec_of(&processes, 31, 3, 62000, "ls")->entity;
    CHECK(exec_of(&processes, 31, 1, 63000, "ls")->entity == orphan);

    CASE("a process below one that began after it is another one");
    const uint64_t before = exec_of(&processes, 32, 40, 64000, "ls")->entity;
    facts_of(&processes, 40, 1, 70000, AS_FACTS_AT_START, GUARDED("shell\0/bin/shell\0"));
    CHECK(exec_of(&processes, 32, 40, 71000, "ls")->entity != before);
}

static void proc(void) {
    as_processes processes = fresh(16);
    CASE("what /proc told at the start has arguments");
    facts_of(&processes, 50, 1, 1000, AS_FACTS_AT_START | AS_FACTS_ARGUMENTS, GUARDED("sh\0/bin/sh\0sh\0-c\0\0exit\0"));
    const as_process_texts texts = as_processes_read(&processes, found(&processes, 50, 2000), 1);
    CHECK_EQUAL(texts.argument_count, 4);
    CHECK_TEXT(as_processes_command_line(&processes, &texts, 1), "sh -c  exit");
    CHECK_EQUAL(texts.arguments[2].len, 0);

    CASE("at a miss the arguments are not read");
    facts_of(&processes, 51, 1, 1000, 0, GUARDED("sh\0/bin/sh\0"));
    CHECK_EQUAL(found(&processes, 51, 2000)->flags & AS_ARGUMENTS_KNOWN, 0);

    CASE("an exec record is worth more than a later look into /proc");
    exec_of(&processes, 52, 1, 5000, "curl");
    facts_of(&processes, 52, 1, 4000, AS_FACTS_AT_START, GUARDED("wget\0/bin/wget\0"));
    CHECK_TEXT(as_process_name(found(&processes, 52, 5000)), "curl");
    CHECK_EQUAL(answer(&processes, 52, 4000), AS_PROCESS_FOUND);

    CASE("unless another process has the pid by then");
    facts_of(&processes, 52, 1, 7000, 0, GUARDED("wget\0/bin/wget\0"));
    CHECK_TEXT(as_process_name(found(&processes, 52, 7000)), "wget");

    CASE("a fork without exec has the arguments of its parent");
    exec_of(&processes, 60, 1, 10000, "make");
    facts_of(&processes, 61, 60, 11000, 0, GUARDED("make\0/bin/make\0"));
    CHECK_TEXT(line_of(&processes, found(&processes, 61, 12000)), "make -x");

    CASE("and its executable, where that may not be read");
    facts_of(&processes, 64, 60, 11000, 0, GUARDED("make\0\0"));
    CHECK_TEXT(as_processes_read(&processes, found(&processes, 64, 12000), 0).executable, "/bin/make");

    CASE("but not if it is another program, or began before the execs were known");
    facts_of(&processes, 62, 60, 11000, 0, GUARDED("cc\0/bin/cc\0"));
    CHECK_EQUAL(found(&processes, 62, 12000)->flags & AS_ARGUMENTS_KNOWN, 0);
    facts_of(&processes, 63, 50, 4000, 0, GUARDED("sh\0/bin/sh\0"));
    CHECK_EQUAL(found(&processes, 63, 12000)->flags & AS_ARGUMENTS_KNOWN, 0);

    CASE("a pid that /proc lacks is asked for once, and again when a later event names it");
    CHECK_EQUAL(answer(&processes, 70, 20000), AS_PROCESS_MISSING);
    facts_of(&processes, 70, 0, 20500, AS_FACTS_ABSENT, (as_span){0});
    CHECK_EQUAL(answer(&processes, 70, 20500), AS_PROCESS_UNKNOWN);
    CHECK_EQUAL(answer(&processes, 70, 20501), AS_PROCESS_MISSING);

    CASE("an exec makes it known");
    exec_of(&processes, 70, 1, 21000, "late");
    CHECK_TEXT(as_process_name(found(&processes, 70, 21000)), "late");
}

static void check_leader(as_processes *processes, uint32_t pid, uint32_t leader, const char *type) {
    as_process *out;
    uint32_t index = 0;
    uint32_t missing = 0;
    const as_process_answer answered =
        as_processes_leader(processes, found(processes, pid, 1 << 20), &out, &index, &missing);
    if (CHECK_EQUAL(answered, AS_PROCESS_FOUND) && CHECK(out != NULL)) {
        CHECK_EQUAL(out->pid, leader);
        CHECK(index < 4 && as_span_same(processes->entries[index].type, text(type)));
    }
}

static void leaders(void) {
    as_processes processes = fresh(64);
    as_process *out;
    uint32_t type = 0;
    uint32_t missing = 0;
    CASE("the leader of a session is the first process below process 1, known or not");
    exec_of(&processes, 100, 1, 1000, "cron");
    exec_of(&processes, 101, 100, 1001, "sh");
    exec_of(&processes, 102, 101, 1002, "ls");
    check_leader(&processes, 102, 100, "init");
    check_leader(&processes, 100, 100, "init");

    CASE("or below sshd, whose own helpers lead none");
    exec_of(&processes, 200, 1, 1000, "sshd");
    exec_of(&processes, 201, 200, 1001, "sshd-session");
    exec_of(&processes, 202, 201, 1002, "bash");
    exec_of(&processes, 203, 202, 1003, "ls");
    check_leader(&processes, 203, 202, "sshd");
    check_leader(&processes, 201, 200, "init");

    CASE("or below a container runtime");
    exec_of(&processes, 300, 1, 1000, "shim-v2");
    exec_of(&processes, 301, 300, 1001, "runc");
    exec_of(&processes, 302, 301, 1002, "sh");
    exec_of(&processes, 303, 302, 1003, "ls");
    check_leader(&processes, 303, 302, "container");
    check_leader(&processes, 301, 300, "init");

    CASE("an orphan stays in its session");
    exec_of(&processes, 203, 1, 2000, "nohup");
    check_leader(&processes, 203, 202, "sshd");

    CASE("an ancestor that is missing is named, and the leader is known once it is there");
    exec_of(&processes, 401, 400, 3000, "ls");
    CHECK_EQUAL(as_processes_leader(&processes, found(&processes, 401, 3000), &out, &type, &missing),
                AS_PROCESS_MISSING);
    CHECK_EQUAL(missing, 400);
    facts_of(&processes, 400, 202, 2900, 0, GUARDED("bash\0/bin/bash\0"));
    check_leader(&processes, 401, 202, "sshd");

    CASE("parents in a circle have no leader");
    exec_of(&processes, 500, 501, 4000, "a");
    exec_of(&processes, 501, 500, 4000, "b");
    exec_of(&processes, 502, 502, 4000, "c");
    CHECK_EQUAL(as_processes_leader(&processes, found(&processes, 500, 4000), &out, &type, &missing),
                AS_PROCESS_UNKNOWN);
    CHECK_EQUAL(as_processes_leader(&processes, found(&processes, 502, 4000), &out, &type, &missing),
                AS_PROCESS_UNKNOWN);

    CASE("when the leader has gone from the table, the type of the session is still known");
    as_processes small = fresh(16);
    exec_of(&small, 200, 1, 1000, "sshd");
    exec_of(&small, 202, 200, 1002, "bash");
    exec_of(&small, 203, 202, 1003, "sh");
    for (uint32_t pid = 1000; pid < 1015; pid++) {
        exec_of(&small, pid, 203, 5000, "ls");
    }
    CHECK_EQUAL(answer(&small, 202, 5000), AS_PROCESS_MISSING);
    CHECK_EQUAL(as_processes_leader(&small, found(&small, 203, 5000), &out, &type, &missing), AS_PROCESS_FOUND);
    CHECK(out == NULL);
    CHECK_EQUAL(type, 1);
}

static void bounds(void) {
    as_processes processes = fresh(16);
    CASE("the least recently used process goes, and is counted");
    for (uint32_t pid = 1; pid <= 16; pid++) {
        exec_of(&processes, pid, 1, 1000, "ls");
    }
    found(&processes, 1, 1000);
    exec_of(&processes, 17, 1, 1000, "ls");
    CHECK_EQUAL(processes.evicted, 1);
    CHECK_EQUAL(answer(&processes, 2, 1000), AS_PROCESS_MISSING);
    found(&processes, 1, 1000);
    CHECK_EQUAL(processes.live, 16);

    CASE("arguments are cut at 4,096 bytes joined, and flagged");
    static char all[AS_PROCESS_ARGUMENTS + 200];
    memset(all, 'a', sizeof all);
    const as_span arguments[] = {guarded_span(all, 4000), guarded_span(all, 4000)};
    as_process_exec exec = {.ms = 2000,
                            .pid = 18,
                            .parent = 1,
                            .name = GUARDED("a name of more than 16 bytes"),
                            .executable = GUARDED("/bin/ls"),
                            .arguments = arguments,
                            .argument_count = 2,
                            .arguments_known = true};
    as_process *process = as_processes_enter_exec(&processes, &exec);
    as_process_texts texts = as_processes_read(&processes, process, 2);
    CHECK((process->flags & AS_ARGUMENTS_CUT) != 0);
    CHECK_EQUAL(texts.argument_count, 2);
    CHECK_EQUAL(texts.arguments[0].len, 4000);
    CHECK_EQUAL(texts.arguments[1].len, 95);
    CHECK_EQUAL(texts.joined.len, AS_PROCESS_ARGUMENTS);
    CHECK_TEXT(as_process_name(process), "a name of more t");

    CASE("and at 1,024 arguments");
    static as_span many[AS_PROCESS_ARGUMENT_COUNT + 1];
    for (uint32_t i = 0; i <= AS_PROCESS_ARGUMENT_COUNT; i++) {
        many[i] = GUARDED("");
    }
    exec.ms = 2001;
    exec.arguments = many;
    exec.argument_count = AS_PROCESS_ARGUMENT_COUNT + 1;
    process = as_processes_enter_exec(&processes, &exec);
    CHECK_EQUAL(as_processes_read(&processes, process, 2).argument_count, AS_PROCESS_ARGUMENT_COUNT);
    CHECK((process->flags & AS_ARGUMENTS_CUT) != 0);

    CASE("when the texts are full, the least recently used processes go");
    exec.arguments = arguments;
    exec.argument_count = 2;
    const uint64_t before = processes.evicted;
    for (exec.pid = 100; exec.pid < 120; exec.pid++) {
        CHECK(as_processes_enter_exec(&processes, &exec) != NULL);
        const as_process *newest = found(&processes, exec.pid, 2001);
        CHECK_EQUAL(as_processes_read(&processes, newest, 0).joined.len, AS_PROCESS_ARGUMENTS);
    }
    CHECK(processes.evicted > before + 16);
    CHECK(processes.live < 16);

    CASE("without slots there is no table, and no memory");
    as_processes none;
    as_arena counting = {.base = NULL};
    as_processes_init(&none, 0, 7, true, &rules, &counting);
    CHECK_EQUAL(counting.used, 0);
    CHECK(exec_of(&none, 10, 1, 5000, "bash") == NULL);
    facts_of(&none, 10, 1, 5000, 0, GUARDED("bash\0/bin/bash\0"));
}

static void migration(void) {
    CASE("another table continues with all processes");
    as_processes from = fresh(64);
    exec_of(&from, 100, 1, 1000, "cron");
    exec_of(&from, 101, 100, 1001, "sh");
    const size_t bytes = MEMORY;
    uint8_t *kept = memory;
    memory = malloc(bytes);
    as_processes to = fresh(64);
    as_processes_migrate(&to, &from);
    memset(kept, 0xff, bytes);
    check_leader(&to, 101, 100, "init");
    CHECK_TEXT(line_of(&to, found(&to, 101, 2000)), "sh -x");
    exec_of(&to, 102, 101, 3000, "ls");
    check_leader(&to, 102, 100, "init");
    free(memory);
    memory = kept;
}

int main(void) {
    memory = malloc(MEMORY);
    execs();
    pids_used_again();
    proc();
    leaders();
    bounds();
    migration();
    free(memory);
    return check_done();
}
