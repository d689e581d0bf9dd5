"""A sink in a process of its own, so that nobody waits for it.

Fork it before the audit socket and the guardian are there. Documents go to it through a pipe that does not
block, behind a queue with a bound. What finds no room there is dropped, and counted.

Rule 1: nothing in here waits but `close`, and that not for long.
Rule 2: each document given is in exactly one of `Counts.written`, `dropped` and `failed` in the end; until
        then it is in `pending`.
Rule 3: the process of a sink is not trusted: it reads what others send. Whatever it writes, or does not,
        costs a bounded amount of time and memory, and at most that sink.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.errors import AuditSenseError
from auditsense.sinks import SinkError
from auditsense.sinks.worker import GRACE_S, IGNORED, LONGEST_REPORT, REOPEN, Report, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.sinks import Sink

QUEUE_BYTES = 32 << 20
_PIPE_BYTES = 1 << 20  # fs.pipe-max-size, for anybody
_F_SETPIPE_SZ = 1031  # linux/fcntl.h
_STANDSTILL_S = GRACE_S + 2.0  # `close` gives up when nothing has moved for so long
_LONGEST_CLOSE_S = 30.0
_KILLED_S = 1.0
_READS_AT_ONCE = 2  # of 64 KiB, which is what its pipe holds: one that writes without pause waits
_NO_REPORT = "its process wrote something else than reports"


@dataclass(slots=True)
class Counts:
    """What became of the documents of one sink.

    Attributes:
        given: all of them.
        written: they have left the sink.
        dropped: the queue was full.
        failed: the sink refused them, or it was over before they could be written.
        most_queued: bytes that waited in the queue, at the most.
    """

    given: int = 0
    written: int = 0
    dropped: int = 0
    failed: int = 0
    most_queued: int = 0

    @property
    def pending(self) -> int:
        """Documents of which nobody knows yet."""
        return self.given - self.written - self.dropped - self.failed


class Apart:
    """Runs a sink in a process of its own. `start` it, `give` it lines, `tend` it every second, `close` it.

    Args:
        sink: what to run; this process's own copy is closed.
        name: for people.
        queue_bytes: of documents that wait, at the most.
    """

    def __init__(self, sink: Sink, name: str, *, queue_bytes: int = QUEUE_BYTES) -> None:
        self.name = name
        self.counts = Counts()
        self.problem = ""
        """Why it writes nothing at the moment; "" when it does, as far as is known."""
        self.over = False
        """Whether it is of no use any more."""
        self.pid = 0
        """Of its process; 0 when there is none."""
        self._sink = sink
        self._most = queue_bytes
        self._queue: deque[memoryview] = deque()
        self._queued = 0  # bytes in the queue
        self._writing = self._reports = -1
        self._unread = b""

    def start(self, confine: Callable[[], None] | None = None) -> None:
        """Fork. The process must have one thread.

        Args:
            confine: called in the new process, to give up what the sink does not need.

        Raises:
            AuditSenseError: no process or pipe can be had.
        """
        owner = os.getpid()
        # What is sent to all waits until the new process ignores it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
        ends: list[int] = []
        try:
            ends += _pipe()
            ends += _pipe()
            with suppress(OSError):  # too many of this user's are that large
                fcntl.fcntl(ends[1], _F_SETPIPE_SZ, _PIPE_BYTES)
            for end in (ends[1], ends[2], ends[3]):
                os.set_blocking(end, False)
            self.pid = os.fork()
            if self.pid == 0:
                kind = self.name.partition(":")[0]
                serve(self._sink, (ends[0], ends[3]), name=kind, owner=owner, confine=confine)
        except OSError as error:
            for end in ends:
                os.close(end)
            raise AuditSenseError(
                f"cannot start a process for the sink {self.name}: {error.strerror}"
            ) from None
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(ends[0])
        os.close(ends[3])
        self._writing, self._reports = ends[1], ends[2]
        self._sink.close()

    @property
    def queued(self) -> int:
        """Bytes that wait in the queue."""
        return self._queued

    def give(self, lines: bytes, count: int) -> None:
        """Take *count* documents as lines of JSON; drop what finds no room in the queue. Does not wait."""
        self.counts.given += count
        if self.over:
            self.counts.failed += count
            return
        room = self._most - self._queued
        if len(lines) > room:
            fits = lines.rfind(b"\n", 0, max(0, room)) + 1
            self.counts.dropped += lines.count(b"\n", fits)
            lines = lines[:fits]
        if lines:
            self._put(lines)
        self.tend()

    def reopen(self) -> None:
        """Have the sink opened again, after what it was given before."""
        if not self.over:
            self._put(REOPEN)
            self.tend()

    def tend(self) -> None:
        """Pass on what the pipe has room for, and read what the sink reports. Does not wait."""
        self._pass_on()
        self._hear()

    def end(self) -> None:
        """Let it know that nothing more comes, if it could be passed on. Does not wait; `close` does."""
        self.tend()
        if not self._queue:
            self._end_pipe()

    def close(self) -> None:
        """Let it write what it was given, and end it. Waits for as long as it gets on, 30 s at the most.

        What it has not written for 5 s in which nothing moved is given up, and counted as failed.
        """
        begun = moved = time.monotonic()
        before = (-1, -1)
        while (
            self.pid
            and self._reports >= 0
            and (now := time.monotonic()) - moved < _STANDSTILL_S
            and now - begun < _LONGEST_CLOSE_S
        ):
            self.end()
            self._collect(os.WNOHANG)
            state = (self._queued, self.counts.pending)
            if state != before:
                before, moved = state, now
            if self.pid:
                _wait_for(self._writing if self._queue else -1, self._reports, 0.05)
        self._kill()
        self._wait_for_end()
        self._hear()
        self._end_pipe()
        self._end_reports()
        self._give_up()

    def _put(self, lines: bytes) -> None:
        self._queue.append(memoryview(lines))
        self._queued += len(lines)
        self.counts.most_queued = max(self.counts.most_queued, self._queued)

    def _pass_on(self) -> None:
        while self._queue and self._writing >= 0:
            try:
                taken = os.write(self._writing, self._queue[0])
            except BlockingIOError:
                return
            except OSError:  # its process has ended
                self._end_pipe()
                return
            self._queued -= taken
            if taken == len(self._queue[0]):
                self._queue.popleft()
            else:
                self._queue[0] = self._queue[0][taken:]

    def _hear(self) -> None:
        if self.over or self._reports < 0:
            self._collect(os.WNOHANG)
            return
        report: Report | None = None
        ended = False
        try:
            for _ in range(_READS_AT_ONCE):
                chunk = os.read(self._reports, 1 << 16)
                ended = not chunk
                *whole, self._unread = (self._unread + chunk).split(b"\n")
                for line in whole:
                    report = self._checked(Report.decode(line), report)
                if ended or len(self._unread) > LONGEST_REPORT:
                    break
        except BlockingIOError:
            pass
        except (OSError, ValueError):
            self._refuse()
            return
        if len(self._unread) > LONGEST_REPORT:
            self._refuse()
            return
        if report is not None:
            self.counts.written, self.counts.failed = report.written, report.failed
            self.problem, self.over = report.problem, report.over
        if self.over or (ended and self._writing >= 0):  # not because of `close`
            self.over = True
            self.problem = self.problem or "its process was ended"
            self._end_pipe()
            self._give_up()

    def _checked(self, report: Report, before: Report | None) -> Report:
        """Return a report that may be true.

        Raises:
            ValueError: it counts down, or more than was given.
        """
        written, failed = (
            (before.written, before.failed) if before else (self.counts.written, self.counts.failed)
        )
        if report.over and report.written + report.failed == 0:  # its process failed, and counts no more
            report.written, report.failed = written, failed
        if report.written < written or report.failed < failed:
            raise ValueError("counts that go down")
        if report.written + report.failed > self.counts.given - self.counts.dropped:
            raise ValueError("more than was given")
        return report

    def _refuse(self) -> None:
        """End a sink whose process does not keep to what was agreed."""
        self.over = True
        self.problem = _NO_REPORT
        self._end_pipe()
        self._end_reports()
        self._kill()
        self._collect(os.WNOHANG)
        self._give_up()

    def _kill(self) -> None:
        """Kill its process. One of a user with more rights stays; it ends with its pipe."""
        if self.pid:
            with suppress(PermissionError, ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def _give_up(self) -> None:
        """Count what nobody will write."""
        self._queue.clear()
        self._queued = 0
        self.counts.failed += self.counts.pending

    def _wait_for_end(self) -> None:
        """Collect what was killed; for a second at most, for it may be one that could not be."""
        deadline = time.monotonic() + _KILLED_S
        while self.pid:
            self._collect(os.WNOHANG)
            if not self.pid or time.monotonic() > deadline:
                return
            time.sleep(0.005)

    def _end_reports(self) -> None:
        if self._reports >= 0:
            os.close(self._reports)
            self._reports = -1

    def _end_pipe(self) -> None:
        if self._writing >= 0:
            os.close(self._writing)
            self._writing = -1

    def _collect(self, options: int) -> None:
        if not self.pid:
            return
        try:
            if os.waitpid(self.pid, options) != (0, 0):
                self.pid = 0
        except ChildProcessError:  # SIGCHLD may be ignored
            self.pid = 0


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends are none of 0, 1, 2, which may be closed, and are not a pipe's place."""
    ends = os.pipe2(os.O_CLOEXEC)
    if min(ends) > 2:
        return ends
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def _wait_for(writable: int, readable: int, seconds: float) -> None:
    waiter = select.poll()
    if writable >= 0:
        waiter.register(writable, select.POLLOUT)
    if readable >= 0:
        waiter.register(readable, select.POLLIN)
    waiter.poll(seconds * 1000)


class Inside:
    """A sink in this process, where no other one could reach what it writes to: a stream in memory.

    Does what `Apart` does, without its process, and waits.
    """

    pid = 0
    queued = 0

    def __init__(self, sink: Sink, name: str) -> None:
        self.name = name
        self.counts = Counts()
        self.problem = ""
        self.over = False
        self._sink = sink

    def give(self, lines: bytes, count: int) -> None:
        """Write *count* documents; an error is the end of it."""
        self.counts.given += count
        if self.over:
            self.counts.failed += count
            return
        try:
            self._sink.write([json.loads(line) for line in lines.splitlines()])
        except SinkError as error:
            self.problem, self.over = str(error), True
            self.counts.written += error.written
            self.counts.failed += count - error.written
        else:
            self.counts.written += count

    def reopen(self) -> None:
        """Do nothing: it has no name to open it by."""

    def tend(self) -> None:
        """Do nothing: nothing waits."""

    def end(self) -> None:
        """Do nothing: nothing waits."""

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
