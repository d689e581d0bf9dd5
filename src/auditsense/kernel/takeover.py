"""Own the kernel's audit for a time, and restore the host afterwards.

Owns: the order of the steps, and the journal of what has to be undone.
Rule 1: a step enters the journal before it is taken. An answer may get lost, or Ctrl-C may come in between,
        so undoing asks the kernel first and reverts only what is still as it was set.
Rule 2: what other processes changed in the meantime stays.
Invariant: when `restore` has returned, the host is as before.
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
    enable,
    missing_rules,
    plan,
    prepare,
)
from auditsense.kernel.undo import undo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.commands import Commands
    from auditsense.kernel.rules.rule import AuditRule
    from auditsense.kernel.undo_journal import Journal

__all__ = ["Takeover", "plan"]

_TRIES: Final = 2  # of undoing a step: the first answer may have been lost
_INTERRUPTIONS: Final = 8  # of `restore` that are survived (Ctrl-C)


class Takeover:
    """Ownership of the kernel's audit. A context manager.

    Entering leaves the host either taken over or as it was. Leaving reverts what is still as it was set:
    own rules by their content, the ownership, each setting.

    After SIGKILL, the readers of the journals do this: `kernel.guardian`, `kernel.undo_journal_file`.
    """

    def __init__(  # noqa: PLR0913 - the last two are optional hooks
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
            commands: command client; has to stay open until the exit.
            register: makes this process the owner, on the socket that is to receive the records
                (`sources.audit_socket.register`). Called once, when its reader is ready.
            rules: required audit rules. Existing ones are left alone, at the exit too.
            backlog_limit: records the kernel is to queue at least; see `plan`.
            before_release: called during `restore`, after the rules are deleted and before the ownership is
                released: reads what is still queued. Must return soon. Its errors are ignored.
            journals: receive the steps before each one is taken and after it is undone; their readers
                restore the host when this process cannot.
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
        """Return what is changed on this host now, one line per change, in order."""
        return tuple(str(step) for step in self._journal)

    def __enter__(self) -> Self:
        """Take over.

        Raises:
            LockedError: locked, or set to panic. Nothing was changed.
            SocketTakenError: a living process owns the audit socket. Nothing was changed, or everything
                was restored.
            BusyError: this takeover is in effect already.
            AuditSenseError: see `Commands`. Everything was restored; what could not be restored is in a
                note on the error.
        """
        if self._journal:
            raise BusyError("this takeover is in effect already")
        status = self._commands.status()
        check_allowed(status)
        check_no_owner(status)
        self._pid = os.getpid()
        # No try covers the first moment of __exit__: after an interruption there, this restores the host
        # when the interpreter exits.
        atexit.register(self.restore)
        try:
            self._take(status)
            return self  # noqa: TRY300 - inside: an interruption here has to be undone as well
        except BaseException as error:
            self._restore_during(error)
            raise

    def add(self, rules: Sequence[AuditRule]) -> tuple[AuditRule, ...]:
        """Add audit rules while taken over; existing ones are left alone. Undone at the exit.

        Returns:
            The rules that were added, for `drop`.

        Raises:
            AuditSenseError: see `Commands`; the rules are as before.
        """
        added: list[AuditRule] = []
        try:
            for step in missing_rules(self._commands.rules(), rules):
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
        self._write_journals()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Restore the host. Failures become a note on the exception in flight, or are raised.

        Raises:
            KernelCommandError: see `restore`.
        """
        try:
            self._restore_during(value)
        except KernelCommandError:
            raise
        except BaseException:
            self.restore()  # the interruption may have come before restore could catch it
            raise

    def restore(self) -> None:
        """Undo every change that is still as it was set, the last one first.

        Attempts each one, and a second time those that failed. Does nothing when nothing is changed, and in
        a forked child. An interruption (Ctrl-C) is raised again when all is done.

        Raises:
            KernelCommandError: some could not be undone. The message lists them, and `errno` is that of the
                first. They stay in `changes()`; calling again tries again.
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
            except BaseException as error:  # noqa: BLE001 - raised below
                interruption = error
        atexit.unregister(self.restore)  # the caller is informed of what is left
        if interruption is not None:
            for step, failure in failures.items():
                interruption.add_note(f"not restored: {step} ({failure})")
            raise interruption
        if failures:
            listed = "; ".join(f"{step} ({failure})" for step, failure in failures.items())
            numbers = [getattr(failure, "errno", None) for failure in failures.values()]
            raise KernelCommandError(f"not restored: {listed}", numbers[0])

    # --- taking over -----------------------------------------------------------

    def _take(self, status: AuditStatus) -> None:
        for step in prepare(status, self._backlog_limit):
            self._do(step)
        # Listed only now: rules that other processes have added since must not count as ours.
        for step in missing_rules(self._commands.rules(), self._rules):
            self._do(step)
        for step in enable(status):
            self._do(step)

    def _do(self, step: Step) -> None:
        self._journal.append(step)
        self._write_journals()
        match step:
            case ChangeSetting():
                self._commands.set(step.field, step.new)
            case BecomeOwner():
                self._register()
            case AddRule():
                try:
                    self._commands.add_rule(step.rule)
                except KernelCommandError as error:
                    if error.errno != errno.EEXIST:
                        raise
                    self._journal.remove(step)  # another process was faster, so it is not ours
                    self._write_journals()

    # --- restoring -------------------------------------------------------------

    def _undo_all(self) -> dict[Step, Exception]:
        failures: dict[Step, Exception] = {}
        for step in tuple(reversed(self._journal)):
            try:
                self._undo(step)
            except Exception as error:  # noqa: BLE001 - reported together
                failures[step] = error
            else:
                self._journal.remove(step)
        for journal in self._journals:
            with contextlib.suppress(AuditSenseError):  # it then lists too much; undoing asks the kernel
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
        finally:  # release the ownership even if the last records could not be read
            undo(self._commands, step, self._pid)

    def _write_journals(self) -> None:
        for journal in self._journals:
            journal.write(self._journal)

    def _restore_during(self, in_flight: BaseException | None) -> None:
        """Restore the host; a failure becomes a note on the error in flight, or is raised."""
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
            f"stop it, or {LISTEN} alongside it"
        )
