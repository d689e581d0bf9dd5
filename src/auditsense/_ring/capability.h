/* Names of the capabilities in a set that the kernel writes as hex: BPRM_FCAPS pe.
 *
 * Part of stage 2. Owns: the names, of linux/capability.h.
 * Tested by tests/c/test_event_values.c. */
#ifndef AUDITSENSE_CAPABILITY_H
#define AUDITSENSE_CAPABILITY_H

#include "span.h"

enum { AS_CAPABILITIES = 64 };

/* Write the names of the set, each span followed by a NUL in memory up to the last one. names holds AS_CAPABILITIES
 * spans, bytes AS_CAPABILITY_BYTES. Returns how many there are. */
enum { AS_CAPABILITY_BYTES = 2048 };
uint32_t as_capability_names(uint64_t set, as_span *names, uint8_t *bytes);

#endif
