/* Stage 3, event: records of one stamp and serial are put together however they arrive. The readable cases
 * are in tests/cases/events.txt; here are the invariants of the table, and what happens when it is full. */
#include "_ring/event.h"
#include "_ring/closing.h"

#include "check.h"
#include "event_classes.h"
#include "samples.h"

enum { EVERYTHING = 1 << 20 };

typedef struct {
    as_events events;
    as_stats stats;
    bool clocked;
    bool text;
} table;

static uint8_t *memory;
static as_classes classes;

static table fresh(as_config config) {
    table made = {.clocked = true};
    as_arena counting = {.base = NULL};
    as_arena from = {.base = memory};
    as_events_init(&made.events, &config, &classes, &counting);
    CHECK(counting.used <= EVERYTHING);
    memset(memory, 0, EVERYTHING);
    as_events_init(&made.events, &config, &classes, &from);
    CHECK_EQUAL(counting.used, from.used);
    return made;
}

/* Every slot is in one list, and in a second one if it holds large texts; the lists and counters agree; texts are held
 * by open, closed and held events alone. */
static void check_invariant(const table *t) {
    uint32_t slots = 0;
    uint32_t small = 0;
    uint32_t large = 0;
    uint32_t holders[2] = {0};
    for (uint32_t which = 0; which < AS_LISTS; which++) {
        for (uint32_t state = 0; state < AS_STATES; state++) {
            const as_queue_ends list = t->events.lists[which][state];
            uint32_t previous = AS_NO_SLOT;
            for (uint32_t at = list.first; at != AS_NO_SLOT; at = t->events.slots[at].links[which].next) {
                const as_event *event = &t->events.slots[at];
                CHECK_EQUAL(event->state, state);
                CHECK_EQUAL(event->links[which].previous, previous);
                holders[which] += event->large_texts > 0 ? 1 : 0;
                CHECK(which == AS_LIST_ALL || event->large_texts > 0);
                CHECK(state == AS_OPEN || state == AS_CLOSED || state == AS_HELD || event->stored == 0);
                for (unsigned role = 0; which == AS_LIST_ALL && role < AS_ROLES; role++) {
                    const bool kept = (event->stored & (1u << role)) != 0;
                    small += kept && event->texts[role].len <= AS_SMALL_TEXT ? 1 : 0;
                    large += kept && event->texts[role].len > AS_SMALL_TEXT ? 1 : 0;
                }
                for (uint32_t text = event->linked; which == AS_LIST_ALL && text != AS_NO_TEXT;) {
                    as_span body;
                    const as_text_link link = as_slab_linked(&t->events.slab, text, &body);
                    small += body.len + sizeof link <= AS_SMALL_TEXT ? 1 : 0;
                    large += body.len + sizeof link > AS_SMALL_TEXT ? 1 : 0;
                    text = link.next;
                }
                slots += which == AS_LIST_ALL ? 1 : 0;
                previous = at;
            }
            CHECK_EQUAL(list.last, previous);
        }
    }
    CHECK_EQUAL(slots, t->events.slot_count);
    CHECK_EQUAL(holders[AS_LIST_ALL], holders[AS_LIST_LARGE]);
    CHECK_EQUAL(small + t->events.slab.small.free_count, t->events.slab.small.slots);
    CHECK_EQUAL(large + t->events.slab.large.free_count, t->events.slab.large.slots);
}

static bool expire(table *t, uint64_t now_ms) {
    as_events_tick(&t->events, now_ms);
    return as_events_expire(&t->events, &t->stats);
}

static void add_from(table *t, uint32_t serial, uint16_t type, as_span body, uint16_t class_index, const char *node) {
    const as_record record = {.type = type, .serial = serial, .ms = 5000, .body = body};
    CHECK(as_events_has_space(&t->events));
    as_events_add(&t->events, &record, guarded_span(node, strlen(node)), class_index, t->clocked, t->text, &t->stats);
    check_invariant(t);
}

static void add(table *t, uint32_t serial, uint16_t type, const char *body) {
    add_from(t, serial, type, guarded_span(body, strlen(body)), type == AS_TYPE_SYSCALL ? 1 : AS_CLASS_UNKNOWN, "");
}

/* A body of this length that is a value of a PATH. */
static as_span long_body(size_t len) {
    static uint8_t body[4096];
    memset(body, 'x', sizeof body);
    memcpy(body, "item=0 name=", 12);
    return guarded_span(body, len);
}

/* The serial of the next closed event, which is forgotten then; 0: none. */
static uint32_t decide(table *t) {
    as_event *event = as_events_closed(&t->events);
    if (event == NULL) {
        return 0;
    }
    const uint32_t serial = event->serial;
    as_events_mark_decided(&t->events, event);
    check_invariant(t);
    return serial;
}

