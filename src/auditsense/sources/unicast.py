"""The kernel as a source: this process owns its audit socket for a while.

Ties together what a takeover needs: the commands on a socket of their own, the socket that the
records come on, the audit rules. Whoever reads the socket is told its descriptor; nothing is
read here.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from auditsense.errors import KernelCommandError
from auditsense.kernel import auditctl, leavings
from auditsense.kernel.commands import Commands
from auditsense.kernel.guardian import Guardian
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT, plan
from auditsense.kernel.takeover import Takeover, refuse_owner
from auditsense.sources import netlink

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditsense.kernel.journal import Journal

DEFAULT_AUDIT_RULE = "-w /proc/ -p r -k audit_proc"

_SETTLE_S = 1.0  # how long the kernel's queue may take to empty when we leave
_SETTLE_STEP_S = 0.002


class Unicast:
    """A takeover with the socket its records come on. A context manager.

    Args:
        audit_rules: lines in auditctl syntax that must be in force.
        backlog_limit: records the kernel may queue for us, before it loses them.
        receive_buffer_bytes: of the data socket; taken as needed.
        commands: for example over `testing.FakeKernel`; the real kernel's unless given.
        guarded: fork a guardian that puts the host back when this process dies, and keep a journal
            below *run_folder* for the case that both die; what such a death left is put back first.
        run_folder: for those journals; /run/auditsense unless given.

    Raises (on entering):
        NoKernelAuditError, LockedError, SocketTakenError, AuditRuleError, KernelCommandError: the
            host is as it was.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        audit_rules: Sequence[str] = (DEFAULT_AUDIT_RULE,),
        *,
        backlog_limit: int = DEFAULT_BACKLOG_LIMIT,
        receive_buffer_bytes: int = netlink.DEFAULT_RECEIVE_BUFFER_BYTES,
        commands: Commands | None = None,
        guarded: bool = False,
        run_folder: Path | None = None,
    ) -> None:
        self._rules = [auditctl.parse(line) for line in audit_rules]
        self._backlog_limit = backlog_limit
        self._receive_buffer_bytes = receive_buffer_bytes
        self._commands = commands if commands is not None else Commands()
        self._guarded = guarded
        self._leavings = leavings.Leavings(run_folder or leavings.DEFAULT_FOLDER)
        self.guardian: Guardian | None = None
        """While taken over, when guarded."""
        self.put_back: tuple[str, ...] = ()
        """What an earlier sensor had left and was undone on entering, one line a change."""
        self._stack = ExitStack()
        self._socket: socket.socket | None = None
        self._lost_before = 0
        self._lost = 0
        self._drain_problem: Exception | None = None
        self.drain: Callable[[], object] | None = None
        """Called while leaving, when no new records are made but some still wait on the socket."""
        self.early: list[bytes] = []
        """Datagrams that came before the kernel's consent, to be fed first."""

    def plan(self) -> list[str]:
        """Say what entering would change on this host, one line a change. Changes nothing."""
        with self._commands:
            refuse_owner(self._commands.status())
            steps = plan(self._commands.status(), self._commands.rules(), self._rules, self._backlog_limit)
        return [str(step) for step in steps]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._commands)
            self._lost_before = self._commands.status().lost
            journals = self._journals(stack) if self._guarded else ()
            self._socket = stack.enter_context(netlink.open_data_socket(self._receive_buffer_bytes))
            takeover = Takeover(
                self._commands,
                self._register,
                self._rules,
                self._backlog_limit,
                before_release=self._settle,
                journals=journals,
            )
            stack.enter_context(takeover)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._drain_problem = None
        self._stack.__exit__(*exception)  # type: ignore[arg-type]
        self._socket = None
        if self._drain_problem is not None and not any(exception):
            raise self._drain_problem

    def fileno(self) -> int:
        """Return the descriptor the records come on; -1 when not taken over."""
        return self._socket.fileno() if self._socket is not None else -1

    def kernel_lost(self) -> int:
        """Ask the kernel how many records it says it lost while we are its owner.

        The kernel does not count all it loses: `Stats.serials_missing` tells of the rest.
        """
        if self._socket is not None:
            self._lost = (self._commands.status().lost - self._lost_before) % 2**32
        return self._lost

    def _journals(self, stack: ExitStack) -> tuple[Journal, ...]:
        """Put back what is left from before, and see to it that nothing will be."""
        self.put_back = tuple(str(step) for step in self._leavings.put_back(self._commands))
        guardian = Guardian(done=self._leavings.remove)
        guardian.start()  # before the data socket is open: no copy of it may live on in there
        stack.callback(guardian.close)
        self.guardian = guardian
        return (self._leavings, guardian)

    def _register(self) -> None:
        if self._socket is not None:
            self.early += netlink.register(self._socket)

    def _settle(self) -> None:
        """Take what the kernel has queued, before it has nobody left to send it to."""
        deadline = time.monotonic() + _SETTLE_S
        while self.drain is not None and time.monotonic() < deadline:
            try:
                queued = self._commands.status().backlog
            except KernelCommandError:
                return  # leaving goes on; what could not be asked cannot be waited for
            try:
                self.drain()
            except Exception as problem:  # noqa: BLE001 - raised when the host is put back
                self._drain_problem = problem
                return
            if not queued:
                self.kernel_lost()  # the last moment to ask what the kernel lost while it was ours
                return
            time.sleep(_SETTLE_STEP_S)
