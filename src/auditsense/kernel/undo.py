"""Undo one step of a takeover, if it still is as it was set.

For whoever has to: the takeover itself, the guardian after its death, the next start after both
died. Each asks the kernel first and touches nothing that somebody else changed meanwhile.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from auditsense.errors import KernelCommandError
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step
from auditsense.kernel.status import StatusField

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.kernel.commands import Commands


def undo(commands: Commands, step: Step, owner: int) -> None:
    """Undo *step*, taken by the process *owner*.

    Raises:
        AuditSenseError: see `Commands`.
    """
    match step:
        case ChangeSetting():
            if commands.status().value_of(step.field) == step.new:
                commands.set(step.field, step.old)
        case BecomeOwner():
            if commands.status().pid == owner:
                _release(commands)
        case AddRule():
            if any(step.rule.same_as(other) for other in commands.rules()):
                commands.delete_rule(step.rule)


def _release(commands: Commands) -> None:
    try:
        commands.set(StatusField.PID, 0)
    except KernelCommandError as problem:
        if problem.errno != errno.EACCES:
            raise
        # A living process owns the socket, and it is not us: the pid is somebody else's by now.


def undo_all(commands: Commands, steps: Iterable[Step], owner: int) -> dict[Step, Exception]:
    """Undo steps, the last one first; each is attempted. Returns those that failed, and why."""
    failures: dict[Step, Exception] = {}
    for step in reversed(tuple(steps)):
        try:
            undo(commands, step, owner)
        except Exception as problem:  # noqa: BLE001 - reported together by the caller
            failures[step] = problem
    return failures
