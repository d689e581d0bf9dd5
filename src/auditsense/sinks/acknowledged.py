"""A sink in a child process that acknowledges documents: ending that process loses none of them.

The sensor holds each document until the sink's process has reported it as written. When a signal ends the
worker, its keeper starts another one and announces a new generation. The sensor then sends everything again
that it holds. The sink ignores the documents that it has already (ADR 29).
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from signal import SIGKILL
from typing import TYPE_CHECKING

from auditsense.sinks import CommittingSink
from auditsense.sinks.subprocess_sink import QUEUE_BYTES, SinkProcess
from auditsense.sinks.worker import resume_mark

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.sinks import Sink
    from auditsense.sinks.worker import SinkReport


@dataclass(slots=True)
class _Held:
    """Lines of one call that are not all reported.

    Attributes:
        lines: one per document.
        count: of the documents.
    """

    lines: bytes
    count: int


class AcknowledgedSinkProcess(SinkProcess):
    """Run a `CommittingSink` in a child process, and hold its documents until they are committed.

    Held documents count towards the limit of the queue; those that do not fit are dropped and counted.

    Args:
        sink: what to run; `start` closes this process's copy.
        name: for people.
        queue_bytes: limit of held documents.
    """

    def __init__(self, sink: CommittingSink, name: str, *, queue_bytes: int = QUEUE_BYTES) -> None:
        super().__init__(sink, name, queue_bytes=queue_bytes)
        self._token = os.urandom(8).hex()
        self._held: deque[_Held] = deque()
        self._held_bytes = 0
        self._reported = 0  # documents of the first held entry that are reported
        self._generation = 0
        self._group = 0  # process group of keeper and worker
        self._base = (0, 0)  # documents written and failed in earlier generations

    def start(self, confine: Callable[[], None] | None = None, keep: Sequence[int] = ()) -> None:
        """Fork; see `SinkProcess.start`. The keeper and its workers are a process group."""
        super().start(confine, keep)
        self._group = self.pid
        with suppress(OSError):  # it has done so itself, or has another user already
            os.setpgid(self.pid, self.pid)

    @property
    def signalled(self) -> tuple[int, ...]:
        """See `SinkHandle`: the keeper, and the group of keeper and worker."""
        return (self.pid, -self._group) if self._group else ()

    def finish(self) -> None:
        """Close the pipe if every document is committed. Does not block."""
        self.poll()
        if not self._held and not self._queue:
            self._close_pipe()

    def _send(self, lines: bytes) -> None:
        if fitting := self._drop_excess(lines, self._held_bytes):
            self._held.append(_Held(fitting, fitting.count(b"\n")))
            self._held_bytes += len(fitting)
            self._enqueue(fitting)
        self.poll()

    def _is_running(self) -> bool:
        """Return whether documents may still be reported: the worker outlives its keeper."""
        return self._reports >= 0 and not (self.stopped or self._ended)

    def _apply(self, report: SinkReport) -> None:
        """Take over the counts of a report, and stop holding what it reports.

        Raises:
            ValueError: they are lower than before, or higher than the documents sent.
        """
        if report.generation not in {self._generation, self._generation + 1}:
            raise ValueError("a generation is missing")
        if report.generation > self._generation:
            self._generation = report.generation
            self._base = (self.counts.written, self.counts.failed)
            self._send_again()
        written, failed = self._base[0] + report.written, self._base[1] + report.failed
        counts = self.counts
        if not report.stopped or report.written or report.failed:  # else the process failed, without counts
            if written < counts.written or failed < counts.failed:
                raise ValueError("counts went down")
            if written + failed > counts.submitted - counts.dropped:
                raise ValueError("more than submitted")
            self._release(written + failed - counts.written - counts.failed)
            counts.written, counts.failed = written, failed
        self._set_state(report)

    def _release(self, count: int) -> None:
        """Stop holding the *count* oldest documents."""
        self._reported += count
        while self._held and self._reported >= self._held[0].count:
            entry = self._held.popleft()
            self._reported -= entry.count
            self._held_bytes -= len(entry.lines)

    def _send_again(self) -> None:
        """Queue all held documents for a new worker, after a mark.

        The line end before the mark completes a line that was sent in part.
        """
        self._queue.clear()
        self.queued_bytes = 0
        if self._held and self._reported:
            first = self._held[0]
            lines = first.lines.split(b"\n", self._reported)[-1]
            self._held_bytes -= len(first.lines) - len(lines)
            self._held[0] = _Held(lines, first.count - self._reported)
            self._reported = 0
        self._enqueue(b"\n" + resume_mark(self._token, self._generation))
        for entry in self._held:
            self._enqueue(entry.lines)

    def _kill(self) -> None:
        """Kill the keeper and its worker; see `SinkProcess._kill`."""
        if self._group and not self._ended:  # as long as one of them runs, the number is theirs
            with suppress(PermissionError, ProcessLookupError):
                os.killpg(self._group, SIGKILL)
        super()._kill()

    def _fail_pending(self) -> None:
        self._held.clear()
        self._held_bytes = self._reported = 0
        super()._fail_pending()


def sink_process(sink: Sink, name: str) -> SinkProcess:
    """Return the kind of process that a sink needs."""
    if isinstance(sink, CommittingSink):
        return AcknowledgedSinkProcess(sink, name)
    return SinkProcess(sink, name)
