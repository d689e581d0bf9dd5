"""Protection of the host against the death of this process: journals, guardian, comparison afterwards."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from auditsense.errors import AuditSenseError
from auditsense.kernel import host_state, undo_journal_file
from auditsense.kernel.guardian import Guardian
from auditsense.kernel.undo import undo_all

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

    from auditsense.kernel.commands import Commands
    from auditsense.kernel.privileges import User
    from auditsense.kernel.undo_journal import Journal
    from auditsense.sources.base import Cleanup

UNCHANGED: Final = "the host is as it was"


class HostGuard:
    """Restore what a killed sensor left, and make sure that this one leaves nothing.

    Args:
        commands: opened by the source.
        folder: of the journals; /run/auditsense unless given.
        cleanup: of the source's owner.
    """

    def __init__(self, commands: Commands, folder: Path | None, cleanup: Cleanup | None) -> None:
        self._commands = commands
        self._folder = folder or undo_journal_file.DEFAULT_FOLDER
        self._journal = undo_journal_file.JournalFile(self._folder)
        self._cleanup = cleanup
        self.guardian: Guardian | None = None
        self.restored: tuple[str, ...] = ()
        self.afterwards = UNCHANGED

    @property
    def user(self) -> User | None:
        """User that helper processes become; None: they keep the user."""
        return None if self._cleanup is None else self._cleanup.user

    def start(self, stack: ExitStack) -> tuple[Journal, ...]:
        """Restore the host and fork the guardian; *stack* ends it. Returns the journals to write."""
        self.restored = tuple(str(step) for step in self._journal.undo_stale(self._commands))
        state = host_state.read_state(self._commands)
        folders, broker = [str(self._folder.parent)], None
        if self._cleanup is not None:
            folders += self._cleanup.folders
            broker = self._cleanup.broker()
        user = self.user if broker is not None else None
        guardian = Guardian(done=self._finish, before=state, user=user, folders=folders, broker=broker)
        guardian.start()  # before the data socket is open: the child must not inherit it
        stack.callback(self._end, guardian)
        stack.callback(self._compare, state)
        if self._cleanup is not None:
            stack.callback(self._cleanup.before_release)
        self.guardian = guardian
        if self._cleanup is not None:
            self._cleanup.once_guarded()
        return (self._journal, guardian)

    def _compare(self, state: host_state.AuditState) -> None:
        try:
            self.afterwards = host_state.describe(state, host_state.read_state(self._commands))
        except AuditSenseError as error:
            self.afterwards = f"all is undone, but the host could not be compared: {error}"

    def _end(self, guardian: Guardian) -> None:
        """End the guardian; do its work if it does not end.

        Raises:
            AuditSenseError: it did not end in time.
        """
        try:
            guardian.close()
        except AuditSenseError as error:
            failures = undo_all(self._commands, guardian.steps, os.getpid())
            state = host_state.read_state(self._commands)
            remaining = host_state.remaining_changes(state, guardian.steps, os.getpid())
            remaining += [f"{step} ({failure})" for step, failure in failures.items()]
            if remaining:
                error.add_note(f"not restored: {'; '.join(remaining)}")
                raise
            self._finish()
            raise AuditSenseError(f"{error}; {UNCHANGED}") from None

    def _finish(self) -> None:
        if self._cleanup is not None:
            self._cleanup.after_restore()
        self._journal.remove()
