/* Migration to another ring: everything that a later decision depends on is the same there. */
#include "_ring/migrate.h"

#include <linux/netlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "_ring/ring_state.h"
#include "check.h"
#include "samples.h"

enum { NONE = UINT32_MAX };

static as_ring *ring_of(uint32_t first, uint32_t count) {
    const as_config config = sample_config();
    const as_rules rules = sample_rules(first, count);
    return as_ring_new(&config, &rules);
}

static void feed(as_ring *ring, const char *text) {
    CHECK_EQUAL(as_ring_feed_text(ring, (const uint8_t *)text, strlen(text)), strlen(text));
}

/* An event of /proc opened, at this second, which is its serial as well. */
static void open_proc(as_ring *ring, int second, int pid) {
    char text[512];
    (void)snprintf(text, sizeof text,
                   "type=SYSCALL msg=audit(%d.%03d:%d): arch=c000003e syscall=257 a0=ffffff9c a2=80000 items=1 pid=%d\n"
                   "type=PATH msg=audit(%d.%03d:%d): item=0 name=\"/proc\" nametype=NORMAL\n"
                   "type=PROCTITLE msg=audit(%d.%03d:%d): proctitle=\"x\"\n",
                   second, second, second, pid, second, second, second, second, second, second);
    feed(ring, text);
}

/* A ring that has seen an open by each of three processes, an open event, half a line and a line that is none. */
static as_ring *used_ring(void) {
    as_ring *ring = ring_of(0, 1);
    for (int pid = 1; pid <= 3; pid++) {
        open_proc(ring, pid, pid);
    }
    open_proc(ring, 4, 3); /* and a second one by the last */
    feed(ring, "no record at all\n");
    feed(ring, "type=SYSCALL msg=audit(9.000:9): arch=c000003e syscall=257 a0=ffffff9c a2=80000 items=1 pid=4\n"
               "type=PATH msg=audit(9.000:9): item");
    CHECK_EQUAL(ring->windows.used, 3);
    ring->deferred_errno = 5;
    ring->lines.cut = true;
    ring->windows.keys = 1234;
    ring->windows.drawn = 77;
    ring->classes.unknown[0] = (as_unknown_arch){.arch = 9, .records = 8};
    ring->classes.unknown_count = 1;
    ring->classes.unknown_records = 10;
    ring->steps.hosts[3].newest_ms = 99;
    ring->steps.last_serial = 98;
    ring->serials.started = true;
    ring->serials.base = 5;
    ring->serials.seen[1] = 6;
    ring->serials.seen[AS_SERIAL_WINDOW / 64 - 1] = 7;
    ring->stamp.ms = 4321;
    ring->events.clock_ms = 31;
    ring->events.now_ms = 32;
    ring->events.ready = ring->events.latest;
    for (uint32_t i = 0; i < 3; i++) {
        ring->windows.slots[i].keys = 100 + i;
        ring->windows.slots[i].last_ms = 1000 + i;
        ring->windows.slots[i].pending = 0;
    }
    return ring;
}

