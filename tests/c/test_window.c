/* Stage 5, window: enough matches of one key close together, in the order of their stamps. The table of cases
 * is tests/cases/windows.txt; here are the keys, the bounds, and a list to compare with. */
#include "_ring/hash.h"
#include "_ring/window.h"

#include "check.h"
#include "samples.h"

enum { EVERYTHING = 1 << 20 };

static uint8_t *memory;

static as_windows fresh(const as_config *config, const as_rules *rules) {
    as_windows windows;
    as_arena counting = {.base = NULL};
    as_arena from = {.base = memory};
    as_windows_init(&windows, config, rules, &counting);
    CHECK(counting.used <= EVERYTHING);
    memset(memory, 0, EVERYTHING);
    as_windows_init(&windows, config, rules, &from);
    CHECK_EQUAL(counting.used, from.used);
    CHECK_EQUAL(windows.seed, config->seed);
    return windows;
}

static as_windows sample_of(uint32_t key_slots, uint32_t count, uint32_t slack) {
    const as_rule rule = {.count = count, .span_ms = 5000};
    const as_rules rules = {.rules = &rule, .rule_count = 1};
    as_config config = sample_config();
    config.key_slots = key_slots;
    config.window_slack = slack;
    return fresh(&config, &rules);
}

static as_windows sample(uint32_t count, uint32_t slack) {
    return sample_of(sample_config().key_slots, count, slack);
}

/* Add one match of actor 0. False: the window has no place for it. */
static bool put(as_windows *windows, as_window *window, uint32_t count, uint64_t ms, uint32_t serial) {
    const as_rule rule = {.count = count, .span_ms = 5000};
    as_search search;
    return as_window_add(windows, window, &rule, (as_entry){.ms = ms, .serial = serial}, &search);
}

/* Add one match; returns the windows it completes. */
static uint32_t add(as_windows *windows, as_window *window, uint32_t count, uint64_t ms) {
    const as_rule rule = {.count = count, .span_ms = 5000};
    as_search search;
    if (!as_window_add(windows, window, &rule, (as_entry){.ms = ms, .serial = 1}, &search)) {
        return 0;
    }
    uint32_t first;
    uint32_t completed = 0;
    while (as_window_complete(windows, window, &rule, &search, &first)) {
        const as_entry last = as_window_entry(windows, window, first + count - 1);
        CHECK(last.ms - as_window_entry(windows, window, first).ms <= 5000);
        completed++;
    }
    for (uint32_t i = 1; i < window->len; i++) {
        CHECK(as_window_entry(windows, window, i - 1).ms <= as_window_entry(windows, window, i).ms);
    }
    CHECK(window->len <= count + windows->slack);
    return completed;
}

static void check_stamps(const as_windows *windows, const as_window *window, const uint64_t *stamps, uint32_t count) {
    CHECK_EQUAL(window->len, count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQUAL(as_window_entry(windows, window, i).ms, stamps[i]);
    }
}

static void in_order(void) {
    as_stats stats = {0};
    as_windows windows = sample(10, 22);
    as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    uint32_t total = 0;
    CASE("nothing resets: every match from the tenth on completes a window");
    for (uint32_t i = 0; i < 1000; i++) {
        total += add(&windows, window, 10, 100 * i);
    }
    CHECK_EQUAL(total, 991);

    CASE("5,000 ms are close enough, 5,001 are not");
    window = as_windows_of(&windows, 0, (const uint64_t[]){2, 0}, &stats);
    for (uint32_t i = 0; i < 9; i++) {
        CHECK_EQUAL(add(&windows, window, 10, 1000), 0);
    }
    CHECK_EQUAL(add(&windows, window, 10, 6000), 1);
    CHECK_EQUAL(add(&windows, window, 10, 6001), 0);
    window = as_windows_of(&windows, 0, (const uint64_t[]){3, 0}, &stats);
    for (uint32_t i = 0; i < 9; i++) {
        CHECK_EQUAL(add(&windows, window, 10, 1000), 0);
    }
    CHECK_EQUAL(add(&windows, window, 10, 6001), 0);

    CASE("matches of one millisecond keep the order they came in");
    window = as_windows_of(&windows, 0, (const uint64_t[]){4, 0}, &stats);
    for (uint32_t i = 0; i < 5; i++) {
        put(&windows, window, 10, 7, i);
    }
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQUAL(as_window_entry(&windows, window, i).serial, i);
    }
}

