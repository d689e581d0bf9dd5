/* Stage 3, event values: what the records of one event say, decoded on demand. */
#include "_ring/event_values.h"

#include "_ring/event.h"

#include "check.h"
#include "event_classes.h"
#include "samples.h"

enum { EVERYTHING = 1 << 20 };

typedef struct {
    as_events events;
    as_event_values values;
    as_stats stats;
} table;

static uint8_t *memory;
static as_classes classes;

static void begin(table *t) {
    const as_config config = sample_config();
    as_arena arena = {.base = memory};
    memset(memory, 0, EVERYTHING);
    *t = (table){0};
    as_events_init(&t->events, &config, &classes, &arena);
    as_event_values_init(&t->values, &config, false, &arena);
    CHECK(arena.used <= EVERYTHING);
}

static void add(table *t, uint16_t type, const char *body) {
    const as_record record = {.type = type, .serial = 7, .ms = 5000, .body = guarded_span(body, strlen(body))};
    as_events_add(&t->events, &record, (as_span){0}, type == AS_TYPE_SYSCALL ? 1 : AS_CLASS_UNKNOWN, true, false,
                  &t->stats);
}

/* Close the event and read it. */
static void finish(table *t) {
    add(t, AS_TYPE_EOE, "");
    as_event_values_begin(&t->values, &t->events, as_events_closed(&t->events), 0);
}

static as_span text(table *t, as_field field) {
    as_span out;
    return as_event_text(&t->values, field, &out) ? out : (as_span){.at = NULL, .len = UINT32_MAX};
}

static void single_values(void) {
    table t;
    uint64_t number = 0;
    begin(&t);
    add(&t, AS_TYPE_SYSCALL,
        "arch=c000003e syscall=257 success=yes exit=-13 items=1 pid=92 tty=(none) comm=70732070 exe=\"/init\"");
    add(&t, AS_TYPE_CWD, "cwd=\"/\"");
    add(&t, AS_TYPE_PATH, "item=0 name=2F612062 inode=1 mode=040555 nametype=NORMAL");
    add(&t, AS_TYPE_PROCTITLE, "proctitle=2F696E6974002D78");
    finish(&t);
    CASE("a value is decoded as its field is written");
    CHECK_TEXT(text(&t, AS_FIELD_EXE), "/init");
    CHECK_TEXT(text(&t, AS_FIELD_COMM), "ps p");
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "/a b");
    CHECK_TEXT(text(&t, AS_FIELD_PROCTITLE), "/init -x");
    CASE("texts stay valid until the next event");
    const as_span first = text(&t, AS_FIELD_COMM);
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "/a b");
    CHECK_TEXT(first, "ps p");
    CHECK(text(&t, AS_FIELD_COMM).at == first.at);
    CASE("a field that no record carried, or a marker, is absent");
    CHECK_EQUAL(text(&t, AS_FIELD_TTY).len, UINT32_MAX);
    CHECK_EQUAL(text(&t, AS_FIELD_KEY).len, UINT32_MAX);
    CHECK_EQUAL(as_event_list(&t.values, AS_FIELD_KEY).count, 0);
    CHECK_EQUAL(text(&t, AS_FIELD_PARENT_NAME).len, UINT32_MAX);
    CASE("a field with one value is a list of one");
    const as_list list = as_event_list(&t.values, AS_FIELD_EXE);
    CHECK_EQUAL(list.count, 1);
    CHECK(!list.cut);
    CHECK_TEXT(list.at[0], "/init");
    CASE("a number is read in the base of its field");
    CHECK(as_event_number(&t.values, AS_FIELD_PID, &number));
    CHECK_EQUAL(number, 92);
    CHECK(as_event_number(&t.values, AS_FIELD_PATH_MODE, &number));
    CHECK_EQUAL(number, 040555);
    CHECK(as_event_number(&t.values, AS_FIELD_EXIT, &number));
    CHECK_EQUAL(number, -13);
    CHECK(!as_event_number(&t.values, AS_FIELD_COMM, &number));
    CHECK(!as_event_number(&t.values, AS_FIELD_AUID, &number));
}

