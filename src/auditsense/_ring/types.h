/* Record types that a stage decides by, and the types that belong to a system call.
 *
 * Part of stage 2. The numbers are those of linux/audit.h.
 * Tested by tests/c/test_record.c. */
#ifndef AUDITSENSE_TYPES_H
#define AUDITSENSE_TYPES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    AS_TYPE_USER_OTHER = 1199, /* in logs: a record of user space whose name is not known here */
    AS_TYPE_DAEMON_OTHER = 1299,
    AS_TYPE_SYSCALL = 1300,
    AS_TYPE_PATH = 1302,
    AS_TYPE_SOCKADDR = 1306,
    AS_TYPE_CWD = 1307,
    AS_TYPE_EXECVE = 1309,
    AS_TYPE_EOE = 1320,
    AS_TYPE_BPRM_FCAPS = 1321,
    AS_TYPE_PROCTITLE = 1327,
    AS_TYPE_URINGOP = 1336,
    AS_TYPE_AVC = 1400,
    AS_TYPE_APPARMOR = 1500 /* the main type of an event that starts with an AVC record of AppArmor */
};

/* Architecture of the operations of io_uring in as_rules.calls: no machine has it. */
enum { AS_ARCH_RING = 0 };

/* True for records of user space and daemons: one record, without an event or an end. */
bool as_record_stands_alone(uint16_t type);

/* True for the kernel's records of a system call: their event has a SYSCALL (or URINGOP) and an EOE. */
bool as_record_of_syscall(uint16_t type);

/* True for records that add to the event of a call, and never decide what kind of event it is. */
bool as_record_is_detail(uint16_t type);

#endif
