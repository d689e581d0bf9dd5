"""Memory of a process that it cannot change any more, for filters that compare addresses.

A filter for system calls sees an address and not the bytes at it. So names of files, and a message without a
receiver, lie in read-only memory, and the filter allows their addresses alone.

Rule 1: the memory is below all other memory of the process. Calls that change mappings are allowed above it
        only, whatever their length: malloc(3) needs them.
Rule 2: the descriptor of a folder has a high number, and none as high may be closed or replaced.
Rule 3: where the memory cannot be had, the caller keeps a wider list of system calls.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import struct
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense._child_process import libc
from auditsense.errors import AuditSenseError
from auditsense.kernel import seccomp
from auditsense.kernel.seccomp import NO_CODE, NOT_BOTH, NULL, AtLeast, AtMost, InRange, OneOf, Without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.kernel.seccomp import CallList, Fixed

FIRST: Final = 0x20_000
"""Address of the memory: above vm.mmap_min_addr, and below where any program is loaded (0x400000)."""
_LARGE: Final = getattr(os, "O_LARGEFILE", 0)  # a 32-bit library would add it
FILE_FLAGS: Final = (
    os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK | _LARGE
)
FILE_MODE: Final = 0o600
_PASSED: Final = 100
_FOLDERS: Final = 200
"""Lowest descriptor of a folder."""
_MAP_FIXED_NOREPLACE: Final = 0x10_0000
_MREMAP_FIXED: Final = 2
_OPENS: Final = frozenset(
    {"mkdir", "mkdirat", "rename", "renameat", "renameat2", "rmdir", "unlink", "unlinkat"}
)
_MESSAGE: Final = struct.Struct("@PiPNPNI")  # struct user_msghdr
_CONTROL: Final = struct.Struct("@Niii")  # struct cmsghdr with one descriptor


class SealedMemory:
    """Bytes at `FIRST`, the same address in each process. `seal` makes them, in the process that uses them.

    Args:
        content: of the memory.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._size = (len(content) + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE

    def seal(self) -> None:
        """Map the memory, and make it read-only.

        Raises:
            AuditSenseError: there is other memory, or the kernel refused.
        """
        _map(self._size)
        ctypes.memmove(FIRST, self._content, len(self._content))
        if libc().mprotect(ctypes.c_void_p(FIRST), ctypes.c_size_t(self._size), mmap.PROT_READ):
            raise AuditSenseError(f"cannot seal memory: {os.strerror(ctypes.get_errno())}")

    def limit(
        self, calls: CallList, without: frozenset[str], *fixed: tuple[str, tuple[Fixed, ...]]
    ) -> CallList:
        """Return a list without calls that change the memory.

        Args:
            calls: the list before.
            without: further calls that it loses.
            fixed: calls with addresses in the memory.
        """
        above = AtLeast(FIRST + self._size)
        mappings: list[tuple[str, tuple[Fixed, ...]]] = [
            *(
                (name, (where, None, protection))
                for name in ("mmap", "mmap2")
                for where in (NULL, above)
                for protection in NOT_BOTH
            ),
            ("madvise", (above,)),
            ("mprotect", (above, None, NO_CODE)),
            ("munmap", (above,)),
            ("mremap", (above, None, None, Without(_MREMAP_FIXED))),
            ("mremap", (above, None, None, None, above)),
        ]
        names = calls.names - without - {name for name, _ in mappings}
        arch = seccomp.abi() or ""
        mappings = [one for one in mappings if one[0] not in seccomp.structured(arch)]
        if arch == "s390x":  # it has no mmap2
            names |= {"mmap"}
        return replace(calls, names=names, fixed=(*calls.fixed, *mappings, *fixed))


class SealedFolder:
    """A folder with names of files that may be opened for writing, created and renamed in it.

    Args:
        folder: descriptor; this object closes it.
        names: of files.
        flags: of open(2) that a file may be opened with; `open` has the first ones.
        removes: whether the files may be removed.

    Attributes:
        names: of files.

    Raises:
        OSError: too many descriptors are open.
    """

    def __init__(
        self,
        folder: int,
        names: Sequence[str],
        *,
        flags: tuple[int, ...] = (FILE_FLAGS,),
        removes: bool = False,
    ) -> None:
        self.names = tuple(names)
        self._flags = flags
        self._removes = removes
        try:
            self._folder = fcntl.fcntl(folder, fcntl.F_DUPFD_CLOEXEC, _FOLDERS)
        finally:
            os.close(folder)
        encoded = [os.fsencode(name) + b"\0" for name in names]
        starts = [FIRST + sum(map(len, encoded[:place])) for place in range(len(encoded))]
        self._at = dict(zip(names, starts, strict=True))
        self._last = FIRST + sum(map(len, encoded)) - 1
        self._memory = SealedMemory(b"".join(encoded))
        self._arch = seccomp.abi() or ""

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._folder

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._folder)

    def seal(self) -> None:
        """Seal the names in this process. Raises as `SealedMemory.seal`."""
        self._memory.seal()

    def limit(self, calls: CallList) -> CallList:
        """Return a list in which these files alone may be opened for writing and renamed."""
        name, place = InRange(FIRST, self._last), OneOf((self._folder,))
        removes = [("unlinkat", (place, name, OneOf((0,))))] if self._removes else []
        return self._memory.limit(
            replace(calls, writes=False),
            _OPENS | {"close", "close_range", "dup2", "dup3"},
            ("openat", (place, name, OneOf(self._flags), OneOf((FILE_MODE,)))),
            ("renameat", (place, name, place, name)),
            ("renameat2", (place, name, place, name, OneOf((0,)))),
            ("close", (AtMost(_FOLDERS - 1),)),
            *removes,
        )

    def open(self, name: str) -> int:
        """Return a descriptor of a file, which is created if it is missing.

        Raises:
            OSError: it cannot be opened.
        """
        return _call(self._arch, "openat", self._folder, self._at[name], self._flags[0], FILE_MODE)

    def status(self, name: str) -> os.stat_result:
        """Return the status of a file. Raises OSError."""
        return os.stat(name, dir_fd=self._folder, follow_symlinks=False)

    def rename(self, old: str, new: str) -> None:
        """Rename a file.

        Raises:
            OSError: it cannot be renamed.
        """
        call = "renameat" if syscalls.number("renameat", self._arch) is not None else "renameat2"
        _call(self._arch, call, self._folder, self._at[old], self._folder, self._at[new], 0)

    def remove(self, name: str) -> None:
        """Remove a file.

        Raises:
            OSError: it cannot be removed.
        """
        _call(self._arch, "unlinkat", self._folder, self._at[name], 0)

    def address(self, name: str) -> int:
        """Return where a name is, in a process that has sealed it."""
        return self._at[name]


