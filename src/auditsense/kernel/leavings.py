"""What a sensor left behind that died together with its guardian.

The journal as a file: written before each step, removed when nothing is changed any more. A start
that finds one of a process that is no more puts the host back first.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.errors import AuditSenseError, InputError, KernelCommandError
from auditsense.kernel.journal import Entry, decode, encode
from auditsense.kernel.undo import undo_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.kernel.commands import Commands
    from auditsense.kernel.plan import Step

DEFAULT_FOLDER = Path("/run/auditsense")
"""Below /run, so that a reboot, which resets the kernel, removes it as well."""


def _birth(pid: int) -> bytes:
    """Return what tells this process from a later one with its pid: its start time, since boot."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return b""
    # Behind the name, which may hold anything: field 22 is the 20th after it.
    return stat.rpartition(b")")[2].split()[19]


class Leavings:
    """The journal as a file of this process, and those of earlier ones: a `Journal`.

    Args:
        folder: for the files, made with mode 0700; each file is ``takeover.PID.json``, mode 0600.
    """

    def __init__(self, folder: Path = DEFAULT_FOLDER) -> None:
        self._folder = folder
        self._path = folder / f"takeover.{os.getpid()}.json"
        self._birth = _birth(os.getpid())

    def write(self, steps: Sequence[Step]) -> None:
        """Replace the file, whole or not at all; remove it when there are no steps.

        Raises:
            AuditSenseError: it cannot be written; nothing must be changed without it.
        """
        if not steps:
            self.remove()
            return
        line = self._birth + b"\n" + encode(Entry(os.getpid(), tuple(steps)))
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp: mode 0600, a name nobody can have prepared.
            descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".takeover-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(line)
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise AuditSenseError(f"cannot write {self._path}: {error.strerror}") from None

    def remove(self) -> None:
        """Remove the file, and the folder with the last one; nothing happens when there is none."""
        with contextlib.suppress(OSError):
            self._path.unlink()
            self._folder.rmdir()

    def put_back(self, commands: Commands) -> tuple[Step, ...]:
        """Undo what dead sensors left. Returns the steps; () when there was nothing to do.

        Raises:
            KernelCommandError: some could not be undone; their file stays.
            AuditSenseError: a file that cannot be read, or that another user could have written.
        """
        undone: tuple[Step, ...] = ()
        for path in sorted(self._folder.glob("takeover.*.json")):
            undone += _put_back(path, commands)
        return undone


def _read(path: Path) -> tuple[bytes, Entry]:
    """Read a journal file: the birth of its process, and the entry."""
    try:
        with path.open("rb") as file:
            _refuse_others(os.fstat(file.fileno()))
            birth, _, line = file.read().partition(b"\n")
        return birth, decode(line)
    except (OSError, InputError) as problem:
        raise AuditSenseError(
            f"{path} cannot be read ({problem}): see what is left with auditctl -s and auditctl -l, "
            "then remove the file"
        ) from None


def _refuse_others(status: os.stat_result) -> None:
    """Raise when another user could have written this: what it says would be done as root."""
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise InputError("others may write it")


def _put_back(path: Path, commands: Commands) -> tuple[Step, ...]:
    birth, entry = _read(path)
    if birth and _birth(entry.owner) == birth:
        return ()  # that sensor lives
    failures = undo_all(commands, entry.steps, entry.owner)
    if failures:
        listed = "; ".join(f"{step} ({failure})" for step, failure in failures.items())
        raise KernelCommandError(f"what a killed sensor left cannot be put back: {listed}")
    path.unlink(missing_ok=True)
    return entry.steps
