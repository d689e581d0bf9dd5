/* Going on where another ring was, with another rule table: so that rules can be changed in the middle of a stream.
 *
 * Beside the stages, after them.
 * Rule 1: what was received and is not decided yet moves as it is: unread datagrams, the unfinished line, open
 *         events with their texts, the serials, all counters.
 * Rule 2: a rule that stays keeps its windows, and decides the events whose SYSCALL record had come. A rule that is
 *         new decides those whose SYSCALL record comes later: of the others nothing may have been kept.
 * Tested by tests/c/test_ring.c and, against a ring that stays, tests/test_reload.py. */
#ifndef AUDITSENSE_MIGRATE_H
#define AUDITSENSE_MIGRATE_H

#include "ring_state.h"

/* Move everything from a ring whose hits are drained and whose closed events are decided to a new one.
 *   rules   for each rule of from, its place in ring; UINT32_MAX: it is gone
 * False, and nothing is changed: ring has been used, the two were not made with the same as_config and actor_fields, or a rule
 * and its place differ in what windows are made of (count, keys). */
bool as_migrate(as_ring *ring, const as_ring *from, const uint32_t *rules);

#endif
