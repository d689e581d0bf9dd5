"""Become the owner of the kernel's audit, and put everything back afterwards.

Owns: the order of the steps, and the journal of what has to be undone.
Rule 1: a step enters the journal before it is taken. It may then have been
taken or not (the answer got lost, Ctrl-C came in between), so undoing it asks
the kernel first and touches only what still is as we set it.
Rule 2: what somebody else changed meanwhile is theirs and stays.
The invariant: when `restore` has returned, the host is as before.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final, Self

from auditsense.errors import AuditSenseError, BusyError, KernelCommandError, SocketTakenError
from auditsense.kernel.access import process_name
from auditsense.kernel.plan import (
    DEFAULT_BACKLOG_LIMIT,
    LISTEN,
    AddRule,
    BecomeOwner,
    ChangeSetting,
    Step,
    check_allowed,
    missing,
    plan,
    prepare,
    switch_on,
)
from auditsense.kernel.undo import undo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.commands import Commands
    from auditsense.kernel.journal import Journal
    from auditsense.kernel.rules.rule import AuditRule

__all__ = ["Takeover", "plan"]

_TRIES: Final = 2  # of putting back what failed: a lost answer is worth a second one
_INTERRUPTIONS: Final = 8  # this many Ctrl-C during putting back are survived


class Takeover:
    """The time during which the kernel's audit works for this process.

    A context manager. Entering leaves the host either taken over or as it was;
    leaving puts back what was changed and is still as it was set: own rules by
    their content, the ownership, each setting.

    SIGKILL leaves no time for any of this: the journals tell somebody else
    (`kernel.guardian`, `kernel.journal_file`).
    """

    def __init__(  # noqa: PLR0913 - the last two are for whoever needs more than the takeover itself
        self,
        commands: Commands,
        register: Callable[[], None],
        rules: Sequence[AuditRule],
        backlog_limit: int = DEFAULT_BACKLOG_LIMIT,
        *,
        before_release: Callable[[], None] | None = None,
        journals: Sequence[Journal] = (),
    ) -> None:
        """Prepare; nothing is asked or changed before entering.

        Args:
            commands: Control socket; has to stay open until the exit.
            register: Makes this process the owner, on the socket that is to
                receive the records (`sources.netlink.register`). Called once,
                with a reader ready for what comes.
            rules: Audit rules that have to be there. One that exists is left
                alone, at the exit too.
            backlog_limit: Records the kernel is to queue at least; see `plan`.
            before_release: Called while putting back, when the rules are gone and
                the ownership is not: the time to take what is still queued. Must
                return soon, and has to keep its own errors: they would hold nothing
                up, and be forgotten.
            journals: Told of each step before it is taken, and after it is undone:
                who puts the host back when this process cannot.
        """
        self._commands = commands
        self._register = register
        self._rules = tuple(rules)
        self._backlog_limit = backlog_limit
        self._before_release = before_release
        self._journals = tuple(journals)
        self._journal: list[Step] = []
        self._pid = 0

    def changes(self) -> tuple[str, ...]:
        """Return what is changed on this host now, one line a change, in order; () when nothing."""
        return tuple(str(step) for step in self._journal)

    def __enter__(self) -> Self:
        """Take over.

        Raises:
            LockedError: locked, or set to panic. Nothing was changed.
            SocketTakenError: a living process owns the audit socket. Nothing was
                changed, or (it came in between) everything was put back.
            BusyError: this takeover is in effect already.
            AuditSenseError: see `Commands`; everything was put back, and what
                could not be is in a note on the error.
        """
        if self._journal:
            raise BusyError("this takeover is in effect already")
        status = self._commands.status()
        check_allowed(status)
        check_no_owner(status)
        self._pid = os.getpid()
        # The one moment no try can cover is the very first of __exit__: an
        # interruption there is made up for when the interpreter ends.
        atexit.register(self.restore)
        try:
            self._take(status)
            return self  # noqa: TRY300  (inside: an interruption here has to be undone as well)
        except BaseException as problem:
            self._leave(problem)
            raise

    def add(self, rules: Sequence[AuditRule]) -> tuple[AuditRule, ...]:
        """Add audit rules while taken over; those in force already are left alone. Undone at the exit.

        Returns:
            The rules that were added, for `drop`.

        Raises:
            AuditSenseError: see `Commands`; the rules are as before.
        """
        added: list[AuditRule] = []
        try:
            for step in missing(self._commands.rules(), rules):
                if isinstance(step, AddRule):
                    added.append(step.rule)
                    self._do(step)
        except BaseException:
            self.drop(added)
            raise
        return tuple(rule for rule in added if AddRule(rule) in self._journal)

    def drop(self, rules: Sequence[AuditRule]) -> None:
        """Delete rules that `add` has added."""
        for step in map(AddRule, rules):
            if step in self._journal:
                undo(self._commands, step, self._pid)
                self._journal.remove(step)
        self._tell()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Put back. What fails is a note on the exception in flight, or else raised.

        Raises:
            KernelCommandError: see `restore`.
        """
        try:
            self._leave(value)
        except KernelCommandError:
            raise
        except BaseException:
            self.restore()  # in case the interruption came before restore could catch it
            raise

    def restore(self) -> None:
        """Undo every change that is still as it was set, the last one first.

        Each one is attempted, whatever happened to the others, and those that
        failed once more. Does nothing when nothing is changed, and in a forked
        child. An interruption (Ctrl-C) is raised again once all is done.

        Raises:
            KernelCommandError: some could not be undone; the message lists
                them, `errno` is the first one's. They stay in `changes()`, and
                calling again tries again.
        """
        interruption: BaseException | None = None
        failures: dict[Step, Exception] = {}
        tries = _TRIES
        if os.getpid() != self._pid:
            return
        for _ in range(_TRIES + _INTERRUPTIONS):
            if not tries or not self._journal:
                break
            try:
                failures = self._undo_all()
                tries -= 1
            except BaseException as problem:  # noqa: BLE001  (raised below)
                interruption = problem
        atexit.unregister(self.restore)  # whatever is left now, the caller hears of it
        if interruption is not None:
            for step, failure in failures.items():
                interruption.add_note(f"not put back: {step} ({failure})")
            raise interruption
        if failures:
            listed = "; ".join(f"{step} ({failure})" for step, failure in failures.items())
            numbers = [getattr(failure, "errno", None) for failure in failures.values()]
            raise KernelCommandError(f"not put back: {listed}", numbers[0])

    # --- taking ----------------------------------------------------------------

    def _take(self, status: AuditStatus) -> None:
        for step in prepare(status, self._backlog_limit):
            self._do(step)
        # Listed only now: what happened since the first look shall not count as ours.
        for step in missing(self._commands.rules(), self._rules):
            self._do(step)
        for step in switch_on(status):
            self._do(step)

    def _do(self, step: Step) -> None:
        self._journal.append(step)
        self._tell()
        match step:
            case ChangeSetting():
                self._commands.set(step.field, step.new)
            case BecomeOwner():
                self._register()
            case AddRule():
                try:
                    self._commands.add_rule(step.rule)
                except KernelCommandError as problem:
                    if problem.errno != errno.EEXIST:
                        raise
                    self._journal.remove(step)  # somebody was faster: it is theirs
                    self._tell()

    # --- putting back ----------------------------------------------------------

    def _undo_all(self) -> dict[Step, Exception]:
        failures: dict[Step, Exception] = {}
        for step in tuple(reversed(self._journal)):
            try:
                self._undo(step)
            except Exception as problem:  # noqa: BLE001  (reported together)
                failures[step] = problem
            else:
                self._journal.remove(step)
        for journal in self._journals:
            with contextlib.suppress(AuditSenseError):  # then it names too much, which undoing asks about
                journal.write(self._journal)
        return failures

    def _undo(self, step: Step) -> None:
        try:
            if (
                isinstance(step, BecomeOwner)
                and self._before_release is not None
                and self._commands.status().pid == self._pid
            ):
                self._before_release()
        finally:  # the ownership goes, whatever became of the last records
            undo(self._commands, step, self._pid)

    def _tell(self) -> None:
        for journal in self._journals:
            journal.write(self._journal)

    def _leave(self, in_flight: BaseException | None) -> None:
        """Put back; what fails is raised, or becomes a note on the error in flight."""
        try:
            self.restore()
        except KernelCommandError as failure:
            if in_flight is None:
                raise
            in_flight.add_note(str(failure))


def check_no_owner(status: AuditStatus) -> None:
    """Raise when a living process owns the socket, this one included.

    A dead owner is no obstacle: the kernel drops it when another registers.
    """
    name = process_name(status.pid) if status.pid else None
    if name is not None:
        raise SocketTakenError(
            f"process {status.pid} ({name}) owns the audit socket; nothing was changed; "
            f"stop it, or {LISTEN} beside it"
        )
