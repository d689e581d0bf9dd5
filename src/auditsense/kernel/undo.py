"""Undo one step of a takeover, if it still is as it was set.

Used by the sensor, by its guardian after its death, and by the next start after both died. Each asks the
kernel first and leaves alone what another process has changed since.
"""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.errors import KernelCommandError
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.kernel.commands import Commands

_PROC: Final = Path("/proc")
_EXITING: Final = 0x4  # linux/sched.h: PF_EXITING
# A killed process that is to close thousands of files, or waits for a disk, may take long.
_DYING_S: Final = 10.0
_PAUSE_S: Final = 0.01


def undo(commands: Commands, step: Step, owner: int) -> bool:
    """Undo *step*, taken by the process *owner*.

    Returns:
        Whether there was something to undo.

    Raises:
        AuditSenseError: see `Commands`.
    """
    match step:
        case ChangeSetting():
            if commands.status().value_of(step.field) != step.new:
                return False
            commands.set(step.field, step.old)
        case BecomeOwner():
            return commands.status().pid == owner and _release(commands, owner)
        case AddRule():
            if not any(step.rule.same_as(other) for other in commands.rules()):
                return False
            commands.delete_rule(step.rule)
    return True


def _release(commands: Commands, owner: int) -> bool:
    """Take the socket from *owner*, which has died. False: a living process with that pid owns it.

    The kernel answers EACCES for as long as the socket is open. A killed process closes its files one
    after the other, so its death is known here before the kernel knows it.
    """
    deadline_s = time.monotonic() + _DYING_S
    while True:
        try:
            commands.set(StatusField.PID, 0)
        except KernelCommandError as error:
            if error.errno != errno.EACCES:
                raise
            if is_alive(owner):
                return False
            if time.monotonic() > deadline_s:
                raise
        else:
            return True
        time.sleep(_PAUSE_S)
        if commands.status().pid != owner:
            return True


def is_alive(pid: int, proc: Path = _PROC) -> bool:
    """Return whether a process exists and has not begun to end."""
    try:
        text = (proc / str(pid) / "stat").read_bytes()
    except OSError:
        return False
    # Behind the name, which may hold anything: field 3 is the state, field 9 the flags.
    words = text.rpartition(b")")[2].split()
    return words[0] not in {b"Z", b"X"} and not int(words[6]) & _EXITING


def undo_all(
    commands: Commands, steps: Iterable[Step], owner: int, undone: list[Step] | None = None
) -> dict[Step, Exception]:
    """Undo steps, the last one first; each is attempted.

    Args:
        commands: see `undo`.
        owner: see `undo`.
        steps: in the order in which they were taken.
        undone: gets those that were undone here, in the order of *steps*.

    Returns:
        Those that failed, and why.
    """
    failures: dict[Step, Exception] = {}
    for step in reversed(tuple(steps)):
        try:
            had_effect = undo(commands, step, owner)
        except Exception as error:  # noqa: BLE001 - the caller reports them together
            failures[step] = error
        else:
            if had_effect and undone is not None:
                undone.insert(0, step)
    return failures
