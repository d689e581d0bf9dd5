"""Which system calls a permission of an audit rule (`-p`, `-F perm=`) can match.

From the kernel: opens go by the mode they are opened in, programs that are started by x, and all other
calls by fixed classes (include/asm-generic/audit_*.h, `audit_match_perm` in kernel/auditsc.c). The
classes have grown; here are the calls of every version, because a call that may match counts as one
that does.
"""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from auditsense import syscalls

if TYPE_CHECKING:
    from collections.abc import Mapping

# linux/audit.h
EXEC: Final = 1
WRITE: Final = 2
READ: Final = 4
CHANGE_ATTRIBUTES: Final = 8

OPENS: Final = ("open", "openat", "openat2")
_EXECS: Final = ("execve", "execveat")
_READS: Final = (
    "readlink readlinkat quotactl listxattr llistxattr flistxattr listxattrat getxattr lgetxattr fgetxattr "
    "getxattrat file_getattr"
)
_WRITES: Final = (
    "rename renameat renameat2 mkdir mkdirat rmdir creat link linkat unlink unlinkat symlink symlinkat mknod "
    "mknodat acct swapon quotactl truncate truncate64 ftruncate ftruncate64 bind fallocate socketcall"
)
_CHANGES: Final = (
    "chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat chown32 fchown32 lchown32 setxattr "
    "lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat link linkat "
    "file_setattr"
)


@cache
def matched(arch: str) -> Mapping[int, tuple[int, ...]]:
    """Return the calls that a permission can match on *arch*: number to the ways in which it can be made.

    A way is a set of bits. A rule with the permissions *perm* matches a call made in that way when they
    have a bit in common. Calls that are not here match no permission.

    >>> matched("x86_64")[59], matched("x86_64")[257]
    ((1,), (4, 2, 6))
    """
    found: dict[int, int] = {}
    for bit, names in ((READ, _READS), (WRITE, _WRITES), (CHANGE_ATTRIBUTES, _CHANGES)):
        for name in names.split():
            number = syscalls.number(name, arch)
            if number is not None:
                found[number] = found.get(number, 0) | bit
    ways: dict[int, tuple[int, ...]] = {number: (bits,) for number, bits in found.items()}
    for name in _EXECS:
        if (number := syscalls.number(name, arch)) is not None:
            ways[number] = (EXEC,)
    for name in OPENS:
        if (number := syscalls.number(name, arch)) is not None:
            ways[number] = (READ, WRITE, READ | WRITE)
    return MappingProxyType(ways)
