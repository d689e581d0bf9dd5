/* Between match and window, order: what is held comes out by stamp and serial, host by host. */
#include "_ring/order.h"

#include "_ring/event.h"
#include "check.h"
#include "samples.h"

enum { EVERYTHING = 1 << 20, EVENTS = 5000, LIMIT = 6 };

typedef struct {
    as_events events;
    as_order order;
    as_stats stats;
} table;

static const as_classes no_classes;

static uint8_t *memory;

static void fresh(table *t) {
    as_config config = sample_config();
    as_arena from = {.base = memory};
    memset(memory, 0, EVERYTHING);
    memset(t, 0, sizeof *t);
    as_events_init(&t->events, &config, &no_classes, &from);
    as_order_init(&t->order, &config, &from);
    CHECK(from.used <= EVERYTHING);
    CHECK(as_order_begin(&t->order, &t->events, LIMIT));
}

static void hold(table *t, uint64_t ms, uint32_t serial, uint64_t node) {
    const as_record record = {.type = AS_TYPE_SYSCALL, .ms = ms, .serial = serial, .body = GUARDED("items=0")};
    as_event *event = as_events_open(&t->events, &record, node);
    t->stats.open_events++;
    as_events_close(&t->events, event, &t->stats);
    as_order_hold(&t->order, &t->events, event, (const uint16_t[]){0}, 1, 0);
}

static as_event released(table *t) {
    as_event *event = as_order_release(&t->order, &t->events, &t->stats);
    const as_event copy = *event;
    as_events_mark_decided(&t->events, event);
    return copy;
}

static void one_host(void) {
    table t;
    CASE("by stamp, then serial, then as they came; what came too late is counted and decided");
    fresh(&t);
    static const uint64_t given[][2] = {{30, 3}, {10, 9}, {20, 1}, {10, 2}, {40, 1}, {10, 5}};
    static const uint64_t wanted[][2] = {{10, 2}, {10, 5}, {10, 9}, {20, 1}, {30, 3}, {40, 1}};
    for (size_t i = 0; i < 6; i++) {
        hold(&t, given[i][0], (uint32_t)given[i][1], 0);
    }
    for (size_t i = 0; i < 6; i++) {
        const as_event event = released(&t);
        CHECK_EQUAL(event.ms, wanted[i][0]);
        CHECK_EQUAL(event.serial, wanted[i][1]);
    }
    CHECK_EQUAL(t.stats.disordered, 0);
    hold(&t, 40, 0, 0);
    hold(&t, 40, 2, 0);
    CHECK_EQUAL(released(&t).serial, 0);
    CHECK_EQUAL(t.stats.disordered, 1);
    CHECK_EQUAL(released(&t).serial, 2);
    CHECK_EQUAL(t.stats.disordered, 1);
}

/* Random stamps of more hosts than are remembered: whatever is released is the smallest that its host holds. */
static void many_hosts(void) {
    table t;
    CASE("of many hosts each gives its smallest, and places of idle ones are used again");
    fresh(&t);
    uint32_t random = 1;
    for (uint32_t step = 0; step < EVENTS; step++) {
        random = random * UINT32_C(1664525) + UINT32_C(1013904223);
        hold(&t, (random >> 8) % 50, step, (random >> 16) % 20);
        while (t.order.count > LIMIT) {
            const uint64_t node = as_list_first(&t.events, AS_LIST_ALL, AS_HELD)->node;
            uint64_t smallest = UINT64_MAX;
            for (uint32_t at = t.events.lists[AS_LIST_ALL][AS_HELD].first; at != AS_NO_SLOT;
                 at = t.events.slots[at].links[AS_LIST_ALL].next) {
                const as_event *held = &t.events.slots[at];
                smallest = held->node == node && held->ms < smallest ? held->ms : smallest;
            }
            const as_event event = released(&t);
            CHECK_EQUAL(event.node, node);
            CHECK_EQUAL(event.ms, smallest);
        }
    }
    while (t.order.count > 0) {
        (void)released(&t);
    }
    CHECK(t.stats.disordered > 0);
    CHECK(t.events.lists[AS_LIST_ALL][AS_HELD].first == AS_NO_SLOT);
}

int main(void) {
    memory = aligned_alloc(16, EVERYTHING);
    one_host();
    many_hosts();
    free(memory);
    return check_done();
}