static void all_that_counts_is_the_same(void) {
    CASE("tables, counters and what is unfinished are those of the ring before");
    as_ring *before = used_ring();
    as_ring *after = ring_of(0, 2);
    const uint32_t stays[] = {0};
    const uint64_t live_keys = before->stats.live_keys;
    CHECK(as_migrate(after, before, stays));
    CHECK_EQUAL(after->deferred_errno, 5);
    CHECK_EQUAL(after->stamp.ms, 4321);
    CHECK_EQUAL(after->stats.records, before->stats.records);
    CHECK_EQUAL(after->stats.malformed, 1);
    CHECK_EQUAL(after->stats.live_keys, live_keys);

    CHECK(after->lines.cut);
    CHECK(after->lines.len > 0);
    CHECK_EQUAL(after->lines.len, before->lines.len);
    CHECK(memcmp(after->lines.rest, before->lines.rest, before->lines.len) == 0);
    CHECK_EQUAL(after->lines.sample_len, 16);
    CHECK(memcmp(after->lines.sample, before->lines.sample, 16) == 0);

    CHECK_EQUAL(after->classes.unknown_count, 1);
    CHECK_EQUAL(after->classes.unknown_records, 10);
    CHECK_EQUAL(after->classes.unknown[0].arch, 9);
    CHECK_EQUAL(after->classes.unknown[0].records, 8);
    CHECK_EQUAL(after->steps.hosts[3].newest_ms, 99);
    CHECK_EQUAL(after->steps.last_serial, 98);

    CHECK(after->serials.seen != before->serials.seen);
    CHECK(after->serials.started);
    CHECK_EQUAL(after->serials.base, 5);
    CHECK_EQUAL(after->serials.seen[1], 6);
    CHECK_EQUAL(after->serials.seen[AS_SERIAL_WINDOW / 64 - 1], 7);

    CHECK_EQUAL(after->windows.used, 3);
    CHECK_EQUAL(after->windows.keys, 1234);
    CHECK_EQUAL(after->windows.drawn, 77);
    uint32_t at = after->windows.oldest;
    for (uint32_t i = 0; i < 3; i++) {
        const as_window *window = &after->windows.slots[i];
        CHECK(window->key[0] == before->windows.slots[i].key[0] && window->key[1] == before->windows.slots[i].key[1]);
        CHECK_EQUAL(window->keys, 100 + i);
        CHECK_EQUAL(window->last_ms, 1000 + i);
        CHECK_EQUAL(window->rule, 0);
        CHECK_EQUAL(window->len, i == 2 ? 2 : 1);
        for (uint32_t j = 0; j < window->len; j++) {
            const as_entry entry = as_window_entry(&after->windows, window, j);
            CHECK_EQUAL(entry.ms, 1001 * (i + j + 1));
            CHECK_EQUAL(entry.serial, i + j + 1);
        }
        CHECK_EQUAL(at, i);
        at = window->newer;
    }

    CHECK_EQUAL(after->events.clock_ms, 31);
    CHECK_EQUAL(after->events.now_ms, 32);
    CHECK_EQUAL(after->events.begun, before->events.begun);
    CHECK(before->events.begun > 0);
    CHECK_EQUAL(after->events.ready, before->events.latest);
    CHECK(memcmp(after->events.profiles, before->events.profiles, sizeof before->events.profiles) == 0);
    CHECK(after->events.profiles[0].saw_path);
    CHECK_EQUAL(after->events.latest, before->events.latest);
    CHECK_EQUAL(after->events.slab.small.free_count, before->events.slab.small.free_count);
    const uint32_t open = after->events.lists[AS_LIST_ALL][AS_OPEN].first;
    CHECK(open != NONE);
    const as_event *event = &after->events.slots[open];
    CHECK_EQUAL(event->serial, 9);
    CHECK_EQUAL(event->class_index, 1);
    const as_span text = as_slab_span(&after->events.slab, event->texts[AS_ROLE_SYSCALL]);
    CHECK(text.len > 4 && memcmp(text.at, "arch", 4) == 0);
    as_ring_free(before);

    CASE("the new ring keeps no records but those that the old one kept, and asks for senders as it did");
    as_ring *few = ring_of(1, 1);
    as_ring *next = ring_of(1, 1);
    CHECK_EQUAL(as_ring_select_fields(few, AS_BIT(AS_FIELD_PID)), AS_OK);
    CHECK(few->events.roles != next->events.roles);
    few->datagrams.senders_known = true;
    CHECK(as_migrate(next, few, stays));
    CHECK_EQUAL(next->hits.fields, AS_BIT(AS_FIELD_PID));
    CHECK_EQUAL(next->events.roles, few->events.roles);
    CHECK(next->datagrams.senders_known);
    CHECK(next->datagrams.messages[0].msg_hdr.msg_name == &next->datagrams.senders[0]);
    as_ring_free(few);
    as_ring_free(next);

    CASE("and the new ring finishes the line and the event without the old one");
    feed(after, "=0 name=\"/proc\" nametype=NORMAL\n");
    CHECK_EQUAL(as_ring_finish(after), 1);
    CHECK_EQUAL(after->stats.truncated, 1);
    as_ring_free(after);
}

/* What becomes of the one open event: bits of the rules that it is a hit of. */
static uint32_t hits_of_open_event(as_ring *ring) {
    static uint8_t drained[1 << 20];
    uint32_t rules = 0;
    CHECK_EQUAL(as_ring_finish(ring), 1);
    const int64_t len = as_ring_drain(ring, drained, sizeof drained);
    const uint8_t *hit = NULL;
    while ((hit = as_hit_next(drained, (size_t)len, hit)) != NULL) {
        rules |= 1u << as_hit_rule(hit);
    }
    return rules | (uint32_t)ring->stats.matches << 8;
}

