#include "capability.h"

static const char names_of[][24] = {
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
};

enum { KNOWN = sizeof names_of / sizeof *names_of };

/* A capability that is younger than this table: its number. */
static uint32_t write_number(uint8_t *to, uint32_t number) {
    uint32_t len = 0;
    if (number >= 10) {
        to[len++] = (uint8_t)('0' + number / 10);
    }
    to[len++] = (uint8_t)('0' + number % 10);
    return len;
}

uint32_t as_capability_names(uint64_t set, as_span *names, uint8_t *bytes) {
    _Static_assert(KNOWN * sizeof *names_of + (AS_CAPABILITIES - KNOWN) * 3 <= AS_CAPABILITY_BYTES,
                   "all names fit, with a NUL each");
    uint32_t count = 0;
    uint8_t *to = bytes;
    for (; set != 0; set &= set - 1) {
        const uint32_t capability = (uint32_t)__builtin_ctzll(set);
        uint32_t len;
        if (capability < KNOWN) {
            len = (uint32_t)strlen(names_of[capability]);
            memcpy(to, names_of[capability], len);
        } else {
            len = write_number(to, capability);
        }
        to[len] = 0;
        names[count++] = as_span_of(to, len);
        to += len + 1;
    }
    return count;
}
