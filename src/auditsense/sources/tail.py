"""A log file, followed: renamed, truncated, removed and back.

Begins at its end: what it holds already is for `auditsense replay`. A folder watch of inotify wakes the
reader; where there is none, the sensor's own tick of a second does.
"""

from __future__ import annotations

import ctypes
import os
import select
import stat
from contextlib import suppress
from pathlib import Path

from auditsense.errors import InputError
from auditsense.sources.text_source import PIECE, Text

_NONBLOCK = os.O_NONBLOCK | os.O_CLOEXEC
_CHANGES = 0x2 | 0x40 | 0x80 | 0x100 | 0x200  # IN_MODIFY, MOVED_FROM, MOVED_TO, CREATE, DELETE
_MOST_ROTATED = 100  # looked at for the file that was read until now


class Log(Text):
    """A file that a daemon appends to, as a `Source`. Never ends.

    Files that were rotated away between two looks are read as well, as far as they are named PATH.1, PATH.2
    and not compressed. A file that is truncated and has grown past its old size before it is looked at
    cannot be told from one that has only grown.

    Raises (on entering):
        InputError: it is no file, or cannot be read.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.name = f"log:{path}"
        self._path = Path(path)
        self._file = -1
        self._at = 0
        self._changes = -1
        self._awake = -1
        self._rest: list[int] = []  # rotated away unread, oldest first
        self._said: str | None = None

    def _open(self) -> None:
        try:
            self._file = self._opened(self._path)
        except PermissionError as error:
            raise InputError(
                f"{self._path}: {error.strerror}; log_group in auditd.conf names the group that may read it"
            ) from None
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}") from None
        if not stat.S_ISREG(os.fstat(self._file).st_mode):
            raise InputError(f"{self._path} is no file; what comes through a pipe is for audisp")
        self._at = os.lseek(self._file, 0, os.SEEK_END)
        # In the middle of a line its rest is no record: it comes as a line that the core counts as malformed.
        self._awake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._watch()
        assert self._ready is not None  # noqa: S101 - for the type
        for descriptor in (self._awake, self._changes):
            if descriptor >= 0:
                self._ready.register(descriptor, select.EPOLLIN)

    def _watch(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._changes = libc.inotify_init1(_NONBLOCK)
        if self._changes >= 0:
            libc.inotify_add_watch(self._changes, os.fsencode(self._path.absolute().parent), _CHANGES)

    def _close(self) -> None:
        for descriptor in (self._file, self._changes, self._awake, *self._rest):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._changes = self._awake = -1
        self._rest = []

    def _opened(self, path: Path) -> int:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO would hold us up

    def _read(self) -> bytes:
        self._forget_changes()
        while True:
            piece = self._piece()
            if piece:
                os.eventfd_write(self._awake, 1)  # there may be more, and no change would tell
                return piece
            if not self._next_file():
                return b""
            piece = self._cut_off()
            if piece:
                return piece

    def _piece(self) -> bytes:
        try:
            piece = os.read(self._file, PIECE)
            if not piece and os.fstat(self._file).st_size < self._at:
                self._broken()
                self._notice(
                    "The Log Was Truncated", f"{self._path} was truncated, and is read from its start"
                )
                self._at = os.lseek(self._file, 0, os.SEEK_SET)
                self._tail = b""
                piece = os.read(self._file, PIECE)
        except OSError as error:
            raise InputError(f"{self._path}: {error.strerror}") from None
        self._at += len(piece)
        return piece

    def _forget_changes(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._awake)
        if self._changes >= 0:
            with suppress(BlockingIOError):
                while os.read(self._changes, PIECE):
                    pass

    def _next_file(self) -> bool:
        """Go on with the file that is there now, when it is another one and this one was read to its end."""
        if not self._rest:
            try:
                now = self._path.stat()
                before = os.fstat(self._file)
                if (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino):
                    self._say(None)
                    return False
                self._rest = self._unread(before)
                self._say(None)
            except FileNotFoundError:
                self._say("is gone; it is read again when it is back")
                return False
            except OSError as error:
                self._say(f"cannot be read: {error.strerror}")
                return False
            self._broken()
        late = os.read(self._file, PIECE)  # written between the last look and the rename
        if late:
            os.lseek(self._file, -len(late), os.SEEK_CUR)
            return True
        os.close(self._file)
        self._file, self._at = self._rest.pop(0), 0
        return True

    def _unread(self, before: os.stat_result) -> list[int]:
        """Open what came after the file read until now, oldest first."""
        made = [self._opened(self._path)]
        for number in range(1, _MOST_ROTATED):
            try:
                one = self._opened(Path(f"{self._path}.{number}"))
            except OSError:
                break
            found = os.fstat(one)
            if (found.st_dev, found.st_ino) == (before.st_dev, before.st_ino):
                os.close(one)
                return made[::-1]
            made.append(one)
        for one in made[1:]:  # the one before is not among them: these may be older than it
            os.close(one)
        return made[:1]

    def _say(self, what: str | None) -> None:
        if what is not None and what != self._said:
            self._notice("The Source Is Gone", f"{self._path} {what}", "high")
        self._said = what
