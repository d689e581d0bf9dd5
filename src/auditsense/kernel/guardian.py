"""A small process that puts the host back when the sensor dies.

Forked before the first change, it holds the reading end of a pipe and the journal that comes
through it. The pipe ends with the sensor, whatever ended it, SIGKILL included: no polling, no pid
that could be another's by now. When the journal is empty then, there is nothing to do.

Rule 1: it does nothing while the sensor lives, and lives no longer than putting back takes.
Rule 2: it leaves the sensor's process group and ignores what a terminal or a service manager sends
        to all, so that what ends the sensor does not end it as well.
Rule 3: it keeps the capability to change the audit configuration, and gives up every other.
Rule 4: when it is ended, another one is started: `Guardian.watch`. One that is stopped is continued; where
        that is not allowed, another one is started as well.
Rule 5: the sensor waits for it no longer than a limit, at any moment: it may be stopped or frozen.
Rule 6: it asks the kernel before it says that the host is as it was.
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
from auditsense.kernel import host_state, privileges
from auditsense.kernel.commands import Commands
from auditsense.kernel.journal import Entry, decode, encode
from auditsense.kernel.undo import undo_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.kernel.plan import Step

_END_S = 10.0  # for its end, which takes a few milliseconds on a host that has time for it
_WRITE_S = 2.0  # for a journal line, which the pipe takes at once unless it is full
_TRIES = 5
_PAUSE_S = 0.2
IGNORED_SIGNALS = (*child.GROUP_SIGNALS, signal.SIGABRT)
"""Signals that end the sensor and not the guardian. A service manager's watchdog sends SIGABRT."""


class Guardian:
    """The sensor's side of it: a `Journal`. Start it, give it to the takeover, close it last.

    Args:
        commands: makes the command client that the guardian uses, in its own process.
        done: called in the guardian when nothing is changed any more, for example to remove a file.
        image: the kernel's audit before the first step: what it has to be when all is undone. None: only
            the steps are compared.
        end_s: the longest that `close` waits.
    """

    def __init__(
        self,
        commands: Callable[[], Commands] = Commands,
        done: Callable[[], None] | None = None,
        image: host_state.AuditState | None = None,
        *,
        end_s: float = _END_S,
    ) -> None:
        self._make = commands
        self._done = done
        self._image = image
        self._end_s = end_s
        self._pipe = -1
        self._replaced: list[int] = []
        self._wanted = False
        self._steps: tuple[Step, ...] = ()
        self.pid = 0
        """Of the guardian; 0 when there is none."""
        self.incident = ("", "")
        """What happened to the guardian that `watch` returned True for last, and what was done about it."""

    @property
    def steps(self) -> tuple[Step, ...]:
        """What it was told last: the steps that may be in effect."""
        return self._steps

    def start(self) -> None:
        """Fork. The process should have one thread: in the child only this one goes on.

        Raises:
            AuditSenseError: no process or pipe can be had.
        """
        owner = os.getpid()
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
                    _guard(reading, _Sensor(owner, self._steps, self._image), self._make, self._done)
        except OSError as error:
            raise AuditSenseError(f"cannot start the guardian: {error.strerror}") from None
        os.close(reading)
        os.set_blocking(writing, False)
        self._pipe = writing
        self._wanted = True

    def write(self, steps: Sequence[Step]) -> None:
        """Tell the guardian what may be in effect now.

        Raises:
            AuditSenseError: the guardian is gone, or does not read; nothing must be changed without it.
        """
        self._steps = tuple(steps)
        if not self._wanted:
            return
        try:
            self._send(self._steps)
        except TimeoutError:
            if steps:
                raise AuditSenseError(
                    f"the guardian ({self.pid}) does not read what it is told: it is stopped or frozen; "
                    "end it and start auditsense again"
                ) from None
        except OSError:
            if self.pid and steps:
                self.alive()
            if steps:
                raise AuditSenseError("the guardian is gone; start auditsense again") from None

    def _send(self, steps: tuple[Step, ...], wait_s: float | None = None) -> None:
        """Write a journal line; wait no longer than *wait_s*, usually `_WRITE_S`, for room in the pipe.

        Raises:
            TimeoutError: the pipe was full, and nothing was read for a while.
            OSError: nothing reads the pipe.
        """
        # The line end before it: an interruption may have left the one before unfinished.
        rest = memoryview(b"\n" + encode(Entry(os.getpid(), steps)))
        while rest:
            try:
                rest = rest[os.write(self._pipe, rest) :]
            except BlockingIOError:
                self._continue()
                room = select.poll()
                room.register(self._pipe, select.POLLOUT)
                if not room.poll(1000 * (_WRITE_S if wait_s is None else wait_s)):
                    raise TimeoutError from None

    def watch(self) -> bool:
        """See to it that there is a guardian: to be called every few seconds. Waits for nothing.

        Returns:
            Whether it had died or was stopped. Then it was continued, or another one was started, which
            knows what is changed now; `incident` says which.

        Raises:
            AuditSenseError: another one was needed and cannot be started; calling again tries again.
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
        """Return whether the guardian still watches; collects it when not."""
        if self.pid and child.has_exited(self.pid):
            self.pid = 0
        return self.pid != 0

    def _continue(self) -> bool:
        """Let a stopped guardian go on. False: this process is not allowed to (it is another user)."""
        try:
            if self.pid:  # 0 would be this process and its group
                os.kill(self.pid, signal.SIGCONT)
        except OSError:
            return False
        return self.pid != 0

    def _replace(self) -> None:
        """Start another guardian instead of a stopped one, which then has nothing to undo."""
        stopped, pipe = self.pid, self._pipe
        with contextlib.suppress(OSError):
            self._send((), wait_s=0)
        self._pipe, self.pid = -1, 0
        try:
            self.start()
        except AuditSenseError:
            self._pipe, self.pid = pipe, stopped
            raise
        self._replaced.append(pipe)  # open until the end: it must not take this sensor for dead

    def close(self) -> None:
        """End the guardian, and wait for that. It puts back what the last journal still names.

        Raises:
            AuditSenseError: it did not end in time, so `steps` may still be in effect. It is killed
                where that is allowed.
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
            what = "it is left"
        else:
            what = (
                "it was killed"
                if child.wait_for_exit(pid, self._end_s, resume=True)
                else "it was sent SIGKILL"
            )
        raise AuditSenseError(
            f"the guardian ({pid}) did not end within {self._end_s:g} s: it was stopped or frozen; {what}"
        )


