/* The bounds of as_config: what a ring can be made with.
 *
 * Beside the stages. Tested by tests/c/test_ring.c. */
#ifndef AUDITSENSE_CONFIG_H
#define AUDITSENSE_CONFIG_H

#include <stdbool.h>

#include "../_ring.h"

/* True when every value is within its bounds. */
bool as_config_valid(const as_config *config);

#endif
