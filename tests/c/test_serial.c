/* Stage 3, serials: what the kernel gave out and never came is counted once, over wraps and leaps. */
#include "_ring/serial.h"

#include "check.h"
#include "samples.h"

enum { TIMEOUT = 2000 };

static as_serials fresh(void) {
    static _Alignas(16) uint8_t memory[AS_SERIAL_WINDOW / 8 + 64];
    const as_config config = sample_config();
    as_serials serials;
    as_arena from = {.base = memory};
    memset(memory, 0, sizeof memory);
    as_serials_init(&serials, &config, &from);
    CHECK(from.used <= sizeof memory);
    return serials;
}

/* Records with these serials, stamped when they come. Returns the serials found missing. */
static uint64_t see_all(as_serials *serials, const uint32_t *numbers, size_t count, uint64_t now_ms) {
    as_stats stats = {0};
    for (size_t i = 0; i < count; i++) {
        as_serials_observe(serials, numbers[i], now_ms, now_ms, &stats);
    }
    CHECK_EQUAL(stats.serial_restarts, 0);
    return stats.serials_missing;
}

#define SEE(serials, now_ms, ...)                                                                                    \
    see_all(&(serials), (const uint32_t[]){__VA_ARGS__}, sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), \
            (now_ms))

static uint64_t settle(as_serials *serials, uint64_t now_ms) {
    as_stats stats = {0};
    as_serials_expire(serials, now_ms, &stats);
    return stats.serials_missing;
}

static uint64_t finish(as_serials *serials) {
    as_stats stats = {0};
    as_serials_finish(serials, &stats);
    return stats.serials_missing;
}

static void gaps(void) {
    as_serials serials = fresh();
    CASE("before the first serial there is nothing to miss");
    CHECK_EQUAL(settle(&serials, 10 * TIMEOUT), 0);
    CHECK_EQUAL(finish(&serials), 0);

    CASE("without a gap none is missing, in any order, and several records of one serial are one");
    CHECK_EQUAL(SEE(serials, 0, 5, 5, 7, 6, 6, 8), 0);
    CHECK_EQUAL(finish(&serials), 0);

    CASE("a gap is missing once it has been open for the timeout, not before, and only once");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 5, 8), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT - 1), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT), 0); /* 8 was not the mark yet: it waits as long again */
    CHECK_EQUAL(settle(&serials, 2 * TIMEOUT - 1), 0);
    CHECK_EQUAL(settle(&serials, 2 * TIMEOUT), 2);
    CHECK_EQUAL(settle(&serials, 9 * TIMEOUT), 0);
    CHECK_EQUAL(finish(&serials), 0);

    CASE("what comes within the timeout is not missing");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 5, 8), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT), 0);
    CHECK_EQUAL(SEE(serials, TIMEOUT, 6, 7), 0);
    CHECK_EQUAL(settle(&serials, 2 * TIMEOUT), 0);

    CASE("at the end of the input all gaps are judged, and the next serial starts anew");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1, 4), 0);
    CHECK_EQUAL(finish(&serials), 2);
    CHECK_EQUAL(SEE(serials, 0, 1000), 0);
    CHECK_EQUAL(finish(&serials), 0);

    CASE("a serial given out before the first one seen is not missed and does no harm");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 10, 9, 3, 11), 0);
    CHECK_EQUAL(finish(&serials), 0);

    CASE("what comes after it was judged stays judged");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 5, 7), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT) + settle(&serials, 2 * TIMEOUT), 1);
    CHECK_EQUAL(SEE(serials, 2 * TIMEOUT, 6), 0);
    CHECK_EQUAL(finish(&serials), 0);

    CASE("time that steps back judges nothing");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 5 * TIMEOUT, 5, 8), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT), 0);
}

static void after_silence(void) {
    as_serials serials = fresh();
    CASE("gaps are found as soon after a silence that let everything be judged as before it");
    CHECK_EQUAL(SEE(serials, 0, 1, 2), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT) + settle(&serials, 2 * TIMEOUT), 0);
    CHECK_EQUAL(SEE(serials, 2 * TIMEOUT, 3, 6), 0);
    CHECK_EQUAL(settle(&serials, 3 * TIMEOUT) + settle(&serials, 4 * TIMEOUT), 2);

    CASE("a gap right behind such a silence is found at the end of the input");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT), 0);
    CHECK_EQUAL(SEE(serials, TIMEOUT, 4), 0);
    CHECK_EQUAL(finish(&serials), 2);
}

static void wraps(void) {
    as_serials serials = fresh();
    CASE("serials wrap through 0 without a gap, also out of order");
    CHECK_EQUAL(SEE(serials, 0, UINT32_MAX - 1, 0, UINT32_MAX, 1), 0);
    CHECK_EQUAL(finish(&serials), 0);

    CASE("a gap over the wrap is a gap");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, UINT32_MAX - 1, 1), 0);
    CHECK_EQUAL(settle(&serials, TIMEOUT) + settle(&serials, 2 * TIMEOUT), 2);
}

