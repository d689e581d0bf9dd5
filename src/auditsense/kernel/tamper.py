"""Detect and repair changes of the kernel's audit that a sensor needs undone.

`compare` is pure: it returns how the kernel's audit deviates from the expected state. `Watch` remembers the
deviations, reports each once, and repairs what it may.

Rule 1: poll. CONFIG_CHANGE records can be lost, excluded or forged.
Rule 2: a repair restores only what the sensor had set. It never takes the socket from an owner, never puts a
        rule before another one, and never touches what is locked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from auditsense._frozen import Frozen
from auditsense.errors import AuditSenseError
from auditsense.kernel.audit_status import Enabled, Failure, StatusField
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT, AddRule, ChangeSetting
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.constants import Action, Filter
from auditsense.kernel.rules.shadowing import hides, silencing_rules, steals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.commands import Commands
    from auditsense.kernel.rules.rule import AuditRule

_ID: Final = "auditsense.tamper."
KEY_STOLEN: Final = f"{_ID}key-stolen"
"""Id of a deviation that matters only to those who look for the key."""


@dataclass(slots=True, eq=False, repr=False)
class Expected(Frozen):
    """The state that a sensor needs.

    Attributes:
        rules: audit rules that the sensor depends on.
        owner: process that has to own the socket; None: not checked.
        waits: whether a process may wait for space in the kernel's queue; False: `backlog_wait_time` 0.
        backlog_limit: records the kernel has to queue at least; None: not checked.
        unlimited: whether `backlog_limit` was 0 already, which is no limit.
        rate_limit: `rate_limit` as it was found.
        may_panic: whether `failure` was 2 already.
        locked: whether `enabled` was 2 already.
        on: whether audit was on when it was found.
    """

    rules: tuple[AuditRule, ...] = ()
    owner: int | None = None
    waits: bool = True
    backlog_limit: int | None = None
    unlimited: bool = False
    rate_limit: int = 0
    may_panic: bool = False
    locked: bool = False
    on: bool = True


@dataclass(slots=True, eq=False, repr=False)
class Deviation(Frozen):
    """One difference from the expected state. Equal while it stays the same.

    Attributes:
        id: "auditsense.tamper." and a short name.
        name: headline.
        severity: low, medium, high or critical.
        message: the present state and its effect.
        repair: step that would repair it; None: nothing that the sensor may do.
    """

    id: str
    name: str
    severity: str
    message: str
    repair: ChangeSetting | AddRule | None = None


@dataclass(slots=True, eq=False, repr=False)
class Change(Frozen):
    """A new deviation, and what was done about it; "" for nothing."""

    deviation: Deviation
    repaired: str = ""


def compare(expected: Expected, status: AuditStatus, rules: Sequence[AuditRule]) -> tuple[Deviation, ...]:
    """Return the deviations, most urgent repair first.

    Args:
        expected: the state that is needed.
        status: what AUDIT_GET answered.
        rules: what AUDIT_LIST_RULES answered, in the kernel's order.
    """
    return (*_settings(expected, status), *_rules(expected.rules, tuple(rules)))


def _settings(expected: Expected, status: AuditStatus) -> Iterator[Deviation]:
    wait = status.backlog_wait_time
    if wait and not expected.waits:
        yield Deviation(
            f"{_ID}wait-time",
            "Processes May Be Made To Wait For Audit",
            "high",
            f"backlog_wait_time is {wait} jiffies, no longer 0: a full queue makes processes sleep",
            ChangeSetting(StatusField.BACKLOG_WAIT_TIME, wait, 0),
        )
    limit = status.backlog_limit
    if limit == 0 and not expected.unlimited:
        yield Deviation(
            f"{_ID}backlog-unlimited",
            "Audit Queue Was Made Unlimited",
            "high",
            "backlog_limit is 0, which is no limit: while no process reads, the kernel's queue of records "
            "grows until the memory of the host is used up; set a limit with auditctl -b "
            f"{expected.backlog_limit or DEFAULT_BACKLOG_LIMIT}",
            ChangeSetting(StatusField.BACKLOG_LIMIT, 0, expected.backlog_limit)
            if expected.backlog_limit
            else None,
        )
    if expected.backlog_limit is not None and 0 < limit < expected.backlog_limit:
        yield Deviation(
            f"{_ID}backlog-limit",
            "Audit Queue Was Made Smaller",
            "medium",
            f"backlog_limit is {limit} records, no longer {expected.backlog_limit}: more will be lost",
            ChangeSetting(StatusField.BACKLOG_LIMIT, limit, expected.backlog_limit),
        )
    if status.rate_limit and status.rate_limit != expected.rate_limit:
        yield Deviation(
            f"{_ID}rate-limit",
            "Audit Was Limited To A Rate",
            "medium",
            f"rate_limit is {status.rate_limit} records a second, no longer {expected.rate_limit}: "
            "records above it are lost",
        )
    yield from _owner(expected, status)
    if status.enabled == Enabled.OFF and expected.on:
        yield Deviation(
            f"{_ID}disabled",
            "Audit Was Switched Off",
            "critical",
            "audit is off (enabled 0): the kernel reports nothing",
            ChangeSetting(StatusField.ENABLED, Enabled.OFF, Enabled.ON),
        )
    if status.enabled == Enabled.LOCKED and not expected.locked:
        yield Deviation(
            f"{_ID}locked",
            "Audit Configuration Was Locked",
            "medium",
            "the audit configuration was locked until the next boot (enabled 2): nothing can be restored",
        )
    if status.failure == Failure.PANIC and not expected.may_panic:
        yield Deviation(
            f"{_ID}panic",
            "Audit Was Set To Panic On Loss",
            "critical",
            "failure is 2: the kernel will panic when it loses a record; set it back with auditctl -f 1",
        )


def _owner(expected: Expected, status: AuditStatus) -> Iterator[Deviation]:
    if expected.owner is None or status.pid == expected.owner:
        return
    now = f"process {status.pid} owns it" if status.pid else "no process owns it"
    yield Deviation(
        f"{_ID}owner",
        "Audit Socket Was Lost",
        "critical",
        f"process {expected.owner} no longer owns the audit socket: {now} now",
    )


@lru_cache(maxsize=2)  # each poll compares the same rules again
def _rules(expected: tuple[AuditRule, ...], rules: tuple[AuditRule, ...]) -> tuple[Deviation, ...]:
    return (*_of_each(expected, rules), *_of_all(rules))


def _of_each(expected: tuple[AuditRule, ...], rules: tuple[AuditRule, ...]) -> Iterator[Deviation]:
    places = {rule.identity: place for place, rule in reversed([*enumerate(rules)])}
    ours = {wanted.identity for wanted in expected}
    for wanted in expected:
        text = auditctl.format_rule(wanted)
        place = places.get(wanted.identity)
        if place is None:
            yield Deviation(
                f"{_ID}rule-gone",
                "Audit Rule Was Removed",
                "critical",
                f"the kernel no longer has the audit rule {text}",
                AddRule(wanted),
            )
            continue
        before = [rule for rule in rules[:place] if rule.identity not in ours]
        if hiding := [rule for rule in before if hides(rule, wanted)]:
            yield Deviation(
                f"{_ID}rule-hidden",
                "Audit Rule Is Hidden By Another",
                "high",
                f"before {text} comes {_listed(hiding)}, which hides what it would report",
            )
        if stealing := [rule for rule in before if steals(rule, wanted)]:
            yield Deviation(
                KEY_STOLEN,
                "Audit Rule Loses Its Key To Another",
                "low",
                f"before {text} comes {_listed(stealing)}, which takes the key of what both match",
            )


def _of_all(rules: Sequence[AuditRule]) -> Iterator[Deviation]:
    if never := [rule for rule in rules if rule.filter is Filter.TASK and rule.action is Action.NEVER]:
        yield Deviation(
            f"{_ID}task-never",
            "New Processes Are Hidden From Audit",
            "high",
            f"with {_listed(never)} processes that start now are never reported, not even when it is gone",
        )
    if silencing := silencing_rules(rules):
        yield Deviation(
            f"{_ID}exclude",
            "Audit Records Are Excluded",
            "high",
            f"{_listed(silencing)} drops records that an event needs, for all readers",
        )


def _listed(rules: Sequence[AuditRule]) -> str:
    """Name the first rule and count the rest, of which there may be thousands."""
    more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
    return f"the audit rule {auditctl.format_rule(rules[0])}{more}"


class Watch:
    """Compare periodically and report each change once.

    Args:
        commands: for repairs.
        expected: the state that is needed; may be replaced.
        repair: repair what may be repaired, instead of only reporting it.
    """

    def __init__(self, commands: Commands, expected: Expected, *, repair: bool) -> None:
        self._commands = commands
        self.expected = expected
        self._repair = repair
        self._known: frozenset[Deviation] = frozenset()

    def check(self, status: AuditStatus, rules: Sequence[AuditRule]) -> list[Change]:
        """Return what is new since the last call. A deviation that went away and comes back is new again."""
        deviations = compare(self.expected, status, rules)
        new = [deviation for deviation in deviations if deviation not in self._known]
        self._known = frozenset(deviations)
        return [Change(deviation, self._repaired(deviation, status)) for deviation in new]

    def _repaired(self, deviation: Deviation, status: AuditStatus) -> str:
        if not self._repair or deviation.repair is None:
            return ""
        if status.enabled == Enabled.LOCKED or status.failure == Failure.PANIC:
            return "not repaired: where audit is locked, or would panic, nothing is changed"
        ours = self.expected.owner == os.getpid() == status.pid
        if isinstance(deviation.repair, ChangeSetting) and not ours:
            return "not repaired: the settings are those of another owner"
        try:
            match deviation.repair:
                case ChangeSetting():
                    self._commands.set(deviation.repair.field, deviation.repair.new)
                case AddRule():
                    self._commands.add_rule(deviation.repair.rule)
        except AuditSenseError as error:
            return f"not repaired: {error}"
        # Should be gone at the next call; if it is still there, it is a new change.
        self._known -= {deviation}
        return f"repaired: {deviation.repair}"
