"""Child process that restores the host when the sensor dies.

Forked before the first change, it holds the read end of a pipe and the journal that arrives through it.
The pipe ends with the sensor, also after SIGKILL, so nothing is polled and no pid can be mistaken for a
reused one. An empty journal means that there is nothing to undo.

Rule 1: it does nothing while the sensor lives, and exits as soon as the host is restored.
Rule 2: it leaves the sensor's process group and ignores what a terminal or a service manager sends to the
        group: a signal that ends the sensor must not end the guardian.
Rule 3: it keeps the capability to change the audit configuration, and what `kernel.confinement` lists.
Rule 4: `Guardian.watch` replaces a guardian that died, and resumes one that was stopped. Where resuming is
        not allowed, it starts another one.
Rule 5: every wait of the sensor for the guardian has a limit: the guardian may be stopped or frozen.
Rule 6: it asks the kernel before it reports that the host is as it was.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from auditsense import _child_process as child
from auditsense.errors import AuditSenseError, InputError, one_line
from auditsense.kernel import host_state
from auditsense.kernel.commands import Commands
from auditsense.kernel.confinement import PARTS, confine, prepare
from auditsense.kernel.undo import undo_all
from auditsense.kernel.undo_journal import Entry, decode, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.kernel.confinement import Confinement
    from auditsense.kernel.plan import Step
    from auditsense.kernel.privileges import User

_END_S = 10.0  # limit for its exit, which takes a few milliseconds on an idle host
_WRITE_S = 2.0  # limit for a journal line: the pipe accepts it at once unless it is full
_TRIES = 5
_PAUSE_S = 0.2
IGNORED_SIGNALS = (*child.GROUP_SIGNALS, signal.SIGABRT)
"""Signals that end the sensor and not the guardian. A service manager's watchdog sends SIGABRT."""


class Guardian:
    """Handle of the guardian process; a `Journal`. Start it, pass it to the takeover, close it last.

    Args:
        commands: creates the command client, in the guardian's process.
        done: called in the guardian when every change is undone, for example to remove a file.
        before: the kernel's audit before the first step, to compare with when all is undone. None: only the
            steps are compared.
        user: that the guardian becomes; None: it keeps the user.
        folders: in which *done* removes files itself.
        broker: descriptor over which *done* has files removed; None: it removes them itself.
        end_s: limit of `close`.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        commands: Callable[[], Commands] = Commands,
        done: Callable[[], None] | None = None,
        before: host_state.AuditState | None = None,
        *,
        user: User | None = None,
        folders: Sequence[str] = (),
        broker: int | None = None,
        end_s: float = _END_S,
    ) -> None:
        self._user = user
        self._folders = tuple(folders)
        self._broker = broker
        self._make = commands
        self._done = done
        self._before = before
        self._end_s = end_s
        self._pipe = -1
        self._replaced: list[int] = []
        self._wanted = False
        self._steps: tuple[Step, ...] = ()
        self.pid = 0
        """Of the guardian; 0 when there is none."""
        self.incident = ("", "")
        """What happened to the guardian when `watch` last returned True, and what was done about it."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """Steps of the last journal line: those that may be in effect."""
        return self._steps

    def start(self) -> None:
        """Fork. The process should have one thread: the child has only the one that forks.

        Raises:
            AuditSenseError: no process or pipe can be created.
        """
        owner = os.getpid()
        prepare(self._confinement)
        try:
            with child.signals_blocked(IGNORED_SIGNALS):
                reading, writing = child.pipe()
                try:
                    self.pid = os.fork()
                except OSError:
                    os.close(reading)
                    os.close(writing)
                    raise
                if self.pid == 0:
                    os.close(writing)
                    sensor = _Sensor(owner, self._steps, self._before)
                    _guard(reading, sensor, self._make, self._done, self._confine)
        except OSError as error:
            raise AuditSenseError(f"cannot start the guardian: {error.strerror}") from None
        os.close(reading)
        os.set_blocking(writing, False)
        self._pipe = writing
        self._wanted = True

    @property
    def _confinement(self) -> Confinement:
        if self._broker is None:
            return PARTS["guardian without a broker"].with_paths(remove=self._folders)
        return PARTS["guardian"]

    def _confine(self, reading: int) -> None:
        """Keep what the guardian needs. In the child."""
        child.close_inherited(*((reading,) if self._broker is None else (reading, self._broker)))
        confine(self._confinement, self._user)

    def write(self, steps: Sequence[Step]) -> None:
        """Send the steps that may be in effect now.

        Raises:
            AuditSenseError: the guardian is gone or does not read. Nothing must be changed without it.
        """
        self._steps = tuple(steps)
        if not self._wanted:
            return
        try:
            self._send(self._steps)
        except TimeoutError:
            if steps:
                raise AuditSenseError(
                    f"the guardian ({self.pid}) does not read its pipe: it is stopped or frozen; "
                    "end it and start auditsense again"
                ) from None
        except OSError:
            if self.pid and steps:
                self.alive()
            if steps:
                raise AuditSenseError("the guardian is gone; start auditsense again") from None

    def _send(self, steps: tuple[Step, ...], wait_s: float | None = None) -> None:
        """Write a journal line; wait at most *wait_s* (by default `_WRITE_S`) for space in the pipe.

        Raises:
            TimeoutError: the pipe stayed full.
            OSError: the pipe has no reader.
        """
        # An interruption may have left the previous line unfinished, so a line end comes first.
        rest = memoryview(b"\n" + encode(Entry(os.getpid(), steps)))
        while rest:
            try:
                rest = rest[os.write(self._pipe, rest) :]
            except BlockingIOError:
                self._continue()
                space = select.poll()
                space.register(self._pipe, select.POLLOUT)
                if not space.poll(1000 * (_WRITE_S if wait_s is None else wait_s)):
                    raise TimeoutError from None

    def watch(self) -> bool:
        """Replace a guardian that died; resume or replace one that was stopped. Call it every few seconds.

        Never waits.

        Returns:
            Whether it had died or was stopped; see `incident`. Another one knows the current steps.

        Raises:
            AuditSenseError: another one cannot be started; calling again tries again.
        """
        if not self._wanted:
            return False
        if self.alive():
            if not child.is_stopped(self.pid):
                return False
            if self._continue():
                self.incident = ("was stopped", "it was continued")
                return True
            self._replace()
            self.incident = ("was stopped", "another one was started")
            return True
        self.incident = ("was ended", "another one was started")
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        self.start()
        return True

    def alive(self) -> bool:
        """Return whether the guardian is running; reap it when it is not."""
        if self.pid and child.has_exited(self.pid):
            self.pid = 0
        return self.pid != 0

    def _continue(self) -> bool:
        """Resume a stopped guardian. False: not permitted, because this process has another user."""
        try:
            if self.pid:  # 0 would be this process and its group
                os.kill(self.pid, signal.SIGCONT)
        except OSError:
            return False
        return self.pid != 0

    def _replace(self) -> None:
        """Start another guardian and leave the stopped one nothing to undo."""
        stopped, pipe = self.pid, self._pipe
        with contextlib.suppress(OSError):
            self._send((), wait_s=0)
        self._pipe, self.pid = -1, 0
        try:
            self.start()
        except AuditSenseError:
            self._pipe, self.pid = pipe, stopped
            raise
        self._replaced.append(pipe)  # open until the end, or the stopped one would take this sensor for dead

    def close(self) -> None:
        """End the guardian and wait for its exit. It undoes the steps of the last journal line.

        Raises:
            AuditSenseError: it did not exit in time, so `steps` may still be in effect. It is killed where
                that is permitted.
        """
        self._wanted = False
        for pipe in (self._pipe, *self._replaced):
            if pipe >= 0:
                os.close(pipe)
        self._pipe = -1
        self._replaced.clear()
        pid, self.pid = self.pid, 0
        if not pid or child.wait_for_exit(pid, self._end_s, resume=True):
            return
        try:
            os.kill(pid, signal.SIGKILL)
        except OSError:
            outcome = "it is left"
        else:
            outcome = (
                "it was killed"
                if child.wait_for_exit(pid, self._end_s, resume=True)
                else "it was sent SIGKILL"
            )
        raise AuditSenseError(
            f"the guardian ({pid}) did not end within {self._end_s:g} s: it was stopped or frozen; {outcome}"
        )


class _Sensor(NamedTuple):
    """Knowledge of a new guardian: the sensor, its steps until now, the kernel's audit before them."""

    pid: int
    steps: tuple[Step, ...]
    before: host_state.AuditState | None


