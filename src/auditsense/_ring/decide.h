/* Decision: one closed event to its matches, windows and hits.
 *
 * Uses the stages match, window and hit. The ring holds the event and the progress of its decision (as_decision),
 * because the hit buffer can fill up in the middle.
 * Rule 1: the values of an event are read in steps: for tests and keys, for exceptions, for the actor, for a hit. Most
 *   events need the first step only.
 * Rule 2: the actor of an event is found once for all its rules, and only if it enters a window.
 * Tested by tests/c/test_ring.c, tests/core/test_model.py and tests/core/test_window_actors.py. */
#ifndef AUDITSENSE_DECIDE_H
#define AUDITSENSE_DECIDE_H

#include "ring_state.h"

/* Start with a closed event: find the filters that it fits. */
bool as_decision_begin(as_ring *ring, as_event *event);

/* Hold the event, to be decided later. The key and the actor of its only filter are found now, while its values are
 * known. */
void as_decision_hold(as_ring *ring);

/* Start with a closed event that was held; as_order knows which filters it fits. */
void as_decision_resume(as_ring *ring, as_event *event);

/* Apply the rules of the filters that the event fits. False: the hit buffer is full; call again after a drain. */
bool as_decision_run(as_ring *ring);

#endif
