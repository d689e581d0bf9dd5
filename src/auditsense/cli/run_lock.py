"""Lock against a second `run` on one host: every alert would come twice.

Each sensor holds the file `run.PID.lock` of the run folder. The kernel releases the lock when the process
ends, however it ends, so the file of a killed sensor blocks nothing. It is a record lock (fcntl), because no
child inherits it: neither the guardian nor a sink's process keeps it.

The files are one per sensor, because a sensor may run next to another when asked to (`--source multicast`).
Each holds the user id of its sensor, so that no two sensors run as the same one by chance.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

from auditsense.errors import AuditSenseError, SocketTakenError
from auditsense.kernel import undo_journal_file
from auditsense.kernel.access import process_name
from auditsense.kernel.undo import is_alive

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_NAME: Final = re.compile(r"run\.(\d{1,10})\.lock")
_WRITABLE_BY_OTHERS: Final = 0o022
_ID_BYTES: Final = 16
_TRIES: Final = 10  # another sensor that ends removes the folder
_DYING_S: Final = 2.0  # a killed sensor keeps its lock until its files are closed
_PAUSE_S: Final = 0.02


class RunLock:
    """Lock of one sensor. A context manager.

    Args:
        alone: refuse to start when another sensor holds one.
        folder: of the files, /run/auditsense by default; created when missing, removed when empty.
        unnamed: user id without an account that no other sensor may have; 0: none.

    Raises (on entering):
        SocketTakenError: another sensor runs; *alone*. Or it has the id *unnamed*.
        AuditSenseError: the file cannot be created; *alone*, as root. Others run without a lock then.
    """

    def __init__(self, *, alone: bool, folder: Path | None = None, unnamed: int = 0) -> None:
        self._alone = alone
        self._unnamed = unnamed
        self._folder = folder or undo_journal_file.DEFAULT_FOLDER
        self._name = f"run.{os.getpid()}.lock"
        self._file = -1

    @property
    def path(self) -> Path:
        """Of the file."""
        return self._folder / self._name

    def check(self) -> None:
        """Raise SocketTakenError if entering would. Changes nothing."""
        if self._alone:
            with suppress(OSError), self._locked_folder() as folder:
                self._refuse_others(folder)

    def __enter__(self) -> Self:
        try:
            self._create()
        except OSError as error:
            if self._alone and os.geteuid() == 0:
                path = self._folder / self._name
                raise AuditSenseError(f"cannot create {path}: {error.strerror or error}") from None
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock and remove the file. A second call does nothing."""
        if self._file >= 0:
            self.discard()
            os.close(self._file)
            self._file = -1

    def discard(self) -> None:
        """Remove the file, also in a process that outlives the sensor. Never raises."""
        with suppress(OSError):
            (self._folder / self._name).unlink()
        with suppress(OSError):
            self._folder.rmdir()

    def _create(self) -> None:
        for attempt in range(_TRIES):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                with self._locked_folder() as folder:
                    if self._alone:
                        self._refuse_others(folder)
                    self._find_other(folder, remove_stale=True)
                    self._refuse_same_user(folder)
                    self._file = _open(folder, self._name, os.O_CREAT)
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.write(self._file, b"%d\n" % self._unnamed)
            except FileNotFoundError:  # it was removed since
                if attempt == _TRIES - 1:
                    raise
            except SocketTakenError:
                raise
            else:
                return

    @contextmanager
    def _locked_folder(self) -> Iterator[int]:
        """Let one sensor at a time look for others and create its file."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(folder)
            if status.st_uid != os.geteuid() or status.st_mode & _WRITABLE_BY_OTHERS:
                raise PermissionError(f"others may write {self._folder}")
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    def _refuse_others(self, folder: int) -> None:
        deadline_s = time.monotonic() + _DYING_S
        while pid := self._find_other(folder):
            if is_alive(pid) or time.monotonic() > deadline_s:
                raise SocketTakenError(
                    f"another auditsense runs on this host, process {pid} ({process_name(pid)}), and alerts "
                    "would come twice; stop it, or listen next to it with --source multicast"
                )
            time.sleep(_PAUSE_S)

    def _refuse_same_user(self, folder: int) -> None:
        if self._unnamed and self._unnamed in _users(folder):
            raise SocketTakenError(f"another auditsense runs as user {self._unnamed}; start again")

    def _find_other(self, folder: int, *, remove_stale: bool = False) -> int:
        """Return the process of another sensor that holds its lock; 0: none.

        Args:
            folder: locked.
            remove_stale: remove files that no process holds.
        """
        holder = 0
        for name in sorted(os.listdir(folder)):
            match = _NAME.fullmatch(name)
            if match is None or name == self._name:
                continue
            with suppress(FileNotFoundError):
                file = _open(folder, name)
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except (BlockingIOError, PermissionError):  # fcntl(2) allows both
                    holder = int(match[1])
                else:
                    if remove_stale:
                        os.unlink(name, dir_fd=folder)
                finally:
                    os.close(file)
        return holder


def users_of_sensors(path: Path | None = None) -> set[int]:
    """Return the user ids without an account that sensors of this host have or had.

    Args:
        path: of the folder with the locks.
    """
    try:
        folder = os.open(
            path or undo_journal_file.DEFAULT_FOLDER,
            os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
        )
    except OSError:
        return set()
    try:
        return _users(folder)
    finally:
        os.close(folder)


def _users(folder: int) -> set[int]:
    users = set()
    for name in os.listdir(folder):
        if _NAME.fullmatch(name):
            with suppress(OSError, ValueError):
                file = _open(folder, name)
                try:
                    users.add(int(os.read(file, _ID_BYTES)))
                finally:
                    os.close(file)
    return users


def _open(folder: int, name: str, more: int = 0) -> int:
    return os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | more, 0o600, dir_fd=folder)
