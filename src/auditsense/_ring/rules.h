/* Bounds of the rule table, as the caller passes it.
 *
 * Set up once, before any stage. Rule: after as_rules_valid no stage checks an index, a count or a bound of the table
 * again, and every decision program ends.
 * Tested by tests/c/test_rules.c. */
#ifndef AUDITSENSE_RULES_H
#define AUDITSENSE_RULES_H

#include <stdbool.h>

#include "../_ring.h"

/* Most events of a window. */
enum { AS_MOST_COUNT = 101 };

/* Most items of a sample. */
enum { AS_MOST_ITEMS = 8 };

/* True if every index, count and bound of the table is valid. */
bool as_rules_valid(const as_rules *rules);

#endif
