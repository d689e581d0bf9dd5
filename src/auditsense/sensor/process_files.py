"""Files of one process below /proc, read so that they cannot be those of another process with its pid.

Rule 1: the pidfd comes first, and what was read counts only if its process still lives afterwards. Until it
        has ended, its pid cannot be another's.
Rule 2: all files are opened below one descriptor of /proc/PID, which never becomes that of another process.
        On Linux before 5.3, and in a Python without pidfd_open, this alone has to do.
Rule 3: only files that the kernel answers from its own memory, and that need no capability.
"""

from __future__ import annotations

import errno
import os
import select
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    OpenPidfd = Callable[[int], int]

PROC: Final = Path("/proc")
_NO_PIDFDS: Final = {errno.ENOSYS, errno.EPERM}  # EPERM: a container's filter of system calls
_STAT_BYTES: Final = 1024
_CHUNK: Final = 1 << 16
_STATE, _START = 0, 19  # of the fields after the name in stat


def open_pidfd(pid: int) -> int:
    """Return a pidfd of a process.

    Raises:
        ProcessLookupError: there is none.
        OSError: ENOSYS: this kernel, or this Python, has no pidfds.
    """
    if not hasattr(os, "pidfd_open"):  # built with the headers of an old kernel
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    return os.pidfd_open(pid)


class ProcessFiles:
    """Read files of a process while it lives. A context manager.

    Args:
        pid: in the first pid namespace.
        proc: a procfs of that namespace.
        pidfd: opens a pidfd.

    Raises:
        OSError: there is no such process, or its folder is hidden (mount option hidepid).
    """

    def __init__(self, pid: int, proc: Path = PROC, pidfd: OpenPidfd = open_pidfd) -> None:
        self._pidfd: int | None = None
        try:
            self._pidfd = pidfd(pid)
        except OSError as error:
            if error.errno not in _NO_PIDFDS:
                raise
        try:
            self._folder = os.open(proc / str(pid), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            self._close_pidfd()
            raise

    def __enter__(self) -> Self:
        """Return self."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the descriptors."""
        os.close(self._folder)
        self._close_pidfd()

    def read(self, name: str, most: int) -> bytes:
        """Return at most *most* bytes of a file.

        Raises:
            OSError: the process has ended, or the file may not be read.
        """
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._folder)
        try:
            chunks, left = [], most
            # The kernel returns a page at a time of most files.
            while left and (chunk := os.read(descriptor, min(left, _CHUNK))):
                chunks.append(chunk)
                left -= len(chunk)
            return b"".join(chunks)
        finally:
            os.close(descriptor)

    def link(self, name: str) -> str:
        """Return where a link leads.

        Raises:
            OSError: as for `read`. Links below ns need the right to trace the process.
        """
        return os.readlink(name, dir_fd=self._folder)

    def start_ticks(self) -> int:
        """Return when the process began, in clock ticks since boot.

        Raises:
            OSError: as for `read`.
            ValueError: stat has another form.
        """
        return int(self._stat()[_START])

    def lives(self) -> bool:
        """Return whether the process has not ended. Call it last: see rule 1."""
        if self._pidfd is not None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            return not poll.poll(0)
        try:
            return self._stat()[_STATE] not in {b"Z", b"X"}
        except (OSError, ValueError):
            return False

    def _stat(self) -> list[bytes]:
        # The name may hold anything, ")" too.
        fields = self.read("stat", _STAT_BYTES).rpartition(b")")[2].split()
        if len(fields) <= _START:
            raise ValueError("stat has too few fields")
        return fields

    def _close_pidfd(self) -> None:
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None


def start_ms(ticks: int) -> int:
    """Return ticks since boot as ms since 1970 UTC, by the clock of now."""
    boot_ms = (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000
    return boot_ms + ticks * 1000 // os.sysconf("SC_CLK_TCK")
