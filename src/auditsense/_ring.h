/* The core's public header: guards what cffi reads unguarded. */
#ifndef AUDITSENSE_RING_H
#define AUDITSENSE_RING_H

#include <stddef.h>
#include <stdint.h>

#include "_ring.cdef.h"

#endif