class SealedMessage:
    """An empty message without a receiver that passes one descriptor.

    Attributes:
        descriptor: its number.
    """

    descriptor = _PASSED

    def __init__(self) -> None:
        control = _CONTROL.pack(_CONTROL.size, 1, 1, self.descriptor)  # SOL_SOCKET, SCM_RIGHTS
        at = FIRST + _aligned(_MESSAGE.size)
        message = _MESSAGE.pack(0, 0, 0, 0, at, _aligned(_CONTROL.size), 0)
        self._memory = SealedMemory(
            message.ljust(at - FIRST, b"\0") + control.ljust(_aligned(_CONTROL.size), b"\0")
        )
        self._arch = seccomp.abi() or ""

    def fileno(self) -> int:
        """Return -1: nothing has to stay open."""
        return -1

    def close(self) -> None:
        """Do nothing."""

    def seal(self) -> None:
        """Seal the message in this process. Raises as `SealedMemory.seal`."""
        self._memory.seal()

    def limit(self, calls: CallList) -> CallList:
        """Return a list in which sendmsg(2) sends this message alone, and no other call names a receiver."""
        return self._memory.limit(
            replace(calls, receivers=False),
            frozenset({"sendmsg", "sendmmsg"}),
            ("sendmsg", (None, InRange(FIRST, FIRST))),
        )

    def send(self, through: int) -> None:
        """Send the message through a connected socket.

        Raises:
            OSError: it cannot be sent.
        """
        _call(self._arch, "sendmsg", through, FIRST, 0)


Sealed = SealedFolder | SealedMessage


@cache
def is_possible() -> bool:
    """Return whether memory can be had at `FIRST`, and filters know this machine's calls."""
    if seccomp.abi() is None:
        return False
    try:
        _map(mmap.PAGESIZE)
    except AuditSenseError:
        return False
    return not libc().munmap(ctypes.c_void_p(FIRST), ctypes.c_size_t(mmap.PAGESIZE))


def _map(size: int) -> None:
    call: Callable[..., int | None] = libc().mmap
    libc().mmap.restype = ctypes.c_void_p
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_FIXED_NOREPLACE
    protection = mmap.PROT_READ | mmap.PROT_WRITE
    at = call(ctypes.c_void_p(FIRST), ctypes.c_size_t(size), protection, flags, -1, ctypes.c_long(0))
    if at != FIRST:
        if at is not None and at != ctypes.c_void_p(-1).value:  # a kernel before 4.17 chooses another place
            libc().munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
        raise AuditSenseError(
            f"cannot have memory at {FIRST:#x}; other memory is there, or the kernel refuses"
        )


def _aligned(size: int) -> int:
    word = struct.calcsize("P")
    return (size + word - 1) // word * word


def _call(arch: str, name: str, *arguments: int) -> int:
    number = syscalls.number(name, arch)
    if number is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    result = int(libc().syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments)))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
