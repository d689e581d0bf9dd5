/* The serials the kernel gave out and that never came: the loss it does not count itself.
 *
 * Part of stage 3, for datagrams only: a log that somebody filtered has gaps that mean nothing.
 * A serial is missed when it has not come event_timeout_ms after a higher one, or AS_SERIAL_WINDOW
 * serials later; all arithmetic wraps with the kernel's 32 bits.
 * Tested by tests/c/test_serial.c. */
#ifndef AUDITSENSE_SERIAL_H
#define AUDITSENSE_SERIAL_H

#include <stdbool.h>

#include "../_ring.h"
#include "carve.h"

enum { AS_SERIAL_WINDOW = 65536 };

typedef struct {
    uint64_t *seen;    /* a bit for each of the AS_SERIAL_WINDOW serials from base on, at serial % window */
    uint64_t mark_ms;  /* when highest was mark */
    uint64_t timeout_ms;
    uint32_t base;     /* the lowest serial not judged yet */
    uint32_t highest;
    uint32_t mark;
    bool started;
} as_serials;

void as_serials_carve(as_serials *serials, const as_config *config, as_carver *from);

/* A record with this serial came. Returns the serials found missing by it. */
uint64_t as_serials_see(as_serials *serials, uint32_t serial, uint64_t now_ms);

/* Judge what has waited long enough. Returns the serials found missing. */
uint64_t as_serials_settle(as_serials *serials, uint64_t now_ms);

/* Judge everything and start anew with the next serial. Returns the serials found missing. */
uint64_t as_serials_finish(as_serials *serials);

#endif
