"""Names of events: what documents and detections call a system call or a record type.

One row a group of calls, and one a record type: `event.action`, `event.category` and `event.type`, and which
PATH record is the event's file. The rows restate the normalizations of go-libaudit 2.6 (Apache-2.0), which
Elastic's integration auditd_manager uses, so that detections written for it mean the same here.

`EventMapping.NATIVE` adds what that integration lacks; see `kind_of_call`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from auditsense._frozen import Frozen


class EventMapping(enum.StrEnum):
    """Words and fields that events have."""

    NATIVE = "native"
    """All that this sensor knows. The default."""
    AUDITD_MANAGER = "auditd_manager"
    """Exactly what Elastic's integration auditd_manager fills, to compare results with it."""


@dataclass(slots=True, eq=False, repr=False)
class EventKind(Frozen):
    """Names of an event, from its system call, its first record, or both.

    Attributes:
        action: values of `event.action`, the first one for documents; empty: absent.
        category: values of `event.category`.
        type: values of `event.type`.
        path_index: first PATH record that can be the event's file (`file.path`); None: it has no file.
        direction: `network.direction` if there is a SOCKADDR record: "egress", "ingress" or "".
        directory: which argument of the call holds the directory of a relative path, 0 or 1; None: none does.
        may_create: whether `event.type` is also "creation" if the call created the file.
    """

    action: tuple[str, ...]
    category: tuple[str, ...]
    type: tuple[str, ...]
    path_index: int | None = None
    direction: str = ""
    directory: int | None = None
    may_create: bool = False


OTHER_CALL: Final = EventKind((), ("process",), ("info",))
"""Every call without an entry."""

# action, category, type, path_index ("": no file), calls
_CALLS: Final = """
executed                       process start            0 execve execveat
opened-file                    file    info             0 open openat readlink readlinkat
opened-file                    file    creation         0 creat
opened-file                    file    change           0 truncate ftruncate fallocate
read-file                      file    info             0 read
wrote-to-file                  file    change           0 write
changed-file-attributes-of     file    change           0 setxattr fsetxattr lsetxattr
changed-file-attributes-of     file    change           0 removexattr fremovexattr lremovexattr
changed-file-permissions-of    file    change           0 chmod fchmod fchmodat
changed-file-ownership-of      file    change           0 chown fchown fchownat lchown
created-directory              file    creation         1 mkdir mkdirat
mounted                        file    creation         1 mount
unmounted                      file    deletion         0 umount umount2
renamed                        file    change           2 rename renameat renameat2
checked-metadata-of            file    info             0 access faccessat stat fstat lstat newstat stat64
checked-metadata-of            file    info             0 fstatat newfstatat getxattr fgetxattr lgetxattr
checked-filesystem-metadata-of file    info             0 statfs fstatfs
linked                         file    creation         0 link linkat
symlinked                      file    creation         0 symlink symlinkat
deleted                        file    deletion         0 unlink unlinkat rmdir
changed-timestamp-of           file    info             0 utime utimes futimesat futimens utimensat
make-device                    file    creation         0 mknod mknodat
loaded-kernel-module           driver  start            0 init_module finit_module
unloaded-kernel-module         driver  end              0 delete_module
connected-to                   network connection,start - connect
accepted-connection-from       network connection,start - accept accept4
bound-socket                   network start            - bind
listen-for-connections         network start            - listen
received-from                  network connection,info  - recv recvfrom recvmsg recvmmsg
sent-to                        network connection,info  - send sendto sendmsg sendmmsg
killed-pid                     process end              - kill tkill tgkill
changed-identity-of            process change           - setuid seteuid setfsuid setreuid setresuid
changed-identity-of            process change           - setgid setegid setfsgid setregid setresgid
allocated-memory               process info             - mmap mmap2 brk
adjusted-scheduling-policy-of  process change           - sched_setparam sched_setscheduler sched_setattr
changed-system-time            host    change           - settimeofday clock_settime stime
changed-system-time            host    change           - adjtimex clock_adjtime
changed-system-name            host    change           - sethostname setdomainname
end                            process end              - exit_group
"""

# type, number (linux/audit.h, libaudit.h), action, category, type, path_index
_RECORDS: Final = """
LOGIN            1006 changed-login-id-to         authentication             start         -
USER_AUTH        1100 authenticated               authentication             info          -
USER_ACCT        1101 was-authorized              authentication             info          -
USER_MGMT        1102 modified-user-account       iam                        user,change   -
CRED_ACQ         1103 acquired-credentials        authentication             info          -
CRED_DISP        1104 disposed-credentials        authentication             info          -
USER_START       1105 started-session             session                    start         -
USER_END         1106 ended-session               session                    end           -
USER_CHAUTHTOK   1108 changed-password            iam                        user,change   -
CRED_REFR        1110 refreshed-credentials       authentication             info          -
USER_LOGIN       1112 logged-in                   authentication             start         -
USER_LOGOUT      1113 logged-out                  authentication             end           -
ADD_USER         1114 added-user-account          iam                        user,creation -
DEL_USER         1115 deleted-user-account        iam                        user,deletion -
ADD_GROUP        1116 added-group-account-to      iam                        group,creation -
DEL_GROUP        1117 deleted-group-account-from  iam                        group,deletion -
USER_CMD         1123 ran-command                 process                    start         -
USER_TTY         1124 typed                       -                          -             -
SERVICE_START    1130 started-service             process                    start         -
SERVICE_STOP     1131 stopped-service             process                    end           -
GRP_MGMT         1132 modified-group-account      iam                        group,change  -
GRP_CHAUTHTOK    1133 changed-group-password      iam                        group,change  -
CONFIG_CHANGE    1305 changed-audit-configuration process,configuration      change        -
TTY              1319 typed                       -                          -             -
SECCOMP          1326 violated-seccomp-policy     -                          -             -
KERN_MODULE      1330 loaded-kernel-module        driver                     start         0
AVC              1400 violated-selinux-policy     -                          -             -
APPARMOR         1500 violated-apparmor-policy    -                          -             -
ANOM_ABEND       1701 crashed-program             process                    end,info      -
ANOM_LINK        1702 used-suspicious-link        file,intrusion_detection   access,info   -
"""