static void rules_move(void) {
    CASE("windows and open events follow their rule to its new place");
    as_ring *before = ring_of(0, 2);
    as_ring *after = ring_of(0, 2);
    feed(before, "type=SYSCALL msg=audit(9.000:9): arch=c000003e syscall=257 a0=ffffff9c a2=80000 items=1 pid=4\n"
                 "type=PATH msg=audit(9.000:9): item=0 name=\"/proc\" nametype=NORMAL\n");
    const uint32_t second_is_gone[] = {0, NONE};
    CHECK(as_migrate(after, before, second_is_gone));
    CHECK_EQUAL(hits_of_open_event(after), 1 << 8); /* the first of ten matches */
    as_ring_free(after);

    after = ring_of(0, 2);
    const uint32_t first_is_gone[] = {NONE, 1};
    CHECK(as_migrate(after, before, first_is_gone));
    CHECK_EQUAL(hits_of_open_event(after), 2 | 1 << 8);
    as_ring_free(after);
    as_ring_free(before);

    CASE("an event that one rule wants is wanted by that rule only");
    before = ring_of(0, 2);
    after = ring_of(0, 2);
    feed(before, "type=SYSCALL msg=audit(9.000:9): arch=c000003e syscall=1 items=1 pid=4\n");
    const uint32_t both_stay[] = {0, 1};
    CHECK(as_migrate(after, before, both_stay));
    CHECK_EQUAL(hits_of_open_event(after), 2 | 1 << 8);
    as_ring_free(after);
    as_ring_free(before);

    CASE("a rule that comes later does not decide an event whose SYSCALL record is there, also after another change");
    before = ring_of(0, 1);
    feed(before, "type=SYSCALL msg=audit(9.000:9): arch=c000003e syscall=257 a0=ffffff9c a2=80000 items=1 pid=4\n");
    uint32_t stays[64] = {0};
    for (uint32_t i = 1; i < 64; i++) {
        stays[i] = NONE; /* read by none: there is one rule */
    }
    after = ring_of(0, 2);
    CHECK(as_migrate(after, before, stays));
    as_ring_free(before);
    before = after;
    after = ring_of(0, 2);
    CHECK(as_migrate(after, before, both_stay));
    as_ring_free(before);
    feed(after, "type=PATH msg=audit(9.000:9): item=0 name=\"/proc\" nametype=NORMAL\n");
    CHECK_EQUAL(hits_of_open_event(after), 1 << 8);
    as_ring_free(after);

    CASE("before its SYSCALL record has come, every rule of the new table may want an event");
    before = ring_of(0, 1);
    feed(before, "type=PATH msg=audit(9.000:9): item=0 name=\"/proc\" nametype=NORMAL\n");
    after = ring_of(0, 2);
    CHECK(as_migrate(after, before, stays));
    feed(after, "type=SYSCALL msg=audit(9.000:9): arch=c000003e syscall=257 a0=ffffff9c a2=80000 items=1 pid=4\n");
    CHECK_EQUAL(hits_of_open_event(after), 2 | 2 << 8);
    as_ring_free(after);
    as_ring_free(before);

    CASE("a single window also continues, and none stays none");
    for (int windows = 0; windows < 2; windows++) {
        before = ring_of(0, 1);
        if (windows == 1) {
            open_proc(before, 1, 1);
            before->windows.slots[0].keys = 100;
        }
        after = ring_of(0, 1);
        CHECK(as_migrate(after, before, stays));
        CHECK_EQUAL(after->windows.used, (uint32_t)windows);
        CHECK(windows == 0 || after->windows.slots[0].keys == 100);
        as_ring_free(after);
        as_ring_free(before);
    }

    CASE("a window of a rule that is gone is forgotten");
    before = used_ring();
    after = ring_of(0, 1);
    const uint32_t gone[] = {NONE};
    CHECK(as_migrate(after, before, gone));
    CHECK_EQUAL(after->windows.used, 0);
    CHECK_EQUAL(after->stats.live_keys, 0);
    CHECK_EQUAL(after->windows.keys, 1234);
    as_ring_free(after);
    as_ring_free(before);
}

