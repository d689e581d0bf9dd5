"""The kernel's unicast source: this process owns the audit socket while it is entered.

Combines a takeover (commands on a separate socket, audit rules) with the socket that records arrive on.
Nothing is read here; the reader uses the descriptor.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from auditsense.errors import KernelCommandError
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT, check_allowed, plan
from auditsense.kernel.takeover import Takeover, check_no_owner
from auditsense.kernel.tamper import Expected
from auditsense.sources.audit_socket import DEFAULT_RECEIVE_BUFFER_BYTES
from auditsense.sources.kernel_source import DEFAULT_AUDIT_RULE, SETTLE_S, KernelSource, RuleChanger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack
    from pathlib import Path

    from auditsense.kernel.commands import Commands
    from auditsense.kernel.tamper import Change
    from auditsense.kernel.transport import Transport
    from auditsense.kernel.undo_journal import Journal
    from auditsense.sources.base import Cleanup

__all__ = ["DEFAULT_AUDIT_RULE", "Unicast"]


class Unicast(KernelSource):
    """Own the kernel's audit socket while entered. A `Source` and a context manager.

    When another process becomes the owner, it continues on the same socket as a multicast listener. It does
    not fight for the ownership, and does not end: an intruder could blind it that way.

    When the socket was full, the kernel keeps records in a queue that cannot be inspected, and retries them
    with its next record. On a quiet host that can be never. So once the socket has space, this source
    triggers a record: it sets `backlog_limit` to its current value.

    Args:
        audit_rules: lines in auditctl syntax that must be active. By default those that the sensor's
            detections need; without a sensor that of the shipped detection.
        backlog_limit: records that the kernel may queue before it loses them.
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

    Entering raises NoKernelAuditError (also where a rule would watch another /proc), LockedError,
    SocketTakenError or KernelCommandError, and the host is as it was.
    """

    name = "netlink"

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        audit_rules: Sequence[str] | None = None,
        *,
        backlog_limit: int = DEFAULT_BACKLOG_LIMIT,
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
        self._backlog_limit = backlog_limit
        self._refused_seen = 0

    def plan(self) -> list[str]:
        """Return the changes that entering would make on this host, one line each. Changes nothing."""
        with self._commands:
            status = self._commands.status()
            check_allowed(status)  # in the order of `Takeover`
            check_no_owner(status)
            self._refuse_foreign_proc()
            steps = plan(self._commands.status(), self._commands.rules(), self._rules, self._backlog_limit)
        return [str(step) for step in steps]

    def check(self) -> list[Change]:
        """See `Source.check`; after the loss of the socket, listen by multicast."""
        changes = super().check()
        self._trigger_retry(self._polls)
        lost = any(change.deviation.id == "auditsense.tamper.owner" for change in changes)
        if lost and not self.audited and self._socket is not None:
            try:
                self._netlink.join_multicast(self._socket)
            except KernelCommandError:
                return changes  # which report that the socket is gone
            self.audited = True
            self._counters.drops_seen = self._netlink.socket_drops(self._socket)
        return changes

    def _before_leaving(self) -> None:
        if self._drain is None or self.audited:
            return
        deadline_s = time.monotonic() + SETTLE_S
        self._drain_socket()
        while self._trigger_retry(self._commands) and time.monotonic() < deadline_s:
            self._drain_queue(deadline_s)

    def _trigger_retry(self, commands: Commands) -> bool:
        """Make the kernel retry records if the socket was full since the last call. False: it was not."""
        if self._socket is None or self.audited:
            return False
        refused = self._netlink.socket_drops(self._socket)
        if refused == self._refused_seen:
            return False
        self._refused_seen = refused
        with suppress(KernelCommandError):  # the kernel retries with its next record
            commands.set(StatusField.BACKLOG_LIMIT, commands.status().backlog_limit)
        return True

    def _enter(self, stack: ExitStack, journals: tuple[Journal, ...]) -> None:
        self.audited = False
        self._socket = stack.enter_context(self._netlink.open_data_socket(self._receive_buffer_bytes))
        self._netlink.filter_out(self._socket, self._unneeded)
        takeover = Takeover(
            self._commands,
            self._register,
            self._rules,
            self._backlog_limit,
            before_release=self._settle,
            journals=journals,
        )
        stack.enter_context(takeover)
        self._rule_changer = RuleChanger(takeover.add, takeover.drop)
        status = self._commands.status()  # when all is set up
        self._watch.expected = Expected(
            rules=tuple(self._rules),
            owner=os.getpid(),
            waits=False,
            backlog_limit=status.backlog_limit or self._backlog_limit,  # 0: made unlimited since
            rate_limit=status.rate_limit,
        )

    def _register(self) -> None:
        if self._socket is not None:
            self._early += self._netlink.register(self._socket)
