"""The control socket of a running sensor: whoever may connect gets one answer, and that is all.

Rule 1: nothing is kept of a client. An answer goes into the client's own buffer at once and the connection is
        closed; who does not read it, or what does not fit, costs the sensor nothing.
Rule 2: nothing waits, and a few answers at most are given before the records have their turn again.
Rule 3: root only: the folder and all those above it, the file, and then the credentials that the kernel took
        down (SO_PEERCRED).
Rule 4: nothing is read from a client. There is nothing to ask but the one question.
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

from auditsense._file_trust import open_folder, refuse_replaceable
from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_WAITING: Final = 8  # connections the kernel keeps until they are accepted; more wait or are refused
_AT_ONCE: Final = 4
_CREDENTIALS: Final = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_NOT_OURS: Final = 0o022


class ControlError(AuditSenseError):
    """There can be no control socket here."""


class ControlTakenError(ControlError):
    """Another sensor answers at this path."""


class Control:
    """A control socket. A context manager: the file is there from entering to leaving.

    Args:
        path: of the socket. Its folder is made with mode 0700 where it is missing.
        answer: makes the answer, some kilobytes; called when somebody asks.

    Attributes:
        answered: clients that got an answer.
        refused: clients that are not root, and those that an answer did not reach.

    Raises (on entering):
        ControlTakenError: a living process answers there.
        ControlError: the path is something else, or others may write its folder.
    """

    def __init__(self, path: Path, answer: Callable[[], bytes]) -> None:
        self.path = path
        self.answered = 0
        self.refused = 0
        self._answer = answer
        self._users = {0, os.geteuid()}
        self._socket: socket.socket | None = None
        self._file: tuple[int, int] | None = None
        self._made_folder = False

    def __enter__(self) -> Self:
        """Make the socket. Before privileges are given up: the folder is root's."""
        try:
            self._make_folder()
            with _locked(self.path.parent):
                self._replace_stale()
                self._listen()
        except OSError as error:
            self.close()
            raise ControlError(
                f"cannot make the status socket {self.path}: {error.strerror or error}"
            ) from None
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening and remove the file. A second call does nothing."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self.remove()

    def remove(self) -> None:
        """Remove the file while it is this socket's. Never raises."""
        if self._file is None:
            return
        with suppress(OSError):
            found = self.path.lstat()
            if (found.st_dev, found.st_ino) == self._file:
                self.path.unlink()
        if self._made_folder:
            with suppress(OSError):
                self.path.parent.rmdir()

    def fileno(self) -> int:
        """Return the descriptor that is readable when somebody asks; -1 when there is none."""
        return self._socket.fileno() if self._socket is not None else -1

    def serve(self) -> None:
        """Answer who waits, a few at most. Never blocks, never raises."""
        for _ in range(_AT_ONCE):
            if self._socket is None:
                return
            try:
                client, _address = self._socket.accept()
            except OSError:  # nobody waits any more, or there are no descriptors left: asked again later
                return
            with client:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            client.setblocking(False)  # noqa: FBT003 - the standard library's own
            if peer_user(client) not in self._users:
                self.refused += 1
                return
            answer = self._answer()
            # At once or not at all: a client sees by the missing end of the line that it got a part.
            if client.send(answer) == len(answer):
                self.answered += 1
            else:
                self.refused += 1
        except (OSError, AuditSenseError):  # it has gone, or the sensor is leaving
            self.refused += 1

    def _make_folder(self) -> None:
        folder = self.path.parent
        try:
            above = open_folder(str(folder.parent), alone=True)
            try:
                refuse_replaceable(str(folder.parent), os.fstat(above))
                self._make_or_check(folder, above)
            finally:
                os.close(above)
        except UsageError as error:
            place = str(error).partition(": ")
            raise ControlError(
                f"cannot make the status socket {self.path}: {place[0]}: {place[2].partition('; ')[0]}; "
                "choose a folder that is root's alone"
            ) from None

    def _make_or_check(self, folder: Path, above: int) -> None:
        with suppress(FileExistsError):
            if folder.name:  # it is not /
                os.mkdir(folder.name, mode=0o700, dir_fd=above)
                self._made_folder = True
        found = os.stat(folder.name or ".", dir_fd=above, follow_symlinks=False)
        if not stat.S_ISDIR(found.st_mode):
            raise ControlError(f"cannot make the status socket {self.path}: {folder} is no folder")
        if found.st_uid not in self._users or found.st_mode & _NOT_OURS:
            raise ControlError(
                f"cannot make the status socket {self.path}: others may write {folder}; "
                "choose a folder that is root's alone"
            )

    def _replace_stale(self) -> None:
        """Remove what a dead sensor left at the path."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise ControlError(f"{self.path} is there and is no socket; remove it, or choose another path")
        if answers(self.path):
            raise ControlTakenError(f"another sensor answers at {self.path}")
        self.path.unlink()

    def _listen(self) -> None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._socket = made
        before = os.umask(0o177)
        try:
            made.bind(bytes(self.path))
        finally:
            os.umask(before)
        found = self.path.lstat()
        self._file = (found.st_dev, found.st_ino)
        made.listen(_WAITING)


def discard(path: Path) -> None:
    """Remove a socket that nobody answers at, for whoever outlives a sensor. Never raises."""
    with suppress(OSError):
        if stat.S_ISSOCK(path.lstat().st_mode) and not answers(path):
            path.unlink()


def answers(path: Path) -> bool:
    """Tell whether a living process listens on a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        return probe.connect_ex(bytes(path)) not in {errno.ECONNREFUSED, errno.ENOENT}


def peer_user(connection: socket.socket) -> int:
    """Return the effective user of the process at the other end, as it was when it connected or listened."""
    found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(found)
    return int(user)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep two sensors from replacing the same stale socket."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
