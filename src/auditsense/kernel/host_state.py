"""State of the kernel's audit before and after a takeover.

Pure except `read_state`. Distinguishes what the sensor changed and is still so from what other processes
changed, which stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense._frozen import Frozen
from auditsense.kernel.access import process_name
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.commands import Commands
    from auditsense.kernel.plan import Step
    from auditsense.kernel.rules.rule import AuditRule

_COMPARED: Final = ("enabled", "failure", "rate_limit", "backlog_limit", "backlog_wait_time")


@dataclass(slots=True, eq=False, repr=False)
class AuditState(Frozen):
    """Settings, owner and audit rules at one moment.

    Attributes:
        status: what AUDIT_GET answered.
        rules: what AUDIT_LIST_RULES answered, in order.
    """

    status: AuditStatus
    rules: tuple[AuditRule, ...]


def read_state(commands: Commands) -> AuditState:
    """Ask the kernel.

    Raises:
        AuditSenseError: see `Commands`.
    """
    return AuditState(commands.status(), tuple(commands.rules()))


def remaining_changes(now: AuditState, steps: Sequence[Step], owner: int) -> list[str]:
    """Return what the process *owner* changed by *steps* and is still so, one line per change."""
    remaining: list[str] = []
    for step in steps:
        match step:
            case ChangeSetting():
                if now.status.value_of(step.field) == step.new != step.old:
                    remaining.append(f"{step.field.name.lower()} is still {step.new}, it was {step.old}")
            case BecomeOwner():
                if now.status.pid == owner:
                    remaining.append(f"process {owner} still owns the audit socket")
            case AddRule():
                if any(step.rule.same_as(rule) for rule in now.rules):
                    remaining.append(f"the audit rule of this step is still there: {step}")
    return remaining


def changed_by_others(before: AuditState, now: AuditState) -> list[str]:
    """Return what differs when no `remaining_changes` are left, one line per change."""
    changes: list[str] = []
    for name in _COMPARED:
        was, is_now = getattr(before.status, name), getattr(now.status, name)
        if was != is_now:
            changes.append(f"{name} is {is_now}, it was {was}")
    if now.status.pid != before.status.pid and _owned(before) | _owned(now):
        owner = f"process {now.status.pid}" if now.status.pid else "no process"
        changes.append(f"{owner} owns the audit socket now")
    added = [rule for rule in now.rules if rule not in before.rules]
    gone = [rule for rule in before.rules if rule not in now.rules]
    if added:
        changes.append(f"audit rules added: {len(added)}")
    if gone:
        changes.append(f"audit rules removed: {len(gone)}")
    if not added and not gone and now.rules != before.rules:
        changes.append("the audit rules are in another order")
    return changes


def describe(before: AuditState | None, now: AuditState) -> str:
    """Return a sentence about the host when no `remaining_changes` are left.

    Args:
        before: None: not known.
        now: after all is undone.
    """
    changed = changed_by_others(before, now) if before is not None else []
    but = f", except for changes by other processes: {'; '.join(changed)}" if changed else ""
    return f"the host is as it was{but}"


def _owned(state: AuditState) -> bool:
    """Return whether a living process owns the socket. One that had died before is no loss."""
    return state.status.pid != 0 and process_name(state.status.pid) is not None