static as_span field_of(table *t, as_field field) {
    static uint8_t scratch[4096];
    as_value values[AS_FIELDS] = {0};
    as_span text;
    as_event_cursors cursors = {0};
    uint64_t located = 0;
    as_event_fields(&t->events, as_events_closed(&t->events), &cursors, AS_ALL_FIELDS, &located, values);
    const bool there = as_value_text(values[field], as_field_kind(field), scratch, &text);
    return there ? text : (as_span){.at = NULL, .len = UINT32_MAX};
}

static void whole_events(void) {
    table t = fresh(sample_config());
    CASE("an event is closed by its end record and holds the fields of all its records");
    add(&t, 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    add(&t, 1, AS_TYPE_CWD, SAMPLE_CWD);
    add(&t, 1, AS_TYPE_PATH, SAMPLE_PATH);
    add(&t, 1, AS_TYPE_PROCTITLE, SAMPLE_PROCTITLE);
    CHECK(as_events_closed(&t.events) == NULL);
    CHECK_EQUAL(t.stats.open_events, 1);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_TEXT(field_of(&t, AS_FIELD_PATH_NAME), "/proc");
    CHECK_TEXT(field_of(&t, AS_FIELD_CWD), "/");
    CHECK_TEXT(field_of(&t, AS_FIELD_COMM), "init");
    CHECK_TEXT(field_of(&t, AS_FIELD_PROCTITLE), "/init -x");
    CHECK_EQUAL(field_of(&t, AS_FIELD_NODE).len, UINT32_MAX);
    CHECK_EQUAL(decide(&t), 1);
    CHECK_EQUAL(decide(&t), 0);
    CHECK_EQUAL(t.stats.events, 1);
    CHECK_EQUAL(t.stats.incomplete + t.stats.open_events + t.stats.late + t.stats.duplicate, 0);

    CASE("what comes behind it is late, whatever it is");
    add(&t, 1, AS_TYPE_PATH, SAMPLE_PATH);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.late, 2);
    CHECK_EQUAL(t.stats.open_events, 0);

    CASE("so is what comes behind the end of an event that no rule wants");
    t = fresh(sample_config());
    add_from(&t, 1, AS_TYPE_SYSCALL, GUARDED(SAMPLE_SYSCALL), 0, "");
    add(&t, 1, AS_TYPE_EOE, "");
    add(&t, 1, AS_TYPE_PATH, SAMPLE_PATH);
    add(&t, 1, AS_TYPE_CWD, SAMPLE_CWD);
    add(&t, 1, 1309, "argc=1");
    CHECK_EQUAL(t.stats.late, 3);

    CASE("an event waits for the PATH its SYSCALL announces, when the end overtook it");
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_EOE, "");
    add(&t, 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    CHECK_EQUAL(t.stats.open_events, 1);
    add(&t, 1, AS_TYPE_PATH, SAMPLE_PATH);
    CHECK_EQUAL(decide(&t), 1);
    CHECK_EQUAL(t.stats.incomplete, 0);

    CASE("an event that no rule wants is closed by its end at once, and stores no text until then");
    t = fresh(sample_config());
    add_from(&t, 1, AS_TYPE_CWD, GUARDED(SAMPLE_CWD), AS_CLASS_UNKNOWN, "a");
    add_from(&t, 1, AS_TYPE_SYSCALL, GUARDED(SAMPLE_SYSCALL), 0, "a");
    CHECK_EQUAL(t.events.slab.small.free_count, t.events.slab.small.slots);
    add_from(&t, 1, AS_TYPE_PATH, GUARDED(SAMPLE_PATH), AS_CLASS_UNKNOWN, "a");
    CHECK_EQUAL(t.events.slab.small.free_count, t.events.slab.small.slots);
    add_from(&t, 1, AS_TYPE_EOE, GUARDED(""), AS_CLASS_UNKNOWN, "a");
    CHECK_EQUAL(decide(&t), 1);

    CASE("of several PATH records the first that is neither PARENT nor UNKNOWN counts");
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    add(&t, 1, AS_TYPE_PATH, "item=0 name=\"/\" nametype=PARENT");
    add(&t, 1, AS_TYPE_PATH, "item=1 name=\"/a\" nametype=UNKNOWN");
    add(&t, 1, AS_TYPE_PATH, "item=2 name=\"/b\" nametype=CREATE");
    add(&t, 1, AS_TYPE_PATH, "item=3 name=\"/c\" nametype=NORMAL");
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_TEXT(field_of(&t, AS_FIELD_PATH_NAME), "/b");
    CHECK_EQUAL(decide(&t), 1);

    CASE("if there is none, the first of all");
    add(&t, 2, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    add(&t, 2, AS_TYPE_PATH, "item=0 name=\"/p\" nametype=PARENT");
    add(&t, 2, AS_TYPE_PATH, "item=1 name=\"/u\"");
    add(&t, 2, AS_TYPE_EOE, "");
    CHECK_TEXT(field_of(&t, AS_FIELD_PATH_NAME), "/p");
    CHECK_EQUAL(decide(&t), 2);

    CASE("items that are no number, or more than 32 bits, are none or many");
    add(&t, 3, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=x");
    add(&t, 3, AS_TYPE_EOE, "");
    CHECK_EQUAL(decide(&t), 3);
    add(&t, 4, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=4294967296");
    add(&t, 4, AS_TYPE_EOE, "");
    CHECK_EQUAL(decide(&t), 0);
    CHECK_EQUAL(t.stats.open_events, 1);

    CASE("a record of user space is a separate event and opens none");
    add(&t, 5, 1100, "pid=1");
    CHECK_EQUAL(t.stats.events, 4);
    CHECK_EQUAL(t.stats.open_events, 1);
}

static void duplicates(void) {
    table t = fresh(sample_config());
    CASE("a second record of a kind is counted and changes nothing; PATH records are distinguished by item");
    add(&t, 1, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=9 comm=\"a\"");
    add(&t, 1, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=9 comm=\"b\"");
    add(&t, 1, AS_TYPE_CWD, "cwd=\"/a\"");
    add(&t, 1, AS_TYPE_CWD, "cwd=\"/b\"");
    add(&t, 1, AS_TYPE_PROCTITLE, "proctitle=\"a\"");
    add(&t, 1, AS_TYPE_PROCTITLE, "proctitle=\"b\"");
    CHECK_EQUAL(t.stats.duplicate, 3);
    add(&t, 1, AS_TYPE_PATH, "item=63 name=\"/a\" nametype=NORMAL");
    add(&t, 1, AS_TYPE_PATH, "item=63 name=\"/b\" nametype=NORMAL");
    CHECK_EQUAL(t.stats.duplicate, 4);
    add(&t, 1, AS_TYPE_PATH, "item=64 name=\"/b\" nametype=NORMAL");
    add(&t, 1, AS_TYPE_PATH, "item=64 name=\"/b\" nametype=NORMAL");
    add(&t, 1, AS_TYPE_PATH, "name=\"/b\" nametype=NORMAL");
    CHECK_EQUAL(t.stats.duplicate, 4);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_TEXT(field_of(&t, AS_FIELD_COMM), "a");
    CHECK_TEXT(field_of(&t, AS_FIELD_CWD), "/a");
    CHECK_TEXT(field_of(&t, AS_FIELD_PROCTITLE), "a");
    CHECK_TEXT(field_of(&t, AS_FIELD_PATH_NAME), "/a");

    CASE("a second end of an event that waits for more is one too");
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_EOE, "");
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.duplicate, 1);
}

static void ring_operations(void) {
    table t = fresh(sample_config());
    CASE("a ring's own thread has a URINGOP and no SYSCALL: its event is whole, and tells no call");
    add(&t, 1, AS_TYPE_URINGOP, "uring_op=18 success=yes exit=0 items=1 ppid=1 pid=92");
    add(&t, 1, AS_TYPE_PATH, SAMPLE_PATH);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK(as_events_closed(&t.events) != NULL);
    CHECK_EQUAL(as_events_closed(&t.events)->stored & 1u << AS_ROLE_SYSCALL, 0);
    CHECK_EQUAL(decide(&t), 1);
    CHECK_EQUAL(t.stats.incomplete, 0);

    CASE("the SYSCALL behind the URINGOPs that it submitted is no duplicate, and neither are they");
    add(&t, 2, AS_TYPE_URINGOP, "uring_op=18 success=yes");
    add(&t, 2, AS_TYPE_URINGOP, "uring_op=18 success=yes");
    add(&t, 2, AS_TYPE_SYSCALL, "arch=c000003e syscall=426 items=0 comm=\"ring\"");
    add(&t, 2, AS_TYPE_EOE, "");
    CHECK_TEXT(field_of(&t, AS_FIELD_SYSCALL), "426");
    CHECK_EQUAL(decide(&t), 2);
    CHECK_EQUAL(t.stats.duplicate + t.stats.late, 0);
}

/* The class of the next closed event, and the types of its linked records; then it is forgotten. */
static uint32_t class_of_closed(table *t, uint8_t *linked) {
    const as_event *event = as_events_closed(&t->events);
    const uint32_t class_index = event == NULL ? UINT32_MAX : event->class_index;
    *linked = event == NULL ? 0 : event->linked_kinds;
    decide(t);
    return class_index;
}

static void other_first_records(void) {
    table t = fresh(sample_config());
    uint8_t linked;
    CASE("a record of user space is a whole event if its type has a class; else it is counted and costs no slot");
    add(&t, 1, 1100, "pid=1 uid=0 msg='acct=\"a\" res=success'");
    CHECK_EQUAL(t.stats.events, 1);
    CHECK_TEXT(field_of(&t, AS_FIELD_ACCT), "a");
    CHECK_EQUAL(class_of_closed(&t, &linked), 5);
    CHECK_EQUAL(linked, AS_LINK_MAIN);
    add(&t, 1, 1100, "pid=1");
    CHECK_EQUAL(t.stats.late, 1);
    add(&t, 2, 1101, "pid=1");
    CHECK_EQUAL(t.stats.events, 2);
    CHECK(as_events_closed(&t.events) == NULL);
    CHECK_EQUAL(t.stats.incomplete + t.stats.open_events, 0);

    CASE("with another first record the class is that of its type and the call; AVC records of AppArmor differ");
    static const struct {
        const char *avc;
        uint32_t class_index;
    } rows[] = {{"avc:  denied  { read } for  pid=7", 6}, {"apparmor=\"DENIED\" pid=7", 7}};
    for (uint32_t i = 0; i < 2; i++) {
        add(&t, 10 + i, AS_TYPE_AVC, rows[i].avc);
        add(&t, 10 + i, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=0 pid=8 uid=9");
        add(&t, 10 + i, AS_TYPE_EOE, "");
        CHECK_TEXT(field_of(&t, AS_FIELD_PID), "7");
        CHECK_TEXT(field_of(&t, AS_FIELD_UID), "9");
        CHECK_EQUAL(class_of_closed(&t, &linked), rows[i].class_index);
        CHECK_EQUAL(linked, AS_LINK_MAIN);
    }

    CASE("a type without a class changes nothing, and is not stored");
    add(&t, 20, 1326, "pid=7");
    add(&t, 20, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=0 pid=8");
    add(&t, 20, AS_TYPE_EOE, "");
    CHECK_TEXT(field_of(&t, AS_FIELD_PID), "8");
    CHECK_EQUAL(class_of_closed(&t, &linked), 1);
    CHECK_EQUAL(linked, 0);

    CASE("alone it is decided at the timeout, without being incomplete");
    add(&t, 30, 1701, "pid=7 res=1");
    CHECK(!expire(&t, 1000));
    CHECK(expire(&t, 3001));
    CHECK_EQUAL(class_of_closed(&t, &linked), 5);
    CHECK_EQUAL(t.stats.incomplete, 0);

    CASE("an event of a call that lost its SYSCALL record has no class");
    add(&t, 40, 1701, "pid=7 res=1");
    add(&t, 40, AS_TYPE_PATH, SAMPLE_PATH);
    add(&t, 40, AS_TYPE_EOE, "");
    CHECK(expire(&t, 9000));
    CHECK_EQUAL(class_of_closed(&t, &linked), 0);

    CASE("an operation of io_uring needs no call");
    add(&t, 50, AS_TYPE_URINGOP, "uring_op=18 success=yes exit=5 items=1 ppid=1 pid=7 uid=8");
    add(&t, 50, AS_TYPE_PATH, SAMPLE_PATH);
    add(&t, 50, AS_TYPE_EOE, "");
    CHECK_TEXT(field_of(&t, AS_FIELD_PID), "7");
    CHECK_TEXT(field_of(&t, AS_FIELD_PATH_NAME), "/proc");
    CHECK_EQUAL(class_of_closed(&t, &linked), 5);
}

static void in_log_files(void) {
    table t = fresh(sample_config());
    t.text = true;
    t.clocked = false;
    CASE("in a log PROCTITLE is the end, and an EOE behind it is no surprise, once");
    add(&t, 1, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=0");
    add(&t, 1, AS_TYPE_PROCTITLE, SAMPLE_PROCTITLE);
    CHECK_EQUAL(t.stats.events, 1);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.late, 0);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.late, 1);
    CHECK_EQUAL(decide(&t), 1);

    CASE("behind an EOE that was the end a second one is late");
    add(&t, 2, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=0");
    add(&t, 2, AS_TYPE_EOE, "");
    add(&t, 2, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.late, 2);
    CHECK_EQUAL(decide(&t), 2);
}

static void what_a_log_lacks(void) {
    CASE("absence is assumed after a quarter of the events that can be open, and at least eight");
    as_config config = sample_config();
    CHECK_EQUAL(fresh(config).events.absence_events, 8);
    config.event_slots = 64;
    config.small_texts = 256;
    CHECK_EQUAL(fresh(config).events.absence_events, 16);

    table t = fresh(sample_config());
    t.text = true;
    t.clocked = false;
    CASE("a PATH record that is announced and does not come is counted for wanted events only");
    add_from(&t, 1, AS_TYPE_SYSCALL, GUARDED(SAMPLE_SYSCALL), 0, "");
    CHECK_EQUAL(t.events.profiles[0].since_path, 0);
    add(&t, 2, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    CHECK_EQUAL(t.events.profiles[0].since_path, 1);

    CASE("an event of text with all that its SYSCALL record announces lacks nothing without its end");
    t = fresh(sample_config());
    t.text = true;
    t.clocked = true;
    add(&t, 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    add(&t, 1, AS_TYPE_PATH, SAMPLE_PATH);
    CHECK(!expire(&t, 1000));
    CHECK(expire(&t, 3000));
    CHECK_EQUAL(decide(&t), 1);
    CHECK_EQUAL(t.stats.incomplete, 0);

    CASE("where no event has a PROCTITLE, one ends with the first record of the next event, not with its own");
    t = fresh(sample_config());
    t.text = true;
    t.clocked = false;
    for (uint32_t i = 1; i <= t.events.absence_events; i++) {
        add(&t, i, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=0");
        while (decide(&t) != 0) {
        }
    }
    const uint32_t serial = t.events.absence_events + 1;
    add(&t, serial, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=0");
    while (expire(&t, 0) || decide(&t) != 0) {
    }
    CHECK_EQUAL(t.stats.open_events, 1);
    add(&t, serial, AS_TYPE_CWD, SAMPLE_CWD);
    CHECK_EQUAL(decide(&t), 0);
    add(&t, serial + 1, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=0");
    CHECK_EQUAL(decide(&t), serial);

    CASE("what a log lacks says nothing of datagrams: their events wait for what is announced");
    t = fresh(sample_config());
    t.text = true;
    for (uint32_t i = 1; i <= t.events.absence_events; i++) {
        add(&t, i, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
        while (expire(&t, 0) || decide(&t) != 0) {
        }
    }
    CHECK(t.events.some_absent);
    t.text = false;
    add(&t, serial, AS_TYPE_EOE, "");
    add(&t, serial, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    while (expire(&t, 0) || decide(&t) != 0) {
    }
    add(&t, serial + 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    CHECK_EQUAL(decide(&t), 0);
}

/* The readable cases cover events that a rule can match. */
static void where_paths_are_the_end(void) {
    as_config config = sample_config();
    config.end = AS_END_PATHS;
    table t = fresh(config);
    CASE("where paths are the end, an event that no rule can match ends with its SYSCALL record");
    add_from(&t, 1, AS_TYPE_SYSCALL, GUARDED("arch=c000003e syscall=1 items=1"), 0, "");
    CHECK_EQUAL(t.stats.open_events, 0);
    CHECK_EQUAL(decide(&t), 1);

    CASE("and its paths are no surprise");
    add_from(&t, 1, AS_TYPE_CWD, GUARDED("cwd=\"/\""), 0, "");
    add_from(&t, 1, AS_TYPE_PATH, GUARDED("item=0 name=\"/x\""), 0, "");
    CHECK_EQUAL(t.stats.late, 0);

    CASE("more paths than can be counted are waited for until the timeout");
    add(&t, 2, AS_TYPE_SYSCALL, "arch=c000003e syscall=1 items=300");
    for (int item = 0; item < 70; item++) {
        char body[32];
        (void)snprintf(body, sizeof body, "item=%d name=\"/x\"", item);
        add(&t, 2, AS_TYPE_PATH, body);
    }
    CHECK_EQUAL(t.stats.open_events, 1);
    CHECK(!expire(&t, 1000));
    CHECK(expire(&t, 1000 + config.event_timeout_ms));
    CHECK_EQUAL(t.stats.incomplete, 0);
    CHECK_EQUAL(decide(&t), 2);
}

static void hosts(void) {
    table t = fresh(sample_config());
    CASE("events of different nodes are different, and each knows its node");
    add_from(&t, 1, AS_TYPE_SYSCALL, GUARDED("arch=c000003e syscall=257 items=0"), 1, "a");
    add_from(&t, 1, AS_TYPE_SYSCALL, GUARDED("arch=c000003e syscall=257 items=0"), 1, "b");
    add_from(&t, 1, AS_TYPE_EOE, GUARDED(""), AS_CLASS_UNKNOWN, "b");
    CHECK_TEXT(field_of(&t, AS_FIELD_NODE), "b");
    CHECK_EQUAL(decide(&t), 1);
    CHECK_EQUAL(t.stats.duplicate, 0);
    CHECK_EQUAL(t.stats.open_events, 1);

    CASE("the same serial with many stamps, and of many nodes, is as many events");
    t = fresh(sample_config());
    for (uint64_t i = 0; i < 8; i++) {
        const char node[] = {(char)('a' + i), '\0'};
        const as_record record = {.type = AS_TYPE_CWD, .serial = 7, .ms = i, .body = GUARDED(SAMPLE_CWD)};
        as_events_add(&t.events, &record, GUARDED(""), AS_CLASS_UNKNOWN, true, false, &t.stats);
        add_from(&t, 7, AS_TYPE_CWD, GUARDED(SAMPLE_CWD), AS_CLASS_UNKNOWN, node);
    }
    CHECK_EQUAL(t.stats.open_events, 16);
    CHECK_EQUAL(t.stats.duplicate, 0);

    t = fresh(sample_config());
    CASE("a node's name is kept up to 512 bytes");
    char name[1000];
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    add_from(&t, 2, AS_TYPE_SYSCALL, GUARDED("arch=c000003e syscall=257 items=0"), 1, name);
    add_from(&t, 2, AS_TYPE_EOE, GUARDED(""), AS_CLASS_UNKNOWN, name);
    CHECK_EQUAL(field_of(&t, AS_FIELD_NODE).len, AS_SMALL_TEXT);
}

static void timeouts(void) {
    table t = fresh(sample_config());
    CASE("an event without its end is closed after the timeout, not before");
    CHECK(!expire(&t, UINT64_MAX));
    CHECK(!expire(&t, 1000));
    add(&t, 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    CHECK(!expire(&t, 2999));
    CHECK(expire(&t, 3000));
    CHECK_EQUAL(decide(&t), 1);
    CHECK_EQUAL(t.stats.incomplete, 1);
    CHECK_EQUAL(t.stats.evicted, 0);

    CASE("a clock that stepped back closes nothing, and continues from where it was");
    add(&t, 2, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    CHECK(!expire(&t, 10));
    CHECK(!expire(&t, 2009));
    CHECK(expire(&t, 2010));
    CHECK_EQUAL(decide(&t), 2);

    CASE("a clock that was far ahead for once does not stop");
    (void)expire(&t, UINT64_MAX);
    add(&t, 3, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    CHECK(!expire(&t, 5));
    CHECK(!expire(&t, 2004));
    CHECK(expire(&t, 2005));
    CHECK_EQUAL(decide(&t), 3);

    CASE("an event that is only an end, or lacks its SYSCALL, is incomplete; one of another kind is not");
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_EOE, "");
    add(&t, 2, AS_TYPE_PATH, SAMPLE_PATH);
    add(&t, 3, 1305, "op=set");
    while (as_events_close_oldest(&t.events, &t.stats)) {
    }
    CHECK_EQUAL(t.stats.events, 3);
    CHECK_EQUAL(t.stats.incomplete, 2);

    CASE("without a clock a number of later events close it, whatever their stamps are");
    t = fresh(sample_config());
    t.clocked = false;
    CHECK_EQUAL(t.events.timeout_events, 8);
    add(&t, 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    for (uint32_t serial = 2; serial <= 8; serial++) {
        const as_record later = {
            .type = AS_TYPE_CWD, .serial = serial, .ms = UINT64_MAX / serial, .body = GUARDED(SAMPLE_CWD)};
        as_events_add(&t.events, &later, GUARDED(""), AS_CLASS_UNKNOWN, false, false, &t.stats);
        CHECK(!as_events_expire(&t.events, &t.stats));
    }
    add(&t, 9, AS_TYPE_CWD, SAMPLE_CWD);
    CHECK(as_events_expire(&t.events, &t.stats));
    CHECK_EQUAL(decide(&t), 1);
    CHECK(!as_events_expire(&t.events, &t.stats));
}

static void full_tables(void) {
    table t = fresh(sample_config());
    CASE("when every slot is open the oldest is evicted, decided, and then there is space");
    for (uint32_t serial = 1; serial <= 16; serial++) {
        add_from(&t, serial, AS_TYPE_SYSCALL, GUARDED(SAMPLE_SYSCALL), 0, "");
    }
    CHECK(!as_events_has_space(&t.events));
    as_events_evict(&t.events, &t.stats);
    check_invariant(&t);
    CHECK(!as_events_has_space(&t.events));
    CHECK_EQUAL(decide(&t), 1);
    CHECK(as_events_has_space(&t.events));
    CHECK_EQUAL(t.stats.evicted, 1);
    CHECK_EQUAL(t.stats.incomplete, 1);

    CASE("its record that comes then is late; once its slot is taken it opens an event anew");
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.late, 1);
    add(&t, 17, AS_TYPE_EOE, "");
    as_events_evict(&t.events, &t.stats);
    CHECK_EQUAL(decide(&t), 2);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.late, 1);
    CHECK_EQUAL(t.stats.open_events, 16);

    CASE("an evicted event that lacked only a PATH, or is no call's, is not counted as evicted");
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_EOE, "");
    add(&t, 1, AS_TYPE_SYSCALL, SAMPLE_SYSCALL);
    add(&t, 2, 1305, "op=set");
    as_events_evict(&t.events, &t.stats);
    as_events_evict(&t.events, &t.stats);
    CHECK_EQUAL(t.stats.events, 2);
    CHECK_EQUAL(t.stats.evicted + t.stats.incomplete, 0);

    CASE("when small texts run out the oldest is evicted");
    as_config config = sample_config();
    config.small_texts = 16;
    t = fresh(config);
    for (uint32_t serial = 1; serial <= 7; serial++) {
        add_from(&t, serial, AS_TYPE_SYSCALL, GUARDED(SAMPLE_SYSCALL), 1, "n");
    }
    add_from(&t, 8, AS_TYPE_SYSCALL, GUARDED(SAMPLE_SYSCALL), 1, "");
    CHECK(!as_events_has_space(&t.events));
    as_events_evict(&t.events, &t.stats);
    CHECK_EQUAL(decide(&t), 1);
    CHECK(as_events_has_space(&t.events));

    CASE("when large texts run out the oldest that holds one is evicted");
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=1");
    for (uint32_t serial = 2; serial <= 5; serial++) {
        add_from(&t, serial, AS_TYPE_PATH, long_body(AS_SMALL_TEXT + 1), AS_CLASS_UNKNOWN, "");
    }
    CHECK(!as_events_has_space(&t.events));
    as_events_evict(&t.events, &t.stats);
    CHECK_EQUAL(decide(&t), 2);
    CHECK(as_events_has_space(&t.events));

    CASE("and finding it takes no walk past those that hold none");
    t = fresh(sample_config());
    for (uint32_t serial = 1; serial <= 4; serial++) {
        add_from(&t, serial, AS_TYPE_SYSCALL, GUARDED(SAMPLE_SYSCALL), 1, "");
    }
    for (uint32_t serial = 5; serial <= 8; serial++) {
        add_from(&t, serial, AS_TYPE_PATH, long_body(AS_SMALL_TEXT + 1), AS_CLASS_UNKNOWN, "");
    }
    as_link *passed = &t.events.slots[1].links[AS_LIST_ALL];
    const as_link right = *passed;
    passed->next = INT32_MAX; /* who follows it leaves the table */
    as_events_evict(&t.events, &t.stats);
    *passed = right;
    check_invariant(&t);
    CHECK_EQUAL(decide(&t), 5);

    CASE("items and the first PATH are read once, however many records come behind");
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_EOE, "");
    add(&t, 1, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=9");
    as_event *event = &t.events.slots[t.events.latest];
    uint8_t *bytes = t.events.slab.small.bytes;
    memset(bytes + (size_t)event->texts[AS_ROLE_SYSCALL].slot * AS_SMALL_TEXT, 'x', AS_SMALL_TEXT);
    add(&t, 1, AS_TYPE_EOE, "");
    CHECK_EQUAL(t.stats.open_events, 1); /* without items= it would have ended */
    t = fresh(sample_config());
    add(&t, 1, AS_TYPE_SYSCALL, "arch=c000003e syscall=257 items=9");
    add(&t, 1, AS_TYPE_PATH, "item=0 name=\"/a\" nametype=NORMAL");
    add(&t, 1, AS_TYPE_PATH, "item=1 name=\"/b\" nametype=NORMAL");
    event = &t.events.slots[t.events.latest];
    memset(t.events.slab.small.bytes + (size_t)event->texts[AS_ROLE_FIRST_PATH].slot * AS_SMALL_TEXT, 'x',
           AS_SMALL_TEXT);
    add(&t, 1, AS_TYPE_PATH, "item=2 name=\"/c\" nametype=NORMAL");
    CHECK_EQUAL(event->linked_kinds & AS_LINK_PATHS, 0); /* the first one is known to be preferred */

    CASE("also when it is the newest of all");
    t = fresh(sample_config());
    for (uint32_t serial = 1; serial <= 3; serial++) {
        add(&t, serial, AS_TYPE_CWD, SAMPLE_CWD);
    }
    add_from(&t, 4, AS_TYPE_SYSCALL, long_body(AS_SMALL_TEXT + 1), 1, "");
    add_from(&t, 4, AS_TYPE_CWD, long_body(AS_SMALL_TEXT + 1), AS_CLASS_UNKNOWN, "");
    add_from(&t, 4, AS_TYPE_PATH, long_body(1024), AS_CLASS_UNKNOWN, "");
    add_from(&t, 4, AS_TYPE_PROCTITLE, long_body(1024), AS_CLASS_UNKNOWN, "");
    CHECK(!as_events_has_space(&t.events));
    as_events_evict(&t.events, &t.stats);
    CHECK_EQUAL(decide(&t), 4);
    CHECK_EQUAL(t.stats.open_events, 3);

    CASE("a text of 512 bytes is small, an empty one too, and both come back as they were");
    as_slab_ref kept;
    CHECK(as_slab_store(&t.events.slab, long_body(AS_SMALL_TEXT), &kept));
    const as_span back = as_slab_span(&t.events.slab, kept);
    CHECK(back.len == AS_SMALL_TEXT && memcmp(back.at, long_body(AS_SMALL_TEXT).at, AS_SMALL_TEXT) == 0);
    as_slab_release(&t.events.slab, kept);
    CHECK(as_slab_store(&t.events.slab, GUARDED(""), &kept));
    CHECK_EQUAL(as_slab_span(&t.events.slab, kept).len, 0);
    as_slab_release(&t.events.slab, kept);
    check_invariant(&t);

    CASE("without a free slot of its size a text is refused");
    for (uint32_t i = 0; i < 4; i++) {
        CHECK(as_slab_store(&t.events.slab, long_body(1024), &kept));
    }
    CHECK(!as_slab_store(&t.events.slab, long_body(1024), &kept));
}

/* Random records of few events in a small table: after each the invariant holds. */
static void storm(bool text) {
    static const uint16_t types[] = {1300, 1302, 1302, 1307, 1320, 1327, 1336, 1305, 1100, 1400};
    CASE(text ? "the same through a storm of lines among datagrams without a clock"
              : "through a storm of records, timeouts and full tables every slot and text is accounted for");
    as_config config = sample_config();
    config.small_texts = 20;
    table t = fresh(config);
    uint64_t now_ms = 1000;
    uint32_t random = 1;
    t.clocked = !text;
    for (uint32_t step = 0; step < 20000; step++) {
        random = random * UINT32_C(1664525) + UINT32_C(1013904223);
        const uint16_t type = types[(random >> 8) % (sizeof types / sizeof *types)];
        const as_span body = long_body((random >> 28) == 0 ? 900 : 20 + (random >> 20) % 100);
        now_ms += random >> 30;
        t.text = text && (random >> 18) % 8 != 0;
        while (text ? as_events_expire(&t.events, &t.stats) : expire(&t, now_ms)) {
            while (decide(&t) != 0) {
            }
        }
        while (!as_events_has_space(&t.events)) {
            as_events_evict(&t.events, &t.stats);
            while (decide(&t) != 0) {
            }
        }
        add_from(&t, step / 50 + (random >> 12) % 24, type, body, (random >> 24) % 4 == 0 ? 0 : 1,
                 (random >> 16) % 8 == 0 ? "node" : "");
        while ((random & 64) != 0 && decide(&t) != 0) {
        }
    }
    while (as_events_close_oldest(&t.events, &t.stats)) {
    }
    while (decide(&t) != 0) {
    }
    CHECK_EQUAL(t.stats.open_events, 0);
    CHECK_EQUAL(t.events.slab.small.free_count, t.events.slab.small.slots);
    CHECK(t.stats.late > 0 && t.stats.duplicate > 0 && (text || t.stats.evicted > 0));
}

int main(void) {
    memory = aligned_alloc(16, EVERYTHING);
    make_event_classes(&classes);
    whole_events();
    duplicates();
    ring_operations();
    other_first_records();
    in_log_files();
    what_a_log_lacks();
    where_paths_are_the_end();
    hosts();
    timeouts();
    full_tables();
    storm(false);
    storm(true);
    free(memory);
    return check_done();
}
