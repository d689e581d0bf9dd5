"""A small process that puts the host back when the sensor dies.

Forked before the first change, it holds the reading end of a pipe and the journal that comes
through it. The pipe ends with the sensor, whatever ended it, SIGKILL included: no polling, no pid
that could be another's by now. When the journal is empty then, there is nothing to do.

Rule 1: it does nothing while the sensor lives, and lives no longer than putting back takes.
Rule 2: it leaves the sensor's process group and ignores what a terminal or a service manager sends
        to all, so that what ends the sensor does not end it as well.
Rule 3: it keeps the capability to change the audit configuration, and gives up every other.
Rule 4: who ends it gets another one: `Guardian.watch`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, NoReturn

from auditsense.errors import AuditSenseError, InputError, one_line
from auditsense.kernel import privileges
from auditsense.kernel.commands import Commands
from auditsense.kernel.journal import Entry, decode, encode
from auditsense.kernel.undo import undo_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.kernel.plan import Step

_TRIES = 5
_PAUSE_S = 0.2
_NAME = b"audit-guardian"
_LEFT_TO_THE_SENSOR = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGABRT,  # of a watchdog
)


class Guardian:
    """The sensor's side of it: a `Journal`. Start it, give it to the takeover, close it last.

    Args:
        commands: makes the command client that the guardian uses, in its own process.
        done: called in the guardian when nothing is changed any more, for example to remove a file.
    """

    def __init__(
        self, commands: Callable[[], Commands] = Commands, done: Callable[[], None] | None = None
    ) -> None:
        self._make = commands
        self._done = done
        self._pipe = -1
        self._wanted = False
        self._steps: tuple[Step, ...] = ()
        self.pid = 0
        """Of the guardian; 0 when there is none."""

    def start(self) -> None:
        """Fork. The process should have one thread: in the child only this one goes on.

        Raises:
            AuditSenseError: no process or pipe can be had.
        """
        owner = os.getpid()
        # Until it ignores them, what is sent to all must not end it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_TO_THE_SENSOR)
        try:
            reading, writing = _pipe()
            try:
                self.pid = os.fork()
            except OSError:
                os.close(reading)
                os.close(writing)
                raise
            if self.pid == 0:
                os.close(writing)
                _guard(reading, owner, self._steps, self._make, self._done)
        except OSError as error:
            raise AuditSenseError(f"cannot start the guardian: {error.strerror}") from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(reading)
        self._pipe = writing
        self._wanted = True

    def write(self, steps: Sequence[Step]) -> None:
        """Tell the guardian what may be in effect now.

        Raises:
            AuditSenseError: the guardian is gone; nothing must be changed without it.
        """
        self._steps = tuple(steps)
        if not self._wanted:
            return
        # The line end before it: an interruption may have left the one before unfinished.
        rest = memoryview(b"\n" + encode(Entry(os.getpid(), self._steps)))
        try:
            while rest:
                rest = rest[os.write(self._pipe, rest) :]
        except OSError:
            if self.pid and steps:
                self.alive()
            if steps:
                raise AuditSenseError("the guardian is gone; start auditsense again") from None

    def watch(self) -> bool:
        """See to it that there is a guardian: to be called every few seconds. Waits for nothing.

        Returns:
            Whether it had died. Another one was started then, which knows what is changed now.

        Raises:
            AuditSenseError: it had died, and another one cannot be started; calling again tries again.
        """
        if not self._wanted or self.alive():
            return False
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        self.start()
        return True

    def alive(self) -> bool:
        """Return whether the guardian still watches; collects it when not."""
        if self.pid and _ended(self.pid, os.WNOHANG):
            self.pid = 0
        return self.pid != 0

    def close(self) -> None:
        """End the guardian, and wait for that. It puts back what the last journal still names."""
        self._wanted = False
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self.pid:
            _ended(self.pid, 0)
            self.pid = 0


def _ended(pid: int, options: int) -> bool:
    """Collect a child that has ended. True as well when the system has: SIGCHLD may be ignored."""
    try:
        return os.waitpid(pid, options) != (0, 0)
    except ChildProcessError:
        return True


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends are none of 0, 1, 2: those may be closed, and something printed there."""
    reading, writing = os.pipe2(os.O_CLOEXEC)
    low: list[int] = []
    ends: list[int] = []
    for end in (reading, writing):
        place = end
        while place <= 2:
            low.append(place)
            place = os.dup(place)  # close-on-exec as well
        ends.append(place)
    for place in low:
        os.close(place)
    return ends[0], ends[1]


def _guard(
    reading: int,
    owner: int,
    steps: tuple[Step, ...],
    make: Callable[[], Commands],
    done: Callable[[], None] | None,
) -> NoReturn:
    """Be the guardian. Never returns, and never runs what the sensor has left to run at its exit."""
    code = 1
    try:
        os.setsid()
        for number in (*_LEFT_TO_THE_SENSOR, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _LEFT_TO_THE_SENSOR)
        privileges.rename(_NAME)
        _close_all_but(reading)
        privileges.keep_only(privileges.CAP_AUDIT_CONTROL)
        code = _put_back(_last_journal(reading, steps), owner, make, done)
    except BaseException as problem:  # noqa: BLE001 - there is nobody above who could say it
        _say(f"error: the guardian failed: {problem!r}; see what is left with auditctl -s and auditctl -l")
    finally:
        os._exit(code)


def _close_all_but(reading: int) -> None:
    """Close what was inherited: the sensor's sockets and output must not live on in here."""
    os.closerange(3, reading)
    os.closerange(reading + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    if null > 2:
        os.close(null)


def _last_journal(reading: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Wait for the end of the pipe. Returns what the last whole line says; before any, *steps*."""
    unread = b""
    while chunk := os.read(reading, 65536):
        *whole, unread = (unread + chunk).split(b"\n")
        for line in whole:
            with contextlib.suppress(InputError):  # empty, or left unfinished by an interruption
                steps = decode(line).steps
    return steps


def _put_back(
    steps: tuple[Step, ...], owner: int, make: Callable[[], Commands], done: Callable[[], None] | None
) -> int:
    failures: dict[Step, Exception] = {}
    for turn in range(_TRIES if steps else 0):
        if turn:
            time.sleep(_PAUSE_S)
        with make() as commands:
            failures = undo_all(commands, steps, owner)
        if not failures:
            break
    for step, failure in failures.items():
        _say(f"error: not put back: {step} ({failure})")
    if failures:
        return 1
    # Also when there was nothing to undo: the sensor may have died between one journal and the next.
    if done is not None:
        done()
    if steps:
        _say(f"the sensor ({owner}) died; the host is as it was")
    return 0


def _say(text: str) -> None:
    """Say it on the sensor's standard error, which may be closed by now."""
    with contextlib.suppress(OSError):
        os.write(2, f"auditsense: {one_line(text)}\n".encode())
