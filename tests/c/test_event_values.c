/* Stage 3, event values: what the records of one event say, decoded on demand. */
#include "_ring/event_values.h"

#include "_ring/event.h"

#include "check.h"
#include "samples.h"

enum { EVERYTHING = 1 << 20 };

typedef struct {
    as_events events;
    as_event_values values;
    as_stats stats;
} table;

static uint8_t *memory;

static void begin(table *t) {
    const as_config config = sample_config();
    as_arena arena = {.base = memory};
    memset(memory, 0, EVERYTHING);
    *t = (table){0};
    as_events_init(&t->events, &config, &arena);
    as_event_values_init(&t->values, &config, &arena);
    CHECK(arena.used <= EVERYTHING);
}

static void add(table *t, uint16_t type, const char *body) {
    const as_record record = {.type = type, .serial = 7, .ms = 5000, .body = guarded_span(body, strlen(body))};
    as_events_add(&t->events, &record, (as_span){0}, UINT64_MAX, true, false, &t->stats);
}

/* Close the event and read it. */
static void finish(table *t) {
    add(t, AS_TYPE_EOE, "");
    as_event_values_begin(&t->values, &t->events, as_events_closed(&t->events));
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

int main(void) {
    memory = aligned_alloc(16, EVERYTHING);
    single_values();
    free(memory);
    return check_done();
}
