/* Record types that a stage decides by, and the types that belong to a system call.
 *
 * Part of stage 2. The numbers are those of linux/audit.h.
 * Tested by tests/c/test_record.c. */
#ifndef AUDITSENSE_TYPES_H
#define AUDITSENSE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    AS_TYPE_SYSCALL = 1300,
    AS_TYPE_PATH = 1302,
    AS_TYPE_CWD = 1307,
    AS_TYPE_EOE = 1320,
    AS_TYPE_PROCTITLE = 1327,
    AS_TYPE_URINGOP = 1336
};

/* True for records of user space and daemons: one record, without an event or an end. */
bool as_record_stands_alone(uint16_t type);

/* True for the kernel's records of a system call: their event has a SYSCALL (or URINGOP) and an EOE. */
bool as_record_of_syscall(uint16_t type);

/* True for the types that fields come from. */
bool as_record_has_fields(uint16_t type);

#endif
