"""The kernel as a source: this process owns its audit socket for a while.

Ties together what a takeover needs: the commands on a socket of their own, the socket that the
records come on, the audit rules. Whoever reads the socket is told its descriptor; nothing is
read here.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from auditsense.errors import KernelCommandError
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT, plan
from auditsense.kernel.takeover import Takeover, refuse_owner
from auditsense.kernel.watch import Expected
from auditsense.sources.kernel_source import DEFAULT_AUDIT_RULE, SETTLE_S, KernelSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from auditsense.kernel.commands import Commands
    from auditsense.kernel.journal import Journal
    from auditsense.kernel.watch import Noticed

__all__ = ["DEFAULT_AUDIT_RULE", "Unicast"]


class Unicast(KernelSource):
    """A takeover with the socket its records come on: a `Source`. A context manager.

    When the ownership is lost meanwhile, it goes on with the same socket as a multicast listener: it
    fights no owner, and a sensor that ended there would be blind where an intruder wants it to be.

    What found the socket full the kernel keeps, in a queue that nobody can see, and tries again when it
    makes another record; on a host that has become quiet, that can be never. So once the socket has room
    this source has one made: it sets `backlog_limit` to what it is.

    Args:
        audit_rules: lines in auditctl syntax that must be in force; see `KernelSource`.
        backlog_limit: records the kernel may queue for us, before it loses them.
        more: see `KernelSource`.

    Raises (on entering):
        NoKernelAuditError, LockedError, SocketTakenError, AuditRuleError, KernelCommandError: the
            host is as it was. NoKernelAuditError also where a rule would watch another /proc than the host's.
    """

    name = "netlink"

    def __init__(
        self,
        audit_rules: Sequence[str] | None = None,
        *,
        backlog_limit: int = DEFAULT_BACKLOG_LIMIT,
        **more: Any,  # noqa: ANN401 - KernelSource says what
    ) -> None:
        super().__init__(audit_rules, **more)
        self._backlog_limit = backlog_limit
        self._refused_seen = 0

    def plan(self) -> list[str]:
        """Say what entering would change on this host, one line a change. Changes nothing."""
        with self._commands:
            refuse_owner(self._commands.status())
            self._refuse_another_proc()
            steps = plan(self._commands.status(), self._commands.rules(), self._rules, self._backlog_limit)
        return [str(step) for step in steps]

    def check(self) -> list[Noticed]:
        """See `KernelSource.check`; from the loss of the socket on, listen by multicast."""
        noticed = super().check()
        self._have_tried_again(self._polls)
        lost = [one for one in noticed if one.finding.id == "auditsense.tamper.owner"]
        if lost and not self.audited and self._socket is not None:
            try:
                self._records.join(self._socket)
            except KernelCommandError:
                return noticed  # what was noticed says that the socket is gone
            self.audited = True
            self._drops_seen = self._records.socket_drops(self._socket)
        return noticed

    def _before_leaving(self) -> None:
        if self.drain is None or self.audited:
            return
        deadline = time.monotonic() + SETTLE_S
        self._drain()
        while self._have_tried_again(self._commands) and time.monotonic() < deadline:
            self._take_queued(deadline)

    def _have_tried_again(self, commands: Commands) -> bool:
        """Have the kernel try again what found the socket full since the last time. False: nothing did."""
        if self._socket is None or self.audited:
            return False
        refused = self._records.socket_drops(self._socket)
        if refused == self._refused_seen:
            return False
        self._refused_seen = refused
        with suppress(KernelCommandError):  # it will try when the next record comes
            commands.set(StatusField.BACKLOG_LIMIT, commands.status().backlog_limit)
        return True

    def _enter(self, stack: ExitStack, journals: tuple[Journal, ...]) -> None:
        self.audited = False
        self._socket = stack.enter_context(self._records.open_data_socket(self._receive_buffer_bytes))
        self._records.keep_out(self._socket, self.unsent)
        takeover = Takeover(
            self._commands,
            self._register,
            self._rules,
            self._backlog_limit,
            before_release=self._settle,
            journals=journals,
        )
        stack.enter_context(takeover)
        self._adding = takeover.add, takeover.drop
        now = self._commands.status()  # as it is when all is set up
        self._watch.expected = Expected(
            rules=tuple(self._rules),
            owner=os.getpid(),
            waits=False,
            backlog_limit=now.backlog_limit or self._backlog_limit,  # 0: made unlimited since
            rate_limit=now.rate_limit,
        )

    def _register(self) -> None:
        if self._socket is not None:
            self.early += self._records.register(self._socket)
