/* From one closed event to its matches, windows and hits.
 *
 * Uses the stages match, window and hit; the event and how far it has come are the handle's (as_decision), because the
 * hits can be full in the middle of it.
 * Rule 1: the values of an event are read in steps: what tests and keys need, then what exceptions need, then who made
 *         it, then what a hit carries. Most events need the first step only.
 * Rule 2: an event gets its actor once, for all its rules; only an event that enters a window has one.
 * Tested by tests/c/test_ring.c, tests/test_model.py and tests/test_actor.py. */
#ifndef AUDITSENSE_DECIDE_H
#define AUDITSENSE_DECIDE_H

#include "ring_state.h"

/* Begin with a closed event: find the rules that it matches. */
void as_decision_begin(as_ring *ring, as_event *event);

/* Begin with a closed event that was held, and that the rules in its `wanted` match. */
void as_decision_resume(as_ring *ring, as_event *event);

/* Serve the rules that the event matches. False: the hits are full; call again when they were drained. */
bool as_decision_run(as_ring *ring);

#endif
