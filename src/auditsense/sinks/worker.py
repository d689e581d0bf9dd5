"""The process that a sink has to itself: it waits so that the sensor need not.

It reads lines from a pipe, one a document (or a command, which begins with "!"), and writes reports into
another, which the sensor reads when it has time.

Rule 1: it ends when the pipe does, whatever ended the sensor, after writing what came through it; but it
        waits for a sink that fails or stands still for a few seconds only then.
Rule 2: it ignores what a terminal or a service manager sends to all, so that the last documents get out.
Rule 3: it keeps no capability and no descriptor that is not its sink's.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NoReturn

from auditsense.errors import AuditSenseError
from auditsense.sinks import LineSink, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.sinks import Sink

REOPEN = b"!reopen\n"
GRACE_S = 3
"""How long a sink may go on to fail, or to stand still, when the sensor has ended."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_READ_BYTES = 1 << 18
_PROBLEM = 300  # characters of one, each of which may become six or twelve
LONGEST_REPORT = 4096  # bytes: PIPE_BUF
_MOST = (1 << 63) - 1
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE, signal.SIGTSTP)
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_NAME_BYTES = 15


@dataclass(slots=True)
class Report:
    """How a sink fares.

    Attributes:
        written: documents, since the start.
        failed: documents that the sink will never take, or that were left when it was over.
        problem: why it writes nothing at the moment; "" when it does.
        over: whether it is of no use to go on.
    """

    written: int = 0
    failed: int = 0
    problem: str = ""
    over: bool = False

    def encode(self) -> bytes:
        """Return it as a line, less than PIPE_BUF: it is written whole or not at all."""
        self.problem = self.problem[:_PROBLEM]
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Report:
        """Return the report of a line, which may hold anything: its process may be another program by now.

        Raises:
            ValueError: it is no report.
        """
        if len(line) > LONGEST_REPORT:
            raise ValueError("too long")
        try:
            found = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(found, dict) or {name: type(one) for name, one in found.items()} != _KINDS:
            raise ValueError("other fields")
        report = cls(**found)
        if not (0 <= report.written <= _MOST and 0 <= report.failed <= _MOST):
            raise ValueError("out of bounds")
        report.problem = report.problem[:_PROBLEM]
        return report


_KINDS = {"written": int, "failed": int, "problem": str, "over": bool}


class _OverError(Exception):
    """There is no sense in going on."""


