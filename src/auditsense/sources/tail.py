"""Follow a log file across renames, truncation and removal.

Starts at the end of the file: use `auditsense replay` for its content. An inotify watch on the folder wakes
the reader; without inotify, the sensor's tick of one second does.
"""

from __future__ import annotations

import ctypes
import os
import select
import stat
from contextlib import suppress
from pathlib import Path

from auditsense.errors import InputError
from auditsense.sources.text_source import CHUNK, TextSource

_NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC
_EVENTS = 0x2 | 0x40 | 0x80 | 0x100 | 0x200  # IN_MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE
_MOST_ROTATED = 100  # searched for the file that was read until now


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
        self._file = -1
        self._offset = 0
        self._inotify = -1
        self._wake = -1
        self._rotated: list[int] = []  # not read yet, oldest first
        self._problem: str | None = None  # that was reported

    def _open(self) -> None:
        try:
            self._file = _open_file(self._path)
        except PermissionError as error:
            raise InputError(
                f"{self._path}: {error.strerror}; log_group in auditd.conf names the group that may read it"
            ) from None
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}") from None
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
                if os.path.samestat(self._path.stat(), before):
                    self._problem = None
                    return False
                self._rotated = self._open_newer(before)
                self._problem = None
            except FileNotFoundError:
                self._report_once("is gone; it is read again when it is back")
                return False
            except OSError as error:
                self._report_once(f"cannot be read: {error.strerror}")
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
        files = [_open_file(self._path)]
        for number in range(1, _MOST_ROTATED):
            try:
                file = _open_file(Path(f"{self._path}.{number}"))
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


def _open_file(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # opening a FIFO must not block
