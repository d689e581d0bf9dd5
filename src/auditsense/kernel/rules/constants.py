"""Numbers and names of audit rules.

Every number is an ABI constant of linux/audit.h. The members of an enum have the kernel's names without the
prefix AUDIT_, where auditctl uses the same names.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FIELDS = 64
MAX_KEY_LEN = 256  # bytes, all keys of a rule together with the 0x01 between them
MAX_STRING_LEN = 4096  # bytes, PATH_MAX: the kernel takes no longer string in a field
MASK_WORDS = 64
# The top 16 bits of the mask are no syscalls: each asks the kernel to add a class of them.
MAX_SYSCALL = MASK_WORDS * 32 - 16 - 1
UNSET = 0xFFFF_FFFF  # auid and session of a process without a login
PREPEND = 0x10
KEY_SEPARATOR = b"\x01"


class Filter(enum.IntEnum):
    """The kernel's rule lists, by auditctl's names. ENTRY and WATCH no longer exist."""

    USER = 0
    TASK = 1
    EXIT = 4
    EXCLUDE = 5
    FILESYSTEM = 6
    IO_URING = 7


# The lists whose rules have a mask that the kernel reads.
SYSCALL_LISTS = frozenset({Filter.EXIT, Filter.IO_URING})


class Action(enum.IntEnum):
    """Effect of a rule that matches. The kernel refuses POSSIBLE (1)."""

    NEVER = 0
    ALWAYS = 2


class Operator(enum.IntEnum):
    """Comparison of a field: AUDIT_EQUAL and the others, the values of `fieldflags`."""

    BIT_MASK = 0x0800_0000
    LESS = 0x1000_0000
    GREATER = 0x2000_0000
    NOT_EQUAL = 0x3000_0000
    EQUAL = 0x4000_0000
    BIT_TEST = 0x4800_0000
    LESS_EQUAL = 0x5000_0000
    GREATER_EQUAL = 0x6000_0000


class FieldId(enum.IntEnum):
    """Field of a rule: the values of `fields`."""

    PID = 0
    UID = 1
    EUID = 2
    SUID = 3
    FSUID = 4
    GID = 5
    EGID = 6
    SGID = 7
    FSGID = 8
    LOGINUID = 9
    PERS = 10
    ARCH = 11
    MSGTYPE = 12
    SUBJ_USER = 13
    SUBJ_ROLE = 14
    SUBJ_TYPE = 15
    SUBJ_SEN = 16
    SUBJ_CLR = 17
    PPID = 18
    OBJ_USER = 19
    OBJ_ROLE = 20
    OBJ_TYPE = 21
    OBJ_LEV_LOW = 22
    OBJ_LEV_HIGH = 23
    LOGINUID_SET = 24
    SESSIONID = 25
    FSTYPE = 26
    DEVMAJOR = 100
    DEVMINOR = 101
    INODE = 102
    EXIT = 103
    SUCCESS = 104
    WATCH = 105
    PERM = 106
    DIR = 107
    FILETYPE = 108
    OBJ_UID = 109
    OBJ_GID = 110
    FIELD_COMPARE = 111
    EXE = 112
    SADDR_FAM = 113
    ARG0 = 200
    ARG1 = 201
    ARG2 = 202
    ARG3 = 203
    FILTERKEY = 210


# FieldId names are the kernel's in lower case, but for these.
_RENAMED = {
    FieldId.LOGINUID: "auid",
    FieldId.WATCH: "path",
    FieldId.FILTERKEY: "key",
    FieldId.ARG0: "a0",
    FieldId.ARG1: "a1",
    FieldId.ARG2: "a2",
    FieldId.ARG3: "a3",
    FieldId.FIELD_COMPARE: "-C",
}
FIELD_NAMES: Mapping[FieldId, str] = MappingProxyType(
    {field: _RENAMED.get(field, field.name.lower()) for field in FieldId},
)
# What can follow -F.
FIELDS: Mapping[str, FieldId] = MappingProxyType(
    {name: field for field, name in FIELD_NAMES.items() if name != "-C"} | {"loginuid": FieldId.LOGINUID},
)

# Two-character signs first: a reader of text takes the first that fits.
OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "!=": Operator.NOT_EQUAL,
        "<=": Operator.LESS_EQUAL,
        ">=": Operator.GREATER_EQUAL,
        "&=": Operator.BIT_TEST,
        "=": Operator.EQUAL,
        "<": Operator.LESS,
        ">": Operator.GREATER,
        "&": Operator.BIT_MASK,
    },
)
OPERATOR_SIGNS: Mapping[Operator, str] = MappingProxyType(
    {operator: sign for sign, operator in OPERATORS.items()},
)

PERMS: Mapping[str, int] = MappingProxyType({"r": 4, "w": 2, "x": 1, "a": 8})

# The file type bits of st_mode.
FILETYPES: Mapping[str, int] = MappingProxyType(
    {
        "file": 0o100000,
        "dir": 0o040000,
        "socket": 0o140000,
        "link": 0o120000,
        "character": 0o020000,
        "block": 0o060000,
        "fifo": 0o010000,
    },
)

# Superblock magic numbers of linux/magic.h.
FSTYPES: Mapping[str, int] = MappingProxyType({"debugfs": 0x6462_6720, "tracefs": 0x7472_6163})

# The record types one excludes in practice; any other goes by its number.
MSGTYPES: Mapping[str, int] = MappingProxyType(
    {
        "LOGIN": 1006,
        "USER_AUTH": 1100,
        "USER_ACCT": 1101,
        "CRED_ACQ": 1103,
        "CRED_DISP": 1104,
        "USER_START": 1105,
        "USER_END": 1106,
        "USER_AVC": 1107,
        "CRED_REFR": 1110,
        "USER_LOGIN": 1112,
        "USER_LOGOUT": 1113,
        "USER_CMD": 1123,
        "SERVICE_START": 1130,
        "SERVICE_STOP": 1131,
        "SYSCALL": 1300,
        "PATH": 1302,
        "CONFIG_CHANGE": 1305,
        "SOCKADDR": 1306,
        "CWD": 1307,
        "EXECVE": 1309,
        "EOE": 1320,
        "NETFILTER_CFG": 1325,
        "SECCOMP": 1326,
        "PROCTITLE": 1327,
        "BPF": 1334,
        "EVENT_LISTENER": 1335,
        "AVC": 1400,
        "CRYPTO_KEY_USER": 2404,
    },
)

# AUDIT_COMPARE_*: which two ids of a task or an object -C compares.
COMPARISONS: Mapping[int, tuple[str, str]] = MappingProxyType(
    dict(
        enumerate(
            (
                ("uid", "obj_uid"),
                ("gid", "obj_gid"),
                ("euid", "obj_uid"),
                ("egid", "obj_gid"),
                ("auid", "obj_uid"),
                ("suid", "obj_uid"),
                ("sgid", "obj_gid"),
                ("fsuid", "obj_uid"),
                ("fsgid", "obj_gid"),
                ("uid", "auid"),
                ("uid", "euid"),
                ("uid", "fsuid"),
                ("uid", "suid"),
                ("auid", "fsuid"),
                ("auid", "suid"),
                ("auid", "euid"),
                ("euid", "suid"),
                ("euid", "fsuid"),
                ("suid", "fsuid"),
                ("gid", "egid"),
                ("gid", "fsgid"),
                ("gid", "sgid"),
                ("egid", "fsgid"),
                ("egid", "sgid"),
                ("sgid", "fsgid"),
            ),
            start=1,
        ),
    ),
)

# enum io_uring_op of linux/io_uring.h, in its order from 0: names for -S on that list.
_IO_URING_OPS = (
    "nop readv writev fsync read_fixed write_fixed poll_add poll_remove sync_file_range sendmsg recvmsg "
    "timeout timeout_remove accept async_cancel link_timeout connect fallocate openat close files_update "
    "statx read write fadvise madvise send recv openat2 epoll_ctl splice provide_buffers remove_buffers tee "
    "shutdown renameat unlinkat mkdirat symlinkat linkat msg_ring fsetxattr setxattr fgetxattr getxattr "
    "socket uring_cmd send_zc sendmsg_zc"
)
IO_URING_OPS: Mapping[str, int] = MappingProxyType(
    {name: number for number, name in enumerate(_IO_URING_OPS.split())}
)
