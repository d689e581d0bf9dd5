"""Common part of the kernel's sources: commands, protection of the host, loss counters, watch, leaving.

Polling goes over a separate socket with a short deadline, so that a kernel that does not answer delays the
reader by a quarter of a second at most. While `backlog_wait_time` is 0, a request makes no process wait, not
even this one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, Self

from auditsense.errors import AuditSenseError, KernelCommandError, UsageError
from auditsense.kernel import procfs
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.shadowing import excludes_record
from auditsense.kernel.tamper import Expected, Watch
from auditsense.sources import audit_socket
from auditsense.sources.host_guard import UNCHANGED, HostGuard

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.guardian import Guardian
    from auditsense.kernel.privileges import User
    from auditsense.kernel.rules.rule import AuditRule
    from auditsense.kernel.tamper import Change
    from auditsense.kernel.transport import Transport
    from auditsense.kernel.undo_journal import Journal
    from auditsense.sources.audit_socket import NetlinkApi
    from auditsense.sources.base import Cleanup

SETTLE_S = 1.0  # limit for the kernel's queue to empty while leaving
_SETTLE_STEP_S = 0.002
POLL_TIMEOUT_S = 0.25
_RULES_EVERY_S = 2.0
_RULES_COST = 50  # listing thousands of rules takes time: at most 2 % of ours
_LONGEST_STEP = 2**31  # of the kernel's 32-bit counters between two polls


DEFAULT_AUDIT_RULE = "-w /proc/ -p r -k audit_proc"


class RuleChanger(NamedTuple):
    """Changes audit rules while a source is entered."""

    add: Callable[[Sequence[AuditRule]], tuple[AuditRule, ...]]
    """Add rules; return those that were missing."""
    drop: Callable[[Sequence[AuditRule]], None]
    """Remove rules that `add` returned."""


class KernelSource:
    """A socket of the kernel's audit. Abstract: the subclass makes the kernel send records to it.

    `Unicast` and `Multicast` document the arguments.
    """

    name = ""
    audited = False

    def __init__(  # noqa: PLR0913 - the subclasses have defaults
        self,
        audit_rules: Sequence[str] | None,
        *,
        receive_buffer_bytes: int,
        guarded: bool,
        run_folder: Path | None,
        repair: bool,
        cleanup: Cleanup | None,
        kernel: Transport | None,
    ) -> None:
        self._rules_given = audit_rules is not None
        self._rules = _parsed((DEFAULT_AUDIT_RULE,) if audit_rules is None else audit_rules)
        self._receive_buffer_bytes = receive_buffer_bytes
        self._commands = Commands(kernel)
        self._polls = Commands(timeout_s=POLL_TIMEOUT_S) if kernel is None else self._commands
        self._netlink = _netlink_of(kernel, guarded=guarded)
        self._guard = HostGuard(self._commands, run_folder, cleanup) if guarded else None
        self._watch = Watch(self._commands, Expected(), repair=repair)
        self.kernel_status: AuditStatus | None = None
        """The kernel's answer to the last poll."""
        self._drain: Callable[[], object] | None = None
        self._drain_error: Exception | None = None
        self._unneeded: frozenset[int] = frozenset()
        self._early: list[bytes] = []
        self._stack = ExitStack()
        self._socket: socket.socket | None = None
        self._pid = 0  # of the process that has entered it
        self._counters = _LossCounters()
        self._next_rules_s = 0.0
        self._listed: list[AuditRule] = []
        self._rule_changer: RuleChanger | None = None  # while entered

    def __repr__(self) -> str:
        state = "open" if self._socket is not None else "closed"
        rules = "; ".join(auditctl.format_rule(rule) for rule in self._rules) or "no audit rules"
        return f"<{type(self).__name__} {rules}, {state}>"

    @property
    def is_of_host(self) -> bool:
        """Whether the records are those of the kernel that this process runs on."""
        return self._commands.other is None

    @property
    def guardian(self) -> Guardian | None:
        """The guardian, when guarded and entered once."""
        return None if self._guard is None else self._guard.guardian

    @property
    def helper_user(self) -> User | None:
        """User that helper processes become; None: they keep the user."""
        return None if self._guard is None else self._guard.user

    @property
    def restored(self) -> tuple[str, ...]:
        """Changes of an earlier, killed sensor that entering has undone, one line each."""
        return () if self._guard is None else self._guard.restored

    @property
    def changes(self) -> tuple[str, ...]:
        """Changes of this host that are in effect, when guarded, one line each."""
        return () if self.guardian is None else tuple(step.explained for step in self.guardian.steps)

    @property
    def afterwards(self) -> str:
        """State of the host after leaving without an error; compared with the state before when guarded."""
        return UNCHANGED if self._guard is None else self._guard.afterwards

    def attach(self, drain: Callable[[], object], unneeded: frozenset[int] = frozenset()) -> None:
        """See `Source.attach`; the kernel keeps *unneeded* records out of the socket."""
        self._drain = drain
        self._unneeded = unneeded

    @property
    def has_rules(self) -> bool:
        """Whether its maker gave audit rules, or none on purpose; else those of the detections are used."""
        return self._rules_given

    def use_rules_of_detections(self, audit_rules: Sequence[str]) -> None:
        """Use these audit rules if none were given. Before entering.

        Raises:
            AuditRuleError: an invalid audit rule.
            UsageError: there are none either.
        """
        if self._rules_given:
            return
        if not audit_rules:
            raise UsageError(
                "no audit rule follows from these detections, so no record might come: give audit_rules, or "
                "[] when the kernel has the rules already"
            )
        self._rules = _parsed(audit_rules)

    def extend_rules(self, audit_rules: Sequence[str]) -> Callable[[], None]:
        """Add audit rules while entered. They are undone on leaving, as all others.

        Returns:
            A function that removes them.

        Raises:
            AuditRuleError: an invalid audit rule.
            AuditSenseError: one cannot be added; all are as before.
        """
        rules = [rule for rule in _parsed(audit_rules) if rule not in self._rules]
        if self._rule_changer is None or not rules:
            return lambda: None
        if self._commands.other is None:
            procfs.require_host_proc(rules)
        changer = self._rule_changer
        added, before, expected = changer.add(rules), self._rules, self._watch.expected
        self._rules = [*before, *rules]
        self._watch.expected = replace(expected, rules=(*expected.rules, *rules))
        self._next_rules_s = 0.0

        def remove() -> None:
            changer.drop(added)
            self._rules, self._watch.expected = before, expected

        return remove

    def writes_record(self, kind: int) -> bool:
        """Return whether the kernel writes records of a type: no rule of its exclude list drops them.

        Just before entering, which uses the same connection, and closes it on leaving.
        """
        try:
            return not any(excludes_record(rule, kind) for rule in self._commands.rules())
        except AuditSenseError:
            return False  # entering reports it

    def take_early(self) -> list[bytes]:
        """Return datagrams that did not arrive on the socket, each once."""
        early, self._early = self._early + self._netlink.take_early(self._socket), []
        return early

    def plan(self) -> list[str]:
        """Return the changes that entering would make on this host, one line each. Changes nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        with ExitStack() as stack:
            stack.enter_context(self._polls)
            stack.enter_context(self._commands)
            stack.callback(self._forget_socket)
            self.kernel_status = self._commands.status()
            self._counters = _LossCounters(lost_seen=self.kernel_status.lost)
            self._refuse_foreign_proc()
            journals = self._guard.start(stack) if self._guard is not None else ()
            self._enter(stack, journals)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pid not in {0, os.getpid()}:
            self._abandon()
            return
        self._drain_error = None
        if self._socket is not None:
            self._before_leaving()
        self._stack.__exit__(*exception)  # type: ignore[arg-type]
        if self._drain_error is not None and not any(exception):
            raise self._drain_error

    def _abandon(self) -> None:
        """Close the descriptors in a forked child; everything else belongs to its parent."""
        self._stack.pop_all()  # the parent undoes it
        self._polls.close()
        self._commands.close()
        if self.guardian is not None:
            self.guardian.close()  # or the guardian would not notice the parent's death while the child lives
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def only_kernel(self) -> bool:
        """Whether only the kernel can send to the descriptor: it is connected, and in no group."""
        return not self.audited

    def fileno(self) -> int:
        """Return the descriptor that records arrive on; -1 when not entered."""
        return self._socket.fileno() if self._socket is not None else -1

    def kernel_lost(self) -> int:
        """Ask the kernel how many records it has lost since entering.

        The kernel does not count every loss: `Stats.serials_missing` shows the rest.
        """
        if self._socket is not None:
            self._count(self._polls.status())
        return self._counters.lost

    def drops(self) -> int:
        """Return the records that were lost because this socket was full. 0 for the owner's socket.

        There a full socket makes the kernel try again, and its count is one of attempts. What it evicts
        in the end is missing from the serials.
        """
        if self._socket is not None and self.audited:
            self._counters.count_drops(self._netlink.socket_drops(self._socket))
        return self._counters.drops

    def check(self) -> list[Change]:
        """Compare the kernel's audit with the expected state; return what changed. See `kernel.tamper`."""
        if self._socket is None:
            return []
        status = self._polls.status()
        self._count(status)
        started = time.monotonic()
        if started >= self._next_rules_s:
            self._listed = self._polls.rules()
            ended = time.monotonic()
            self._next_rules_s = ended + max(_RULES_EVERY_S, _RULES_COST * (ended - started))
        changes = self._watch.check(status, self._listed)
        if any(change.repaired for change in changes):
            self._next_rules_s = 0.0  # list the rules at once to see whether it helped
        return changes

    # --- for subclasses ----------------------------------------------------------

    def _refuse_foreign_proc(self) -> None:
        """Raise when an audit rule that is added here would watch nothing of the host.

        Raises:
            NoKernelAuditError: see `kernel.procfs.require_host_proc`.
        """
        if self._commands.other is None:  # the real kernel resolves paths in our mount namespace
            procfs.require_host_proc(self._rules)
            procfs.require_host_processes(self._rules)

    def _enter(self, stack: ExitStack, journals: tuple[Journal, ...]) -> None:
        """Open `_socket` and make records arrive on it; *stack* undoes all of it."""
        raise NotImplementedError

    def _before_leaving(self) -> None:
        """Read what arrives only while audit is still set up. Here: nothing."""

    def _settle(self) -> None:
        """Read the records queued in the kernel before they go elsewhere; count the losses until then."""
        if self._drain is None:
            return
        self._drain_queue(time.monotonic() + SETTLE_S)
        with suppress(KernelCommandError):  # the last moment to ask while the socket is ours
            self._count(self._commands.status())
        self.drops()

    def _drain_queue(self, deadline_s: float) -> None:
        """Drain until the kernel has nothing queued for the socket, or until *deadline_s*."""
        with suppress(KernelCommandError):  # leave anyway: without an answer there is nothing to wait for
            # Ask before draining: what was queued then is on the socket soon, and read the next time.
            while self._commands.status().backlog and time.monotonic() < deadline_s and self._drain_socket():
                time.sleep(_SETTLE_STEP_S)
        self._drain_socket()

    def _drain_socket(self) -> bool:
        """Let the reader drain the socket. False: it failed; its error is raised at the end."""
        if self._drain is None or self._drain_error is not None:
            return False
        self._early = self.take_early()
        try:
            self._drain()
        except Exception as error:  # noqa: BLE001 - raised when the host is restored
            self._drain_error = error
        return self._drain_error is None

    def _count(self, status: AuditStatus) -> None:
        self._counters.count_lost(status.lost)
        self.kernel_status = status

    def _forget_socket(self) -> None:
        self._socket = None