static void out_of_order(void) {
    as_stats stats = {0};
    as_windows windows = sample(3, 2);
    as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    CASE("a late match completes what it can, and what was complete is not completed twice");
    CHECK_EQUAL(add(&windows, window, 3, 1000), 0);
    CHECK_EQUAL(add(&windows, window, 3, 9000), 0);
    CHECK_EQUAL(add(&windows, window, 3, 10000), 0);
    CHECK_EQUAL(add(&windows, window, 3, 8000), 1);
    CHECK_EQUAL(add(&windows, window, 3, 8500), 1); /* now 9000 has two before it */

    CASE("a full window drops its oldest");
    CHECK_EQUAL(window->len, 5);
    CHECK_EQUAL(add(&windows, window, 3, 10001), 1);
    CHECK_EQUAL(as_window_entry(&windows, window, 0).ms, 8000);
    CHECK_EQUAL(add(&windows, window, 3, 8001), 0); /* one place behind 8000, which falls out */
    CHECK_EQUAL(as_window_entry(&windows, window, 0).ms, 8001);

    CASE("what is older than all of a full window, and all of it within the span, is stale");
    CHECK(!put(&windows, window, 3, 8000, 1));
    CHECK(!put(&windows, window, 3, 5001, 1));
    CHECK_EQUAL(as_window_entry(&windows, window, 0).ms, 8001);

    CASE("what is older by more than the span takes the place of the oldest that is too far from it");
    CHECK(put(&windows, window, 3, 5000, 1)); /* 10001 is */
    check_stamps(&windows, window, (const uint64_t[]){5000, 8001, 8500, 9000, 10000}, 5);
    CHECK(put(&windows, window, 3, 100, 1));
    check_stamps(&windows, window, (const uint64_t[]){100, 5000, 8500, 9000, 10000}, 5); /* 5000 is 4,900 away */

    CASE("without slack, in order, windows are whole");
    windows = sample(64, 0);
    window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    uint32_t total = 0;
    for (uint32_t i = 0; i < 200; i++) {
        total += add(&windows, window, 64, i);
    }
    CHECK_EQUAL(total, 137);
}

/* Matches 100 ms apart from `ms` on; returns the windows they complete. */
static uint32_t scan(as_windows *windows, as_window *window, uint64_t ms, uint32_t matches) {
    uint32_t completed = 0;
    for (uint32_t i = 0; i < matches; i++) {
        completed += add(windows, window, 10, ms + 100 * i);
    }
    return completed;
}

static void clock_steps(void) {
    as_stats stats = {0};
    CASE("after the clock was set back, by however much more than a window is long, all of a new scan counts");
    for (uint32_t slack = 0; slack <= 22; slack += 11) {
        for (uint64_t back = 10000; back < UINT64_C(1) << 40; back *= 10) {
            as_windows windows = sample(10, slack);
            as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
            const uint64_t ahead = back + 1000000;
            CHECK_EQUAL(scan(&windows, window, ahead, 40), 31);
            CHECK_EQUAL(scan(&windows, window, ahead - back, 30), 21);
            CHECK_EQUAL(scan(&windows, window, ahead - back - 100000, 200), 191); /* and once more */
        }
    }

    CASE("a step back within the span is not blind for longer than the step");
    as_windows windows = sample(10, 22);
    as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    scan(&windows, window, 1004000, 40);
    CHECK(scan(&windows, window, 1000000, 200) >= 200 - 40);

    CASE("single late matches, or a few of them in a row, take no window from those that come in time");
    for (uint32_t each = 1; each <= 22; each++) {
        windows = sample(10, 22);
        window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
        uint32_t completed = scan(&windows, window, 10000000, 40);
        for (uint32_t i = 0; i < 400; i++) {
            completed += scan(&windows, window, 10004000 + 100 * i, 1);
            for (uint32_t late = 0; late < each; late++) {
                CHECK(put(&windows, window, 10, 6000 * ((i * each + late) * 7919 % 1000), 1));
            }
        }
        CHECK_EQUAL(completed, 431);
    }
}

