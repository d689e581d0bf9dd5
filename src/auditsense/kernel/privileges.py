"""Drop privileges: capabilities, user and groups, new privileges by execve.

Calls capget(2), capset(2) and prctl(2) of libc, which Python does not have. System calls are limited by
`kernel.seccomp`.
"""

from __future__ import annotations

import ctypes
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense._child_process import libc
from auditsense._frozen import Frozen
from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

# linux/capability.h
CAP_SETGID = 6
CAP_SETUID = 7
CAP_NET_ADMIN = 12
CAP_AUDIT_CONTROL = 30
CAP_AUDIT_READ = 37
_VERSION_3 = 0x20080522

# linux/prctl.h
_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38

ROOT = "root"
"""In place of a user: run as root, with few capabilities."""
SERVICE_USER = "auditsense"
"""Account that a package creates for the sensor."""
FIRST_UNNAMED, LAST_UNNAMED = 60_706, 61_183
"""Range of user and group ids for a sensor without an account: neither distributions nor systemd use it."""
_PASSWD = Path("/etc/passwd")
_ID_FIELDS = 4  # name:password:uid:gid…


@dataclass(slots=True, eq=False, repr=False)
class User(Frozen):
    """Unprivileged user to become, with its group and no other group."""

    uid: int
    gid: int
    name: str = ""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _failed(action: str) -> AuditSenseError:
    return AuditSenseError(f"cannot {action}: {os.strerror(ctypes.get_errno())}")


def keep_only(*capabilities: int, user: User | None = None) -> None:
    """Drop all other capabilities for good: permitted, effective, inheritable, ambient, bounding.

    Gains none that this process does not have. Programs that it executes get no more (no_new_privs). The
    supplementary groups go as well, where this process may drop them. Other processes of the user cannot
    trace this one, and it writes no core dump. Applies to the calling thread: call it while there is only
    one.

    Args:
        capabilities: numbers from linux/capability.h.
        user: to become; the capabilities are kept. Even without capabilities, root could access root's
            files and processes.

    Raises:
        AuditSenseError: the kernel refused. Some may be dropped already, so end the process.
    """
    calls = libc()
    if calls.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise _failed("set no_new_privs")
    # Lowering the bounding set needs CAP_SETPCAP, so it comes first; without it there is no need:
    # what is not permitted cannot come back under no_new_privs.
    for number in range(64):
        if number not in capabilities and calls.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) == 1:
            calls.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    if user is not None:
        _become(calls, user)
    elif os.getgroups():
        with suppress(PermissionError):  # a user without CAP_SETGID keeps its groups
            os.setgroups([])
    header = _Header(_VERSION_3, 0)
    data = (_Data * 2)()
    if calls.capget(ctypes.byref(header), data):
        raise _failed("read the capabilities")
    for word in (0, 1):
        wanted = sum(1 << (number % 32) for number in capabilities if number // 32 == word)
        allowed = data[word].permitted & wanted
        data[word] = _Data(allowed, allowed, 0)  # a capability that is not inheritable leaves the ambient set
    if calls.capset(ctypes.byref(header), data):
        raise _failed("drop capabilities")
    if calls.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0):
        raise _failed("forbid core dumps")


def _become(calls: ctypes.CDLL, user: User) -> None:
    """Change all user and group ids; the permitted capabilities stay, the effective ones do not.

    Does nothing for a process that is this user already: the filter of a running sensor, which a later
    guardian inherits, refuses these calls.
    """
    if _is(user):
        return
    if calls.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0):
        raise _failed("keep the capabilities")
    try:
        if os.getgroups():
            os.setgroups([])
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        raise AuditSenseError(f"cannot become user {user.uid}: {error.strerror}") from None
    calls.prctl(_PR_SET_KEEPCAPS, 0, 0, 0, 0)


def _is(user: User) -> bool:
    """Return whether this process has a user, with its group and no other group."""
    users, groups = {*os.getresuid()}, {*os.getresgid(), *os.getgroups()}
    return (users, groups) == ({user.uid}, {user.gid})


def user_named(name: str) -> User:
    """Return an unprivileged user and its group.

    Raises:
        UsageError: the user does not exist or is root.
    """
    try:
        entry = pwd.getpwnam(name)
    except (KeyError, UnicodeError, ValueError):
        raise UsageError(f"there is no user {name!r}; name an account of this host") from None
    if entry.pw_uid == 0:
        raise UsageError(f"{name} is root; name a user without privileges")
    return User(entry.pw_uid, entry.pw_gid, name)


def service_user(taken: Collection[int] = ()) -> User:
    """Return the account `SERVICE_USER`, else an id that no account has.

    Reads /etc/passwd alone: other sources of accounts may be servers that do not answer.

    Args:
        taken: ids of other sensors.

    Raises:
        AuditSenseError: no id is free.
    """
    known: set[int] = set()
    for fields in _accounts():
        if fields[0] == SERVICE_USER.encode() and int(fields[2]) and int(fields[3]):
            return User(int(fields[2]), int(fields[3]), SERVICE_USER)
        known.update((int(fields[2]), int(fields[3])))
    count = LAST_UNNAMED + 1 - FIRST_UNNAMED
    for turn in range(count):
        number = FIRST_UNNAMED + (os.getpid() + turn) % count
        if number not in known and number not in taken:
            return User(number, number)
    raise AuditSenseError(
        f"every user id from {FIRST_UNNAMED} to {LAST_UNNAMED} is in use; create the user {SERVICE_USER}"
    )


def _accounts() -> list[list[bytes]]:
    """Return the lines of /etc/passwd that have numbers where they belong."""
    try:
        lines = _PASSWD.read_bytes().splitlines()
    except OSError:
        return []
    split = (line.split(b":") for line in lines)
    return [one for one in split if len(one) > _ID_FIELDS and one[2].isdigit() and one[3].isdigit()]
