/* The core's public header: guards what cffi reads unguarded. */
#ifndef AUDITSENSE_RING_H
#define AUDITSENSE_RING_H

#include <stddef.h>
#include <stdint.h>

/* In the library for programs without Python these functions are to be seen, and nothing else is. */
#ifdef AUDITSENSE_LIBRARY
#pragma GCC visibility push(default)
#endif

#include "_ring.cdef.h"

#ifdef AUDITSENSE_LIBRARY
#pragma GCC visibility pop
#endif

#endif
