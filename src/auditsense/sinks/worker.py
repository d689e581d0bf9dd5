"""The child process of a sink: it may block, so that the sensor never does.

It reads lines from a pipe, one per document (or a command, which begins with "!"), and writes reports into
another pipe, which the sensor polls.

Rule 1: it ends when the pipe does, whatever ended the sensor, after writing what came through the pipe. Only
        then, a sink that fails or stalls gets a few seconds at most.
Rule 2: it ignores signals that a terminal or a service manager sends to the whole process group, so that the
        last documents get out.
Rule 3: it keeps no capability and no descriptor except its sink's.

A `CommittingSink` has a keeper as well: a process that starts the worker again when a signal has ended it.
The pipe may then begin within a document, and the sensor sends again what was not reported (ADR 29).
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, NoReturn

from auditsense._child_process import GROUP_SIGNALS, close_inherited, ignore, libc, set_name
from auditsense.errors import AuditSenseError
from auditsense.sinks import CommittingSink, LineSink, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
_SMALL_BYTES = 1 << 16  # a write of this size or more does not wait for more documents
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(slots=True)
class SinkReport:
    """State of a sink, as its process reports it.

    Attributes:
        written: documents, since the start.
        failed: documents that the sink refused, or had not written when it stopped.
        problem: why it writes nothing at the moment; "" if it writes.
        stopped: whether it has stopped for good.
        generation: how often its worker was restarted; the counts begin at 0 with each.
    """

    written: int = 0
    failed: int = 0
    problem: str = ""
    stopped: bool = False
    generation: int = 0

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
        if not all(0 <= n <= _MAX_COUNT for n in (report.written, report.failed, report.generation)):
            raise ValueError("out of bounds")
        report.problem = report.problem[:_MAX_PROBLEM]
        return report


_FIELD_TYPES = {"written": int, "failed": int, "problem": str, "stopped": bool, "generation": int}


class _SinkStoppedError(Exception):
    """The sink will not write any more."""


class _KeeperEndedError(Exception):
    """The keeper of this worker has ended."""


class SinkWorker:
    """Write the documents that come through a pipe.

    Args:
        sink: the destination.
        pipe: the pipe with the lines.
        reports: the pipe for reports; does not block.
        generation: how many workers of this sink were ended before.
        token: of the sensor; see `resume_mark`.
    """

    def __init__(self, sink: Sink, pipe: int, reports: int, generation: int = 0, token: str = "") -> None:
        self._sink = sink
        self._pipe = pipe
        self._reports = reports
        self._report = SinkReport(generation=generation)
        self._resume = resume_mark(token, generation) if generation else b""  # b"": it has come
        self._line_sink = sink if isinstance(sink, LineSink) and sink.as_lines else None
        self._committing_sink = sink if isinstance(sink, CommittingSink) else None
        self._keeper_ended = self._idle = False
        self._hangup = select.poll()
        self._hangup.register(pipe, 0)  # POLLHUP is always reported, even while there is data to read

    def run(self) -> None:
        """Write until the pipe ends."""
        unread = b""
        try:
            self._start()
            while chunk := self._read():
                started_s = time.monotonic()
                lines, end, rest = chunk.rpartition(b"\n")
                if not end:
                    unread += chunk
                    continue
                self._process(unread + lines + end)
                unread = rest
                self._wait_for_more(len(chunk), started_s)
        except _SinkStoppedError:
            self._report.stopped = True
        os.set_blocking(self._reports, True)  # the last report must arrive
        self._send_report()
        self._sink.close()

    def notice_keeper_ended(self, *_: object) -> None:
        """Have `run` raise between two writes. For a signal handler."""
        self._keeper_ended = True
        if self._idle:
            raise _KeeperEndedError

    def _read(self) -> bytes:
        self._idle = True
        try:
            if self._keeper_ended:
                raise _KeeperEndedError
            return os.read(self._pipe, _READ_BYTES)
        finally:
            self._idle = False

    def _start(self) -> None:
        if self._committing_sink is None:
            return
        try:
            self._committing_sink.start()
        except SinkError as error:
            self._report.problem = str(error)
            if error.final:
                raise _SinkStoppedError from None
            self._send_report()

    def _wait_for_more(self, size: int, started_s: float) -> None:
        """After a small write, wait until documents for the next one have gathered, or the pipe has ended."""
        if self._committing_sink is not None and size < _SMALL_BYTES:
            rest_s = started_s + self._committing_sink.batch_s - time.monotonic()
            if rest_s > 0:
                self._hangup.poll(rest_s * 1000)

    def _process(self, lines: bytes) -> None:
        if self._resume:
            lines = self._recover(lines)
        while lines:
            if lines.startswith(REOPEN):
                lines = lines[len(REOPEN) :]
                self._reopen()
                continue
            end = lines.find(b"\n!") + 1 or len(lines)  # a line of JSON never begins with "!"
            self._deliver(lines[:end])
            lines = lines[end:]

    def _recover(self, lines: bytes) -> bytes:
        """Write what the pipe held when the previous worker ended, without counting it.

        It may begin within a document. The rest of a document is never a valid object, so it is left out.
        The sensor sends all of it again, unless the sensor has ended as well: then this saves it.

        Returns:
            The lines after the mark of the sensor; b"" if it has not come yet.
        """
        before, mark, after = lines.partition(self._resume)
        self._deliver(b"".join(line + b"\n" for line in before.split(b"\n") if _is_object(line)))
        if mark:
            self._resume = b""
            self._report.written = self._report.failed = 0
        return after

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
        report = replace(self._report, written=0, failed=0) if self._resume else self._report
        with suppress(OSError):  # the sensor has ended or is busy; the next report has all counts
            os.write(self._reports, report.encode())


def resume_mark(token: str, generation: int) -> bytes:
    """Return the line after which the sensor sends again what was not reported.

    Args:
        token: random, so that no document can contain the line.
        generation: of the worker that it is for.
    """
    return b"!resume %s %d\n" % (token.encode(), generation)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _skip(lines: bytes, count: int) -> bytes:
    """Return lines without the first *count*."""
    start = 0
    for _ in range(count):
        start = lines.index(b"\n", start) + 1
    return lines[start:]


def run_worker(  # noqa: PLR0913 - what a process needs to know
    sink: Sink,
    pipes: tuple[int, int],
    *,
    name: str,
    owner: int,
    confine: Callable[[], None] | None,
    token: str = "",
    keep: Sequence[int] = (),
) -> NoReturn:
    """Run a sink's process. Never returns, so no exit handler of the sensor runs here.

    Args:
        sink: its descriptor stays open.
        pipes: for lines and for reports; see `SinkWorker`.
        name: of the sink.
        owner: the sensor's pid.
        confine: drops the privileges that this process does not need.
        token: see `resume_mark`; a sink with a token has a keeper.
        keep: further descriptors that stay open.
    """
    code = 1
    pipe, reports = pipes
    try:
        ignore(IGNORED)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        close_inherited(pipe, reports, sink.fileno(), *keep)
        set_name(f"{'keep' if token else 'sink'}-{name}")
        if token:
            os.setpgid(0, 0)  # for the sensor, which kills keeper and worker at once
        if confine is not None:
            confine()
        _limit_time_after(owner)
        if token:
            _keep_worker(sink, pipes, name, token)
        else:
            SinkWorker(sink, pipe, reports).run()
        code = 0
    except BaseException as error:  # noqa: BLE001 - no caller is left to report it
        _report_failure(reports, error, 0)
    finally:
        os._exit(code)


def _keep_worker(sink: Sink, pipes: tuple[int, int], name: str, token: str, first: int = 0) -> None:
    """Run the worker in a child process, and start another one whenever a signal ends it.

    When the keeper itself has ended, its worker becomes the keeper, and starts another worker.
    """
    pause_s = _FIRST_PAUSE_S
    pipe, reports = pipes
    for generation in itertools.count(first):
        started_s = time.monotonic()
        keeper = os.getpid()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                set_name(f"sink-{name}")
                worker = SinkWorker(sink, pipe, reports, generation, token)
                _notify_of_end(keeper, worker.notice_keeper_ended)
                worker.run()
                code = 0
            except _KeeperEndedError:
                signal.signal(signal.SIGUSR1, signal.SIG_IGN)
                set_name(f"keep-{name}")
                sink.close()
                problem = "its keeper was ended; its worker took over, and another one was started"
                _write_whole(reports, SinkReport(problem=problem, generation=generation + 1).encode())
                _keep_worker(sink, pipes, name, token, generation + 1)
                code = 0
            except BaseException as error:  # noqa: BLE001 - no caller is left to report it
                _report_failure(reports, error, generation)
            finally:
                os._exit(code)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):
            return
        number = signal.Signals(os.WTERMSIG(status)).name
        report = SinkReport(
            problem=f"its process was ended by {number}; another one was started", generation=generation + 1
        )
        _write_whole(reports, report.encode())
        if time.monotonic() - started_s > _MAX_PAUSE_S:
            pause_s = _FIRST_PAUSE_S
        time.sleep(pause_s)
        pause_s = min(_MAX_PAUSE_S, 2 * pause_s)


def _write_whole(descriptor: int, report: bytes) -> None:
    """Write a report that must arrive, and wait for space; does nothing when the sensor has ended."""
    writable = select.poll()
    writable.register(descriptor, select.POLLOUT)
    with suppress(BrokenPipeError):
        while True:
            try:
                os.write(descriptor, report)
            except BlockingIOError:
                writable.poll()
            else:
                return


def _report_failure(reports: int, error: BaseException, generation: int) -> None:
    problem = str(error) if isinstance(error, AuditSenseError) else f"its process failed: {error!r}"
    with suppress(OSError):
        os.write(reports, SinkReport(problem=problem, stopped=True, generation=generation).encode())


def _limit_time_after(owner: int) -> None:
    """Have a stalled write end this process some seconds after the sensor has ended.

    Call it after privileges are dropped, which clears the request.
    """

    def owner_ended(*_: object) -> None:
        signal.alarm(2 * GRACE_S)

    _notify_of_end(owner, owner_ended)


def _notify_of_end(parent: int, handler: Callable[..., None]) -> None:
    """Have a handler called when the parent of this process ends, also if it has ended already."""
    signal.signal(signal.SIGUSR1, handler)
    libc().prctl(_PR_SET_PDEATHSIG, int(signal.SIGUSR1), 0, 0, 0)
    if os.getppid() != parent:
        handler()
