"""Handles of started sinks: their interface, counters and a sink that runs in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.sinks import SinkError

if TYPE_CHECKING:
    from auditsense.detect.document_types import SinkFields
    from auditsense.sinks import Sink


@dataclass(slots=True)
class DeliveryCounts:
    """Delivery outcome of one sink's documents.

    Every submitted document ends up in exactly one of `written`, `dropped` and `failed`;
    until then it is `pending`.

    Attributes:
        submitted: all documents.
        written: documents that have left the sink.
        dropped: documents that found the queue full.
        failed: documents that the sink refused, or had not written when it stopped.
        max_queued_bytes: the longest queue so far.
    """

    submitted: int = 0
    written: int = 0
    dropped: int = 0
    failed: int = 0
    max_queued_bytes: int = 0

    @property
    def pending(self) -> int:
        """Documents whose outcome is unknown."""
        return self.submitted - self.written - self.dropped - self.failed


class SinkHandle:
    """A started sink: `send` documents, `poll` it every second, `close` it.

    Attributes:
        name: for people.
        counts: of its documents.
        problem: why the sink writes nothing at the moment; "" if it writes.
        recent_problem: the last `problem`, also if it has passed already; the reader resets it.
        stopped: whether it has stopped for good.
        pid: its process; 0 if it has none.
        queued_bytes: the queue now.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts = DeliveryCounts()
        self.problem = self.recent_problem = ""
        self.stopped = False
        self.pid = 0
        self.queued_bytes = 0

    def send(self, lines: bytes, count: int) -> None:
        """Submit *count* documents as lines of JSON."""
        self.counts.submitted += count
        if self.stopped:
            self.counts.failed += count
        else:
            self._send(lines)

    def _send(self, lines: bytes) -> None:
        raise NotImplementedError

    @property
    def signalled(self) -> tuple[int, ...]:
        """Processes that `close` may kill; a negative number is a process group."""
        return (self.pid,) if self.pid else ()

    def reopen(self) -> None:
        """Reopen the destination, after the documents sent so far."""

    def poll(self) -> None:
        """Write queued documents and read the sink's state, without blocking."""

    def finish(self) -> None:
        """Announce the end of documents, without blocking."""

    def close(self) -> None:
        """Wait for pending documents, and stop the sink."""
        raise NotImplementedError

    def as_dict(self) -> SinkFields:
        """Return the name and the counters as documents have them; `problem` if there is one."""
        counts = self.counts
        fields: SinkFields = {
            "name": self.name,
            "given": counts.submitted,
            "written": counts.written,
            "dropped": counts.dropped,
            "failed": counts.failed,
            "queued_bytes": self.queued_bytes,
            "most_queued_bytes": counts.max_queued_bytes,
        }
        if self.problem:
            fields["problem"] = self.problem
        return fields

    def summary(self) -> str:
        """Return the outcome of the documents in a few words."""
        counts = self.counts
        text = f"{self.name}: {counts.written} documents written"
        if counts.dropped:
            text += f", {counts.dropped} dropped"
        if counts.failed:
            text += f", {counts.failed} failed"
        return f"{text} ({self.problem})" if self.problem else text


class InProcessSink(SinkHandle):
    """Run a sink in this process: for a stream in memory, which no child process could reach. Blocks."""

    def __init__(self, sink: Sink, name: str) -> None:
        super().__init__(name)
        self._sink = sink

    def _send(self, lines: bytes) -> None:
        """Write the documents; an error stops the sink."""
        documents = [json.loads(line) for line in lines.splitlines()]
        written = len(documents)
        try:
            self._sink.write(documents)
        except SinkError as error:
            self.problem, self.stopped = str(error), True
            written = error.written
        self.counts.written += written
        self.counts.failed += len(documents) - written

    def close(self) -> None:
        """Close the sink."""
        self._sink.close()
