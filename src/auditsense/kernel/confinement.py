"""Confine each part of a running sensor: what every process keeps, in one table.

Owns: `PARTS`. The processes take their confinement from it, and so do the tests that attack each of them
(tests/project/test_compromise.py). SECURITY.md has a table that is made from their result.

Order: paths are opened, capabilities and user are dropped, then Landlock, then the list of system calls.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from auditsense._child_process import libc
from auditsense._frozen import Frozen
from auditsense.kernel import landlock, privileges, seccomp
from auditsense.kernel.landlock import NO_ACCESS, Access
from auditsense.kernel.seccomp import ALLOWED, FILES, SOCKETS, TO_PROCESSES, CallList, OneOf

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense.kernel.privileges import User
    from auditsense.kernel.sealed import Sealed

_PR_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1  # linux/prctl.h, from Linux 6.3
_NETLINK, _LOCAL = int(socket.AF_NETLINK), int(socket.AF_UNIX)
_INTERNET: Final = (int(socket.AF_INET), int(socket.AF_INET6))
_DNS_PORT: Final = 53

# An interpreter may load a module late, and SQLite reads random bytes.
_MODULES: Final = (
    os.path.dirname(os.__file__),  # noqa: PTH120 - pathlib loads slowly
    *(path for path in sys.path if path),
    "/dev/urandom",
)
_NAME_SERVICE: Final = ("/etc", "/lib", "/lib64", "/usr", "/run")  # getaddrinfo(3) loads libraries
_QUIET: Final = ALLOWED - TO_PROCESSES
"""Calls of a process that signals no other."""
_SENDS: Final = frozenset({"sendmsg", "sendmmsg"})
"""Calls whose receiver is in memory, which a filter cannot read."""
_CHANGES: Final = frozenset({"mkdir", "mkdirat", "rename", "renameat", "renameat2", "ftruncate", "fallocate"})
"""Calls that change files, next to removing them."""
_REMOVES: Final = frozenset({"unlink", "unlinkat", "rmdir"})
_FOLDERS: Final = frozenset({"mkdir", "mkdirat", "rmdir"})
_ASK_WHETHER_IT_LIVES: Final = ("kill", (None, OneOf((0,))))
_MOST_SIGNALLED: Final = 64
_NEW_SOCKETS: Final = frozenset({"socketpair", "bind", "accept", "accept4", "shutdown"})


@dataclass(slots=True, eq=False, repr=False)
class Confinement(Frozen):
    """Privileges that a process keeps.

    Attributes:
        calls: of the system.
        access: to files, ports and processes.
        capabilities: numbers from linux/capability.h.
    """

    calls: CallList
    access: Access = NO_ACCESS
    capabilities: tuple[int, ...] = ()

    def with_paths(
        self, *, read: Iterable[str] = (), write: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> Confinement:
        """Return this confinement with more paths."""
        access = self.access
        return replace(
            self,
            access=replace(
                access,
                read=(*access.read, *read),
                write=(*access.write, *write),
                remove=(*access.remove, *remove),
            ),
        )

    def with_signals(self, processes: Iterable[int]) -> Confinement:
        """Return this confinement with processes that may be continued and killed.

        Args:
            processes: pids; a negative one is a process group.
        """
        known = tuple(pid for pid in processes if pid)[:_MOST_SIGNALLED]
        if not known:
            return self
        may = ("kill", (OneOf(known), OneOf((int(signal.SIGCONT), int(signal.SIGKILL)))))
        return replace(self, calls=replace(self.calls, fixed=(*self.calls.fixed, may)))

    def with_sealed(self, sealed: Sealed) -> Confinement:
        """Return this confinement with files, or a message, in memory that cannot change."""
        return replace(self, calls=sealed.limit(self.calls))

    def with_ports(self, ports: Iterable[int]) -> Confinement:
        """Return this confinement with more TCP ports to connect to."""
        access = self.access
        return replace(self, access=replace(access, ports=(*(access.ports or ()), *ports)))


@dataclass(slots=True, eq=False, repr=False)
class Confined(Frozen):
    """Confinement that a kernel supports.

    Attributes:
        landlock: version of its interface; 0: none.
        filtered: whether system calls are limited.
    """

    landlock: int
    filtered: bool

    @property
    def missing(self) -> str:
        """Features that this kernel lacks, as text; "": none."""
        parts = [] if self.filtered else ["filter for system calls"]
        if not self.landlock:
            parts.append("Landlock")
        elif self.landlock < landlock.COMPLETE:
            parts.append(f"complete Landlock (it has version {self.landlock} of {landlock.COMPLETE})")
        return " and no ".join(parts)


_KERNEL_SENSOR: Final = Confinement(
    # seccomp and Landlock: for another guardian, which is forked later and limits itself further.
    CallList(
        (_QUIET - _SENDS - _CHANGES - _REMOVES - {"socketpair", "bind", "connect"})
        | {"seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"},
        (_NETLINK,),
        receivers=False,
        writes=False,
        fixed=(_ASK_WHETHER_IT_LIVES,),
    ),
    Access(read=("/proc", "/etc", os.devnull, *_MODULES), signals=True),
    (privileges.CAP_AUDIT_CONTROL, privileges.CAP_AUDIT_READ),
)
_TEXT_SENSOR: Final = Confinement(
    CallList(
        _QUIET - _SENDS - _CHANGES - _REMOVES - {"socketpair", "bind", "connect"},
        (),
        receivers=False,
        writes=False,
        fixed=(_ASK_WHETHER_IT_LIVES,),
    ),
    _KERNEL_SENSOR.access,
)
_TEXT_SENSOR_ALONE: Final = Confinement(
    CallList(
        _QUIET - _SENDS - _CHANGES - {"socketpair", "bind"},
        (_LOCAL,),
        writes=False,
        fixed=(_ASK_WHETHER_IT_LIVES,),
    ),
    _KERNEL_SENSOR.access,
)
_FILE_CALLS: Final = _QUIET - SOCKETS
_SOCKET_CALLS: Final = _QUIET - _NEW_SOCKETS - _CHANGES - _REMOVES
_ALONE: Final = _FILE_CALLS - _CHANGES - _REMOVES
_ASKS: Final = frozenset({"send", "sendto", "recv", "recvfrom", "recvmsg", "socketcall"})
"""Calls on a connection that is open already. On i386 and s390x, libc makes all of them by socketcall(2)."""

PARTS: Final = {
    "sensor": _KERNEL_SENSOR,
    "sensor of a text source": _TEXT_SENSOR,
    # Removes its files itself, and opens a log or connects again with the rights of its user.
    "sensor of a text source without a broker": _TEXT_SENSOR_ALONE,
    "guardian": Confinement(
        CallList(
            _QUIET - FILES - _SENDS - _NEW_SOCKETS - {"connect"}, (_NETLINK,), receivers=False, forks=False
        ),
        NO_ACCESS,
        (privileges.CAP_AUDIT_CONTROL,),
    ),
    # Removes the files below /run itself, and asks whether a process listens on a socket there.
    "guardian without a broker": Confinement(
        CallList(
            (_QUIET - FILES - _SENDS - _NEW_SOCKETS)
            | _REMOVES
            | {"lstat", "lstat64", "newfstatat", "fstatat64", "statx"},
            (_NETLINK, _LOCAL),
            forks=False,
        ),
        NO_ACCESS,
        (privileges.CAP_AUDIT_CONTROL,),
    ),
    "self-test": Confinement(CallList(_ALONE, (), writes=False), Access(read=("/proc", *_MODULES))),
    "command lines": Confinement(
        CallList(_ALONE, (), writes=False, forks=False), Access(read=("/proc", *_MODULES))
    ),
    "stdout": Confinement(CallList(_ALONE, (), writes=False, forks=False), Access(read=_MODULES)),
    "file": Confinement(
        CallList(_ALONE | _ASKS | {"ftruncate", "ftruncate64"}, (), writes=False, forks=False),
        Access(read=_MODULES),
    ),
    "file in a folder of its user": Confinement(
        CallList(_FILE_CALLS, (), forks=False), Access(read=_MODULES)
    ),
    "spool": Confinement(CallList(_FILE_CALLS - _FOLDERS, ()), Access(read=_MODULES, write=(os.devnull,))),
    "journald": Confinement(
        CallList((_SOCKET_CALLS - {"connect"}) | {"memfd_create"}, (), writes=False, forks=False),
        Access(read=_MODULES),
    ),
    "syslog": Confinement(
        CallList(_SOCKET_CALLS - _SENDS - {"connect"}, (), receivers=False, writes=False, forks=False),
        Access(read=_MODULES),
    ),
    "journald without a broker": Confinement(
        CallList(_SOCKET_CALLS | {"memfd_create"}, (_LOCAL,), writes=False, forks=False),
        Access(read=_MODULES),
    ),
    "syslog without a broker": Confinement(
        CallList(_SOCKET_CALLS, (_LOCAL,), writes=False, forks=False), Access(read=_MODULES)
    ),
    "connector": Confinement(
        CallList(_SOCKET_CALLS, (*_INTERNET, _NETLINK), writes=False, forks=False),
        Access(read=(*_MODULES, *_NAME_SERVICE), ports=(_DNS_PORT,)),
    ),
    "ship": Confinement(
        CallList(
            _QUIET - (_NEW_SOCKETS - {"shutdown"}) - _SENDS - _FOLDERS - {"connect"}, (), receivers=False
        ),
        Access(read=(*_MODULES, *_NAME_SERVICE), write=(os.devnull,)),
    ),
}
"""Part of the program to what its process keeps. Paths and ports of the configuration come on top."""


def prepare(confinement: Confinement) -> seccomp.SystemCallFilter | None:
    """Return the filter for `confine`; None: this machine's calls are not known.

    In the process that forks: a child that reads our tables needs separate memory for them.
    """
    libc()
    return seccomp.prepare(confinement.calls)


def confine(
    confinement: Confinement,
    user: User | None = None,
    *,
    prepared: seccomp.SystemCallFilter | None = None,
    capabilities: Sequence[int] | None = None,
) -> Confined:
    """Limit this process and its children, for good. Call it while there is one thread.

    Args:
        confinement: from `PARTS`.
        user: to become; None: keep the user.
        prepared: the filter; None: make it now.
        capabilities: to keep; None: those of the confinement.

    Raises:
        AuditSenseError: the kernel refused. Some may be dropped already, so end the process.
    """
    prepared = prepared or prepare(confinement)
    abi = landlock.version()
    ruleset = landlock.ruleset(confinement.access, abi) if abi else -1
    kept = confinement.capabilities if capabilities is None else capabilities
    privileges.keep_only(*kept, user=user)
    if abi:
        landlock.restrict(ruleset)
    _forbid_code()
    filtered = prepared is not None and seccomp.confine(prepared)
    return Confined(abi, filtered)


def _forbid_code() -> None:
    """Let no memory that was written become code. A kernel before 6.3 refuses, and nothing changes."""
    libc().prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)
