/* Text that daemons append to the kernel's record: a translation of it (log_format = ENRICHED).
 *
 * Part of stage 2. Owns: nothing.
 * Tested by tests/c/test_record.c and tests/cases/records.txt. */
#ifndef AUDITSENSE_TRANSLATION_H
#define AUDITSENSE_TRANSLATION_H

#include "span.h"

/* The separator before it. */
#define AS_TRANSLATION 0x1D

/* Offset of a translation attached to a value, because its separator was lost or rewritten on the way; value.len: none
 * within its first equal signs. */
uint32_t as_translation_start(as_span value);

#endif
