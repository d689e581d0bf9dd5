#include "types.h"

bool as_record_stands_alone(uint16_t type) {
    /* AUDIT_USER and its families, a daemon's records about itself, and AUDIT_KERNEL. */
    return (type >= 1100 && type <= 1299) || (type >= 2000 && type <= 2999);
}

bool as_record_of_syscall(uint16_t type) {
    switch (type) {
    case AS_TYPE_SYSCALL:
    case AS_TYPE_PATH:
    case 1303: /* IPC, SOCKETCALL */
    case 1304:
    case 1306: /* SOCKADDR */
    case AS_TYPE_CWD:
    case 1309: /* EXECVE */
    case 1311: /* IPC_SET_PERM, MQ_OPEN, MQ_SENDRECV, MQ_NOTIFY, MQ_GETSETATTR */
    case 1312:
    case 1313:
    case 1314:
    case 1315:
    case 1317: /* FD_PAIR, OBJ_PID */
    case 1318:
    case AS_TYPE_EOE:
    case 1321: /* BPRM_FCAPS, CAPSET, MMAP */
    case 1322:
    case 1323:
    case AS_TYPE_PROCTITLE:
    case AS_TYPE_URINGOP:
    case 1337: /* OPENAT2 */
        return true;
    default: /* others, and those of future kernels, can also come alone: from kernel threads, for a call without an
                audit rule, from the owner of the socket */
        return false;
    }
}

bool as_record_is_detail(uint16_t type) {
    return as_record_of_syscall(type) && type != AS_TYPE_SYSCALL && type != AS_TYPE_URINGOP;
}
