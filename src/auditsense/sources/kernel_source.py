"""What both ways to listen to the kernel share: commands, journals, counters, the watch, the leaving.

Rule 1: what is asked again and again goes over a socket of its own with a short deadline, so that a
        kernel that does not answer holds the reader up for a quarter of a second and not longer.
Rule 2: asking can make no process wait, this one included, while `backlog_wait_time` is 0.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from auditsense.errors import AuditSenseError, KernelCommandError, UsageError
from auditsense.kernel import host_state as before
from auditsense.kernel import journal_file as leavings
from auditsense.kernel import procfs
from auditsense.kernel.commands import Commands
from auditsense.kernel.guardian import Guardian
from auditsense.kernel.rules import auditctl
from auditsense.kernel.undo import undo_all
from auditsense.kernel.watch import Expected, Watch
from auditsense.sources import netlink
from auditsense.sources.records import records_of

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.journal import Journal
    from auditsense.kernel.rules.rule import AuditRule
    from auditsense.kernel.watch import Noticed

SETTLE_S = 1.0  # how long the kernel's queue may take to empty when we leave
_SETTLE_STEP_S = 0.002
POLL_TIMEOUT_S = 0.25
_RULES_EVERY_S = 2.0
_RULES_COST = 50  # listing thousands of rules takes time: no more than 2 % of ours
_LONGEST_STEP = 2**31  # of the kernel's 32-bit counters between two looks


DEFAULT_AUDIT_RULE = "-w /proc/ -p r -k audit_proc"


class KernelSource:
    """A socket of the kernel's audit. Abstract: what is done to hear is the subclass's.

    Args:
        audit_rules: lines in auditctl syntax. None: those that the detections of its sensor need; without a
            sensor that of the shipped detection.
        receive_buffer_bytes: of the data socket; taken as needed.
        commands: the real kernel's unless given. With `Commands(FakeKernel())` of `auditsense.testing` the
            records come from there too, and nothing of the real kernel is opened.
        polls: the same for what is asked again and again, with a short deadline; *commands* if given.
        guarded: fork a guardian that puts the host back when this process dies, and keep a journal
            below *run_folder* for the case that both die; what such a death left is put back first.
        run_folder: for those journals; /run/auditsense unless given.
        repair: set back what somebody else changed, where `kernel.watch` allows it.

    Raises:
        AuditRuleError: a line that is no audit rule.
        UsageError: commands of another kernel that has no records, or that no guardian can put back.
    """

    name = ""
    audited = False

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        audit_rules: Sequence[str] | None,
        *,
        receive_buffer_bytes: int = netlink.DEFAULT_RECEIVE_BUFFER_BYTES,
        commands: Commands | None = None,
        polls: Commands | None = None,
        guarded: bool = False,
        run_folder: Path | None = None,
        repair: bool = False,
    ) -> None:
        self._rules_given = audit_rules is not None
        self._rules = _parsed((DEFAULT_AUDIT_RULE,) if audit_rules is None else audit_rules)
        self._receive_buffer_bytes = receive_buffer_bytes
        self._polls = polls or commands or Commands(timeout_s=POLL_TIMEOUT_S)
        self._commands = commands if commands is not None else Commands()
        self._records = records_of(self._commands, self._polls, guarded=guarded)
        self._guarded = guarded
        self._leavings = leavings.Leavings(run_folder or leavings.DEFAULT_FOLDER)
        self._watch = Watch(self._commands, Expected(), repair=repair)
        self.guardian: Guardian | None = None
        """While entered, when guarded."""
        self.put_back: tuple[str, ...] = ()
        """What an earlier sensor had left and was undone on entering, one line a change."""
        self.afterwards = "the host is as it was"
        """What is true of the host after leaving without an error; compared with before when guarded."""
        self.unsent: frozenset[int] = frozenset()
        """Record types that are kept out of the socket."""
        self.drain: Callable[[], object] | None = None
        """Called while leaving, when no new records are made but some still wait on the socket."""
        self.kernel_status: AuditStatus | None = None
        """What the kernel answered when it was last asked."""
        self.at_leaving: Callable[[], object] | None = None
        """Set by the owner, for a guarded source: called in this process before the guardian is let go."""
        self.at_end: Callable[[], object] | None = None
        """The same, set before entering: called by the guardian when nothing is changed any more, also after
        SIGKILL, and as the user this process was then."""
        self._early: list[bytes] = []
        self._stack = ExitStack()
        self._socket: socket.socket | None = None
        self._pid = 0  # of the process that has entered it
        self._lost_seen = 0
        self._lost = 0
        self._drops_seen = 0
        self._drops = 0
        self._next_rules_s = 0.0
        self._listed: list[AuditRule] = []
        self._drain_problem: Exception | None = None
        # Add audit rules, and take back those that were added; while entered.
        self._adding: (
            tuple[
                Callable[[Sequence[AuditRule]], tuple[AuditRule, ...]], Callable[[Sequence[AuditRule]], None]
            ]
            | None
        ) = None

    def need(self, audit_rules: Sequence[str]) -> None:
        """Take these audit rules if none were given: those of its sensor's detections. Before entering.

        Raises:
            AuditRuleError: a line that is no audit rule.
            UsageError: there are none either.
        """
        if self._rules_given:
            return
        if not audit_rules:
            raise UsageError(
                "none of these detections says which audit rule it needs, so nothing might come: give "
                "audit_rules, or [] when the kernel has the rules already"
            )
        self._rules = _parsed(audit_rules)

    def extend_rules(self, audit_rules: Sequence[str]) -> Callable[[], None]:
        """Have more audit rules in force while entered. They are undone on leaving, as all others.

        Returns:
            What takes them back.

        Raises:
            AuditRuleError: a line that is no audit rule.
            AuditSenseError: one cannot be added; all are as before.
        """
        rules = [one for one in _parsed(audit_rules) if one not in self._rules]
        if self._adding is None or not rules:
            return lambda: None
        if self._commands.other is None:
            procfs.refuse_others(rules)
        add, drop = self._adding
        added, before, expected = add(rules), self._rules, self._watch.expected
        self._rules = [*before, *rules]
        self._watch.expected = replace(expected, rules=(*expected.rules, *rules))
        self._next_rules_s = 0.0

        def take_back() -> None:
            drop(added)
            self._rules, self._watch.expected = before, expected

        return take_back

    @property
    def early(self) -> list[bytes]:
        """Datagrams that came by another way than the socket, to be fed first."""
        self._early += self._records.came(self._socket)
        return self._early

    @early.setter
    def early(self, datagrams: list[bytes]) -> None:
        self._early = datagrams

    def plan(self) -> list[str]:
        """Say what entering would change on this host, one line a change. Changes nothing."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        with ExitStack() as stack:
            stack.enter_context(self._polls)
            stack.enter_context(self._commands)
            stack.callback(self._forget_socket)
            self.kernel_status = self._commands.status()
            self._lost_seen = self.kernel_status.lost
            self._refuse_another_proc()
            journals = self._journals(stack) if self._guarded else ()
            self._enter(stack, journals)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pid not in {0, os.getpid()}:
            self._abandon()
            return
        self._drain_problem = None
        if self._socket is not None:
            self._before_leaving()
        self._stack.__exit__(*exception)  # type: ignore[arg-type]
        if self._drain_problem is not None and not any(exception):
            raise self._drain_problem

    def _abandon(self) -> None:
        """Give up the descriptors of a forked child; all else is its parent's, what waits there too."""
        self._stack.pop_all()  # what it would undo is not to be undone
        self._polls.close()
        self._commands.close()
        if self.guardian is not None:
            self.guardian.close()  # or the guardian would not see the parent die while the child lives
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def only_kernel(self) -> bool:
        """Whether nobody but the kernel can send to the descriptor: it is connected, and in no group."""
        return not self.audited

    def fileno(self) -> int:
        """Return the descriptor the records come on; -1 when not entered."""
        return self._socket.fileno() if self._socket is not None else -1

    def kernel_lost(self) -> int:
        """Ask the kernel how many records it says it lost since entering.

        The kernel does not count all it loses: `Stats.serials_missing` tells of the rest.
        """
        if self._socket is not None:
            self._count(self._polls.status())
        return self._lost

    def drops(self) -> int:
        """Return the records that found this socket full and are gone. 0 for the owner's socket.

        There a full socket makes the kernel try again, and its count is one of attempts; what it
        gives up in the end is missing from the serials.
        """
        if self._socket is not None and self.audited:
            seen = self._records.socket_drops(self._socket)
            self._drops += (seen - self._drops_seen) % 2**32
            self._drops_seen = seen
        return self._drops

    def check(self) -> list[Noticed]:
        """Compare the kernel's audit with what it has to be; return what is new. See `kernel.watch`."""
        if self._socket is None:
            return []
        status = self._polls.status()
        self._count(status)
        started = time.monotonic()
        if started >= self._next_rules_s:
            self._listed = self._polls.rules()
            ended = time.monotonic()
            self._next_rules_s = ended + max(_RULES_EVERY_S, _RULES_COST * (ended - started))
        noticed = self._watch.look(status, self._listed)
        if any(one.repaired for one in noticed):
            self._next_rules_s = 0.0  # look at once whether it helped
        return noticed

    # --- for subclasses ----------------------------------------------------------

    def _refuse_another_proc(self) -> None:
        """Raise when an audit rule that is added here would watch nothing of the host.

        Raises:
            NoKernelAuditError: see `kernel.procfs.refuse_others`.
        """
        if self._commands.other is None:  # the real kernel, which looks a path up in our mount namespace
            procfs.refuse_others(self._rules)

    def _enter(self, stack: ExitStack, journals: tuple[Journal, ...]) -> None:
        """Open `_socket` and do what makes records come on it; all of it undone by *stack*."""
        raise NotImplementedError

    def _before_leaving(self) -> None:
        """Take what comes only while audit is as it was set. Here: nothing."""

    def _settle(self) -> None:
        """Take what the kernel has queued, before it goes elsewhere; count what was lost until then."""
        if self.drain is None:
            return
        self._take_queued(time.monotonic() + SETTLE_S)
        with suppress(KernelCommandError):  # the last moment to ask while the socket is ours
            self._count(self._commands.status())
        self.drops()

    def _take_queued(self, deadline_s: float) -> None:
        """Drain until the kernel has nothing queued for the socket, or until *deadline_s* at the latest."""
        with suppress(KernelCommandError):  # leaving goes on; what could not be asked cannot be waited for
            # Asked before draining: what was queued then is on the socket soon, and taken the next time.
            while self._commands.status().backlog and time.monotonic() < deadline_s and self._drain():
                time.sleep(_SETTLE_STEP_S)
        self._drain()

    def _drain(self) -> bool:
        """Let the reader take what waits on the socket. False: it cannot; its error is raised at the end."""
        if self.drain is None or self._drain_problem is not None:
            return False
        self._early += self._records.came(self._socket)
        try:
            self.drain()
        except Exception as problem:  # noqa: BLE001 - raised when the host is put back
            self._drain_problem = problem
        return self._drain_problem is None

    def _count(self, status: AuditStatus) -> None:
        step = (status.lost - self._lost_seen) % 2**32
        # So long a step is none: somebody has set the counter back to 0, for everybody.
        self._lost += step if step < _LONGEST_STEP else status.lost
        self._lost_seen = status.lost
        self.kernel_status = status

    def _forget_socket(self) -> None:
        self._socket = None

    def _journals(self, stack: ExitStack) -> tuple[Journal, ...]:
        """Put back what is left from before, and see to it that nothing will be."""
        self.put_back = tuple(str(step) for step in self._leavings.put_back(self._commands))
        image = before.look(self._commands)
        guardian = Guardian(done=self._last, image=image)
        guardian.start()  # before the data socket is open: no copy of it may live on in there
        stack.callback(self._end_guardian, guardian)
        stack.callback(self._compare, image)
        stack.callback(self._before_end)
        self.guardian = guardian
        return (self._leavings, guardian)

    def _compare(self, image: before.Image) -> None:
        """Compare the host with what it was, when all is undone."""
        try:
            self.afterwards = before.sentence(image, before.look(self._commands))
        except AuditSenseError as problem:
            self.afterwards = f"all is undone, but the host could not be compared: {problem}"

    def _end_guardian(self, guardian: Guardian) -> None:
        """End the guardian; do what it had to do when it does not end.

        Raises:
            AuditSenseError: it did not end in time.
        """
        try:
            guardian.close()
        except AuditSenseError as problem:
            failures = undo_all(self._commands, guardian.steps, os.getpid())
            remain = before.remains(before.look(self._commands), guardian.steps, os.getpid())
            remain += [f"{step} ({failure})" for step, failure in failures.items()]
            if remain:
                problem.add_note(f"not put back: {'; '.join(remain)}")
                raise
            self._last()
            raise AuditSenseError(f"{problem}; the host is as it was") from None

    def _before_end(self) -> None:
        if self.at_leaving is not None:
            self.at_leaving()

    def _last(self) -> None:
        if self.at_end is not None:
            self.at_end()
        self._leavings.remove()


def _parsed(lines: Sequence[str]) -> list[AuditRule]:
    if isinstance(lines, str):
        raise UsageError(f"audit rules are a list of lines, not one string: [{lines!r}]")
    return [auditctl.parse(line) for line in lines]