static void leaps(void) {
    as_serials serials = fresh();
    CASE("what lies AS_SERIAL_WINDOW behind the newest is judged at once");
    CHECK_EQUAL(SEE(serials, 0, 0), 0);
    CHECK_EQUAL(SEE(serials, 0, AS_SERIAL_WINDOW - 1), 0);
    CHECK_EQUAL(SEE(serials, 0, AS_SERIAL_WINDOW), 0);     /* judges 0, which came */
    CHECK_EQUAL(SEE(serials, 0, AS_SERIAL_WINDOW + 2), 2); /* judges 1 and 2 */
    CHECK_EQUAL(finish(&serials), AS_SERIAL_WINDOW - 3);

    CASE("a leap over more than a window is counted whole");
    serials = fresh();
    const uint64_t leap = SEE(serials, 0, 10, 12, 10 + 3 * AS_SERIAL_WINDOW);
    CHECK_EQUAL(leap + finish(&serials), 3 * AS_SERIAL_WINDOW - 2);

    CASE("the largest leap ahead is one, not a step back");
    serials = fresh();
    const uint64_t far = SEE(serials, 0, 1, UINT32_C(1) << 31);
    CHECK_EQUAL(far + finish(&serials), (UINT64_C(1) << 31) - 2);

    CASE("a mark that the window left behind is not judged again");
    serials = fresh();
    CHECK_EQUAL(SEE(serials, 0, 1), 0);
    const uint64_t ahead = SEE(serials, 1, 2 * AS_SERIAL_WINDOW);
    CHECK_EQUAL(settle(&serials, TIMEOUT), 0);
    CHECK_EQUAL(ahead + settle(&serials, 2 * TIMEOUT), 2 * AS_SERIAL_WINDOW - 2);
}

/* A record with this serial and stamp; now is the stamp. */
static void see(as_serials *serials, uint32_t serial, uint64_t stamp_ms, as_stats *stats) {
    as_serials_observe(serials, serial, stamp_ms, stamp_ms, stats);
}

static void late_or_another_boot(void) {
    as_serials serials = fresh();
    as_stats stats = {0};
    CASE("one late record, however far back, or many with old stamps, change nothing");
    for (uint32_t serial = 1; serial <= 300000; serial++) {
        if (serial != 1000) {
            see(&serials, serial, 10000, &stats);
        }
    }
    see(&serials, 1000, 9000, &stats);
    for (uint32_t late = 1; late < AS_SERIALS_OLDER - 1; late++) {
        see(&serials, 200 * late, 9000, &stats);
        see(&serials, 200 * late, 9000, &stats); /* another record of it */
    }
    see(&serials, 300001, 10001, &stats);
    see(&serials, 150000, 10002 + TIMEOUT, &stats); /* one alone, whatever its stamp */
    see(&serials, 150000, 10002 + TIMEOUT, &stats);
    see(&serials, 300003, 10002, &stats);
    as_serials_finish(&serials, &stats);
    CHECK_EQUAL(stats.serials_missing, 2);
    CHECK_EQUAL(stats.serial_restarts, 0);

    CASE("two serials far back with stamps that no late record has are another boot, counted from the lower one");
    serials = fresh();
    stats = (as_stats){0};
    see(&serials, 1000000, 10000, &stats);
    see(&serials, 1000003, 10000, &stats);
    see(&serials, 4, 60000, &stats);
    CHECK_EQUAL(stats.serial_restarts, 0);
    see(&serials, 2, 60000, &stats);
    CHECK_EQUAL(stats.serial_restarts, 1);
    CHECK_EQUAL(stats.serials_missing, 2);
    see(&serials, 6, 60000, &stats);
    as_serials_finish(&serials, &stats);
    CHECK_EQUAL(stats.serials_missing, 4);

    CASE("they are as well when they lie less than a window back, or everything was judged before");
    for (uint32_t judged = 0; judged < 2; judged++) {
        serials = fresh();
        stats = (as_stats){0};
        see(&serials, 1000, 10000, &stats);
        see(&serials, 1002, 10000, &stats);
        if (judged == 1) {
            as_serials_expire(&serials, 10000 + TIMEOUT, &stats);
            as_serials_expire(&serials, 10000 + 2 * TIMEOUT, &stats);
        }
        see(&serials, 1, 60000, &stats);
        see(&serials, 3, 60000, &stats);
        as_serials_finish(&serials, &stats);
        CHECK_EQUAL(stats.serial_restarts, 1);
        CHECK_EQUAL(stats.serials_missing, 2);
    }

    CASE("stamps that are not later by more than the timeout are no proof");
    serials = fresh();
    stats = (as_stats){0};
    see(&serials, 1000, 10000, &stats);
    see(&serials, 900, 10000 + TIMEOUT, &stats);
    see(&serials, 901, 10000 + TIMEOUT, &stats);
    see(&serials, 902, 10000 + TIMEOUT, &stats);
    CHECK_EQUAL(stats.serial_restarts, 0);

    CASE("a boot whose clock is behind is known by many serials in a row");
    serials = fresh();
    stats = (as_stats){0};
    see(&serials, 1000000, 10000, &stats);
    for (uint32_t serial = 1; serial < AS_SERIALS_OLDER; serial++) {
        see(&serials, serial, 100, &stats);
    }
    CHECK_EQUAL(stats.serial_restarts, 0);
    see(&serials, AS_SERIALS_OLDER + 1, 100, &stats);
    CHECK_EQUAL(stats.serial_restarts, 1);
    as_serials_finish(&serials, &stats);
    CHECK_EQUAL(stats.serials_missing, 1);

    CASE("what lies a window back is late, however many before it lie farther back");
    serials = fresh();
    stats = (as_stats){0};
    see(&serials, 1000000, 10000, &stats);
    for (uint32_t i = 1; i < 2 * AS_SERIALS_OLDER; i++) {
        see(&serials, 1000000 - AS_SERIAL_WINDOW - (i % (AS_SERIALS_OLDER - 1) == 0 ? 0 : i), 9000, &stats);
    }
    CHECK_EQUAL(stats.serial_restarts, 0);

    CASE("a boot after more than 2^31 serials does not lose the rest of them; a gap over the wrap is one");
    serials = fresh();
    stats = (as_stats){0};
    see(&serials, UINT32_C(3) << 30, 10000, &stats);
    see(&serials, 1, 60000, &stats);
    see(&serials, 2, 60000, &stats);
    as_serials_finish(&serials, &stats);
    CHECK_EQUAL(stats.serial_restarts, 1);
    CHECK_EQUAL(stats.serials_missing, 0);
    see(&serials, UINT32_MAX - 100000, 70000, &stats);
    see(&serials, 50000, 70000, &stats);
    as_serials_finish(&serials, &stats);
    CHECK_EQUAL(stats.serials_missing, 150000);

    CASE("several boots are several restarts");
    serials = fresh();
    stats = (as_stats){0};
    for (uint32_t boot = 0; boot < 5; boot++) {
        for (uint32_t serial = 1; serial <= 10; serial++) {
            see(&serials, serial, 10000 + UINT64_C(100000) * boot, &stats);
        }
    }
    as_serials_finish(&serials, &stats);
    CHECK_EQUAL(stats.serial_restarts, 4);
    CHECK_EQUAL(stats.serials_missing, 0);
}

