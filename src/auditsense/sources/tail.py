"""Follow a log file across renames, truncation and removal.

Starts at the end of the file: use `auditsense replay` for its content. An inotify watch on the folder wakes
the reader; without inotify, the sensor's tick of one second does.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense._broker_client import ask
from auditsense.errors import InputError
from auditsense.sources.text_source import CHUNK, TextSource

if TYPE_CHECKING:
    import socket

_NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC
_EVENTS = 0x2 | 0x40 | 0x80 | 0x100 | 0x200  # IN_MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE
MOST_ROTATED = 100  # searched for the file that was read until now


_SAME = b"\xff"  # kernel/broker.py


class PathOpener:
    """Opens a log and its predecessors with the rights of this process.

    Args:
        path: of the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, number: int = 0) -> int:
        """Return a descriptor of the log, or of its Nth predecessor.

        Raises:
            OSError: it cannot be opened.
        """
        name = f"{self._path}.{number}" if number else self._path
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a FIFO must not block

    def is_same(self, before: os.stat_result) -> bool:
        """Return whether the log is still a file.

        Raises:
            OSError: there is none, or it cannot be seen.
        """
        return os.path.samestat(self._path.stat(), before)


class BrokeredOpener:
    """Opens a log that this process may not open: another one does it.

    Args:
        connection: to that process (kernel/broker.py).
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def open(self, number: int = 0) -> int:
        """See `PathOpener`."""
        descriptors = ask(self._connection, bytes([number]))
        if not descriptors:
            raise OSError(errno.EPROTO, "no descriptor came from the broker")
        os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - the standard library's own
        return descriptors[0]

    def is_same(self, before: os.stat_result) -> bool:  # noqa: ARG002 - it knows which file it has opened
        """See `PathOpener`."""
        try:
            ask(self._connection, _SAME)
        except OSError as error:
            if error.errno == errno.ESTALE:
                return False
            raise
        return True


class LogTail(TextSource):
    """A file that a daemon appends to, as a `Source`. Never ends.

    Files that were rotated between two polls are read as well if they are named PATH.1, PATH.2 and not
    compressed. A file that is truncated and grows past its old size between two polls cannot be distinguished
    from one that has only grown.

    Raises (on entering):
        InputError: it is not a file, or cannot be read.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.name = f"log:{path}"
        self._path = Path(path)
        self.path = path
        """As given."""
        self.opener: PathOpener | BrokeredOpener = PathOpener(self._path)
        self._file = -1
        self._offset = 0
        self._inotify = -1
        self._wake = -1
        self._rotated: list[int] = []  # not read yet, oldest first
        self._problem: str | None = None  # that was reported

    def _open(self) -> None:
        try:
            self._file = self.opener.open()
        except PermissionError as error:
            remedy = "log_group in auditd.conf names the group that may read it"
            if isinstance(self.opener, BrokeredOpener):
                remedy = (
                    "root reads it without capabilities; if it is another user's, run auditsense as that user"
                )
            raise InputError(f"{self._path}: {error.strerror}; {remedy}") from None
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror or error}") from None
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise InputError(f"{self._path} is not a file; use audisp for a pipe")
        # In the middle of a line, the core counts its rest as malformed.
        self._offset = os.lseek(self._file, 0, os.SEEK_END)
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._watch()
        assert self._ready is not None  # noqa: S101 - for the type
        for descriptor in (self._wake, self._inotify):
            if descriptor >= 0:
                self._ready.register(descriptor, select.EPOLLIN)

    def _watch(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = libc.inotify_init1(_NONBLOCK)
        if self._inotify >= 0:
            libc.inotify_add_watch(self._inotify, os.fsencode(self._path.absolute().parent), _EVENTS)

    def _close(self) -> None:
        for descriptor in (self._file, self._inotify, self._wake, *self._rotated):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._inotify = self._wake = -1
        self._rotated = []

    def _read(self) -> bytes:
        self._clear_events()
        while True:
            chunk = self._read_file()
            if chunk:
                os.eventfd_write(self._wake, 1)  # there may be more, without another inotify event
                return chunk
            if not self._next_file():
                return b""
            chunk = self._end_line()
            if chunk:
                return chunk

    def _read_file(self) -> bytes:
        try:
            chunk = os.read(self._file, CHUNK)
            if not chunk and os.fstat(self._file).st_size < self._offset:
                self._mark_break()
                self._report(
                    "The Log Was Truncated", f"{self._path} was truncated, and is read from its start"
                )
                self._offset = os.lseek(self._file, 0, os.SEEK_SET)
                self._tail = b""
                chunk = os.read(self._file, CHUNK)
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}") from None
        self._offset += len(chunk)
        return chunk

    def _clear_events(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        if self._inotify >= 0:
            with suppress(BlockingIOError):
                while os.read(self._inotify, CHUNK):
                    pass

    def _next_file(self) -> bool:
        """Continue with the file now at the path, if it is another one and this one was read to its end."""
        if not self._rotated:
            try:
                before = os.fstat(self._file)
                if self.opener.is_same(before):
                    self._problem = None
                    return False
                self._rotated = self._open_newer(before)
                self._problem = None
            except FileNotFoundError:
                self._report_once("is gone; it is read again when it is back")
                return False
            except OSError as error:
                self._report_once(f"cannot be read: {error.strerror or error}")
                return False
            self._mark_break()
        late = os.read(self._file, CHUNK)  # written between the last poll and the rename
        if late:
            os.lseek(self._file, -len(late), os.SEEK_CUR)
            return True
        os.close(self._file)
        self._file, self._offset = self._rotated.pop(0), 0
        return True

    def _open_newer(self, before: os.stat_result) -> list[int]:
        """Open the files that are newer than the one read until now, oldest first."""
        files = [self.opener.open()]
        for number in range(1, MOST_ROTATED):
            try:
                file = self.opener.open(number)
            except OSError:
                break
            if os.path.samestat(os.fstat(file), before):
                os.close(file)
                return files[::-1]
            files.append(file)
        for file in files[1:]:  # the one before is not among them: these may be older than it
            os.close(file)
        return files[:1]

    def _report_once(self, problem: str) -> None:
        if problem != self._problem:
            self._report("The Source Is Gone", f"{self._path} {problem}", "high")
        self._problem = problem
