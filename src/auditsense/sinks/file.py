"""A file of complete lines, rotated by size or by logrotate.

Rule 1: every open is safe: a new file gets mode 0600, and the file must be regular, belong to root or to this
        user, and have one name. It must not be a symbolic link. A folder above it may be a link that only
        root or this user can change, such as /var/log on a separate volume.
Rule 2: a line that a full disk or an earlier crash has cut off is terminated before the next line.
Rule 3: existing content stays. Only bytes that were just appended are removed again.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from auditsense._broker_client import ask
from auditsense._file_trust import open_directory
from auditsense.errors import UsageError
from auditsense.sinks import SinkError
from auditsense.sinks.format import Format, line_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from pathlib import Path

    from auditsense.detect.document_types import Document

_BROKER_S = 5.0
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY | os.O_NONBLOCK


class FileOpener(Protocol):
    """Opens the file of a sink, and renames it."""

    def open(self) -> int:
        """Return a descriptor of the file, which is created if it is missing.

        Raises:
            SinkError: it cannot be opened safely.
        """

    def rotate(self, descriptor: int) -> None:
        """Rename the file and its predecessors, unless its name is that of another one by now.

        Args:
            descriptor: of the file that is open.

        Raises:
            SinkError: one cannot be renamed.
        """


class FolderOpener:
    """Opens a file with the rights of this process.

    Args:
        path: of the file.
        keep: number of rotated files.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self._path = path
        self._keep = keep

    @property
    def names(self) -> tuple[str, ...]:
        """The name of the file, and those of its predecessors, the newest first."""
        name = self._path.name
        return (name, *(f"{name}.{number}" for number in range(1, self._keep + 1)))

    def open_folder(self) -> int:
        """Return a descriptor of the folder.

        Raises:
            SinkError: it cannot be opened safely.
        """
        return _open_folder(self._path)

    def open(self) -> int:
        """See `FileOpener`."""
        return _open_file(self._path, _FLAGS | os.O_CREAT)

    def rotate(self, descriptor: int) -> None:
        """See `FileOpener`."""
        own = os.fstat(descriptor)
        folder = self.open_folder()
        try:
            with suppress(FileNotFoundError):
                current = os.stat(self._path.name, dir_fd=folder, follow_symlinks=False)
                if (current.st_dev, current.st_ino) == (own.st_dev, own.st_ino):  # else already renamed
                    self._rename_all(folder)
        finally:
            os.close(folder)

    def _rename_all(self, folder: int) -> None:
        names = self.names
        try:
            for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
                with suppress(FileNotFoundError):
                    os.rename(newer, older, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError as error:
            raise SinkError(f"cannot rename {self._path} to {self._path}.1: {error.strerror}") from None


class Folder(Protocol):
    """A folder with files of known names (kernel/sealed.py)."""

    def open(self, name: str) -> int:
        """Return a descriptor of a file, which is created if it is missing. Raises OSError."""

    def status(self, name: str) -> os.stat_result:
        """Return the status of a file. Raises OSError."""

    def rename(self, old: str, new: str) -> None:
        """Rename a file. Raises OSError."""


class SealedOpener:
    """Opens a file in a folder that was open at the start, for a process that may open no other.

    Args:
        path: of the file, for messages.
        names: see `FolderOpener.names`.
        folder: of these files.
    """

    def __init__(self, path: Path, names: Sequence[str], folder: Folder) -> None:
        self._path = path
        self._names = tuple(names)
        self._folder = folder

    def open(self) -> int:
        """See `FileOpener`."""
        try:
            descriptor = self._folder.open(self._names[0])
        except OSError as error:
            raise SinkError(f"cannot open {self._path}: {error.strerror}") from None
        if reason := _unsafe(os.fstat(descriptor)):
            os.close(descriptor)
            raise SinkError(f"cannot open {self._path}: {reason}")
        return descriptor

    def rotate(self, descriptor: int) -> None:
        """See `FileOpener`."""
        own = os.fstat(descriptor)
        names = self._names
        with suppress(FileNotFoundError):
            current = self._folder.status(names[0])
            if (current.st_dev, current.st_ino) != (own.st_dev, own.st_ino):  # already renamed
                return
        try:
            for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
                with suppress(FileNotFoundError):
                    self._folder.rename(newer, older)
        except OSError as error:
            raise SinkError(f"cannot rename {self._path} to {self._path}.1: {error.strerror}") from None


class BrokeredOpener:
    """Opens a file in a folder of root's, for a process that is not root: another process does it.

    Args:
        path: of the file, for messages.
        connection: to that process (kernel/broker.py). It answers with a number of errno, and a descriptor.
    """

    def __init__(self, path: Path, connection: socket.socket) -> None:
        self._path = path
        self._connection = connection
        self._connection.settimeout(_BROKER_S)

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this process's copy of the connection."""
        self._connection.close()

    def open(self) -> int:
        """See `FileOpener`."""
        descriptors = self._ask(b"O", "open")
        if not descriptors:
            raise SinkError(f"cannot open {self._path}: no descriptor came")
        if reason := _unsafe(os.fstat(descriptors[0])):
            os.close(descriptors[0])
            raise SinkError(f"cannot open {self._path}: {reason}")
        os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - the standard library's own
        return descriptors[0]

    def rotate(self, descriptor: int) -> None:  # noqa: ARG002 - it knows which file it has opened
        """See `FileOpener`."""
        self._ask(b"R", "rename")

    def _ask(self, request: bytes, action: str) -> list[int]:
        try:
            return ask(self._connection, request)
        except OSError as error:
            raise SinkError(f"cannot {action} {self._path}: {error.strerror or error}") from None


class FileSink:
    """Append one line per document.

    Args:
        path: in an existing folder.
        size: bytes at which the file is rotated; 0: never. A longer line gets a separate file.
        keep: number of rotated files, PATH.1 (the newest) to PATH.KEEP; 1 or more.
        form: format of the lines.

    Raises:
        SinkError: it cannot be opened safely.
    """

    def __init__(self, path: Path, *, size: int = 0, keep: int = 5, form: Format = Format.JSONL) -> None:
        self._path = path
        self._limit = size
        self.opener: FileOpener = FolderOpener(path, keep)
        self._line = line_of(form)
        self.as_lines = form is Format.JSONL
        self._descriptor = -1
        self._size = 0
        self._cut = False  # whether the file ends within a line
        self._open()

    def fileno(self) -> int:
        """Return the descriptor of the file; -1 if it is not open."""
        return self._descriptor

    def write(self, documents: Sequence[Document]) -> None:
        """Append, and rotate if needed.

        Raises:
            SinkError: the disk is full, or the file cannot be opened; it contains complete lines only.
        """
        text = "".join(self._line(document) + "\n" for document in documents)
        self.write_lines(text.encode("utf-8", "backslashreplace"))

    def write_lines(self, lines: bytes) -> None:
        """Append complete lines. Raises as `write`."""
        begin = 0
        try:
            if self._descriptor < 0:
                self._open()
            while begin < len(lines):
                end = self._fitting_end(lines, begin)
                if end == begin:
                    self._rotate()
                    continue
                begin += self._append(memoryview(lines)[begin:end])
        except _CutError as cut:
            written = lines.count(b"\n", 0, begin + cut.complete)
            raise SinkError(f"cannot write to {self._path}: {cut.reason}", written=written) from None
        except SinkError as error:
            error.written = lines.count(b"\n", 0, begin)
            raise

    def reopen(self) -> None:
        """Close the file, and open or create the one that has its name now.

        Raises:
            SinkError: it cannot be opened; the next `write` retries.
        """
        self.close()
        self._open()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        descriptor = self.opener.open()
        os.set_blocking(descriptor, True)
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._cut = bool(self._size) and os.pread(descriptor, 1, self._size - 1) != b"\n"

    def _fitting_end(self, lines: bytes, begin: int) -> int:
        """Return the end of the lines that fit into the file before it is rotated."""
        if not self._limit:
            return len(lines)
        free = self._limit - self._size
        if len(lines) - begin <= free:
            return len(lines)
        end = lines.rfind(b"\n", begin, begin + max(0, free)) + 1
        if end:
            return end
        return begin if self._size else lines.index(b"\n", begin) + 1

    def _append(self, lines: memoryview) -> int:
        """Append lines; return their size."""
        if self._cut:
            self._terminate_cut_line()
        written = 0
        try:
            while written < len(lines):
                written += os.write(self._descriptor, lines[written:])
        except OSError as error:
            complete = bytes(lines[:written]).rfind(b"\n") + 1
            self._remove_last(written - complete)
            self._size += complete
            raise _CutError(complete, error.strerror) from None
        self._size += written
        return written

    def _terminate_cut_line(self) -> None:
        try:
            os.write(self._descriptor, b"\n")
        except OSError as error:
            raise _CutError(0, error.strerror) from None
        self._cut = False
        self._size += 1

    def _remove_last(self, count: int) -> None:
        """Remove the last bytes, the start of a line that did not fit."""
        if not count:
            return
        end = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        try:
            if os.fstat(self._descriptor).st_size == end:  # no other process has appended since
                os.ftruncate(self._descriptor, end - count)
                return
        except OSError:  # a file that may only grow (chattr +a)
            pass
        self._size += count
        self._cut = True

    def _rotate(self) -> None:
        """Rename the file and its predecessors, and begin a new one."""
        self.opener.rotate(self._descriptor)
        self.reopen()
        if self._size >= self._limit:  # files in the folder cannot be renamed any more
            raise SinkError(f"cannot rotate {self._path}")


def check_file(path: Path) -> None:
    """Raise when a `FileSink` could not be opened there. Creates nothing.

    Raises:
        SinkError: it could not.
    """
    folder = _open_folder(path)
    try:
        os.stat(path.name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
            raise SinkError(f"cannot open {path}: no file can be created in {path.parent}") from None
        return
    except OSError as error:
        raise SinkError(f"cannot open {path}: {error.strerror}") from None
    finally:
        os.close(folder)
    os.close(_open_file(path, _FLAGS))


def _open_file(path: Path, flags: int) -> int:
    folder = _open_folder(path)
    try:
        descriptor = os.open(path.name, flags, 0o600, dir_fd=folder)
    except OSError as error:
        link = _is_link(path.name, folder)
        reason = "it is a symbolic link; name the file itself" if link else error.strerror
        raise SinkError(f"cannot open {path}: {reason}") from None
    finally:
        os.close(folder)
    if reason := _unsafe(os.fstat(descriptor)):
        os.close(descriptor)
        raise SinkError(f"cannot open {path}: {reason}")
    return descriptor


def _open_folder(path: Path) -> int:
    """Return a descriptor of a file's folder."""
    try:
        return open_directory(str(path.parent), trusted=False)
    except FileNotFoundError:
        raise SinkError(f"cannot open {path}: there is no folder {path.parent}") from None
    except OSError as error:
        raise SinkError(f"cannot open {path}: {path.parent}: {error.strerror}") from None
    except UsageError as error:
        raise SinkError(f"cannot open {path}: {error}") from None


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


class _CutError(Exception):
    """A write was cut short after *complete* bytes of complete lines."""

    def __init__(self, complete: int, reason: str | None) -> None:
        super().__init__(reason)
        self.complete = complete
        self.reason = reason


def _unsafe(status: os.stat_result) -> str:
    """Return why an open file must not be written; "" if it may be."""
    if not stat.S_ISREG(status.st_mode):
        return "it is no regular file"
    if status.st_uid not in {0, os.geteuid()}:
        return f"it belongs to another user ({status.st_uid})"
    if status.st_nlink > 1:
        return "it has another name as well (a hard link)"
    return ""