/* Judging by words is judging one by one. */
static void words(void) {
    CASE("whatever the gaps, what came and what is missing is what was left out");
    for (uint32_t seed = 1; seed <= 40; seed++) {
        as_serials serials = fresh();
        as_stats stats = {0};
        uint32_t random = seed * UINT32_C(2654435761);
        uint32_t serial = seed % 3 == 0 ? UINT32_MAX - 90000 : random % 128;
        uint64_t left_out = 0;
        see(&serials, serial, 10000, &stats);
        for (uint32_t i = 0; i < 400; i++) {
            random = random * UINT32_C(1664525) + UINT32_C(1013904223);
            const uint32_t gap = 1 + (random >> 8) % (random >> 30 == 0 ? 66000 : random >> 30 == 1 ? 200 : 3);
            serial += gap;
            left_out += gap - 1;
            see(&serials, serial, 10000, &stats);
            if ((random & 0x1000) != 0) {
                as_serials_expire(&serials, 10000 + (i + 1) * UINT64_C(2) * TIMEOUT, &stats);
            }
        }
        as_serials_finish(&serials, &stats);
        CHECK_EQUAL(stats.serials_missing, left_out);
    }
}

/* Counting by hand what a random stream of serials, some lost, some swapped, over a wrap, misses. */
static void model(void) {
    CASE("over a wrap, with losses and swaps, the sum is that of a list");
    for (uint32_t seed = 1; seed <= 20; seed++) {
        as_serials serials = fresh();
        uint32_t random = seed * UINT32_C(2654435761);
        uint32_t serial = UINT32_MAX - 2000;
        uint64_t lost = 0;
        uint64_t missing = SEE(serials, 0, serial);
        serial++;
        for (uint32_t step = 1; step < 4000; step++) {
            random = random * UINT32_C(1664525) + UINT32_C(1013904223);
            const uint64_t now = step * UINT64_C(10);
            if ((random >> 28) == 0 && step < 3990) {
                serial++;
                lost++;
            } else if ((random >> 28) == 1) {
                missing += SEE(serials, now, serial + 1, serial);
                serial += 2;
            } else {
                missing += SEE(serials, now, serial);
                serial++;
            }
            if ((random >> 20 & 0xff) < 8) {
                missing += settle(&serials, now);
            }
        }
        missing += SEE(serials, 40000, serial) + finish(&serials);
        CHECK_EQUAL(missing, lost);
    }
}

int main(void) {
    gaps();
    after_silence();
    wraps();
    leaps();
    late_or_another_boot();
    words();
    model();
    return check_done();
}