class _LossCounters:
    """Losses since entering, from counters of the kernel that began before and may be reset."""

    def __init__(self, lost_seen: int = 0) -> None:
        self.lost = 0
        self.drops = 0
        self.drops_seen = 0
        self._lost_seen = lost_seen

    def count_lost(self, lost: int) -> None:
        step = (lost - self._lost_seen) % 2**32
        # A longer step means that another process has reset the counter, for all readers.
        self.lost += step if step < _LONGEST_STEP else lost
        self._lost_seen = lost

    def count_drops(self, drops: int) -> None:
        self.drops += (drops - self.drops_seen) % 2**32
        self.drops_seen = drops


def _netlink_of(kernel: Transport | None, *, guarded: bool) -> NetlinkApi:
    """Return the record sockets of a kernel; None is the real one.

    Commands and records belong to one kernel: a test with a kernel in memory never opens the real audit
    socket.

    Raises:
        UsageError: the kernel has no records, or a guardian cannot restore it.
    """
    if kernel is None:
        return audit_socket
    if guarded:
        raise UsageError("a guardian restores only the real kernel: leave out guarded=True with kernel=")
    records: NetlinkApi | None = getattr(kernel, "records", None)
    if records is None:
        raise UsageError(
            f"kernel={kernel!r:.60} supplies no audit records: pass an auditsense.testing.FakeKernel()"
        )
    return records


def check_rule_lines(lines: object, name: str = "audit_rules") -> None:
    """Refuse what is not a list of strings.

    Args:
        lines: to check.
        name: of the argument.

    Raises:
        UsageError: so it is.
    """
    if isinstance(lines, str):
        raise UsageError(f"audit rules are a list of lines, not one string: [{lines!r}]")
    if not isinstance(lines, Iterable) or not all(isinstance(line, str) for line in lines):
        raise UsageError(f"{name}: expected a list of lines in auditctl syntax, not {lines!r:.60}")


def _parsed(lines: Sequence[str]) -> list[AuditRule]:
    check_rule_lines(lines)
    return [auditctl.parse(line) for line in lines]
