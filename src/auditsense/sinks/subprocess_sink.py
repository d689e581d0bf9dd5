"""A sink in a child process, so that a blocked destination never blocks the sensor.

Rule 1: nothing blocks except `close`, which is bounded.
Rule 2: the child process is not trusted, because it reads input from the network. Whatever it writes, or
        fails to write, costs bounded time and memory, and at most that sink.
"""

from __future__ import annotations

import fcntl
import os
import select
import time
from collections import deque
from contextlib import suppress
from signal import SIGKILL
from typing import TYPE_CHECKING

from auditsense._child_process import has_exited, pipe, signals_blocked, wait_for_exit
from auditsense.errors import AuditSenseError
from auditsense.sinks.handle import SinkHandle
from auditsense.sinks.worker import GRACE_S, IGNORED, MAX_REPORT_BYTES, REOPEN, SinkReport, run_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.sinks import Sink

QUEUE_BYTES = 32 << 20
_PIPE_BYTES = 1 << 20  # the default of fs.pipe-max-size
_F_SETPIPE_SZ = 1031  # linux/fcntl.h
_STALL_S = GRACE_S + 2.0
_MAX_CLOSE_S = 30.0
_REAP_S = 1.0
_READS_PER_POLL = 2  # of 64 KiB, the size of the pipe: bounds a process that writes without pause
_NOT_A_REPORT = "its process sent an invalid report"