class Server:
    """Writes what comes through the pipe. `run` returns when there is nothing to come.

    Args:
        sink: where to.
        reading: the pipe with the lines.
        reporting: the pipe for reports; does not block.
    """

    def __init__(self, sink: Sink, reading: int, reporting: int) -> None:
        self._sink = sink
        self._reading = reading
        self._reporting = reporting
        self._report = Report()
        self._lines = isinstance(sink, LineSink) and sink.as_lines
        self._hung_up = select.poll()
        self._hung_up.register(
            reading, 0
        )  # POLLHUP comes unasked, and while there is still something to read

    def run(self) -> None:
        """Write until the pipe ends."""
        unread = b""
        try:
            while chunk := os.read(self._reading, _READ_BYTES):
                whole, end, rest = chunk.rpartition(b"\n")
                if not end:
                    unread += chunk
                    continue
                self._take(unread + whole + end)
                unread = rest
        except _OverError:
            self._report.over = True
        os.set_blocking(self._reporting, True)  # the last one must not be lost
        self._tell()
        self._sink.close()

    def _take(self, lines: bytes) -> None:
        while lines:
            if lines.startswith(REOPEN):
                lines = lines[len(REOPEN) :]
                self._reopen()
                continue
            end = lines.find(b"\n!") + 1 or len(
                lines
            )  # no line of JSON begins like this, or has a line end in it
            self._deliver(lines[:end])
            lines = lines[end:]

    def _reopen(self) -> None:
        try:
            self._sink.reopen()
        except SinkError as error:
            self._report.problem = str(error)
            self._tell()

    def _deliver(self, lines: bytes) -> None:
        """Write lines, and try again for as long as it takes."""
        pause = _FIRST_PAUSE_S
        deadline: float | None = None
        while lines:
            try:
                self._write(lines)
            except SinkError as error:
                self._report.problem = str(error)
                self._report.written += error.written
                lines = _without(lines, error.written)
                if error.refused:
                    self._report.failed += 1
                    lines = _without(lines, 1)
                    continue
                self._tell()
                if error.written:
                    pause, deadline = _FIRST_PAUSE_S, None
                if deadline is None and self._hung_up.poll(0):
                    deadline = time.monotonic() + GRACE_S
                if error.final or (deadline is not None and time.monotonic() > deadline):
                    self._report.failed += lines.count(b"\n")
                    raise _OverError from None
                self._pause(pause, ended=deadline is not None)
                pause = min(_LONGEST_PAUSE_S, 2 * pause)
            else:
                self._report.written += lines.count(b"\n")
                self._report.problem = ""
                break
        self._tell()

    def _write(self, lines: bytes) -> None:
        if self._lines:
            assert isinstance(self._sink, LineSink)  # noqa: S101 - see __init__
            self._sink.write_lines(lines)
        else:
            self._sink.write([json.loads(line) for line in lines.splitlines()])

    def _pause(self, seconds: float, *, ended: bool) -> None:
        """Wait, but no longer than until the sensor has ended, once."""
        if ended:
            time.sleep(min(seconds, 0.2))
        else:
            self._hung_up.poll(seconds * 1000)

    def _tell(self) -> None:
        with suppress(OSError):  # nobody is there to read it, or nobody has time: the next one says it all
            os.write(self._reporting, self._report.encode())


def _without(lines: bytes, count: int) -> bytes:
    """Return lines without the first *count*."""
    at = 0
    for _ in range(count):
        at = lines.index(b"\n", at) + 1
    return lines[at:]


def serve(
    sink: Sink, pipes: tuple[int, int], *, name: str, owner: int, confine: Callable[[], None] | None
) -> NoReturn:
    """Be the process of a sink. Never returns, and never runs what the sensor has left to run at its exit.

    Args:
        sink: its descriptor stays open.
        pipes: to read lines from, and to report into; see `Server`.
        name: of the sink.
        owner: the sensor's pid.
        confine: gives up what this process does not need.
    """
    code = 1
    reading, reporting = pipes
    try:
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _close_all_but(reading, reporting, sink.fileno())
        _rename(f"sink-{name}")
        if confine is not None:
            confine()
        _end_with(owner)
        Server(sink, reading, reporting).run()
        code = 0
    except BaseException as problem:  # noqa: BLE001 - there is nobody above who could say it
        with suppress(OSError):
            said = (
                str(problem) if isinstance(problem, AuditSenseError) else f"its process failed: {problem!r}"
            )
            os.write(reporting, Report(problem=said, over=True).encode())
    finally:
        os._exit(code)


def _rename(name: str) -> None:
    ctypes.CDLL(None).prctl(15, ctypes.c_char_p(name.encode()[:_NAME_BYTES]), 0, 0, 0)  # PR_SET_NAME


def _end_with(owner: int) -> None:
    """Let the end of the sensor begin the time in which a write that stands still ends this process.

    After privileges are given up, which takes the request back.
    """

    def owner_ended(*_: object) -> None:
        signal.alarm(2 * GRACE_S)

    signal.signal(signal.SIGUSR1, owner_ended)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    if os.getppid() != owner:
        owner_ended()


def _close_all_but(*kept: int) -> None:
    """Close what was inherited: the sensor's sockets and other sinks' pipes must not live on in here."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in {0, 1} - set(kept):
        os.dup2(null, standard)
    at = 3
    for descriptor in sorted({one for one in kept if one > 2}):
        os.closerange(at, descriptor)
        at = descriptor + 1
    os.closerange(at, os.sysconf("SC_OPEN_MAX"))