APPARMOR_RECORD: Final = 1500
"""The core's type for an AVC record with `apparmor=`; one of SELinux keeps 1400. No other record has it."""

# Argument 0 of these calls, and 1 of symlinkat, is a directory. openat2 is one of them in every mapping.
_DIRECTORY: Final = {
    **dict.fromkeys(("openat", "openat2", "mkdirat", "mknodat", "fchownat", "unlinkat", "fchmodat"), 0),
    **dict.fromkeys(("faccessat", "readlinkat", "newfstatat", "fstatat", "utimensat", "futimesat"), 0),
    **dict.fromkeys(("execveat", "linkat", "renameat", "renameat2"), 0),
    "symlinkat": 1,
}
_EGRESS: Final = frozenset({"connect", "sendto", "sendmsg"})
_INGRESS: Final = frozenset({"accept", "accept4", "recvfrom", "recvmsg"})
_MAY_CREATE: Final = frozenset({"open", "openat", "openat2"})
_OPEN_AS: Final = {"openat2": "openat"}
_MORE_ACTIONS: Final = {"executed": "exec", "connected-to": "connection_attempted"}

SYSCALL_RECORD: Final = 1300
"""Type of the record that most events start with."""


def _words(text: str) -> tuple[str, ...]:
    return () if text == "-" else tuple(text.split(","))


def _path_index(text: str) -> int | None:
    return None if text == "-" else int(text)


@cache
def _calls() -> dict[str, EventKind]:
    kinds = {}
    for row in _CALLS.strip().splitlines():
        action, category, types, index, *names = row.split()
        for name in names:
            direction = "egress" if name in _EGRESS else "ingress" if name in _INGRESS else ""
            kinds[name] = EventKind(
                (action,),
                _words(category),
                _words(types),
                _path_index(index),
                direction,
                _DIRECTORY.get(name),
            )
    return kinds


@cache
def _records() -> dict[int, EventKind]:
    kinds = {}
    for row in _RECORDS.strip().splitlines():
        _, number, action, category, types, index = row.split()
        kinds[int(number)] = EventKind(_words(action), _words(category), _words(types), _path_index(index))
    return kinds


@cache
def record_types() -> dict[str, int]:
    """Return the numbers of the record types that have an entry, by name."""
    rows = (row.split() for row in _RECORDS.strip().splitlines())
    return {name: int(number) for name, number, *_ in rows}


@cache
def kind_of_call(name: str, mapping: EventMapping = EventMapping.NATIVE) -> EventKind:
    """Return the names of an event that starts with a SYSCALL record, by the name of the call.

    The native mapping has a second action for execve and connect, treats openat2 as openat, and knows whether
    an open created its file.

    >>> kind_of_call("execve").action
    ('executed', 'exec')
    >>> kind_of_call("execve", EventMapping.AUDITD_MANAGER).action
    ('executed',)
    >>> kind_of_call("openat2").category, kind_of_call("openat2", EventMapping.AUDITD_MANAGER).category
    (('file',), ('process',))
    """
    if mapping is EventMapping.AUDITD_MANAGER:
        return _calls().get(name, OTHER_CALL)
    kind = _calls().get(_OPEN_AS.get(name, name), OTHER_CALL)
    more = tuple(_MORE_ACTIONS[action] for action in kind.action if action in _MORE_ACTIONS)
    return replace(kind, action=kind.action + more, may_create=name in _MAY_CREATE)


def kind_of_record(record_type: int) -> EventKind | None:
    """Return the names of an event whose first record is of this type, without those of its call.

    None: the type has no entry, so a record that stands alone gives no document.
    An AVC record with ``apparmor=`` has the type `APPARMOR_RECORD` here.
    """
    return _records().get(record_type)


def kind_of_event(
    first_type: int, call: str | None, mapping: EventMapping = EventMapping.NATIVE
) -> EventKind | None:
    """Return the names of an event.

    Args:
        first_type: type of its first record.
        call: name of its system call, "" for an unknown number; None: it has no SYSCALL record.
        mapping: which words events have.

    Returns:
        The names; for a first record other than SYSCALL its action, and its categories and types followed by
        those of the call. None: the event has no names.

    >>> kind_of_event(record_types()["ANOM_ABEND"], None).type
    ('end', 'info')
    >>> kind_of_event(record_types()["SECCOMP"], "openat").category
    ('file',)
    """
    return kind_with_call(first_type, None if call is None else kind_of_call(call, mapping))


def kind_with_call(first_type: int, of_call: EventKind | None) -> EventKind | None:
    """Return the names of an event whose call has these names; None: it has no SYSCALL record."""
    own = None if first_type == SYSCALL_RECORD else kind_of_record(first_type)
    if own is None or of_call is None:
        return own or of_call
    return replace(
        own,
        category=own.category + of_call.category,
        type=own.type + of_call.type,
        direction=of_call.direction,
        directory=of_call.directory,
        may_create=of_call.may_create,
    )


@cache
def named_calls() -> tuple[str, ...]:
    """Return the names of the calls that have an entry in any mapping."""
    return (*_calls(), *_OPEN_AS)