static int by_ms(const void *a, const void *b) {
    const uint64_t x = *(const uint64_t *)a;
    const uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Stamps that are overtaken by at most slack others give the windows of the sorted list. */
static void model(void) {
    CASE("overtaken by no more matches than there is slack, the windows are those of the sorted list");
    for (uint32_t seed = 1; seed <= 300; seed++) {
        enum { MATCHES = 120 };
        as_stats stats = {0};
        const uint32_t slack = seed % 8;
        const uint32_t count = 2 + seed % 9;
        as_windows windows = sample(count, slack);
        as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){seed, 0}, &stats);
        uint64_t stamps[MATCHES];
        uint64_t now = 1000;
        uint32_t random = seed;
        for (uint32_t i = 0; i < MATCHES; i++) {
            random = random * UINT32_C(1664525) + UINT32_C(1013904223);
            now += 1 + (random >> 20) % (10000 / count);
            stamps[i] = now;
        }
        /* Blocks of slack + 1, each shuffled: no match is overtaken by more than slack. */
        for (uint32_t block = 0; block + slack < MATCHES; block += slack + 1) {
            for (uint32_t i = slack; i > 0; i--) {
                random = random * UINT32_C(1664525) + UINT32_C(1013904223);
                const uint32_t j = (random >> 16) % (i + 1);
                const uint64_t swapped = stamps[block + i];
                stamps[block + i] = stamps[block + j];
                stamps[block + j] = swapped;
            }
        }
        uint32_t found = 0;
        for (uint32_t i = 0; i < MATCHES; i++) {
            found += add(&windows, window, count, stamps[i]);
        }
        uint32_t wanted = 0;
        qsort(stamps, MATCHES, sizeof *stamps, by_ms);
        for (uint32_t i = count - 1; i < MATCHES; i++) {
            wanted += stamps[i] - stamps[i + 1 - count] <= 5000 ? 1 : 0;
        }
        if (!CHECK_EQUAL(found, wanted)) {
            printf("# seed %u: count %u, slack %u\n", seed, count, slack);
        }
    }
}

