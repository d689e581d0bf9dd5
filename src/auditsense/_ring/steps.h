/* Clocks that were set back, told by the stamps of events alone.
 *
 * Part of stage 3. A single event with a stamp from elsewhere is no step: a system call that blocked for a minute is
 * stamped when it was entered, and a collector may hand on a damaged line. It is one when AS_STEP_EVENTS events in a row
 * of one host agree.
 * Owns the time of the hosts seen last, at most AS_STEP_HOSTS of them.
 * Tested by tests/c/test_steps.c. */
#ifndef AUDITSENSE_STEPS_H
#define AUDITSENSE_STEPS_H

#include <stdbool.h>

#include "span.h"

enum { AS_STEP_HOSTS = 16, AS_STEP_MS = 5000, AS_STEP_EVENTS = 3 };

typedef struct {
    uint64_t node;      /* hash of its name */
    uint64_t newest_ms; /* the newest stamp of its time; 0: no event yet */
    uint64_t other_ms;  /* the stamp of the last event that is far from it */
    uint32_t others;    /* how many of those came in a row, and agree */
} as_host_time;

typedef struct {
    as_host_time hosts[AS_STEP_HOSTS];
    uint64_t seed;
    uint64_t last_ms; /* of the record before */
    uint32_t last_serial;
} as_steps;

void as_steps_init(as_steps *steps, uint64_t seed);

/* A record of an event came. True: its host's clock was set back, and this event makes it certain. */
bool as_steps_observe(as_steps *steps, uint64_t ms, uint32_t serial, as_span node);

#endif
