"""The child process of a sink: it may block, so that the sensor never does.

It reads lines from a pipe, one per document (or a command, which begins with "!"), and writes reports into
another pipe, which the sensor polls.

Rule 1: it ends when the pipe does, whatever ended the sensor, after writing what came through the pipe. Only
        then, a sink that fails or stalls gets a few seconds at most.
Rule 2: it ignores signals that a terminal or a service manager sends to the whole process group, so that the
        last documents get out.
Rule 3: it keeps no capability and no descriptor except its sink's.
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

from auditsense._child_process import GROUP_SIGNALS, close_inherited, ignore, set_name
from auditsense.errors import AuditSenseError
from auditsense.sinks import LineSink, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.sinks import Sink

REOPEN = b"!reopen\n"
GRACE_S = 3
"""How long a sink may fail or stall after the sensor has ended."""
IGNORED = (*GROUP_SIGNALS, signal.SIGPIPE, signal.SIGTSTP)
MAX_REPORT_BYTES = 4096  # PIPE_BUF: a report is written completely or not at all

_FIRST_PAUSE_S, _MAX_PAUSE_S = 0.1, 5.0
_READ_BYTES = 1 << 18
_MAX_PROBLEM = 300  # characters; JSON escapes one as 6 or 12
_MAX_COUNT = (1 << 63) - 1
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class SinkReport:
    """State of a sink, as its process reports it.

    Attributes:
        written: documents, since the start.
        failed: documents that the sink refused, or had not written when it stopped.
        problem: why it writes nothing at the moment; "" if it writes.
        stopped: whether it has stopped for good.
    """

    written: int = 0
    failed: int = 0
    problem: str = ""
    stopped: bool = False

    def encode(self) -> bytes:
        """Return a line of less than `MAX_REPORT_BYTES`."""
        self.problem = self.problem[:_MAX_PROBLEM]
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> SinkReport:
        """Return the report in a line. The line is not trusted.

        Raises:
            ValueError: it is not a report.
        """
        if len(line) > MAX_REPORT_BYTES:
            raise ValueError("too long")
        try:
            fields = json.loads(line)
        except RecursionError:
            raise ValueError("nested too deeply") from None
        if not isinstance(fields, dict) or {name: type(fields[name]) for name in fields} != _FIELD_TYPES:
            raise ValueError("other fields")
        report = cls(**fields)
        if not (0 <= report.written <= _MAX_COUNT and 0 <= report.failed <= _MAX_COUNT):
            raise ValueError("out of bounds")
        report.problem = report.problem[:_MAX_PROBLEM]
        return report


_FIELD_TYPES = {"written": int, "failed": int, "problem": str, "stopped": bool}


class _SinkStoppedError(Exception):
    """The sink will not write any more."""


class SinkWorker:
    """Write the documents that come through a pipe.

    Args:
        sink: the destination.
        pipe: the pipe with the lines.
        reports: the pipe for reports; does not block.
    """

    def __init__(self, sink: Sink, pipe: int, reports: int) -> None:
        self._sink = sink
        self._pipe = pipe
        self._reports = reports
        self._report = SinkReport()
        self._line_sink = sink if isinstance(sink, LineSink) and sink.as_lines else None
        self._hangup = select.poll()
        self._hangup.register(pipe, 0)  # POLLHUP is always reported, even while there is data to read

    def run(self) -> None:
        """Write until the pipe ends."""
        unread = b""
        try:
            while chunk := os.read(self._pipe, _READ_BYTES):
                lines, end, rest = chunk.rpartition(b"\n")
                if not end:
                    unread += chunk
                    continue
                self._process(unread + lines + end)
                unread = rest
        except _SinkStoppedError:
            self._report.stopped = True
        os.set_blocking(self._reports, True)  # the last report must arrive
        self._send_report()
        self._sink.close()

    def _process(self, lines: bytes) -> None:
        while lines:
            if lines.startswith(REOPEN):
                lines = lines[len(REOPEN) :]
                self._reopen()
                continue
            end = lines.find(b"\n!") + 1 or len(lines)  # a line of JSON never begins with "!"
            self._deliver(lines[:end])
            lines = lines[end:]

    def _reopen(self) -> None:
        try:
            self._sink.reopen()
        except SinkError as error:
            self._report.problem = str(error)
            self._send_report()

    def _deliver(self, lines: bytes) -> None:
        """Write lines; retry until the sink accepts them or stops."""
        pause = _FIRST_PAUSE_S
        deadline: float | None = None
        while lines:
            try:
                self._write(lines)
            except SinkError as error:
                self._report.problem = str(error)
                self._report.written += error.written
                lines = _skip(lines, error.written)
                if error.refused:
                    self._report.failed += 1
                    lines = _skip(lines, 1)
                    continue
                self._send_report()
                if error.written:
                    pause, deadline = _FIRST_PAUSE_S, None
                if deadline is None and self._hangup.poll(0):
                    deadline = time.monotonic() + GRACE_S
                if error.final or (deadline is not None and time.monotonic() > deadline):
                    self._report.failed += lines.count(b"\n")
                    raise _SinkStoppedError from None
                if deadline is None:
                    self._hangup.poll(pause * 1000)
                else:
                    time.sleep(min(pause, 0.2))
                pause = min(_MAX_PAUSE_S, 2 * pause)
            else:
                self._report.written += lines.count(b"\n")
                self._report.problem = ""
                break
        self._send_report()

    def _write(self, lines: bytes) -> None:
        if self._line_sink is not None:
            self._line_sink.write_lines(lines)
        else:
            self._sink.write([json.loads(line) for line in lines.splitlines()])

    def _send_report(self) -> None:
        with suppress(OSError):  # the sensor has ended or is busy; the next report has all counts
            os.write(self._reports, self._report.encode())


def _skip(lines: bytes, count: int) -> bytes:
    """Return lines without the first *count*."""
    start = 0
    for _ in range(count):
        start = lines.index(b"\n", start) + 1
    return lines[start:]


def run_worker(
    sink: Sink, pipes: tuple[int, int], *, name: str, owner: int, confine: Callable[[], None] | None
) -> NoReturn:
    """Run a sink's process. Never returns, so no exit handler of the sensor runs here.

    Args:
        sink: its descriptor stays open.
        pipes: for lines and for reports; see `SinkWorker`.
        name: of the sink.
        owner: the sensor's pid.
        confine: drops the privileges that this process does not need.
    """
    code = 1
    pipe, reports = pipes
    try:
        ignore(IGNORED)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        close_inherited(pipe, reports, sink.fileno())
        set_name(f"sink-{name}")
        if confine is not None:
            confine()
        _limit_time_after(owner)
        SinkWorker(sink, pipe, reports).run()
        code = 0
    except BaseException as error:  # noqa: BLE001 - no caller is left to report it
        with suppress(OSError):
            problem = str(error) if isinstance(error, AuditSenseError) else f"its process failed: {error!r}"
            os.write(reports, SinkReport(problem=problem, stopped=True).encode())
    finally:
        os._exit(code)


def _limit_time_after(owner: int) -> None:
    """Have a stalled write end this process some seconds after the sensor has ended.

    Call it after privileges are dropped, which clears the request.
    """

    def owner_ended(*_: object) -> None:
        signal.alarm(2 * GRACE_S)

    signal.signal(signal.SIGUSR1, owner_ended)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    if os.getppid() != owner:
        owner_ended()