/* A list, each value in brackets. */
static as_span list(table *t, as_field field) {
    static uint8_t shown[4096];
    const as_list values = as_event_list(&t->values, field);
    uint32_t len = 0;
    for (uint32_t i = 0; i < values.count; i++) {
        shown[len++] = '[';
        if (values.at[i].len > 0) {
            memcpy(shown + len, values.at[i].at, values.at[i].len);
            len += values.at[i].len;
        }
        shown[len++] = ']';
    }
    return as_span_of(shown, len);
}

static void call(table *t, const char *more) {
    char body[512];
    snprintf(body, sizeof body, "arch=c000003e syscall=59 success=yes exit=0 %s", more);
    add(t, AS_TYPE_SYSCALL, body);
}

static void arguments(void) {
    table t;
    uint64_t number = 0;
    begin(&t);
    CASE("the arguments of an exec are a list, and joined with blanks a command line");
    call(&t, "items=0");
    add(&t, AS_TYPE_EXECVE, "argc=4 a0=\"sh\" a1=2D63206C73");
    add(&t, AS_TYPE_EXECVE, " a2=\"\" a3=\"x\"");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_ARGS), "[sh][-c ls][][x]");
    CHECK_TEXT(text(&t, AS_FIELD_COMMAND_LINE), "sh -c ls  x");
    CHECK_EQUAL(list(&t, AS_FIELD_COMMAND_LINE).len, strlen("[sh -c ls  x]"));
    CHECK(as_event_number(&t.values, AS_FIELD_ARGC, &number));
    CHECK_EQUAL(number, 4);
    CHECK(!as_event_list(&t.values, AS_FIELD_ARGS).cut);
    CHECK_EQUAL(t.values.cut_args, 0);
    CASE("the loaded value of a list is its values with a zero byte between them");
    const as_value joined = t.values.values[AS_FIELD_ARGS];
    CHECK_EQUAL(joined.form, AS_FORM_QUOTED);
    CHECK_TEXT(joined.span, "sh\0-c ls\0\0x");
    CASE("arguments that are missing are counted once for each event");
    begin(&t);
    call(&t, "items=0");
    add(&t, AS_TYPE_EXECVE, "argc=4 a0=\"sh\"");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_ARGS), "[sh]");
    CHECK(as_event_list(&t.values, AS_FIELD_ARGS).cut);
    CHECK_TEXT(text(&t, AS_FIELD_COMMAND_LINE), "sh");
    CHECK_EQUAL(t.values.cut_args, 1);
    CASE("without the record there are no arguments, and none are missing");
    begin(&t);
    call(&t, "items=0");
    finish(&t);
    CHECK_EQUAL(as_event_list(&t.values, AS_FIELD_ARGS).count, 0);
    CHECK(!as_event_list(&t.values, AS_FIELD_ARGS).cut);
    CHECK_EQUAL(text(&t, AS_FIELD_COMMAND_LINE).len, UINT32_MAX);
    CHECK_EQUAL(text(&t, AS_FIELD_ARGC).len, UINT32_MAX);
    CHECK_EQUAL(t.values.cut_args, 0);
    CASE("in strict mode arguments in parts are absent, and hex in comm stays");
    begin(&t);
    t.values.strict = true;
    call(&t, "items=0 comm=70732070");
    add(&t, AS_TYPE_EXECVE, "argc=2 a0=\"sh\"");
    add(&t, AS_TYPE_EXECVE, " a1=\"x\"");
    finish(&t);
    CHECK_EQUAL(as_event_list(&t.values, AS_FIELD_ARGS).count, 0);
    CHECK_TEXT(text(&t, AS_FIELD_COMM), "70732070");
    begin(&t);
    t.values.strict = true;
    call(&t, "items=0 comm=(null)");
    add(&t, AS_TYPE_EXECVE, "argc=2 a0=\"sh\" a1=\"x\"");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_ARGS), "[sh][x]");
    CHECK_EQUAL(text(&t, AS_FIELD_COMM).len, UINT32_MAX);
    CASE("more records than an event may keep cut its arguments");
    begin(&t);
    call(&t, "items=0");
    for (int i = 0; i < AS_MAX_LINKED + 1; i++) {
        char body[32];
        snprintf(body, sizeof body, "%s a%d=\"%d\"", i == 0 ? "argc=99" : "", i, i);
        CHECK(as_events_has_space(&t.events));
        add(&t, AS_TYPE_EXECVE, body);
    }
    finish(&t);
    CHECK_EQUAL(as_event_list(&t.values, AS_FIELD_ARGS).count, AS_MAX_LINKED);
    CHECK(as_event_list(&t.values, AS_FIELD_ARGS).cut);
}

