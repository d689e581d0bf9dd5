"""The status socket of a running sensor: each client gets one answer, and the connection is closed.

No state per client: the answer goes into the client's buffer at once, and one that does not fit is dropped.
A client that does not read costs the sensor nothing.

Nothing blocks, and a few answers at most are sent before records are read again. Nothing is read from a
client.

Root only: the folder and all folders above it, the file, and the client's credentials (SO_PEERCRED).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from auditsense._file_trust import open_directory, require_not_replaceable
from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_BACKLOG: Final = 8  # connections that the kernel queues; more wait or are refused
_AT_ONCE: Final = 4
_CREDENTIALS: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_WRITABLE_BY_OTHERS: Final = 0o022


class StatusSocketError(AuditSenseError):
    """The status socket cannot be created."""


class StatusSocketTakenError(StatusSocketError):
    """Another sensor answers at this path."""


class StatusServer:
    """A status socket. A context manager: the file exists while it is entered.

    Args:
        path: of the socket. A missing folder is created with mode 0700.
        answer: makes the answer, some kilobytes; called per client.

    Attributes:
        answered: clients that got an answer.
        refused: clients that are not root, and those that an answer did not reach.

    Raises (on entering):
        StatusSocketTakenError: a living process answers there.
        StatusSocketError: the path is something else, or another user may write its folder.
    """

    def __init__(self, path: Path, answer: Callable[[], bytes] = bytes) -> None:
        self.path = path
        self.answer = answer
        self.answered = 0
        self.refused = 0
        self._users = {0, os.geteuid()}
        self._socket: socket.socket | None = None
        self._file: tuple[int, int] | None = None
        self._folder_created = False

    def __enter__(self) -> Self:
        """Create the socket. Before privileges are dropped: the folder is root's."""
        try:
            self._prepare_folder(create=True)
            with _locked(self.path.parent):
                if self._is_stale():
                    self.path.unlink()
                self._listen()
        except OSError as error:
            self.close()
            raise self._refusal(error) from None
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check(self) -> None:
        """Raise as entering would, but create nothing."""
        try:
            if self._prepare_folder(create=False):
                self._is_stale()
        except OSError as error:
            raise self._refusal(error) from None

    def close(self) -> None:
        """Stop listening and remove the file. A second call does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.remove()

    def remove(self) -> None:
        """Remove the file if it is still this socket's. Never raises."""
        if self._file is None:
            return
        with suppress(OSError):
            status = self.path.lstat()
            if (status.st_dev, status.st_ino) == self._file:
                self.path.unlink()
        if self._folder_created:
            with suppress(OSError):
                self.path.parent.rmdir()

    def fileno(self) -> int:
        """Return the descriptor that is readable when a client connects; -1 when closed."""
        return self._socket.fileno() if self._socket is not None else -1

    def serve(self) -> None:
        """Answer a few waiting clients. Never blocks, never raises."""
        for _ in range(_AT_ONCE):
            if self._socket is None:
                return
            try:
                client, _address = self._socket.accept()
            except OSError:  # no client waits, or no descriptors are left: retried later
                return
            with client:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            client.setblocking(False)  # noqa: FBT003 - the standard library's own
            if peer_user(client) not in self._users:
                self.refused += 1
                return
            answer = self.answer()
            # No retry: a client notices a partial answer by the missing end of the line.
            if client.send(answer) == len(answer):
                self.answered += 1
            else:
                self.refused += 1
        except (OSError, AuditSenseError):  # the client is gone, or the sensor is closing
            self.refused += 1

    def _refusal(self, error: OSError) -> StatusSocketError:
        return StatusSocketError(f"cannot create the status socket {self.path}: {error.strerror or error}")

    def _prepare_folder(self, *, create: bool) -> bool:
        """Create the folder or check it. Returns whether it exists."""
        folder = self.path.parent
        try:
            above = open_directory(str(folder.parent), trusted=True)
            try:
                require_not_replaceable(str(folder.parent), os.fstat(above))
                return self._create_or_check(folder, above, create=create)
            finally:
                os.close(above)
        except UsageError as error:
            place = str(error).partition(": ")
            raise StatusSocketError(
                f"cannot create the status socket {self.path}: {place[0]}: {place[2].partition('; ')[0]}; "
                "choose a folder that is root's alone"
            ) from None

    def _create_or_check(self, folder: Path, above: int, *, create: bool) -> bool:
        if not create and not _exists(folder.name or ".", above):
            _require_writable(".", above)
            return False
        with suppress(FileExistsError):
            if create and folder.name:  # it is not /
                os.mkdir(folder.name, mode=0o700, dir_fd=above)
                self._folder_created = True
        status = os.stat(folder.name or ".", dir_fd=above, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            raise StatusSocketError(f"cannot create the status socket {self.path}: {folder} is not a folder")
        if status.st_uid not in self._users or status.st_mode & _WRITABLE_BY_OTHERS:
            raise StatusSocketError(
                f"cannot create the status socket {self.path}: others may write {folder}; "
                "choose a folder that is root's alone"
            )
        if not create:
            _require_writable(folder.name or ".", above)
        return True

    def _is_stale(self) -> bool:
        """Return whether the socket of a dead sensor is at the path."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return False
        if not stat.S_ISSOCK(status.st_mode):
            raise StatusSocketError(
                f"{self.path} exists and is not a socket; remove it, or choose another path"
            )
        if answers(self.path):
            raise StatusSocketTakenError(f"another sensor answers at {self.path}")
        return True

    def _listen(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        umask = os.umask(0o177)
        try:
            self._socket.bind(bytes(self.path))
        finally:
            os.umask(umask)
        status = self.path.lstat()
        self._file = (status.st_dev, status.st_ino)
        self._socket.listen(_BACKLOG)


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _require_writable(name: str, folder: int) -> None:
    if not os.access(name, os.W_OK | os.X_OK, dir_fd=folder, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def discard(path: Path) -> None:
    """Remove the socket of a dead sensor, for a process that outlives it. Never raises."""
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not answers(path):
            path.unlink()


def answers(path: Path) -> bool:
    """Return whether a living process listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(bytes(path)) not in {errno.ECONNREFUSED, errno.ENOENT}


def peer_user(connection: socket.socket) -> int:
    """Return the effective user of the peer at the time it connected or listened."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(credentials)
    return int(user)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Prevent two sensors from replacing the same stale socket."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
