"""Documents to a file: whole lines, with rotation by size, or by logrotate.

Rule 1: what it is told to open is opened safely, at the start and each time it is opened again: mode 0600
        when it is new, only a regular file, only one that belongs to root or to this user and has no other
        name. The file is no symbolic link. A folder above it may be a link that only root or this user can
        change, such as /var/log on a volume of its own.
Rule 2: a line that was cut, by a full disk or by a crash before this start, is no part of the next one.
Rule 3: what was there stays there. It takes back only what it wrote itself a moment ago.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from auditsense._file_trust import open_folder
from auditsense.errors import UsageError
from auditsense.sinks import SinkError
from auditsense.sinks.format import Format, compact, jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from auditsense.detect.ecs import Document

_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK


class FileSink:
    """Appends one line a document.

    Args:
        path: where to; its folder must be there.
        size: of the file in bytes when another one is begun; 0: never. A longer line has a file of its own.
        keep: how many older ones are kept then, as PATH.1 (the newest) to PATH.KEEP; 1 or more.
        form: how.

    Raises:
        SinkError: it cannot be opened safely.
    """

    def __init__(self, path: Path, *, size: int = 0, keep: int = 5, form: Format = Format.JSONL) -> None:
        self._path = path
        self._name = path.name
        self._limit = size
        self._keep = keep
        self._line = jsonl if form is Format.JSONL else compact
        self.as_lines = form is Format.JSONL
        self._descriptor = -1
        self._size = 0
        self._cut = False  # whether the file does not end with a line end
        self._open()

    def fileno(self) -> int:
        """Return the descriptor of the file; -1 when it is not open."""
        return self._descriptor

    def write(self, documents: Sequence[Document]) -> None:
        """Append, and rotate when it is time.

        Raises:
            SinkError: the disk is full, or the file cannot be opened; only whole lines are in it.
        """
        self.write_lines(
            "".join(self._line(one) + "\n" for one in documents).encode("utf-8", "backslashreplace")
        )

    def write_lines(self, lines: bytes) -> None:
        """Append whole lines as they are. Raises as `write`."""
        begin = 0
        try:
            if self._descriptor < 0:
                self._open()
            while begin < len(lines):
                end = self._fitting(lines, begin)
                if end == begin:
                    self._rotate()
                    continue
                begin += self._append(memoryview(lines)[begin:end])
        except _CutError as cut:
            written = lines.count(b"\n", 0, begin + cut.whole)
            raise SinkError(f"cannot write to {self._path}: {cut.reason}", written=written) from None
        except SinkError as error:
            error.written = lines.count(b"\n", 0, begin)
            raise

    def reopen(self) -> None:
        """Close the file and open what has its name now, or make it anew.

        Raises:
            SinkError: it cannot be opened; the next `write` tries again.
        """
        self.close()
        self._open()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        folder = self._open_folder()
        try:
            descriptor = os.open(self._name, _FLAGS, 0o600, dir_fd=folder)
        except OSError as error:
            link = _is_link(self._name, folder)
            reason = "it is a symbolic link; name the file itself" if link else error.strerror
            raise SinkError(f"cannot open {self._path}: {reason}") from None
        finally:
            os.close(folder)
        found = os.fstat(descriptor)
        if wrong := _unsafe(found):
            os.close(descriptor)
            raise SinkError(f"cannot open {self._path}: {wrong}")
        os.set_blocking(descriptor, True)
        self._descriptor = descriptor
        self._size = found.st_size
        self._cut = bool(found.st_size) and os.pread(descriptor, 1, found.st_size - 1) != b"\n"

    def _open_folder(self) -> int:
        """Return a descriptor of the folder that the path leads to now."""
        try:
            return open_folder(str(self._path.parent), alone=False)
        except FileNotFoundError:
            raise SinkError(f"cannot open {self._path}: there is no folder {self._path.parent}") from None
        except OSError as error:
            raise SinkError(f"cannot open {self._path}: {self._path.parent}: {error.strerror}") from None
        except UsageError as error:
            raise SinkError(f"cannot open {self._path}: {error}") from None

    def _fitting(self, lines: bytes, begin: int) -> int:
        """Return the end of the lines that have room before it is time for another file."""
        if not self._limit:
            return len(lines)
        room = self._limit - self._size
        if len(lines) - begin <= room:
            return len(lines)
        end = lines.rfind(b"\n", begin, begin + max(0, room)) + 1
        if end:
            return end
        return begin if self._size else lines.index(b"\n", begin) + 1

    def _append(self, lines: memoryview) -> int:
        """Append lines. Returns their bytes."""
        if self._cut:
            self._end_the_cut_line()
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
        except OSError as error:
            whole = bytes(lines[:written]).rfind(b"\n") + 1
            self._take_back(written - whole)
            self._size += whole
            raise _CutError(whole, error.strerror) from None
        self._size += written
        return written

    def _end_the_cut_line(self) -> None:
        try:
            os.write(self._descriptor, b"\n")
        except OSError as error:
            raise _CutError(0, error.strerror) from None
        self._cut = False
        self._size += 1

    def _take_back(self, count: int) -> None:
        """Take the last bytes back, which are the start of a line that found no room."""
        if not count:
            return
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        try:
            if os.fstat(self._descriptor).st_size == end:  # nobody else has appended since
                os.ftruncate(self._descriptor, end - count)
                return
        except OSError:  # a file that may only grow (chattr +a)
            pass
        self._size += count
        self._cut = True

    def _rotate(self) -> None:
        """Rename the file and those before it, and begin another one."""
        mine = os.fstat(self._descriptor)
        folder = self._open_folder()
        try:
            with suppress(FileNotFoundError):
                there = os.stat(self._name, dir_fd=folder, follow_symlinks=False)
                if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):  # else it was renamed already
                    self._rename_all(folder)
        finally:
            os.close(folder)
        self.reopen()
        if self._size >= self._limit:  # a folder where nothing can be renamed any more
            raise SinkError(f"cannot begin another file at {self._path}")

    def _rename_all(self, folder: int) -> None:
        names = [self._name, *(f"{self._name}.{number}" for number in range(1, self._keep + 1))]
        try:
            for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
                with suppress(FileNotFoundError):
                    os.rename(newer, older, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            raise SinkError(f"cannot rename {self._path} to {self._path}.1: {error.strerror}") from None


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


class _CutError(Exception):
    """Not all was written: *whole* bytes of whole lines are in the file."""

    def __init__(self, whole: int, reason: str | None) -> None:
        super().__init__(reason)
        self.whole = whole
        self.reason = reason


def _unsafe(found: os.stat_result) -> str:
    """Return why a file that is open must not be written to; "" when it may."""
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if found.st_uid not in {0, os.geteuid()}:
        return f"it belongs to another user ({found.st_uid})"
    if found.st_nlink > 1:
        return "it has another name as well (a hard link)"
    return ""