static void addresses(void) {
    table t;
    uint64_t number = 0;
    begin(&t);
    CASE("a socket address has a family, and what belongs to it");
    call(&t, "items=0");
    add(&t, AS_TYPE_SOCKADDR, "saddr=02002329C00002010000000000000000\x1dSADDR={ saddr_fam=inet }");
    add(&t, AS_TYPE_SOCKADDR, "saddr=0100");
    finish(&t);
    CHECK_TEXT(text(&t, AS_FIELD_SOCKET_FAMILY), "ipv4");
    CHECK_TEXT(text(&t, AS_FIELD_SOCKET_IP), "192.0.2.1");
    CHECK(as_event_number(&t.values, AS_FIELD_SOCKET_PORT, &number));
    CHECK_EQUAL(number, 9001);
    CHECK_EQUAL(text(&t, AS_FIELD_SOCKET_PATH).len, UINT32_MAX);
    CASE("the architecture tells the byte order");
    begin(&t);
    add(&t, AS_TYPE_SYSCALL, "arch=80000016 syscall=362 success=yes");
    add(&t, AS_TYPE_SOCKADDR, "saddr=00022329C00002010000000000000000");
    finish(&t);
    CHECK_TEXT(text(&t, AS_FIELD_SOCKET_IP), "192.0.2.1");
    CASE("a record without an address, or no record, has none");
    begin(&t);
    call(&t, "items=0");
    add(&t, AS_TYPE_SOCKADDR, "laddr=0100");
    finish(&t);
    CHECK_EQUAL(text(&t, AS_FIELD_SOCKET_FAMILY).len, UINT32_MAX);
    begin(&t);
    call(&t, "items=0");
    finish(&t);
    CHECK_EQUAL(text(&t, AS_FIELD_SOCKET_FAMILY).len, UINT32_MAX);
    CHECK(!as_event_number(&t.values, AS_FIELD_SOCKET_PORT, &number));
}

static void capabilities(void) {
    table t;
    begin(&t);
    CASE("capabilities are a list of names; one that is too young for a name is a number");
    call(&t, "items=0");
    add(&t, AS_TYPE_BPRM_FCAPS,
        "fver=0 fp=0 fi=0 fe=0 old_pp=0 old_pi=0 old_pe=1 old_pa=0 pp=0 pi=0 pe=8000010000200009 pa=0 frootid=0");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_CAPABILITIES), "[CAP_CHOWN][CAP_FOWNER][CAP_SYS_ADMIN][CAP_CHECKPOINT_RESTORE][63]");
    CHECK_TEXT(t.values.values[AS_FIELD_CAPABILITIES].span,
               "CAP_CHOWN\0CAP_FOWNER\0CAP_SYS_ADMIN\0CAP_CHECKPOINT_RESTORE\00063");
    CASE("a process without capabilities has an empty list");
    begin(&t);
    call(&t, "items=0");
    add(&t, AS_TYPE_BPRM_FCAPS, "fver=0 fp=0 fi=0 fe=0 old_pp=0 old_pi=0 old_pe=0 old_pa=0 pp=0 pi=0 pe=0 pa=0");
    finish(&t);
    CHECK_EQUAL(as_event_list(&t.values, AS_FIELD_CAPABILITIES).count, 0);
    CHECK_EQUAL(text(&t, AS_FIELD_CAPABILITIES).len, UINT32_MAX);
}