static void table_of_keys(void) {
    as_stats stats = {0};
    as_windows windows = sample(2, 0);
    as_window *window;
    CASE("a key has one window, a rule its own");
    as_window *a = as_windows_of(&windows, 0, (const uint64_t[]){1, 2}, &stats);
    CHECK(as_windows_of(&windows, 0, (const uint64_t[]){1, 2}, &stats) == a);
    CHECK(as_windows_of(&windows, 0, (const uint64_t[]){1, 3}, &stats) != a);
    CHECK(as_windows_of(&windows, 0, (const uint64_t[]){2, 2}, &stats) != a);
    CHECK(as_windows_of(&windows, 1, (const uint64_t[]){1, 2}, &stats) != a);
    CHECK_EQUAL(stats.live_keys, 4);

    CASE("keys that share a place in the table stay apart");
    windows = sample(2, 0);
    for (int round = 0; round < 2; round++) {
        for (uint32_t rule = 0; rule < 4; rule++) {
            for (uint64_t key = 0; key < 4; key++) {
                window = as_windows_of(&windows, rule, (const uint64_t[]){key % 2, key}, &stats);
                CHECK_EQUAL(window->pending, round == 0 ? 0 : 4 * rule + key + 1);
                window->pending = 4 * rule + key + 1;
            }
        }
    }
    windows = sample(2, 0);
    for (uint64_t key = 0; key < 16; key++) {
        window = as_windows_of(&windows, 0, (const uint64_t[]){92, key}, &stats);
        CHECK_EQUAL(window->len, 0);
        put(&windows, window, 2, key, 1);
    }
    CHECK_EQUAL(stats.live_keys, 4 + 16 + 16);

    CASE("when the table is full the key that was used longest ago makes room");
    windows = sample(2, 0);
    memset(&stats, 0, sizeof stats);
    for (uint64_t key = 1; key <= 16; key++) {
        window = as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats);
        window->pending = key;
        put(&windows, window, 2, 10000 * key, 1);
    }
    as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats); /* used again: 2 is the oldest now */
    as_windows_of(&windows, 0, (const uint64_t[]){5, 0}, &stats); /* out of the middle */
    CHECK_EQUAL(stats.keys_evicted, 0);
    window = as_windows_of(&windows, 0, (const uint64_t[]){17, 0}, &stats);
    CHECK(window->len == 0 && window->pending == 0);
    CHECK_EQUAL(stats.keys_evicted, 1);
    CHECK_EQUAL(stats.live_keys, 16);
    for (uint64_t key = 1; key <= 16; key++) {
        if (key != 2) {
            CHECK_EQUAL(as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats)->pending, key);
        }
    }
    CHECK_EQUAL(stats.keys_evicted, 1);

    CASE("ten thousand keys through sixteen places: the last sixteen are there");
    for (uint64_t key = 100; key < 10100; key++) {
        window = as_windows_of(&windows, 0, (const uint64_t[]){key, key * 7}, &stats);
        window->pending = key;
        put(&windows, window, 2, 10000 * key, 1);
    }
    CHECK_EQUAL(stats.keys_evicted, 1 + 10000);
    for (uint64_t key = 10084; key < 10100; key++) {
        CHECK_EQUAL(as_windows_of(&windows, 0, (const uint64_t[]){key, key * 7}, &stats)->pending, key);
    }
    CHECK_EQUAL(stats.keys_evicted, 1 + 10000);

    CASE("a table of one place holds the key that was used last");
    windows = sample_of(1, 2, 0);
    memset(&stats, 0, sizeof stats);
    for (uint64_t key = 1; key <= 4; key++) {
        window = as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats);
        put(&windows, window, 2, 10000 * key, 1);
        CHECK(as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats) == window);
    }
    CHECK_EQUAL(stats.keys_evicted, 3);

    CASE("rules that count to one need no windows");
    const as_rule rule = {.count = 1, .span_ms = 1};
    const as_rules rules = {.rules = &rule, .rule_count = 1};
    const as_config config = sample_config();
    windows = fresh(&config, &rules);
    CHECK_EQUAL(windows.slot_count, 0);
}

enum { FLOODED = 1024 }; /* slots of a table that is large enough for random eviction */

/* Add matches of each of these keys, and return whether `kept` is still there afterwards. */
static bool survives(as_windows *windows, uint64_t kept, uint64_t first, uint64_t last, uint64_t ms,
                     uint32_t matches_each, as_stats *stats) {
    for (uint64_t key = first; key <= last; key++) {
        as_window *window = as_windows_of(windows, 0, (const uint64_t[]){key, 0}, stats);
        for (uint32_t i = 0; i < matches_each; i++) {
            put(windows, window, 10, ms, 1);
        }
    }
    const uint64_t evicted = stats->keys_evicted;
    const bool there = as_windows_of(windows, 0, (const uint64_t[]){kept, 0}, stats)->len > 0;
    CHECK_EQUAL(stats->keys_evicted - evicted, there ? 0 : 1);
    return there;
}

/* A scanner opens one time, and LATER more times, each after a flood; each key of the flood has EACH matches.
 * Returns whether it completed a window of ten. */
static bool found_in_a_flood(uint32_t later, uint64_t flood, uint32_t each) {
    as_stats stats = {0};
    as_windows windows = sample_of(FLOODED, 10, 0);
    uint64_t next = 1000;
    uint32_t found = 0;
    for (uint32_t i = 0; i <= later; i++) {
        as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
        found += add(&windows, window, 10, 50 * i);
        for (uint64_t end = next + flood; next < end; next++) {
            as_window *other = as_windows_of(&windows, 0, (const uint64_t[]){next, 0}, &stats);
            for (uint32_t match = 0; match < each; match++) {
                put(&windows, other, 10, 50 * i, 1);
            }
        }
    }
    return found > 0;
}

