/* The core's public header: include guards around the declarations that cffi reads without them. */
#ifndef AUDITSENSE_RING_H
#define AUDITSENSE_RING_H

#include <stddef.h>
#include <stdint.h>

/* The C library exports these functions and nothing else. */
#ifdef AUDITSENSE_LIBRARY
#pragma GCC visibility push(default)
#endif

#include "_ring.cdef.h"

#ifdef AUDITSENSE_LIBRARY
#pragma GCC visibility pop
#endif

#endif
