/* Stage 3, serials: what the kernel gave out and never came is counted once, over wraps and leaps. */
#include "_ring/serial.h"

#include "check.h"
#include "samples.h"

enum { TIMEOUT = 2000 };

static as_serials fresh(void) {
    static _Alignas(16) uint8_t memory[AS_SERIAL_WINDOW / 8 + 64];
    const as_config config = sample_config();
    as_serials serials;
    as_carver from = {.base = memory};
    memset(memory, 0, sizeof memory);
    as_serials_carve(&serials, &config, &from);
    CHECK(from.used <= sizeof memory);
    return serials;
}

static uint64_t see_all(as_serials *serials, const uint32_t *numbers, size_t count, uint64_t now_ms) {
    uint64_t missing = 0;
    for (size_t i = 0; i < count; i++) {
        missing += as_serials_see(serials, numbers[i], now_ms);
    }
    return missing;
}

#define SEE(serials, now_ms, ...)                                                                            \
    see_all(&(serials), (const uint32_t[]){__VA_ARGS__},                                                     \
            sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), (now_ms))

static void gaps(void) {
    as_serials serials = fresh();
    CASE("before the first serial there is nothing to miss");
    CHECK_EQUAL(as_serials_settle(&serials, 10 * TIMEOUT), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("without a gap none is missing, in any order, and several records of one serial are one");
    CHECK_EQUAL(SEE(serials, 0, 5, 5, 7, 6, 6, 8), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("a gap is missing once it has been open for the timeout, not before, and only once");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 5, 8), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT - 1), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT), 0); /* 8 was not the mark yet: it waits as long again */
    CHECK_EQUAL(as_serials_settle(&serials, 2 * TIMEOUT - 1), 0);
    CHECK_EQUAL(as_serials_settle(&serials, 2 * TIMEOUT), 2);
    CHECK_EQUAL(as_serials_settle(&serials, 9 * TIMEOUT), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("what comes within the timeout is not missing");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 5, 8), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT), 0);
    CHECK_EQUAL(SEE(serials, TIMEOUT, 6, 7), 0);
    CHECK_EQUAL(as_serials_settle(&serials, 2 * TIMEOUT), 0);

    CASE("at the end of the input all gaps are judged, and the next serial starts anew");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1, 4), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 2);
    CHECK_EQUAL(SEE(serials, 0, 1000), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("a serial given out before the first one seen is not missed and does no harm");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 10, 9, 3, 11), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("what comes after it was judged stays judged");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 5, 7), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT) + as_serials_settle(&serials, 2 * TIMEOUT), 1);
    CHECK_EQUAL(SEE(serials, 2 * TIMEOUT, 6), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("time that steps back judges nothing");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 5 * TIMEOUT, 5, 8), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT), 0);
}

static void after_silence(void) {
    as_serials serials = fresh();
    CASE("gaps are found as soon after a silence that let everything be judged as before it");
    CHECK_EQUAL(SEE(serials, 0, 1, 2), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT) + as_serials_settle(&serials, 2 * TIMEOUT), 0);
    CHECK_EQUAL(SEE(serials, 2 * TIMEOUT, 3, 6), 0);
    CHECK_EQUAL(as_serials_settle(&serials, 3 * TIMEOUT) + as_serials_settle(&serials, 4 * TIMEOUT), 2);

    CASE("a gap right behind such a silence is found at the end of the input");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT), 0);
    CHECK_EQUAL(SEE(serials, TIMEOUT, 4), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 2);
}

static void wraps(void) {
    as_serials serials = fresh();
    CASE("serials wrap through 0 without a gap, also out of order");
    CHECK_EQUAL(SEE(serials, 0, UINT32_MAX - 1, 0, UINT32_MAX, 1), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("a gap over the wrap is a gap");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, UINT32_MAX - 1, 1), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT) + as_serials_settle(&serials, 2 * TIMEOUT), 2);
}

static void leaps(void) {
    as_serials serials = fresh();
    CASE("what lies AS_SERIAL_WINDOW behind the newest is judged at once");
    CHECK_EQUAL(SEE(serials, 0, 0), 0);
    CHECK_EQUAL(SEE(serials, 0, AS_SERIAL_WINDOW - 1), 0);
    CHECK_EQUAL(SEE(serials, 0, AS_SERIAL_WINDOW), 0);     /* judges 0, which came */
    CHECK_EQUAL(SEE(serials, 0, AS_SERIAL_WINDOW + 2), 2); /* judges 1 and 2 */
    CHECK_EQUAL(as_serials_finish(&serials), AS_SERIAL_WINDOW - 3);

    CASE("a leap over more than a window is counted whole");
    serials = fresh();
    const uint64_t leap = SEE(serials, 0, 10, 12, 10 + 3 * AS_SERIAL_WINDOW);
    CHECK_EQUAL(leap + as_serials_finish(&serials), 3 * AS_SERIAL_WINDOW - 2);

    CASE("the largest leap ahead is one, not a step back");
    serials = fresh();
    const uint64_t far = SEE(serials, 0, 1, UINT32_C(1) << 31);
    CHECK_EQUAL(far + as_serials_finish(&serials), (UINT64_C(1) << 31) - 2);

    CASE("a leap far back is another boot: its serials count from there");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1000000, 1000003), 0);
    CHECK_EQUAL(SEE(serials, 0, 1), 2);
    CHECK_EQUAL(SEE(serials, 0, 3), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 1);

    CASE("a leap far back behind a silence misses nothing");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1000000), 0);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT), 0);
    CHECK_EQUAL(SEE(serials, TIMEOUT, 1), 0);
    CHECK_EQUAL(as_serials_finish(&serials), 0);

    CASE("a mark that the window left behind is not judged again");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1), 0);
    const uint64_t ahead = SEE(serials, 1, 2 * AS_SERIAL_WINDOW);
    CHECK_EQUAL(as_serials_settle(&serials, TIMEOUT), 0);
    CHECK_EQUAL(ahead + as_serials_settle(&serials, 2 * TIMEOUT), 2 * AS_SERIAL_WINDOW - 2);
}

/* Counting by hand what a random stream of serials, some lost, some swapped, over a wrap, misses. */
static void model(void) {
    CASE("over a wrap, with losses and swaps, the sum is that of a list");
    for (uint32_t seed = 1; seed <= 20; seed++) {
        as_serials serials = fresh();
        uint32_t random = seed * UINT32_C(2654435761);
        uint32_t serial = UINT32_MAX - 2000;
        uint64_t lost = 0;
        uint64_t missing = as_serials_see(&serials, serial++, 0);
        for (uint32_t step = 1; step < 4000; step++) {
            random = random * UINT32_C(1664525) + UINT32_C(1013904223);
            const uint64_t now = step * UINT64_C(10);
            if ((random >> 28) == 0 && step < 3990) {
                serial++;
                lost++;
            } else if ((random >> 28) == 1) {
                missing += as_serials_see(&serials, serial + 1, now);
                missing += as_serials_see(&serials, serial, now);
                serial += 2;
            } else {
                missing += as_serials_see(&serials, serial++, now);
            }
            if ((random >> 20 & 0xff) < 8) {
                missing += as_serials_settle(&serials, now);
            }
        }
        missing += as_serials_see(&serials, serial, 40000) + as_serials_finish(&serials);
        CHECK_EQUAL(missing, lost);
    }
}

int main(void) {
    gaps();
    after_silence();
    wraps();
    leaps();
    model();
    return check_done();
}