static void flood_of_keys(void) {
    as_stats stats = {0};
    as_window *window;
    CASE("as long as the last match of the oldest key is out of its span, it makes room: no other does");
    as_windows windows = sample(10, 0);
    for (uint64_t key = 1; key <= 16; key++) {
        put(&windows, as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats), 10, key <= 8 ? 1000 : 6001, 1);
    }
    for (uint64_t key = 9; key <= 16; key++) {
        CHECK(survives(&windows, key, 100 + key, 100 + key, 6001, 1, &stats));
    }
    CHECK_EQUAL(stats.keys_evicted, 8);

    CASE("a key with two matches outlives eight tables of one match each");
    windows = sample_of(FLOODED, 10, 0);
    window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    put(&windows, window, 10, 1000, 1);
    put(&windows, window, 10, 1000, 2);
    CHECK(survives(&windows, 1, 100, 100 + 8 * FLOODED, 1000, 1, &stats));

    CASE("and one with ten matches as many of nine each");
    windows = sample_of(FLOODED, 10, 0);
    window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    for (uint32_t i = 0; i < 10; i++) {
        put(&windows, window, 10, 1000, i);
    }
    CHECK(survives(&windows, 1, 100, 100 + 8 * FLOODED, 1000, 9, &stats));

    CASE("when it has done nothing for its span it is the oldest, and goes");
    CHECK(!survives(&windows, 1, 20000, 20000 + FLOODED, 7000, 1, &stats));

    CASE("as long as half a table of new keys comes between its opens a scanner is found, whatever they do");
    for (uint32_t each = 1; each < 10; each++) {
        CHECK(found_in_a_flood(9, FLOODED / 2, each));
    }

    CASE("a scanner is found among twice as many keys between its opens as there are places");
    CHECK(found_in_a_flood(100, 2 * FLOODED, 1));

    CASE("a key with a stamp from the future, or from before the clock was set back, is kept no longer");
    for (uint64_t ms = 100000; ms != 0; ms = ms == 100000 ? UINT64_MAX : 0) {
        windows = sample(10, 0);
        for (uint64_t key = 1; key <= 16; key++) {
            window = as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats);
            put(&windows, window, 10, key <= 2 ? ms : 1000, 1);
            put(&windows, window, 10, key <= 2 ? ms : 1000, 2);
        }
        CHECK(survives(&windows, 16, 100, 101, 1000, 1, &stats));
        CHECK(!survives(&windows, 1, 101, 101, 1000, 1, &stats));
    }
}

/* A table whose oldest key, 1, has matches at these stamps, and the others one at `now_ms`, but the newest of them at
 * `newest_ms`. Returns whether key 1 is there after one more key came. */
static bool oldest_stays(const uint64_t *stamps, uint32_t count, uint64_t now_ms, uint64_t newest_ms) {
    as_stats stats = {0};
    as_windows windows = sample(10, 0);
    as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    for (uint32_t i = 0; i < count; i++) {
        put(&windows, window, 10, stamps[i], i);
    }
    for (uint64_t key = 2; key <= 16; key++) {
        window = as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats);
        put(&windows, window, 10, key == 16 ? newest_ms : now_ms, 1);
    }
    return survives(&windows, 1, 100, 100, now_ms, 1, &stats);
}

