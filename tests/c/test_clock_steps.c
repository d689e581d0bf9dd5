/* Stage 3, steps: a clock set back is counted once, and what only looks like one is not. */
#include "_ring/clock_steps.h"

#include "check.h"

static const as_span here = {0};

/* Events with these stamps and new serials; returns the steps seen. */
static uint32_t see_all(as_steps *steps, as_span node, const uint64_t *stamps, size_t count) {
    static uint32_t serial;
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        found += as_steps_observe(steps, stamps[i], ++serial, node) ? 1 : 0;
    }
    return found;
}

#define SEE(steps, node, ...)                                  \
    see_all(&(steps), (node), (const uint64_t[]){__VA_ARGS__}, \
            sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static as_steps fresh(void) {
    as_steps steps;
    as_steps_init(&steps, 7);
    return steps;
}

static void one_host(void) {
    as_steps steps = fresh();
    CASE("time that advances, also after hours of silence, and slightly late events are no steps");
    CHECK_EQUAL(SEE(steps, here, 10000, 10100, 10050, 20000, 15000, 9000000, 9000100, 8996000, 9000200, 9000300), 0);

    CASE("a single event from the past or the future, or two, are no step");
    CHECK_EQUAL(SEE(steps, here, 1000, 9000400, 2000, 2001, 9000500, 99000000, 9000600, 99000000, 99000001), 0);
    CHECK_EQUAL(SEE(steps, here, 9000700, 9000800, 9000900), 0);

    CASE("three in a row that agree are one step, however far back, and time continues from there");
    CHECK_EQUAL(SEE(steps, here, 1000, 1100), 0);
    CHECK_EQUAL(SEE(steps, here, 1200), 1);
    CHECK_EQUAL(SEE(steps, here, 1300, 1400, 1500, 4000, 6000), 0);
    CHECK_EQUAL(SEE(steps, here, 30000, 30001, 30002, 24000, 24001, 24002), 1);

    CASE("forward and back is one step, 5,000 ms are none, 5,001 are one");
    steps = fresh();
    CHECK_EQUAL(SEE(steps, here, 20000, 3600000, 3600001, 3600002, 20001, 20002), 0);
    CHECK_EQUAL(SEE(steps, here, 20003), 1);
    CHECK_EQUAL(SEE(steps, here, 15003, 15003, 15003), 0);
    CHECK_EQUAL(SEE(steps, here, 15002, 15002, 15002), 1);

    CASE("a step is measured from the newest stamp, which a late event is not");
    steps = fresh();
    CHECK_EQUAL(SEE(steps, here, 10000, 14000, 18000, 14000, 13000, 13000, 13000), 0);
    CHECK_EQUAL(SEE(steps, here, 12999, 12999, 12999), 1);

    CASE("late events that do not agree, or that others come between, are no step");
    steps = fresh();
    CHECK_EQUAL(SEE(steps, here, 100000, 90000, 80000, 70000, 60000), 0);
    CHECK_EQUAL(SEE(steps, here, 100001, 90000, 90001, 100002, 90002, 90003, 100003, 90004), 0);

    CASE("a host with an event in ten seconds is seen to step as well");
    steps = fresh();
    CHECK_EQUAL(SEE(steps, here, 10000, 20000, 30000, 40000, 50000, 60000, 70000, 80000), 0);
    CHECK_EQUAL(SEE(steps, here, 15000, 25000, 35000, 45000, 55000), 1);

    CASE("the records of one event are one");
    steps = fresh();
    CHECK_EQUAL(SEE(steps, here, 100000), 0);
    for (int i = 0; i < 9; i++) {
        CHECK(!as_steps_observe(&steps, 1000, 99, here));
    }
}

static void hosts(void) {
    as_steps steps = fresh();
    const as_span a = GUARDED("a");
    const as_span b = GUARDED("b");
    CASE("each host has a separate clock");
    for (uint64_t i = 0; i < 50; i++) {
        CHECK_EQUAL(SEE(steps, a, 9000000 + i) + SEE(steps, b, 1000 + i), 0);
    }
    CHECK_EQUAL(SEE(steps, a, 1000) + SEE(steps, b, 1100) + SEE(steps, a, 1001) + SEE(steps, b, 1101), 0);
    CHECK_EQUAL(SEE(steps, a, 1002), 1);

    CASE("of more hosts than there is room for no step is made up");
    uint32_t found = 0;
    for (uint32_t round = 0; round < 20; round++) {
        for (uint8_t host = 0; host < 100; host++) {
            found += SEE(steps, guarded_span(&host, 1), 1000000 * (uint64_t)host + round);
        }
    }
    CHECK_EQUAL(found, 0);
}

int main(void) {
    one_host();
    hosts();
    return check_done();
}