static void held_events(void) {
    CASE("held events continue in their order, for the rules that stay");
    as_ring *before = ring_of(0, 2);
    CHECK_EQUAL(as_ring_order(before, 2), AS_OK);
    open_proc(before, 9, 1);
    open_proc(before, 8, 1);
    as_ring *after = ring_of(0, 2);
    const uint32_t second_is_gone[] = {0, NONE};
    CHECK(as_migrate(after, before, second_is_gone));
    as_ring_free(before);
    CHECK_EQUAL(after->order.count, 2);
    CHECK_EQUAL(after->stats.matches, 0);
    open_proc(after, 7, 1);
    CHECK_EQUAL(after->stats.matches, 2); /* 7, by both rules: it came since */
    CHECK_EQUAL(as_ring_finish(after), 1);
    CHECK_EQUAL(after->stats.matches, 4);
    CHECK_EQUAL(after->stats.disordered, 0);
    CHECK_EQUAL(after->stats.hits, 1);
    as_ring_free(after);

    CASE("an order is asked for before the first input, and within its bounds");
    after = ring_of(0, 2);
    CHECK_EQUAL(as_ring_order(after, 9), AS_ARGUMENT);
    CHECK_EQUAL(as_ring_order(after, 8), AS_OK);
    CHECK_EQUAL(as_ring_order(after, 0), AS_OK);
    feed(after, "x\n");
    CHECK_EQUAL(as_ring_order(after, 1), AS_ARGUMENT);
    as_ring_free(after);
}

static void what_does_not_fit(void) {
    CASE("places outside the new table, and rules whose windows differ, are refused");
    as_ring *before = ring_of(0, 2);
    const uint32_t outside[] = {0, 2};
    const uint32_t swapped[] = {1, NONE};
    const uint32_t fits[] = {0, 1};
    as_ring *after = ring_of(0, 2);
    CHECK(!as_migrate(after, before, outside));
    CHECK(!as_migrate(after, before, swapped));
    after->stats.lines = 1;
    CHECK(!as_migrate(after, before, fits));
    after->stats.lines = 0;
    after->stats.datagrams = 1;
    CHECK(!as_migrate(after, before, fits));
    after->stats.datagrams = 0;
    after->lines.len = 1;
    CHECK(!as_migrate(after, before, fits));
    after->lines.len = 0;
    CHECK(as_migrate(after, before, fits));
    as_ring_free(after);
    as_ring_free(before);

    CASE("rules of the same count but other keys are refused, and the other way round");
    const as_config config = sample_config();
    as_rule rule = {.kind = AS_RULE_RUNS, .stages = 1, .count = 3, .span_ms = 9};
    as_filter filter = {.start = AS_NODE_TRUE, .stages = 1, .keys = {AS_FIELD_PID, AS_FIELD_NODE}, .key_count = 2};
    const as_filter good = filter;
    const as_rules rules = rules_of_every_call(&rule, &filter, 1);
    before = as_ring_new(&config, &rules);
    const uint32_t stays[] = {0};
    as_filter others[4] = {filter, filter, filter, filter};
    others[0].keys[0] = AS_FIELD_UID;
    others[1].keys[1] = AS_FIELD_UID;
    others[2].key_count = 1;
    others[3].optional_keys = 2;
    for (size_t i = 0; i < 4; i++) {
        filter = others[i];
        after = as_ring_new(&config, &rules);
        CHECK(!as_migrate(after, before, stays));
        as_ring_free(after);
    }
    filter = good;
    rule.count = 4;
    after = as_ring_new(&config, &rules);
    CHECK(!as_migrate(after, before, stays));
    as_ring_free(after);
    rule.count = 3;
    rule.span_ms = 10;
    after = as_ring_new(&config, &rules);
    CHECK(as_migrate(after, before, stays));
    as_ring_free(after);
    as_ring_free(before);

    CASE("keys that are not used are not compared");
    filter.keys[1] = AS_FIELD_UID;
    filter.key_count = 1;
    before = as_ring_new(&config, &rules);
    filter.keys[1] = AS_FIELD_NODE;
    after = as_ring_new(&config, &rules);
    CHECK(as_migrate(after, before, stays));
    as_ring_free(after);

    CASE("the place behind the last rule is none");
    after = as_ring_new(&config, &rules);
    const uint32_t behind[] = {1};
    CHECK(!as_migrate(after, before, behind));
    CHECK(as_migrate(after, before, stays));
    as_ring_free(after);
    as_ring_free(before);
}

int main(void) {
    all_that_counts_is_the_same();
    rules_move();
    held_events();
    what_does_not_fit();
    return check_done();
}
