/* The start of a process that was forked from Python and runs none.
 *
 * Rule: it neither allocates nor calls what may: the heap is gone. */
#ifndef AUDITSENSE_HELPER_START_H
#define AUDITSENSE_HELPER_START_H

#include "../_helper.h"

/* Unmap memory, and install the filter for system calls. Ends the process when the kernel refuses the filter for
 * another reason than that it has none. */
void as_helper_begin(const as_helper_start *start);

#endif
