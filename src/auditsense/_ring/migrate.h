/* Migration to a ring with another rule table, so that rules can change in mid-stream.
 *
 * Runs after all stages.
 * Rule 1: everything received but not decided moves unchanged: unread datagrams, the unfinished line, open events with
 *   their texts, serials, all counters.
 * Rule 2: a rule that stays keeps its windows, and decides the events whose SYSCALL record has arrived. A new rule
 *   decides only events whose SYSCALL record comes later, because records of the others may not have been stored.
 * Tested by tests/c/test_migrate.c, tests/c/test_ring.c and, compared with a ring that stays, tests/detect/test_rule_migration.py. */
#ifndef AUDITSENSE_MIGRATE_H
#define AUDITSENSE_MIGRATE_H

#include "ring_state.h"

/* Move everything from a ring whose hits are drained and whose closed events are decided to a new one.
 *   rules   for each rule of from, its index in ring; UINT32_MAX: it is gone
 * False, with nothing changed: ring was used before, as_config or actor_fields differ, or a rule and its counterpart
 * differ in count or keys. */
bool as_migrate(as_ring *ring, const as_ring *from, const uint32_t *rules);

#endif
