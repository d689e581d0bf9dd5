"""The steps of a takeover, as data that can be read before they are taken.

Pure: turns a status and a list of rules into steps, and neither asks nor changes the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense._frozen import Frozen
from auditsense.errors import KernelCommandError, LockedError, UsageError
from auditsense.kernel.audit_status import AuditStatus, Enabled, Failure, StatusField
from auditsense.kernel.rules import auditctl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditsense.kernel.rules.rule import AuditRule

# Some 100 ms of the fastest stream two processors can produce, and at most 76 MB of kernel memory, which is
# only taken while the queue is that long. A quarter of it lost thousands of records in 4 of 6 bursts while
# a processor was taken away for 60 ms at a time (tests/live/test_cpu_steal.py).
DEFAULT_BACKLOG_LIMIT: Final = 32768
_UNITS: Final = {
    StatusField.BACKLOG_WAIT_TIME: " jiffies",
    StatusField.BACKLOG_LIMIT: " records",
}

_PURPOSES: Final = {
    StatusField.BACKLOG_WAIT_TIME: ", so that no process waits for the sensor",
    StatusField.BACKLOG_LIMIT: ", so that bursts are not lost",
}

LISTEN: Final = "auditsense run --source multicast listens"
BEFORE_LOCK: Final = (
    "to have the rule, put what auditsense rules print says into a file of /etc/audit/rules.d that comes "
    "before the line -e 2, and reboot"
)


@dataclass(slots=True, eq=False, repr=False)
class ChangeSetting(Frozen):
    """One setting, from the value it had to the value it gets (units: `AuditStatus`)."""

    field: StatusField
    old: int
    new: int

    def __str__(self) -> str:
        return f"set {self.field.name.lower()}: {self.old} -> {self.new}{_UNITS.get(self.field, '')}"

    @property
    def explained(self) -> str:
        """The change once it is made, and its purpose."""
        if self.field is StatusField.ENABLED:
            return "turned kernel audit on (enabled 1)"
        name, unit = self.field.name.lower(), _UNITS.get(self.field, "")
        return f"set {name} from {self.old} to {self.new}{unit}{_PURPOSES.get(self.field, '')}"


@dataclass(slots=True, eq=False, repr=False)
class BecomeOwner(Frozen):
    """Register as the process that gets the records."""

    def __str__(self) -> str:
        return "become the owner of the audit socket"

    @property
    def explained(self) -> str:
        """The change once it is made, and its purpose."""
        return "became the owner of the audit socket, so that the kernel sends its records here"


@dataclass(slots=True, eq=False, repr=False)
class AddRule(Frozen):
    """Add one audit rule that the kernel lacks."""

    rule: AuditRule

    def __str__(self) -> str:
        return f"add audit rule: {auditctl.format_rule(self.rule)}"

    @property
    def explained(self) -> str:
        """The change once it is made."""
        return f"added the audit rule {auditctl.format_rule(self.rule)}"


Step = ChangeSetting | BecomeOwner | AddRule


def check_allowed(status: AuditStatus) -> None:
    """Raise when these settings must not be touched.

    Raises:
        LockedError: locked until the next boot; or set to panic on loss, where
            `backlog_wait_time` 0 would make the first overflow stop the machine.
        KernelCommandError: a kernel before 3.14, which has no `backlog_wait_time`.
    """
    if status.enabled == Enabled.LOCKED:
        raise LockedError(
            "the audit configuration is locked until the next boot (enabled 2): nothing was changed; "
            f"{LISTEN} if the audit rule is loaded already; {BEFORE_LOCK}"
        )
    if status.failure == Failure.PANIC:
        raise LockedError(
            "the kernel would panic when it loses a record (failure 2): nothing was changed; "
            f"{LISTEN} if the audit rule is loaded already, or set the failure mode to 1 (auditctl -f 1)"
        )
    if status.backlog_wait_time is None:
        raise KernelCommandError("this kernel has no backlog wait time to set: it is older than 3.14")


def check_may_add(status: AuditStatus, rules: Iterable[AuditRule]) -> None:
    """Raise when no audit rule may be added under these settings.

    Args:
        status: what AUDIT_GET answered.
        rules: those that would be added; named in the message. Without any, nothing is refused.

    Raises:
        LockedError: locked until the next boot; or a record too many would stop the machine.
    """
    listed = "; ".join(str(AddRule(rule)) for rule in rules)
    if not listed:
        return
    if status.enabled == Enabled.LOCKED:
        raise LockedError(
            "the audit configuration is locked until the next boot (enabled 2), so nothing can be added; "
            f"needed: {listed}; {BEFORE_LOCK}"
        )
    if status.failure == Failure.PANIC:
        raise LockedError(
            "the kernel would panic when it loses a record (failure 2), so nothing is added that makes "
            f"records; needed: {listed}; add it yourself (auditctl), or set the failure mode to 1 "
            "(auditctl -f 1)"
        )


def plan(
    status: AuditStatus,
    rules: Sequence[AuditRule],
    wanted: Sequence[AuditRule],
    backlog_limit: int = DEFAULT_BACKLOG_LIMIT,
) -> tuple[Step, ...]:
    """List the steps of a takeover in order.

    Args:
        status: What AUDIT_GET answered.
        rules: What AUDIT_LIST_RULES answered.
        wanted: The audit rules that have to be there.
        backlog_limit: Records the kernel is to queue, 1 to 2**32 - 1. A limit
            that is higher already stays. 0, which is no limit, does not: the
            queue of a stalled reader would take all memory.

    Raises:
        LockedError, KernelCommandError: see `check_allowed`.
        UsageError: *backlog_limit* out of its range.
    """
    check_allowed(status)
    return (
        *prepare(status, backlog_limit),
        *missing_rules(rules, wanted),
        *enable(status),
    )


def prepare(status: AuditStatus, backlog_limit: int) -> Iterator[Step]:
    """Yield the steps before the rules. No process may wait before one can be recorded."""
    if not 1 <= backlog_limit <= 0xFFFFFFFF:
        raise UsageError(f"backlog limit {backlog_limit} is not between 1 and 4294967295 records")
    if status.backlog_wait_time:
        yield ChangeSetting(StatusField.BACKLOG_WAIT_TIME, status.backlog_wait_time, 0)
    if status.backlog_limit < backlog_limit:  # 0 is no limit: the kernel's memory would be the limit
        yield ChangeSetting(StatusField.BACKLOG_LIMIT, status.backlog_limit, backlog_limit)
    yield BecomeOwner()


def missing_rules(rules: Sequence[AuditRule], wanted: Sequence[AuditRule]) -> Iterator[AddRule]:
    """Yield one step for each wanted rule that is not among *rules*, the first of equals only."""
    present = list(rules)
    for rule in wanted:
        if not any(rule.same_as(other) for other in present):
            present.append(rule)
            yield AddRule(rule)


def enable(status: AuditStatus) -> Iterator[Step]:
    """Yield the last step: only a host that is ready for records makes them."""
    if status.enabled == Enabled.OFF:
        yield ChangeSetting(StatusField.ENABLED, Enabled.OFF, Enabled.ON)