class _Sensor(NamedTuple):
    """What the guardian knows when it starts: the sensor, its steps until then, the kernel before them."""

    pid: int
    steps: tuple[Step, ...]
    image: host_state.AuditState | None


def _guard(
    reading: int,
    sensor: _Sensor,
    make: Callable[[], Commands],
    done: Callable[[], None] | None,
) -> NoReturn:
    """Be the guardian. Never returns, and never runs what the sensor has left to run at its exit."""
    code = 1
    try:
        os.setsid()
        child.ignore((*IGNORED_SIGNALS, signal.SIGPIPE))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
        child.set_name("audit-guardian")
        child.close_inherited(reading)
        privileges.keep_only(privileges.CAP_AUDIT_CONTROL)
        code = _put_back(sensor._replace(steps=_last_journal(reading, sensor.steps)), make, done)
    except BaseException as problem:  # noqa: BLE001 - there is nobody above who could say it
        _say(f"error: the guardian failed: {problem!r}; see what is left with auditctl -s and auditctl -l")
    finally:
        os._exit(code)


def _last_journal(reading: int, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Wait for the end of the pipe. Returns what the last whole line says; before any, *steps*."""
    unread = b""
    while chunk := os.read(reading, 65536):
        *whole, unread = (unread + chunk).split(b"\n")
        for line in whole:
            with contextlib.suppress(InputError):  # empty, or left unfinished by an interruption
                steps = decode(line).steps
    return steps


def _put_back(sensor: _Sensor, make: Callable[[], Commands], done: Callable[[], None] | None) -> int:
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
        _say(f"error: not put back: {step} ({failure})")
    if failures:
        return 1
    said, remain = _compared(sensor, make) if steps else ("", [])
    if remain:  # the file stays, for the next start
        _say(f"error: the sensor ({owner}) died; the host is not as it was: {'; '.join(remain)}")
        return 1
    # Also when there was nothing to undo: the sensor may have died between one journal and the next.
    if done is not None:
        done()
    if steps:
        _say(f"the sensor ({owner}) died; {said}")
    return 0


def _compared(sensor: _Sensor, make: Callable[[], Commands]) -> tuple[str, list[str]]:
    """Ask the kernel whether the host is as it was. Returns a sentence, and what is not undone."""
    try:
        with make() as commands:
            now = host_state.read_state(commands)
    except AuditSenseError as problem:
        return f"all steps are undone, but the host could not be compared: {problem}", []
    remain = host_state.remaining_changes(now, sensor.steps, sensor.pid)
    return "" if remain else host_state.describe(sensor.image, now), remain


def _say(text: str) -> None:
    """Say it on the sensor's standard error, which may be closed by now."""
    with contextlib.suppress(OSError):
        os.write(2, f"auditsense: {one_line(text)}\n".encode())
