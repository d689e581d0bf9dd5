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

DEFAULT_PATH = Path("/run/auditsense/takeover.json")
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
    """The journal file: a `Journal`.

    Args:
        path: of the file. Its folder is made, mode 0700; the file has mode 0600.
    """

    def __init__(self, path: Path = DEFAULT_PATH) -> None:
        self._path = path
        self._birth = b""

    def write(self, steps: Sequence[Step]) -> None:
        """Replace the file, whole or not at all; remove it when there are no steps.

        Raises:
            AuditSenseError: it cannot be written; nothing must be changed without it.
        """
        if not steps:
            self.remove()
            return
        self._birth = self._birth or _birth(os.getpid())
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # mkstemp: mode 0600, a name nobody can have prepared.
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".takeover-")
            try:
                with os.fdopen(descriptor, "wb") as file:
                    file.write(self._birth + b"\n" + encode(Entry(os.getpid(), tuple(steps))))
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            raise AuditSenseError(f"cannot write {self._path}: {error.strerror}") from None

    def remove(self) -> None:
        """Remove the file; nothing happens when there is none."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def put_back(self, commands: Commands) -> tuple[Step, ...]:
        """Undo what a dead sensor left. Returns the steps; () when there was nothing to do.

        Raises:
            KernelCommandError: some could not be undone; the file stays.
        """
        try:
            birth, _, line = self._path.read_bytes().partition(b"\n")
            entry = decode(line)
        except FileNotFoundError:
            return ()
        except (OSError, InputError) as problem:
            raise AuditSenseError(
                f"{self._path} cannot be read ({problem}): see what is left with auditctl -s and "
                "auditctl -l, then remove the file"
            ) from None
        if birth and _birth(entry.owner) == birth:
            return ()  # that sensor lives; it will be refused for owning the socket
        failures = undo_all(commands, entry.steps, entry.owner)
        if failures:
            listed = "; ".join(f"{step} ({failure})" for step, failure in failures.items())
            raise KernelCommandError(f"what a killed sensor left cannot be put back: {listed}")
        self.remove()
        return entry.steps
