/* After the stages, column: one field of many hits, side by side.
 *
 * Owns: nothing. Bytes in, bytes out.
 * Rule: no byte of the input is trusted. Every length is checked, and anything but whole hits is AS_ARGUMENT.
 * Bound: a row takes less space than its hit, in `rows` and in `out`, so buffers of the input's size suffice.
 * Tested by tests/c/test_column.c, tests/detect/test_rows.py and the stream fuzz target. */
#ifndef AUDITSENSE_COLUMN_H
#define AUDITSENSE_COLUMN_H

#include "../_ring.h"

#endif
