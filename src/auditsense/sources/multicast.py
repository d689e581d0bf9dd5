"""The kernel's multicast source: listen alongside another owner of the audit socket.

Owns its socket, and the audit rules that it had to add. It does not register and changes no setting, so it
works where the configuration is locked, would panic, or belongs to auditd. It slows no process: records
that do not fit into its socket are dropped for it alone, and counted exactly.

It never leaves audit on without an owner: the kernel would print every record to its log. Where nothing may
be changed, it adds no rule either: rules create records, and with failure 2 one record too many stops the
machine. The kernel audits this process as well, so nothing below /proc is read per event.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING

from auditsense.errors import (
    AuditSenseError,
    KernelCommandError,
    LockedError,
    NoKernelAuditError,
    UsageError,
)
from auditsense.kernel.access import process_name
from auditsense.kernel.audit_status import Enabled, Failure
from auditsense.kernel.plan import AddRule, check_may_add, missing_rules
from auditsense.kernel.rules import auditctl
from auditsense.kernel.tamper import Expected
from auditsense.kernel.undo import undo_all
from auditsense.sources.audit_socket import DEFAULT_RECEIVE_BUFFER_BYTES
from auditsense.sources.kernel_source import KernelSource, RuleChanger, check_rule_lines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.plan import Step
    from auditsense.kernel.rules.rule import AuditRule
    from auditsense.kernel.transport import Transport
    from auditsense.kernel.undo_journal import Journal
    from auditsense.sources.base import Cleanup


class Multicast(KernelSource):
    """Listen to the kernel's audit next to its owner, such as auditd. A `Source` and a context manager.

    Args:
        audit_rules: lines in auditctl syntax that must be active. By default those that the sensor's
            detections need; without a sensor that of the shipped detection.
        others: lines that report the same, of which all are used where a rule of *audit_rules* is missing and
            nothing can be added: the configuration is locked, or the kernel would panic on a loss.
        add_rules: add missing ones, and delete them when leaving. False: a missing rule is an error.
        receive_buffer_bytes: size of the data socket's buffer; memory is allocated as needed.
        guarded: fork a guardian that restores the host when this process dies, and keep a journal in
            *run_folder* in case both die. Entering first restores what such a death left.
        run_folder: folder of the journals, /run/auditsense by default.
        repair: revert changes of audit settings by other processes where that is safe (docs/alerts.md).
        cleanup: called while a guarded source is left.
        kernel: an `auditsense.testing.FakeKernel` for tests, which then supplies records too; by default the
            real kernel.

    Raises:
        AuditRuleError: an invalid audit rule.
        UsageError: *audit_rules* is not a list, or *kernel* has no records or is combined with *guarded*: a
            guardian can restore only the real kernel.

    Entering raises NoKernelAuditError (no audit for this process, audit is off or has no owner, or not the
    host's /proc), LockedError (a rule is missing and must not be added) or KernelCommandError. The host is
    as it was then.
    """

    name = "multicast"
    audited = True

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        audit_rules: Sequence[str] | None = None,
        *,
        others: Sequence[str] = (),
        add_rules: bool = True,
        receive_buffer_bytes: int = DEFAULT_RECEIVE_BUFFER_BYTES,
        guarded: bool = False,
        run_folder: Path | None = None,
        repair: bool = False,
        cleanup: Cleanup | None = None,
        kernel: Transport | None = None,
    ) -> None:
        super().__init__(
            audit_rules,
            receive_buffer_bytes=receive_buffer_bytes,
            guarded=guarded,
            run_folder=run_folder,
            repair=repair,
            cleanup=cleanup,
            kernel=kernel,
        )
        check_rule_lines(others, "others")
        self._others = [auditctl.parse(line) for line in others]
        self._add_rules = add_rules
        self._steps: list[Step] = []
        self.off = False
        """Whether audit was off when it was entered: nothing comes until its owner turns it on."""

    def plan(self) -> list[str]:
        """Return the changes that entering would make on this host, one line each. Changes nothing."""
        with self._commands:
            status = self._commands.status()
            self._refuse_foreign_proc()
            return [str(step) for step in self._plan(status)]

    def _plan(self, status: AuditStatus) -> list[AddRule]:
        owned = bool(status.pid) and process_name(status.pid) is not None
        if status.enabled == Enabled.OFF and not owned:
            raise NoKernelAuditError(
                "audit is off (enabled 0) and no process owns the audit socket, so there is nothing to "
                "hear; use the source netlink, or start auditd"
            )
        rules = self._commands.rules()
        steps = [*missing_rules(rules, self._rules)]
        if not steps:
            return []
        listed = "; ".join(str(step) for step in steps)
        try:
            check_may_add(status, [step.rule for step in steps])
        except LockedError:
            if not self._others or any(missing_rules(rules, self._others)):
                raise
            self._rules = self._others
            return []
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
        self._socket = stack.enter_context(self._netlink.open_multicast_socket(self._receive_buffer_bytes))
        self._netlink.filter_out(self._socket, self._unneeded)
        self._counters.drops_seen = self._netlink.socket_drops(self._socket)
        stack.callback(self._settle)
        stack.callback(self._restore, journals)
        for step in steps:
            self._add(step, journals)
        self._rule_changer = RuleChanger(partial(self._add_more, journals), partial(self._drop, journals))
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
        self._steps.append(step)  # before the command: its reply may get lost
        _write(journals, self._steps)
        try:
            self._commands.add_rule(step.rule)
        except KernelCommandError as error:
            if error.errno != errno.EEXIST:
                raise
            self._steps.remove(step)  # another process has added it since
            _write(journals, self._steps)

    def _add_more(self, journals: tuple[Journal, ...], rules: Sequence[AuditRule]) -> tuple[AuditRule, ...]:
        steps = [*missing_rules(self._commands.rules(), rules)]
        listed = "; ".join(str(step) for step in steps)
        if steps and not self._add_rules:
            raise UsageError(f"not allowed to change the audit rules; needed to listen: {listed}")
        check_may_add(self._commands.status(), [step.rule for step in steps])
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
        _write(journals, self._steps)

    def _restore(self, journals: tuple[Journal, ...]) -> None:
        failures = undo_all(self._commands, self._steps, 0)
        self._steps = list(failures)
        _write(journals, self._steps)
        if failures:
            listed = "; ".join(f"{step} ({failure})" for step, failure in failures.items())
            raise KernelCommandError(f"not restored: {listed}")


def _write(journals: tuple[Journal, ...], steps: Sequence[Step]) -> None:
    for journal in journals:
        try:
            journal.write(steps)
        except AuditSenseError:
            if steps:
                raise