static void time_of_keys(void) {
    CASE("a match a little late does not make its key look older than it is");
    CHECK(oldest_stays((const uint64_t[]){10000, 6000}, 2, 15000, 15000));
    CHECK(oldest_stays((const uint64_t[]){10000, 5000}, 2, 15000, 15000));
    CHECK(!oldest_stays((const uint64_t[]){10000, 6000}, 2, 15001, 15001));

    CASE("after the clock was set back a key is as old as its last match");
    CHECK(oldest_stays((const uint64_t[]){100000, 1000}, 2, 1000, 1000));
    CHECK(!oldest_stays((const uint64_t[]){100000, 1000}, 2, 100000, 100000));

    CASE("one late match of another key does not make the oldest look old");
    CHECK(oldest_stays((const uint64_t[]){20000, 20000}, 2, 20000, 1000));
    CHECK(!oldest_stays((const uint64_t[]){20000, 20000}, 2, 1000, 1000));

    CASE("among keys with as many matches the first that is drawn goes");
    as_stats stats = {0};
    as_windows windows = sample_of(FLOODED, 10, 0);
    for (uint64_t key = 0; key < FLOODED; key++) {
        put(&windows, as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats), 10, 1000, 1);
    }
    for (uint64_t drawn = 1, evicted = 0; evicted == 0; drawn++) {
        const uint32_t at = (uint32_t)((as_mix(0, drawn) >> 32) * FLOODED >> 32);
        if (at < FLOODED / 2 - 1) { /* older than half a table of new keys */
            as_windows_of(&windows, 0, (const uint64_t[]){99999, 0}, &stats);
            CHECK_EQUAL(windows.slots[at].key[0], 99999);
            evicted = 1;
        }
    }

    CASE("a key is recent while no more than half a table of keys came after it");
    for (uint32_t place = FLOODED / 2 - 3; place < FLOODED / 2 + 1; place++) {
        windows = sample_of(FLOODED, 10, 0);
        for (uint64_t key = 0; key < FLOODED; key++) {
            put(&windows, as_windows_of(&windows, 0, (const uint64_t[]){key, 0}, &stats), 10, 1000, 1);
        }
        uint64_t drawn = 1;
        while ((uint32_t)((as_mix(0, drawn) >> 32) * FLOODED >> 32) != place) {
            drawn++;
        }
        windows.drawn = drawn - 1;
        as_windows_of(&windows, 0, (const uint64_t[]){99999, 0}, &stats);
        CHECK_EQUAL(windows.slots[place].key[0], place < FLOODED / 2 - 1 ? 99999 : place);
    }
}

static as_value bare(const char *text) {
    return (as_value){.span = guarded_span(text, strlen(text)), .form = AS_FORM_BARE};
}

static void keys(void) {
    const as_windows windows = sample(2, 0);
    const as_filter by_pid_and_node = {.keys = {AS_FIELD_PID, AS_FIELD_NODE}, .key_count = 2};
    const as_filter by_comm_and_tty = {.keys = {AS_FIELD_COMM, AS_FIELD_TTY}, .key_count = 2};
    const as_filter by_nothing = {0};
    as_value values[AS_FIELDS] = {0};
    uint8_t scratch[64];
    uint64_t key[2] = {9, 9};
    uint64_t other[2] = {9, 9};

    CASE("a rule without keys has one window for all");
    CHECK(as_window_key(&windows, &by_nothing, values, scratch, key));
    CHECK(key[0] == 0 && key[1] == 0);

    CASE("an event that lacks a key field has no key; a missing node is this host");
    CHECK(!as_window_key(&windows, &by_pid_and_node, values, scratch, key));
    values[AS_FIELD_PID] = bare("(null)");
    CHECK(!as_window_key(&windows, &by_pid_and_node, values, scratch, key));
    values[AS_FIELD_PID] = bare("92");
    CHECK(as_window_key(&windows, &by_pid_and_node, values, scratch, key));
    CHECK(key[0] == 92 && key[1] == 0);
    CHECK(!as_window_key(&windows, &by_comm_and_tty, values, scratch, key));
    values[AS_FIELD_COMM] = bare("7073");
    CHECK(!as_window_key(&windows, &by_comm_and_tty, values, scratch, key));
    values[AS_FIELD_TTY] = bare("pts0");
    CHECK(as_window_key(&windows, &by_comm_and_tty, values, scratch, key));

    CASE("texts are compared decoded, and different ones differ");
    values[AS_FIELD_COMM] = (as_value){.span = GUARDED("ps"), .form = AS_FORM_QUOTED};
    CHECK(as_window_key(&windows, &by_comm_and_tty, values, scratch, other));
    CHECK(key[0] == other[0] && key[1] == other[1]);
    values[AS_FIELD_TTY] = bare("pts1");
    CHECK(as_window_key(&windows, &by_comm_and_tty, values, scratch, other));
    CHECK(key[0] == other[0] && key[1] != other[1]);
    values[AS_FIELD_NODE] = (as_value){.span = GUARDED("a"), .form = AS_FORM_QUOTED};
    CHECK(as_window_key(&windows, &by_pid_and_node, values, scratch, other));
    CHECK(other[0] == 92 && other[1] != 0);
}

