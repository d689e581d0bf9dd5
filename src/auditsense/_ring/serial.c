#include "serial.h"

#include <string.h>

enum { WORDS = AS_SERIAL_WINDOW / 64 };

void as_serials_carve(as_serials *serials, const as_config *config, as_carver *from) {
    *serials = (as_serials){.timeout_ms = config->event_timeout_ms};
    serials->seen = as_carve(from, WORDS, sizeof *serials->seen);
}

static uint64_t *word_of(const as_serials *serials, uint32_t serial) {
    return &serials->seen[serial % AS_SERIAL_WINDOW / 64];
}

static uint64_t bit_of(uint32_t serial) {
    return UINT64_C(1) << (serial % 64);
}

/* Judge every serial below `to`, which is at most 2^31 ahead of base. */
static uint64_t judge(as_serials *serials, uint32_t to) {
    uint64_t missing = 0;
    if (to - serials->base >= AS_SERIAL_WINDOW) {
        missing = to - serials->base;
        for (uint32_t i = 0; i < WORDS; i++) {
            missing -= (uint64_t)__builtin_popcountll(serials->seen[i]);
        }
        memset(serials->seen, 0, WORDS * sizeof *serials->seen);
        serials->base = to;
        return missing;
    }
    for (; serials->base != to; serials->base++) {
        uint64_t *word = word_of(serials, serials->base);
        missing += (*word & bit_of(serials->base)) == 0 ? 1 : 0;
        *word &= ~bit_of(serials->base);
    }
    return missing;
}

static void start(as_serials *serials, uint32_t serial, uint64_t now_ms) {
    serials->started = true;
    serials->base = serial;
    serials->highest = serial;
    serials->mark = serial;
    serials->mark_ms = now_ms;
}

uint64_t as_serials_see(as_serials *serials, uint32_t serial, uint64_t now_ms) {
    uint64_t missing = 0;
    if (!serials->started) {
        start(serials, serial, now_ms);
    }
    const uint32_t ahead = serial - serials->base;
    if (ahead > UINT32_MAX / 2) {
        const bool judged = serials->base - serial <= AS_SERIAL_WINDOW;
        if (judged) {
            return 0; /* it came after all, or was given out before the first one seen */
        }
        missing = as_serials_finish(serials); /* another boot: its serials start again */
        start(serials, serial, now_ms);
    } else if (ahead >= AS_SERIAL_WINDOW) {
        missing = judge(serials, serial - AS_SERIAL_WINDOW + 1);
    }
    *word_of(serials, serial) |= bit_of(serial);
    /* Seen from highest, which lies before base once all was judged. */
    if (serial - serials->highest <= UINT32_MAX / 2) {
        serials->highest = serial;
    }
    return missing;
}

uint64_t as_serials_settle(as_serials *serials, uint64_t now_ms) {
    uint64_t missing = 0;
    if (!serials->started || now_ms < serials->mark_ms || now_ms - serials->mark_ms < serials->timeout_ms) {
        return 0;
    }
    if (serials->mark - serials->base <= UINT32_MAX / 2) {
        missing = judge(serials, serials->mark + 1);
    }
    serials->mark = serials->highest;
    serials->mark_ms = now_ms;
    return missing;
}

uint64_t as_serials_finish(as_serials *serials) {
    uint64_t missing = 0;
    if (serials->started && serials->highest - serials->base <= UINT32_MAX / 2) {
        missing = judge(serials, serials->highest + 1);
    }
    serials->started = false;
    return missing;
}
