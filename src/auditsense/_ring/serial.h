/* The serials the kernel gave out and that never came: the loss it does not count itself.
 *
 * Part of stage 3, for datagrams only: a log that somebody filtered has gaps that mean nothing.
 * A serial is missed when it has not come event_timeout_ms after a higher one, or AS_SERIAL_WINDOW
 * serials later; all arithmetic wraps with the kernel's 32 bits.
 * Rule 1: a serial that was judged already is a late one and changes nothing, however far behind it is.
 * Rule 2: after another boot serials start again. Different serials in a row say so: AS_SERIALS_NEWER of them that lie
 *         behind, with stamps that no late record has; or, where the clock was set back as well, AS_SERIALS_OLDER.
 * Tested by tests/c/test_serial.c and, against a model, tests/test_serial.py. */
#ifndef AUDITSENSE_SERIAL_H
#define AUDITSENSE_SERIAL_H

#include <stdbool.h>

#include "../_ring.h"
#include "arena.h"

enum { AS_SERIAL_WINDOW = 65536, AS_SERIALS_NEWER = 2, AS_SERIALS_OLDER = 256 };

typedef struct {
    uint64_t *seen;     /* a bit for each of the AS_SERIAL_WINDOW serials from base on, at serial % window */
    uint64_t filled[AS_SERIAL_WINDOW / 4096]; /* a bit for each word of seen that may have one set */
    uint64_t mark_ms;   /* when highest was mark */
    uint64_t timeout_ms;
    uint64_t newest_ms; /* the newest stamp since the start, but of strays */
    uint64_t last_ms;   /* stamp of the last record */
    uint32_t last;      /* serial of the last record */
    uint32_t base;      /* the lowest serial not judged yet */
    uint32_t highest;
    uint32_t mark;
    uint32_t strays[AS_SERIALS_OLDER]; /* different serials in a row that may be of another boot */
    uint32_t stray_count;
    uint32_t newer_strays; /* of them, with a stamp that no late record has */
    bool started;
} as_serials;

void as_serials_init(as_serials *serials, const as_config *config, as_arena *arena);

/* True when the last record had this serial and stamp: another record of the same event changes nothing. */
static inline bool as_serials_is_repeat(const as_serials *serials, uint32_t serial, uint64_t stamp_ms) {
    return serials->last == serial && serials->last_ms == stamp_ms && serials->started;
}

/* A record with this serial and stamp came. The serials found missing by it, and restarts, are counted. */
void as_serials_observe(as_serials *serials, uint32_t serial, uint64_t stamp_ms, uint64_t now_ms, as_stats *stats);

/* Judge what has waited long enough. Missing serials are counted. */
void as_serials_expire(as_serials *serials, uint64_t now_ms, as_stats *stats);

/* Judge everything and start anew with the next serial. Missing serials are counted. */
void as_serials_finish(as_serials *serials, as_stats *stats);

#endif
