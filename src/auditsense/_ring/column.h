/* Behind the stages: one field of many drained hits, side by side.
 *
 * Owns nothing: bytes in, bytes out.
 * Rule: the bytes may be anybody's. Every length is checked, and what is no hit is AS_ARGUMENT.
 * Tested by tests/c/test_column.c, tests/test_rows.py and the stream fuzz target. */
#ifndef AUDITSENSE_COLUMN_H
#define AUDITSENSE_COLUMN_H

#include "../_ring.h"

#endif
