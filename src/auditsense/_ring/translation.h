/* What daemons write behind the kernel's text: their own translation of it (log_format = ENRICHED).
 *
 * Part of stage 2.
 * Tested by tests/c/test_record.c and tests/cases/records.txt. */
#ifndef AUDITSENSE_TRANSLATION_H
#define AUDITSENSE_TRANSLATION_H

#include "span.h"

/* What stands before it. */
#define AS_TRANSLATION 0x1D

/* Where a translation that is glued to a value starts, because its separator was lost or rewritten on the way; the
 * length of the value: there is none within its first equal signs. */
uint32_t as_translation_start(as_span value);

#endif
