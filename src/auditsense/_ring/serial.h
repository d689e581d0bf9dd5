/* Serials that the kernel issued and that never arrived: losses that the kernel does not count.
 *
 * Part of stage 3, for datagrams only: gaps in a filtered log mean nothing.
 * A serial is missing if it has not arrived event_timeout_ms after a higher one, or AS_SERIAL_WINDOW serials later. All
 * arithmetic wraps at the kernel's 32 bits.
 * Rule 1: a serial that was already judged is late and changes nothing, however far behind it is.
 * Rule 2: after a reboot serials start again. Distinct serials in a row prove it: AS_SERIALS_NEWER that are behind,
 *   with stamps that no late record has; or AS_SERIALS_OLDER if the clock was also set back.
 * Tested by tests/c/test_serial.c and, against a model, tests/core/test_serial.py. */
#ifndef AUDITSENSE_SERIAL_H
#define AUDITSENSE_SERIAL_H

#include <stdbool.h>

#include "../_ring.h"
#include "arena.h"

enum { AS_SERIAL_WINDOW = 65536, AS_SERIALS_NEWER = 2, AS_SERIALS_OLDER = 256 };

typedef struct {
    uint64_t *seen; /* a bit per serial of the AS_SERIAL_WINDOW from base on, at serial % window */
    uint64_t filled[AS_SERIAL_WINDOW / 4096]; /* a bit per word of seen that may be nonzero */
    uint64_t mark_ms;                         /* time when mark was the highest */
    uint64_t timeout_ms;
    uint64_t newest_ms; /* newest stamp since the start, except of strays */
    uint64_t last_ms;   /* stamp of the last record */
    uint32_t last;      /* serial of the last record */
    uint32_t base;      /* lowest serial not judged yet */
    uint32_t highest;
    uint32_t mark;
    uint32_t strays[AS_SERIALS_OLDER]; /* distinct serials in a row that may be of another boot */
    uint32_t stray_count;
    uint32_t newer_strays; /* of these, with a stamp that no late record has */
    bool started;
} as_serials;

void as_serials_init(as_serials *serials, const as_config *config, as_arena *arena);

/* True if the last record had this serial and stamp: another record of the same event changes nothing. */
static inline bool as_serials_is_repeat(const as_serials *serials, uint32_t serial, uint64_t stamp_ms) {
    return serials->last == serial && serials->last_ms == stamp_ms && serials->started;
}

/* Observe the serial and stamp of a record. Counts missing serials and restarts. */
void as_serials_observe(as_serials *serials, uint32_t serial, uint64_t stamp_ms, uint64_t now_ms, as_stats *stats);

/* Judge serials that have timed out. Counts missing serials. */
void as_serials_expire(as_serials *serials, uint64_t now_ms, as_stats *stats);

/* Judge all serials and start again with the next one. Counts missing serials. */
void as_serials_finish(as_serials *serials, as_stats *stats);

#endif
