/* Defaults and bounds of as_config. Tested by tests/c/test_ring.c and tests/core/test_ring.py. */
#ifndef AUDITSENSE_CONFIG_H
#define AUDITSENSE_CONFIG_H

#include <stdbool.h>

#include "../_ring.h"

/* True when every value is within its bounds. */
bool as_config_valid(const as_config *config);

#endif
