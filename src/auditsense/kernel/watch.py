"""Whether the kernel's audit still is as a sensor needs it: who changed it, found by looking.

`compare` is pure: what has to be, what is, out come findings. `Watch` remembers what it found, so
that each change is said once, and repairs what may be repaired.

Rule 1: polling, not CONFIG_CHANGE records: those can be lost, excluded, or made up by nobody at all.
Rule 2: a repair sets back what was the sensor's own. It never takes the socket from an owner, never
        puts a rule before another one, and never touches what is locked.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense.errors import AuditSenseError
from auditsense.kernel.audit_status import Enabled, Failure, StatusField
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT, AddRule, ChangeSetting
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.constants import Action, Filter
from auditsense.kernel.rules.shadowing import hides, silences_records, steals

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.commands import Commands
    from auditsense.kernel.rules.rule import AuditRule

_ID: Final = "auditsense.tamper."


@dataclass(frozen=True, slots=True)
class Expected:
    """What has to be.

    Attributes:
        rules: the audit rules that the sensor's sight hangs on.
        owner: the process that has to own the socket; None: anybody, as long as somebody does who did.
        waits: whether a process may wait for room in the kernel's queue; False: `backlog_wait_time` 0.
        backlog_limit: records the kernel has to queue at least; None: not ours to say.
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


@dataclass(frozen=True, slots=True)
class Deviation:
    """One thing that is not as it has to be. Equal as long as it stays as it is.

    Attributes:
        id: short name, "auditsense.tamper." and what.
        name: the headline.
        severity: low, medium, high or critical.
        message: what is, and what that means.
        repair: what would set it back; None: nothing the sensor may do.
    """

    id: str
    name: str
    severity: str
    message: str
    repair: ChangeSetting | AddRule | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A deviation that is new, and what was done about it; "" for nothing."""

    deviation: Deviation
    repaired: str = ""


def compare(expected: Expected, status: AuditStatus, rules: Sequence[AuditRule]) -> tuple[Deviation, ...]:
    """Return what is not as it has to be, in order of urgency of a repair.

    Args:
        expected: what has to be.
        status: what AUDIT_GET answered.
        rules: what AUDIT_LIST_RULES answered, in the kernel's order.
    """
    return (*_settings(expected, status), *_rules(expected, rules))


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
            "what is over it is lost",
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
            "the audit configuration was locked until the next boot (enabled 2): nothing can be put back",
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
    now = f"process {status.pid} owns it" if status.pid else "nobody owns it"
    yield Deviation(
        f"{_ID}owner",
        "Audit Socket Was Lost",
        "critical",
        f"process {expected.owner} no longer owns the audit socket: {now} now",
    )


def _rules(expected: Expected, rules: Sequence[AuditRule]) -> Iterator[Deviation]:
    for wanted in expected.rules:
        text = auditctl.format(wanted)
        place = next((n for n, rule in enumerate(rules) if rule.same_as(wanted)), None)
        if place is None:
            yield Deviation(
                f"{_ID}rule-gone",
                "Audit Rule Was Removed",
                "critical",
                f"the kernel no longer has the audit rule {text}",
                AddRule(wanted),
            )
            continue
        before = rules[:place]
        if hiding := [rule for rule in before if hides(rule, wanted)]:
            yield Deviation(
                f"{_ID}rule-hidden",
                "Audit Rule Is Made Blind By Another",
                "high",
                f"before {text} comes {_listed(hiding)}, which keeps from it what it would report",
            )
        if stealing := [rule for rule in before if steals(rule, wanted)]:
            yield Deviation(
                f"{_ID}key-stolen",
                "Audit Rule Loses Its Key To Another",
                "low",
                f"before {text} comes {_listed(stealing)}, which gives its own key to what both match",
            )
    if never := [one for one in rules if one.filter is Filter.TASK and one.action is Action.NEVER]:
        yield Deviation(
            f"{_ID}task-never",
            "New Processes Are Hidden From Audit",
            "high",
            f"with {_listed(never)} processes that start now are never reported, not even when it is gone",
        )
    if silencing := [rule for rule in rules if silences_records(rule)]:
        yield Deviation(
            f"{_ID}exclude",
            "Audit Records Are Excluded",
            "high",
            f"{_listed(silencing)} keeps records from everybody that an event needs",
        )


def _listed(rules: Sequence[AuditRule]) -> str:
    """Name the first of some rules and count the rest: somebody may have added thousands."""
    more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
    return f"the audit rule {auditctl.format(rules[0])}{more}"


class Watch:
    """Compares again and again, and says each change once.

    Args:
        commands: asked, and told what to repair.
        expected: what has to be; may be replaced.
        repair: set back what may be set back, instead of only saying it.
    """

    def __init__(self, commands: Commands, expected: Expected, *, repair: bool) -> None:
        self._commands = commands
        self.expected = expected
        self._repair = repair
        self._known: frozenset[Deviation] = frozenset()

    def look(self, status: AuditStatus, rules: Sequence[AuditRule]) -> list[Change]:
        """Return what is new since the last look. What was healed and comes back is new again."""
        found = compare(self.expected, status, rules)
        new = [deviation for deviation in found if deviation not in self._known]
        self._known = frozenset(found)
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
        except AuditSenseError as problem:
            return f"not repaired: {problem}"
        # Seen whole at the next look; the same again is then a new change.
        self._known -= {deviation}
        return f"repaired: {deviation.repair}"