def _guard(
    reading: int,
    sensor: _Sensor,
    make: Callable[[], Commands],
    done: Callable[[], None] | None,
    confine_to: Callable[[int], None],
) -> NoReturn:
    """Run the guardian. Never returns, so none of the sensor's exit handlers run here."""
    code = 1
    try:
        os.setsid()
        child.ignore((*IGNORED_SIGNALS, signal.SIGPIPE))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
        child.set_name("audit-guardian")
        confine_to(reading)
        code = _restore(sensor._replace(steps=_last_journal(reading, sensor.steps)), make, done)
    except BaseException as error:  # noqa: BLE001 - the last frame: nothing above could report it
        _print(f"error: the guardian failed: {error!r}; check what remains with auditctl -s and auditctl -l")
    finally:
        os._exit(code)


def _last_journal(reading: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Wait for the end of the pipe. Returns the steps of the last complete line; without any, *steps*."""
    unread = b""
    while chunk := os.read(reading, 65536):
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            with contextlib.suppress(InputError):  # empty, or unfinished because of an interruption
                steps = decode(line).steps
    return steps


def _restore(sensor: _Sensor, make: Callable[[], Commands], done: Callable[[], None] | None) -> int:
    steps, owner = sensor.steps, sensor.pid
    failures: dict[Step, Exception] = {}
    for turn in range(_TRIES if steps else 0):
        if turn:
            time.sleep(_PAUSE_S)
        with make() as commands:
            failures = undo_all(commands, steps, owner)
        if not failures:
            break
    for step, failure in failures.items():
        _print(f"error: not restored: {step} ({failure})")
    if failures:
        return 1
    state, remaining = _compare(sensor, make) if steps else ("", [])
    if remaining:  # the journal file stays for the next start
        _print(f"error: the sensor ({owner}) died; the host is not as it was: {'; '.join(remaining)}")
        return 1
    # Also when there was nothing to undo: the sensor may have died between one journal and the next.
    if done is not None:
        done()
    if steps:
        _print(f"the sensor ({owner}) died; {state}")
    return 0


def _compare(sensor: _Sensor, make: Callable[[], Commands]) -> tuple[str, list[str]]:
    """Compare the kernel's audit with its state before. Returns a sentence, and what is not undone."""
    try:
        with make() as commands:
            now = host_state.read_state(commands)
    except AuditSenseError as error:
        return f"all steps are undone, but the host could not be compared: {error}", []
    remaining = host_state.remaining_changes(now, sensor.steps, sensor.pid)
    return "" if remaining else host_state.describe(sensor.before, now), remaining


def _print(text: str) -> None:
    """Write to the sensor's standard error, which may be closed by now."""
    with contextlib.suppress(OSError):
        os.write(2, f"auditsense: {one_line(text)}\n".encode())
