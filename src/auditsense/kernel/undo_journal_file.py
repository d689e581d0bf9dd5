"""The journal as a file below /run, for the case that a sensor dies together with its guardian.

Written before each step, removed when every step is undone. A sensor that starts and finds the journal of
a dead process restores the host first.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense._frozen import Frozen
from auditsense.errors import AuditSenseError, InputError, KernelCommandError
from auditsense.kernel.undo import undo_all
from auditsense.kernel.undo_journal import Entry, decode, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.kernel.commands import Commands
    from auditsense.kernel.plan import Step

DEFAULT_FOLDER = Path("/run/auditsense")
"""Below /run: a reboot, which resets the kernel, also removes it."""

_MOST_BYTES = 1 << 22  # of a journal: some thousand audit rules


def paths(folder: Path = DEFAULT_FOLDER) -> tuple[Path, Path]:
    """Return the paths of the journal of this process: the file, and the one that replaces it."""
    return folder / f"takeover.{os.getpid()}.json", folder / f"takeover.{os.getpid()}.new"


def _start_time(pid: int) -> bytes:
    """Return the start time of a process since boot, which differs when its pid is reused.

    b"" for a process that has exited, reaped or not.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return b""
    # Behind the name, which may hold anything: field 3 is the state, field 22 the 20th after the name.
    words = text.rpartition(b")")[2].split()
    return b"" if words[0] in {b"Z", b"X"} else words[19]


class JournalFile:
    """Journal file of this process, and those of earlier ones; a `Journal`.

    Args:
        folder: for the files, made with mode 0700; each file is ``takeover.PID.json``, mode 0600.
    """

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        self._folder = folder
        self._path, self._unfinished = paths(folder)
        self._start_time = _start_time(os.getpid())
        self._user = os.geteuid()

    def write(self, steps: Sequence[Step]) -> None:
        """Replace the file atomically; remove it when there are no steps.

        After the sensor has become another user, the file stays as it is: a later start executes it as
        root, and the guardian removes it.

        Raises:
            AuditSenseError: it cannot be written. Nothing must be changed without it.
        """
        if os.geteuid() != self._user:
            return
        if not steps:
            self.remove()
            return
        line = self._start_time + b"\n" + encode(Entry(os.getpid(), tuple(steps)))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _require_owned(self._folder.lstat(), stat.S_IFDIR)
            with contextlib.suppress(FileNotFoundError):
                self._unfinished.unlink()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(self._unfinished, flags, 0o600), "wb") as file:
                    file.write(line)
                self._unfinished.replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    self._unfinished.unlink()
                raise
        except OSError as error:
            raise AuditSenseError(f"cannot write {self._path}: {error.strerror}") from None
        except InputError as error:
            raise AuditSenseError(f"cannot use the folder {self._folder}: {error}") from None

    def remove(self) -> None:
        """Remove the file, and the folder if it is empty. Does nothing when there is no file."""
        for path in (self._unfinished, self._path):
            with contextlib.suppress(OSError):
                path.unlink()
        self._remove_folder()

    def undo_stale(self, commands: Commands) -> tuple[Step, ...]:
        """Undo the changes of dead sensors. Returns the steps that were undone.

        Raises:
            KernelCommandError: some could not be undone; their file stays.
            AuditSenseError: a file cannot be read, or another user could have written it.
        """
        undone: tuple[Step, ...] = ()
        try:
            _require_owned(self._folder.lstat(), stat.S_IFDIR)
        except FileNotFoundError:
            return ()
        except (OSError, InputError) as error:
            raise _unreadable(self._folder, error) from None
        for path in sorted(self._folder.glob("takeover.*.json")):
            undone += _undo_journal(path, commands)
        for path in self._folder.glob("takeover.*.new"):
            with contextlib.suppress(ValueError, OSError):
                if not _start_time(int(path.name.split(".")[1])):
                    path.unlink()  # it died while writing, so the step was not taken
        self._remove_folder()
        return undone

    def _remove_folder(self) -> None:
        with contextlib.suppress(OSError):
            self._folder.rmdir()


@dataclass(slots=True, eq=False, repr=False)
class StaleJournal(Frozen):
    """Journal file of a process, usually a dead one.

    Attributes:
        path: of the file.
        owner: process that wrote it.
        is_running: whether that process is running.
        steps: what it changed, in order.
    """

    path: Path
    owner: int
    is_running: bool
    steps: tuple[Step, ...]


def find_journals(folder: Path = DEFAULT_FOLDER) -> tuple[StaleJournal, ...]:
    """Return all journals, of running sensors and of dead ones. Changes nothing.

    Raises:
        AuditSenseError: one cannot be read, or another user could have written it.
    """
    try:
        _require_owned(folder.lstat(), stat.S_IFDIR)
    except FileNotFoundError:
        return ()
    except (OSError, InputError) as error:
        raise _unreadable(folder, error) from None
    journals: list[StaleJournal] = []
    for path in sorted(folder.glob("takeover.*.json")):
        start_time, entry = _read(path)
        is_running = bool(start_time) and _start_time(entry.owner) == start_time
        journals.append(StaleJournal(path, entry.owner, is_running, entry.steps))
    return tuple(journals)


def _read(path: Path) -> tuple[bytes, Entry]:
    """Read a journal file: the start time of its process, and the entry."""
    try:
        # Neither follows a link nor waits for a FIFO.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            _require_owned(os.fstat(descriptor), stat.S_IFREG)
            start_time, _, line = os.read(descriptor, _MOST_BYTES).partition(b"\n")
        finally:
            os.close(descriptor)
        return start_time, decode(line)
    except (OSError, InputError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> AuditSenseError:
    return AuditSenseError(
        f"{path} cannot be read ({error}): check auditctl -s and auditctl -l for what remains, then remove it"
    )


def _require_owned(status: os.stat_result, kind: int) -> None:
    """Raise when another user could have written this: its content is executed as root."""
    if stat.S_IFMT(status.st_mode) != kind:
        raise InputError("it is no folder" if kind == stat.S_IFDIR else "it is no file")
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise InputError("another user may write it")


def _undo_journal(path: Path, commands: Commands) -> tuple[Step, ...]:
    start_time, entry = _read(path)
    if start_time and _start_time(entry.owner) == start_time:
        return ()  # that sensor is running
    undone: list[Step] = []
    failures = undo_all(commands, entry.steps, entry.owner, undone)
    if failures:
        listed = "; ".join(f"{step} ({failure})" for step, failure in failures.items())
        raise KernelCommandError(f"changes of a killed sensor cannot be undone: {listed}")
    path.unlink(missing_ok=True)
    return tuple(undone)
