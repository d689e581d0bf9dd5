/* Public header of the processes that run no Python: include guards around the declarations that cffi reads. */
#ifndef AUDITSENSE_HELPER_H
#define AUDITSENSE_HELPER_H

#include <stddef.h>
#include <stdint.h>

#include "_helper.cdef.h"

#endif
