"""Limit a process to some folders, TCP ports and its own domain, with Landlock (landlock(7)), for good.

Owns: which right belongs to which version of the kernel's interface. An older kernel limits less: files from
Linux 5.13, truncation 6.2, TCP 6.7, devices 6.10, abstract sockets and signals 6.12.

Rule 1: what is not listed is refused: every right that the running kernel knows is handled.
Rule 2: a path that does not exist is left out. One that appears later cannot be used.
Rule 3: Landlock does not see stat(2), connect(2) to a socket with a path, UDP, chmod(2) or chown(2). The list
        of system calls (kernel/seccomp.py) and the user's rights limit these.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense._child_process import libc
from auditsense._frozen import Frozen
from auditsense.errors import AuditSenseError
from auditsense.kernel import seccomp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# linux/landlock.h: LANDLOCK_ACCESS_FS_*
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_DIR, _REMOVE_FILE = (1 << bit for bit in range(6))
_MAKE_DIR, _MAKE_REGULAR = 1 << 7, 1 << 8
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_OF_FILES: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_BIND_TCP, _CONNECT_TCP = 1, 2
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2

# The same number on every architecture of seccomp.ARCHES.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_REQUEST, _PATH_BENEATH, _NET_PORT = 1, 1, 2
_RULESET: Final = struct.Struct("=QQQ")  # handled_access_fs, handled_access_net, scoped
_PATH_RULE: Final = struct.Struct("=Qi")
_PORT_RULE: Final = struct.Struct("=QQ")
_SIZES: Final = ((6, 24), (4, 16), (1, 8))  # bytes of the ruleset that a version knows
_RIGHTS: Final = ((5, 16), (3, 15), (2, 14), (1, 13))  # how many rights on files a version knows
_TCP_VERSION, _SCOPE_VERSION = 4, 6

COMPLETE: Final = _SCOPE_VERSION
"""Version from which all that is used here is limited."""

_READ: Final = _READ_FILE | _READ_DIR
_WRITE: Final = _READ | _WRITE_FILE | _TRUNCATE | _MAKE_REGULAR | _REMOVE_FILE


@dataclass(slots=True, eq=False, repr=False)
class Access(Frozen):
    """Access that a process keeps. Paths are files, or folders with all below them.

    Attributes:
        read: to read and list.
        write: to read, write, create, rename and remove files.
        remove: folders in which files and empty folders may be removed.
        ports: TCP ports to connect to; None: all.
        signals: whether it may send signals to processes of other domains.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    ports: tuple[int, ...] | None = ()
    signals: bool = False


NO_ACCESS: Final = Access()


def version() -> int:
    """Return the version of the kernel's Landlock; 0: there is none, or it is switched off."""
    return 0 if seccomp.abi() is None else max(0, _call(_CREATE_RULESET, None, 0, _VERSION_REQUEST))


def ruleset(access: Access, abi: int) -> int:
    """Return a descriptor for `restrict`. Call it before privileges are dropped: it opens the paths.

    Args:
        access: what stays possible.
        abi: from `version`, 1 or higher.

    Raises:
        AuditSenseError: the kernel refused.
    """
    known = next((1 << count) - 1 for since, count in _RIGHTS if abi >= since)
    tcp = 0
    if abi >= _TCP_VERSION:
        tcp = _BIND_TCP if access.ports is None else _BIND_TCP | _CONNECT_TCP
    scope = _ABSTRACT_SOCKETS | (0 if access.signals else _SIGNALS) if abi >= _SCOPE_VERSION else 0
    size = next(size for since, size in _SIZES if abi >= since)
    descriptor = _call(_CREATE_RULESET, _RULESET.pack(known, tcp, scope)[:size], size, 0)
    if descriptor < 0:
        raise _failed("create a Landlock ruleset")
    try:
        for path, rights in _paths(access):
            _add_path(descriptor, path, rights & known)
        for port in access.ports or () if tcp else ():
            _add_port(descriptor, port)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def restrict(descriptor: int) -> None:
    """Limit this process and its children to a ruleset, for good, and close it. Needs no_new_privs.

    Applies to the calling thread: call it while there is only one.

    Raises:
        AuditSenseError: the kernel refused.
    """
    result = _call(_RESTRICT_SELF, descriptor, 0)
    failed = _failed("apply a Landlock ruleset") if result < 0 else None
    os.close(descriptor)
    if failed is not None:
        raise failed


def _paths(access: Access) -> Iterator[tuple[str, int]]:
    yield from ((path, _READ) for path in access.read)
    yield from ((path, _WRITE) for path in access.write)
    yield from ((path, _REMOVE_FILE | _REMOVE_DIR) for path in access.remove)


def _add_path(descriptor: int, path: str, rights: int) -> None:
    with suppress(OSError):  # see rule 2
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            for allowed in (rights, rights & _OF_FILES):  # of a file, the rights of folders are invalid
                rule = _PATH_RULE.pack(allowed, place)
                if not allowed or _call(_ADD_RULE, descriptor, _PATH_BENEATH, rule, 0) >= 0:
                    return
                if ctypes.get_errno() != errno.EINVAL:
                    raise _failed(f"allow {path}")
        finally:
            os.close(place)


def _add_port(descriptor: int, port: int) -> None:
    if _call(_ADD_RULE, descriptor, _NET_PORT, _PORT_RULE.pack(_CONNECT_TCP, port), 0) < 0:
        raise _failed(f"allow TCP port {port}")


def _call(number: int, *arguments: int | bytes | None) -> int:
    words = (ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)
    return int(libc().syscall(ctypes.c_long(number), *words))


def _failed(action: str) -> AuditSenseError:
    return AuditSenseError(f"cannot {action}: {os.strerror(ctypes.get_errno())}")


def existing_folders(paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that are folders, and the folders of those that are files, each once.

    A file that is replaced is another one for Landlock; its folder stays the same.
    """
    folders = (path if os.path.isdir(path) else os.path.dirname(path) for path in paths)  # noqa: PTH112, PTH120 - strings
    return tuple(dict.fromkeys(folder for folder in folders if folder))
