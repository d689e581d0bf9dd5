/* Clock steps: clocks that were set back, detected from the stamps of events alone.
 *
 * Part of stage 3. A single event with a distant stamp is not a step: a system call that blocked for a minute has the
 * stamp of its entry, and a collector may forward a damaged line. AS_STEP_EVENTS events in a row of one host that agree
 * are a step.
 * Owns: the time of the most recent hosts, at most AS_STEP_HOSTS of them.
 * Tested by tests/c/test_clock_steps.c. */
#ifndef AUDITSENSE_CLOCK_STEPS_H
#define AUDITSENSE_CLOCK_STEPS_H

#include <stdbool.h>

#include "span.h"

enum { AS_STEP_HOSTS = 16, AS_STEP_MS = 5000, AS_STEP_EVENTS = 3 };

typedef struct {
    uint64_t node;      /* hash of its name */
    uint64_t newest_ms; /* newest stamp; 0: no event yet */
    uint64_t other_ms;  /* stamp of the last event that is far from it */
    uint32_t others;    /* number of those in a row that agree */
} as_host_time;

typedef struct {
    as_host_time hosts[AS_STEP_HOSTS];
    uint64_t seed;
    uint64_t last_ms; /* of the previous record */
    uint32_t last_serial;
} as_steps;

void as_steps_init(as_steps *steps, uint64_t seed);

/* Observe a record of an event. True: this event proves that its host's clock was set back. */
bool as_steps_observe(as_steps *steps, uint64_t ms, uint32_t serial, as_span node);

#endif