class SinkProcess(SinkHandle):
    """Run a sink in a child process, so that a blocked destination never blocks the sensor.

    Documents travel through a non-blocking pipe behind a bounded queue. Documents that do not fit are dropped
    and counted.

    Fork before opening the audit socket and before starting the guardian; the child must inherit neither.

    Args:
        sink: what to run; `start` closes this process's copy.
        name: for people.
        queue_bytes: limit of the queue.
    """

    def __init__(self, sink: Sink, name: str, *, queue_bytes: int = QUEUE_BYTES) -> None:
        super().__init__(name)
        self._sink = sink
        self._max_bytes = queue_bytes
        self._queue: deque[memoryview] = deque()
        self._pipe = self._reports = -1
        self._unread = b""
        self._token = ""
        self._ended = False  # whether no process can report any more

    def start(self, confine: Callable[[], None] | None = None, keep: Sequence[int] = ()) -> None:
        """Fork. The process must have one thread.

        Args:
            confine: called in the child to drop the privileges that the sink does not need.
            keep: descriptors that stay open in the child, next to that of the sink.

        Raises:
            AuditSenseError: no process or pipe is available.
        """
        owner = os.getpid()
        ends: list[int] = []
        try:
            ends += pipe()
            ends += pipe()
            with suppress(OSError):  # this user's pipes are over the limit
                fcntl.fcntl(ends[1], _F_SETPIPE_SZ, _PIPE_BYTES)
            for end in ends[1:]:
                os.set_blocking(end, False)
            with signals_blocked(IGNORED):
                self.pid = os.fork()
                if self.pid == 0:
                    kind = self.name.partition(":")[0]
                    run_worker(
                        self._sink,
                        (ends[0], ends[3]),
                        name=kind,
                        owner=owner,
                        confine=confine,
                        token=self._token,
                        keep=keep,
                    )
        except OSError as error:
            for end in ends:
                os.close(end)
            raise AuditSenseError(
                f"cannot start a process for the sink {self.name}: {error.strerror}"
            ) from None
        os.close(ends[0])
        os.close(ends[3])
        self._pipe, self._reports = ends[1], ends[2]
        self._sink.close()

    def _send(self, lines: bytes) -> None:
        """Queue the documents; drop those that do not fit."""
        if fitting := self._drop_excess(lines, self.queued_bytes):
            self._enqueue(fitting)
        self.poll()

    def _drop_excess(self, lines: bytes, used: int) -> bytes:
        """Return the documents that fit next to *used* bytes; count the others as dropped."""
        free = self._max_bytes - used
        if len(lines) > free:
            end = lines.rfind(b"\n", 0, max(0, free)) + 1
            self.counts.dropped += lines.count(b"\n", end)
            lines = lines[:end]
        return lines

    def reopen(self) -> None:
        """Have the sink reopened, after the documents sent so far."""
        if not self.stopped:
            self._enqueue(REOPEN)
            self.poll()

    def poll(self) -> None:
        """Write what fits into the pipe, and read reports. Does not block."""
        self._write_queue()
        self._read_reports()

    def finish(self) -> None:
        """Close the pipe if the queue is empty. Does not block."""
        self.poll()
        if not self._queue:
            self._close_pipe()

    def close(self) -> None:
        """Wait for pending documents, and end the process.

        Waits 30 s at most, and 5 s without progress. Documents still pending then are counted as failed.
        """
        started = moved = time.monotonic()
        before = (-1, -1)
        while (
            self._is_running()
            and (now := time.monotonic()) - moved < _STALL_S
            and now - started < _MAX_CLOSE_S
        ):
            self.finish()
            self._reap()
            state = (self.queued_bytes, self.counts.pending)
            if state != before:
                before, moved = state, now
            if self._is_running():
                _wait(self._pipe if self._queue else -1, self._reports, 0.05)
        self._kill()
        if self.pid and wait_for_exit(self.pid, _REAP_S):  # a process that may not be killed stays
            self.pid = 0
        self._read_reports()
        self._close_pipe()
        self._close_reports()
        self._fail_pending()

    def _is_running(self) -> bool:
        return self.pid != 0 and self._reports >= 0

    def _enqueue(self, lines: bytes) -> None:
        self._queue.append(memoryview(lines))
        self.queued_bytes += len(lines)
        self.counts.max_queued_bytes = max(self.counts.max_queued_bytes, self.queued_bytes)

    def _write_queue(self) -> None:
        while self._queue and self._pipe >= 0:
            try:
                written = os.write(self._pipe, self._queue[0])
            except BlockingIOError:
                return
            except OSError:  # the process has ended
                self._close_pipe()
                return
            self.queued_bytes -= written
            if written == len(self._queue[0]):
                self._queue.popleft()
            else:
                self._queue[0] = self._queue[0][written:]

    def _read_reports(self) -> None:
        if self.stopped or self._reports < 0:
            self._reap()
            return
        ended = False
        try:
            for _ in range(_READS_PER_POLL):
                chunk = os.read(self._reports, 1 << 16)
                ended = not chunk
                *lines, self._unread = (self._unread + chunk).split(b"\n")
                for line in lines:
                    self._apply(SinkReport.decode(line))
                if ended or len(self._unread) > MAX_REPORT_BYTES:
                    break
            self._ended = ended
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._reject()
            return
        if len(self._unread) > MAX_REPORT_BYTES:
            self._reject()
            return
        if self.stopped or (ended and self._pipe >= 0):  # not because of `close`
            self.stopped = True
            self.problem = self.problem or "its process was ended"
            self._close_pipe()
            self._fail_pending()

    def _apply(self, report: SinkReport) -> None:
        """Take over the counts of a report.

        Raises:
            ValueError: they are lower than before, or higher than the documents sent.
        """
        counts = self.counts
        if not report.stopped or report.written or report.failed:  # else the process failed, without counts
            if report.generation:
                raise ValueError("this process is not restarted")
            if report.written < counts.written or report.failed < counts.failed:
                raise ValueError("counts went down")
            if report.written + report.failed > counts.submitted - counts.dropped:
                raise ValueError("more than submitted")
            counts.written, counts.failed = report.written, report.failed
        self._set_state(report)

    def _set_state(self, report: SinkReport) -> None:
        self.problem, self.stopped = report.problem, report.stopped
        self.recent_problem = report.problem or self.recent_problem

    def _reject(self) -> None:
        """Stop a sink whose process violates the protocol."""
        self.stopped = True
        self.problem = _NOT_A_REPORT
        self._close_pipe()
        self._close_reports()
        self._kill()
        self._reap()
        self._fail_pending()

    def _kill(self) -> None:
        """Kill the process. One of a user with more rights survives, and ends with its pipe."""
        if self.pid:
            with suppress(PermissionError, ProcessLookupError):
                os.kill(self.pid, SIGKILL)

    def _fail_pending(self) -> None:
        self._queue.clear()
        self.queued_bytes = 0
        self.counts.failed += self.counts.pending

    def _close_reports(self) -> None:
        if self._reports >= 0:
            os.close(self._reports)
            self._reports = -1

    def _close_pipe(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1

    def _reap(self) -> None:
        if self.pid and has_exited(self.pid):
            self.pid = 0


def _wait(writable: int, readable: int, seconds: float) -> None:
    poll = select.poll()
    if writable >= 0:
        poll.register(writable, select.POLLOUT)
    if readable >= 0:
        poll.register(readable, select.POLLIN)
    poll.poll(seconds * 1000)