static void paths(void) {
    table t;
    begin(&t);
    CASE("a relative path has a second value, joined with the current directory");
    call(&t, "items=1");
    add(&t, AS_TYPE_CWD, "cwd=\"/home/a\"");
    add(&t, AS_TYPE_PATH, "item=0 name=\"x/y\" nametype=NORMAL");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_PATHS), "[x/y][/home/a/x/y]");
    CHECK_TEXT(text(&t, AS_FIELD_PATHS), "x/y");
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "x/y");
    CASE("the root directory adds one slash only; an absolute path has one value");
    begin(&t);
    call(&t, "items=1");
    add(&t, AS_TYPE_CWD, "cwd=\"/\"");
    add(&t, AS_TYPE_PATH, "item=0 name=\"x\" nametype=NORMAL");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_PATHS), "[x][/x]");
    begin(&t);
    call(&t, "items=1");
    add(&t, AS_TYPE_CWD, "cwd=\"/home\"");
    add(&t, AS_TYPE_PATH, "item=0 name=\"/x\" nametype=NORMAL");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_PATHS), "[/x]");
    CASE("a path that starts from another directory is not joined");
    for (int i = 0; i < 3; i++) {
        static const char *const registers[] = {"a0=ffffff9c", "a0=ffffffffffffff9c", "a0=5"};
        begin(&t);
        call(&t, registers[i]);
        add(&t, AS_TYPE_CWD, "cwd=\"/home\"");
        add(&t, AS_TYPE_PATH, "item=0 name=\"x\" nametype=NORMAL");
        t.events.slots[t.events.latest].directory = 1;
        finish(&t);
        CHECK_EQUAL(as_event_list(&t.values, AS_FIELD_PATHS).count, i < 2 ? 2 : 1);
    }
    CASE("no path, no values; no directory, one");
    begin(&t);
    call(&t, "items=0");
    finish(&t);
    CHECK_EQUAL(as_event_list(&t.values, AS_FIELD_PATHS).count, 0);
    begin(&t);
    call(&t, "items=1");
    add(&t, AS_TYPE_PATH, "item=0 name=\"x\" nametype=NORMAL");
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_PATHS), "[x]");
}

/* An event with the PATH records of a rename, the object searched from this index on. */
static void rename_from(table *t, uint8_t first_path, unsigned count) {
    static const char *const records[] = {"item=0 name=\"/a\" nametype=PARENT", "item=1 name=\"/b\" nametype=PARENT",
                                          "item=2 name=\"/a/x\" nametype=DELETE",
                                          "item=3 name=\"/b/y\" nametype=CREATE"};
    begin(t);
    call(t, "items=4");
    t->events.slots[t->events.latest].first_path = first_path;
    for (unsigned i = 0; i < count; i++) {
        add(t, AS_TYPE_PATH, records[i]);
    }
    finish(t);
}

static void chosen_paths(void) {
    table t;
    CASE("the object is the first path from the index on that is no parent");
    rename_from(&t, 0, 4);
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "/a/x");
    rename_from(&t, 2, 4);
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "/a/x");
    CASE("with fewer paths the search starts with the first; without an object it is the one at the index");
    rename_from(&t, 2, 2);
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "/a");
    rename_from(&t, 1, 2);
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "/b");
    CASE("the nametypes of all stored paths are a list");
    rename_from(&t, 2, 4);
    CHECK_TEXT(list(&t, AS_FIELD_PATH_NAMETYPE), "[PARENT][PARENT][DELETE][CREATE]");
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAMETYPE), "DELETE");
    CASE("paths before their call, and in any order, are sorted by their number");
    begin(&t);
    add(&t, AS_TYPE_PATH, "item=2 name=\"/a/x\" nametype=DELETE");
    add(&t, AS_TYPE_PATH, "item=0 name=\"/a\" nametype=PARENT");
    add(&t, AS_TYPE_PATH, "item=1 name=\"/b\" nametype=PARENT");
    call(&t, "items=3");
    t.events.slots[t.events.latest].first_path = 1;
    finish(&t);
    CHECK_TEXT(list(&t, AS_FIELD_PATH_NAMETYPE), "[PARENT][PARENT][DELETE]");
    CHECK_TEXT(text(&t, AS_FIELD_PATH_NAME), "/a/x");
}

int main(void) {
    memory = aligned_alloc(16, EVERYTHING);
    make_event_classes(&classes);
    single_values();
    arguments();
    addresses();
    capabilities();
    paths();
    chosen_paths();
    free(memory);
    return check_done();
}