static void actors(void) {
    const as_config config = sample_config();
    const as_rule rule = {.count = 2, .span_ms = 5000};
    as_rules rules = {.rules = &rule, .rule_count = 1};
    as_value values[AS_FIELDS] = {0};
    uint8_t scratch[64];
    as_windows windows = fresh(&config, &rules);
    CASE("without actor fields all events are of actor 0");
    values[AS_FIELD_EXE] = (as_value){.span = GUARDED("/a"), .form = AS_FORM_QUOTED};
    values[AS_FIELD_UID] = bare("0");
    CHECK_EQUAL(as_window_actor(&windows, values, scratch), 0);

    CASE("an actor is its fields as decoded texts, whatever else the event says, in 31 bits");
    rules.actor_fields = AS_BIT(AS_FIELD_EXE) | AS_BIT(AS_FIELD_UID);
    windows = fresh(&config, &rules);
    const uint32_t first = as_window_actor(&windows, values, scratch);
    CHECK(first <= UINT32_MAX >> 1);
    values[AS_FIELD_COMM] = bare("x");
    CHECK_EQUAL(as_window_actor(&windows, values, scratch), first);
    values[AS_FIELD_EXE] = bare("2F61"); /* /a */
    CHECK_EQUAL(as_window_actor(&windows, values, scratch), first);

    CASE("another text of one field, an absent one, an empty one and texts in other fields are other actors");
    const struct {
        const char *exe; /* NULL: absent */
        const char *uid;
    } actors[] = {{"/a", "0"}, {"/b", "0"}, {"/a", "1"},  {NULL, "0"}, {"", "0"},   {"/a", NULL},
                  {"/a", ""},  {"0", "/a"}, {NULL, NULL}, {"", ""},    {"a", "/0"}, {"/a0", ""}};
    enum { ACTORS = sizeof actors / sizeof *actors };
    uint32_t tags[ACTORS];
    for (uint32_t i = 0; i < ACTORS; i++) {
        values[AS_FIELD_EXE] = values[AS_FIELD_UID] = (as_value){0};
        if (actors[i].exe != NULL) {
            values[AS_FIELD_EXE] = bare(actors[i].exe);
            values[AS_FIELD_EXE].form = AS_FORM_QUOTED;
        }
        if (actors[i].uid != NULL) {
            values[AS_FIELD_UID] = bare(actors[i].uid);
            values[AS_FIELD_UID].form = AS_FORM_QUOTED;
        }
        tags[i] = as_window_actor(&windows, values, scratch);
        for (uint32_t j = 0; j < i; j++) {
            CHECK(tags[i] != tags[j]);
        }
    }
    CHECK_EQUAL(tags[0], first);

    CASE("a window keeps the actor of each match, also of a late one");
    as_stats stats = {0};
    as_window *window = as_windows_of(&windows, 0, (const uint64_t[]){1, 0}, &stats);
    for (uint32_t i = 0; i < 4; i++) {
        as_search search;
        as_window_add(&windows, window, &rule, (as_entry){.ms = 1000 - 100 * i, .actor = (i + 1) & 7}, &search);
    }
    for (uint32_t i = 0; i < 4; i++) {
        CHECK_EQUAL(as_window_entry(&windows, window, i).actor, 4 - i);
    }
}

int main(void) {
    memory = aligned_alloc(16, EVERYTHING);
    in_order();
    out_of_order();
    clock_steps();
    model();
    table_of_keys();
    flood_of_keys();
    time_of_keys();
    keys();
    actors();
    free(memory);
    return check_done();
}
