"""The kernel as a source, beside another owner: a listener to what it reports to everybody.

Owns: its socket, and the audit rules it had to add. It registers as nothing and changes no setting,
so it works where the configuration is locked, would panic, or belongs to auditd, and it can slow
nobody: what does not fit its socket is dropped for it alone, and counted exactly.

Rule 1: it never is the reason that audit is on without an owner: the kernel prints every record to
        its log then.
Rule 2: where nothing may be changed, no rule is added either: a rule makes records, and with failure 2
        a record too many stops the machine.
Rule 3: the kernel reports what this process does as well, so nothing below /proc is read per event.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any

from auditsense.errors import (
    AuditSenseError,
    KernelCommandError,
    NoKernelAuditError,
    UsageError,
)
from auditsense.kernel.access import process_name
from auditsense.kernel.audit_status import Enabled, Failure
from auditsense.kernel.plan import AddRule, missing, refuse_to_add
from auditsense.kernel.undo import undo_all
from auditsense.kernel.watch import Expected
from auditsense.sources.kernel_source import KernelSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.journal import Journal
    from auditsense.kernel.plan import Step
    from auditsense.kernel.rules.rule import AuditRule


class Multicast(KernelSource):
    """A member of the kernel's group of audit readers: a `Source`. A context manager.

    Args:
        audit_rules: lines in auditctl syntax that must be in force; see `KernelSource`.
        add_rules: add those that are missing, and delete them when leaving. False: their absence is
            an error.
        more: see `KernelSource`.

    Raises (on entering):
        NoKernelAuditError: no audit for this process, none that is on and owned, or not the host's /proc.
        LockedError: a rule is missing and must not be added.
        AuditRuleError, KernelCommandError: the host is as it was.
    """

    name = "multicast"
    audited = True

    def __init__(
        self,
        audit_rules: Sequence[str] | None = None,
        *,
        add_rules: bool = True,
        **more: Any,  # noqa: ANN401 - KernelSource says what
    ) -> None:
        super().__init__(audit_rules, **more)
        self._add_rules = add_rules
        self._steps: list[Step] = []
        self.off = False
        """Whether audit was off when it was entered: nothing comes until its owner turns it on."""

    def plan(self) -> list[str]:
        """Say what entering would change on this host, one line a change. Changes nothing."""
        with self._commands:
            status = self._commands.status()
            self._refuse_another_proc()
            return [str(step) for step in self._plan(status)]

    def _plan(self, status: AuditStatus) -> list[AddRule]:
        owned = bool(status.pid) and process_name(status.pid) is not None
        if status.enabled == Enabled.OFF and not owned:
            raise NoKernelAuditError(
                "audit is off (enabled 0) and no process owns the audit socket, so there is nothing to "
                "hear; use the source netlink, or start auditd"
            )
        steps = [step for step in missing(self._commands.rules(), self._rules) if isinstance(step, AddRule)]
        if not steps:
            return []
        listed = "; ".join(str(step) for step in steps)
        refuse_to_add(status, [step.rule for step in steps])
        if not owned:
            raise NoKernelAuditError(
                "no process owns the audit socket: the kernel would print every record to its log; use the "
                f"source netlink, or start auditd; needed to listen: {listed}"
            )
        if not self._add_rules:
            raise NoKernelAuditError(f"not allowed to change the audit rules; needed to listen: {listed}")
        return steps

    def _enter(self, stack: ExitStack, journals: tuple[Journal, ...]) -> None:
        status = self._commands.status()
        steps = self._plan(status)
        self.off = status.enabled == Enabled.OFF
        self._socket = stack.enter_context(self._records.open_multicast_socket(self._receive_buffer_bytes))
        self._records.keep_out(self._socket, self.unsent)
        self._drops_seen = self._records.socket_drops(self._socket)
        stack.callback(self._settle)
        stack.callback(self._put_back, journals)
        for step in steps:
            self._add(step, journals)
        self._adding = partial(self._add_more, journals), partial(self._drop, journals)
        self._watch.expected = Expected(
            rules=tuple(self._rules),
            owner=status.pid or None,
            rate_limit=status.rate_limit,
            unlimited=status.backlog_limit == 0,
            may_panic=status.failure == Failure.PANIC,
            locked=status.enabled == Enabled.LOCKED,
            on=not self.off,
        )

    def _add(self, step: AddRule, journals: tuple[Journal, ...]) -> None:
        self._steps.append(step)  # before it is taken: the answer may get lost
        _tell(journals, self._steps)
        try:
            self._commands.add_rule(step.rule)
        except KernelCommandError as problem:
            if problem.errno != errno.EEXIST:
                raise
            self._steps.remove(step)  # somebody was faster: it is theirs
            _tell(journals, self._steps)

    def _add_more(self, journals: tuple[Journal, ...], rules: Sequence[AuditRule]) -> tuple[AuditRule, ...]:
        steps = [step for step in missing(self._commands.rules(), rules) if isinstance(step, AddRule)]
        listed = "; ".join(str(step) for step in steps)
        if steps and not self._add_rules:
            raise UsageError(f"not allowed to change the audit rules; needed to listen: {listed}")
        refuse_to_add(self._commands.status(), [step.rule for step in steps])
        try:
            for step in steps:
                self._add(step, journals)
        except BaseException:
            self._drop(journals, [step.rule for step in steps])
            raise
        return tuple(step.rule for step in steps if step in self._steps)

    def _drop(self, journals: tuple[Journal, ...], rules: Sequence[AuditRule]) -> None:
        steps = [step for step in map(AddRule, rules) if step in self._steps]
        failures = undo_all(self._commands, steps, 0)
        self._steps = [step for step in self._steps if step not in steps or step in failures]
        _tell(journals, self._steps)

    def _put_back(self, journals: tuple[Journal, ...]) -> None:
        failures = undo_all(self._commands, self._steps, 0)
        self._steps = list(failures)
        _tell(journals, self._steps)
        if failures:
            listed = "; ".join(f"{step} ({failure})" for step, failure in failures.items())
            raise KernelCommandError(f"not put back: {listed}")


def _tell(journals: tuple[Journal, ...], steps: Sequence[Step]) -> None:
    for journal in journals:
        try:
            journal.write(steps)
        except AuditSenseError:
            if steps:
                raise
