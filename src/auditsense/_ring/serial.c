#include "serial.h"

#include <string.h>

enum { WORD_BITS = 64, WORDS = AS_SERIAL_WINDOW / WORD_BITS, GROUP_BITS = WORD_BITS * WORD_BITS };

/* A serial this small that is this far ahead across the wrap is rather the first of another boot. */
enum { FIRST_OF_A_BOOT = AS_SERIAL_WINDOW, FAR_AHEAD = 16 * AS_SERIAL_WINDOW };

void as_serials_init(as_serials *serials, const as_config *config, as_arena *arena) {
    *serials = (as_serials){.timeout_ms = config->event_timeout_ms};
    serials->seen = as_arena_alloc(arena, WORDS, sizeof *serials->seen);
}

static uint64_t *word_of(const as_serials *serials, uint32_t serial) {
    return &serials->seen[serial % AS_SERIAL_WINDOW / WORD_BITS];
}

static uint64_t bit_of(uint32_t serial) {
    return UINT64_C(1) << (serial % WORD_BITS);
}

static void mark_seen(as_serials *serials, uint32_t serial) {
    const uint32_t word = serial % AS_SERIAL_WINDOW / WORD_BITS;
    serials->seen[word] |= bit_of(serial);
    serials->filled[word / WORD_BITS] |= UINT64_C(1) << (word % WORD_BITS);
}

static bool is_behind(uint32_t serial, uint32_t base) {
    return serial - base > UINT32_MAX / 2;
}

/* Clear these bits of a word. Returns how many were set. */
static uint32_t clear_bits(uint64_t *word, uint64_t bits) {
    const uint64_t set = *word & bits;
    if (set == 0) {
        return 0; /* the usual case if serials are missing: must be fast */
    }
    *word &= ~bits;
    return (uint32_t)__builtin_popcountll(set);
}

/* Clear the bits of a group of words. Returns how many were set. */
static uint32_t clear_group(as_serials *serials, uint32_t group) {
    uint32_t came = 0;
    for (uint64_t words = serials->filled[group]; words != 0; words &= words - 1) {
        came += clear_bits(&serials->seen[group * WORD_BITS + (uint32_t)__builtin_ctzll(words)], UINT64_MAX);
    }
    serials->filled[group] = 0;
    return came;
}

/* Judge every serial below `to`, which is at most 2^31 ahead of base, and count the missing ones. */
static void count_missing(as_serials *serials, uint32_t to, as_stats *stats) {
    uint64_t came = 0;
    const uint32_t count = to - serials->base;
    uint32_t left = count < AS_SERIAL_WINDOW ? count : AS_SERIAL_WINDOW; /* the bits repeat beyond that */
    for (uint32_t step, at = serials->base; left > 0; at += step, left -= step) {
        if (at % GROUP_BITS == 0 && left >= GROUP_BITS) {
            step = GROUP_BITS;
            came += clear_group(serials, at % AS_SERIAL_WINDOW / GROUP_BITS);
            continue;
        }
        const uint32_t room = WORD_BITS - at % WORD_BITS;
        step = left < room ? left : room;
        came += clear_bits(word_of(serials, at), UINT64_MAX >> (WORD_BITS - step) << (at % WORD_BITS));
    }
    serials->base = to;
    stats->serials_missing += count - came;
}

static void forget_strays(as_serials *serials) {
    serials->stray_count = 0;
    serials->newer_strays = 0;
}

static void start(as_serials *serials, uint32_t serial, uint64_t now_ms) {
    serials->started = true;
    serials->base = serial;
    serials->highest = serial;
    serials->mark = serial;
    serials->mark_ms = now_ms;
    serials->newest_ms = 0;
    forget_strays(serials);
}

static void insert(as_serials *serials, uint32_t serial, as_stats *stats) {
    if (serial - serials->base >= AS_SERIAL_WINDOW) {
        count_missing(serials, serial - AS_SERIAL_WINDOW + 1, stats);
    }
    mark_seen(serials, serial);
    /* Relative to highest, which is before base once all are judged. */
    if (!is_behind(serial, serials->highest)) {
        serials->highest = serial;
    }
}

/* Restart with the strays, in any order. */
static void restart(as_serials *serials, uint64_t now_ms, as_stats *stats) {
    uint32_t strays[AS_SERIALS_OLDER];
    const uint32_t count = serials->stray_count;
    uint32_t lowest = serials->strays[0];
    memcpy(strays, serials->strays, sizeof strays);
    for (uint32_t i = 1; i < count; i++) {
        lowest = is_behind(strays[i], lowest) ? strays[i] : lowest;
    }
    as_serials_finish(serials, stats);
    start(serials, lowest, now_ms);
    for (uint32_t i = 0; i < count; i++) {
        insert(serials, strays[i], stats);
    }
    stats->serial_restarts++;
}

/* Add a serial that may be of another boot. True: another boot is certain now. */
static bool add_stray(as_serials *serials, uint32_t serial, bool newer) {
    for (uint32_t i = 0; i < serials->stray_count; i++) {
        if (serials->strays[i] == serial) {
            return false; /* another record of the same event */
        }
        const uint32_t apart = serial - serials->strays[i];
        if (apart >= AS_SERIAL_WINDOW && 0 - apart >= AS_SERIAL_WINDOW) {
            forget_strays(serials);
        }
    }
    serials->strays[serials->stray_count++] = serial;
    serials->newer_strays += newer ? 1 : 0;
    return serials->newer_strays == AS_SERIALS_NEWER || serials->stray_count == AS_SERIALS_OLDER;
}

void as_serials_observe(as_serials *serials, uint32_t serial, uint64_t stamp_ms, uint64_t now_ms, as_stats *stats) {
    if (!serials->started) {
        start(serials, serial, now_ms);
    }
    serials->last = serial;
    serials->last_ms = stamp_ms;
    const bool judged = is_behind(serial, serials->base);
    const bool newer = stamp_ms > serials->newest_ms + serials->timeout_ms;
    const bool wrapped =
        !judged && serial < FIRST_OF_A_BOOT && serial < serials->base && serial - serials->base >= FAR_AHEAD;
    if (judged || wrapped || (newer && is_behind(serial, serials->highest))) {
        const bool far = wrapped || (judged && serials->base - serial > AS_SERIAL_WINDOW);
        if (!judged && !wrapped) {
            mark_seen(serials, serial); /* it may still be of this boot */
        }
        if (!newer && !far) {
            forget_strays(serials);
        } else if (add_stray(serials, serial, newer)) {
            restart(serials, now_ms, stats);
            serials->newest_ms = stamp_ms;
        }
        return;
    }
    forget_strays(serials);
    serials->newest_ms = stamp_ms > serials->newest_ms ? stamp_ms : serials->newest_ms;
    insert(serials, serial, stats);
}

void as_serials_expire(as_serials *serials, uint64_t now_ms, as_stats *stats) {
    if (!serials->started || now_ms < serials->mark_ms || now_ms - serials->mark_ms < serials->timeout_ms) {
        return;
    }
    if (!is_behind(serials->mark, serials->base)) {
        count_missing(serials, serials->mark + 1, stats);
    }
    serials->mark = serials->highest;
    serials->mark_ms = now_ms;
}

void as_serials_finish(as_serials *serials, as_stats *stats) {
    if (serials->started && !is_behind(serials->highest, serials->base)) {
        count_missing(serials, serials->highest + 1, stats);
    }
    serials->started = false;
}
