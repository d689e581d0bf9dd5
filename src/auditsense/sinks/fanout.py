"""Fan-out of documents to several sinks; a sink that fails does not affect the others.

Documents report when a sink begins to fail or to drop, and when it has recovered. They go to all sinks. The
affected sink gets them once it accepts documents again, between those before and after the gap.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.detect.ecs import sink_document
from auditsense.sinks import SinkError
from auditsense.sinks.format import jsonl

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.detect.document_types import Document, SinkFields
    from auditsense.detect.host import Host
    from auditsense.sinks.handle import SinkHandle

_QUEUED_POLL_S = 0.05  # a pipe of 1 MiB then drains a queue at 20 MiB/s
_RECOVERY_S = 5.0  # without trouble
_STATES = ("", "failing", "dropping", "over")
"""In order of severity; part of a document's rule id."""


@dataclass(slots=True)
class _Trouble:
    """Trouble of one sink, as far as it was reported.

    Attributes:
        reported: one of `_STATES`.
        base: documents dropped and failed before the trouble began.
        lost: documents dropped and failed at the last poll.
        last_s: time of the last trouble.
    """

    reported: str = ""
    base: tuple[int, int] = (0, 0)
    lost: tuple[int, int] = (0, 0)
    last_s: float = 0.0

    def update(self, sink: SinkHandle, now_s: float) -> str:
        """Return a message about a change that was not reported yet; "" if there is none."""
        lost = (sink.counts.dropped, sink.counts.failed)
        recent, sink.recent_problem = sink.recent_problem, ""
        if sink.stopped:
            state = "over"
        elif lost != self.lost:
            state = "dropping"
        else:
            state = "failing" if sink.problem or recent else ""
        before, self.lost = self.lost, lost
        if state:
            self.last_s = now_s
        if _STATES.index(state) > _STATES.index(self.reported):
            if not self.reported:
                self.base = before
            self.reported = state
            return _message(sink, state, sink.problem or recent)
        if state or not self.reported or sink.queued_bytes or now_s - self.last_s < _RECOVERY_S:
            return ""
        self.reported = ""
        dropped, failed = (now - base for now, base in zip(lost, self.base, strict=True))
        return f"sink {sink.name} recovered; {dropped} documents were dropped and {failed} failed"


def _message(sink: SinkHandle, state: str, problem: str) -> str:
    reason = f": {problem}" if problem else ""
    if state == "over":
        return f"sink {sink.name} stopped{reason}; no more documents are sent to it"
    if state == "failing":
        return f"sink {sink.name} fails{reason}; documents wait in its queue"
    return f"sink {sink.name} drops documents{reason or ', because it is too slow'}"


class SinkSet:
    """Send documents to several sinks without blocking.

    Args:
        sinks: started sinks.
        host: this host, for documents about sinks.
        required: names of the sinks whose end is an error.
        wall_ms: the time, ms since 1970 UTC.
    """

    def __init__(
        self,
        sinks: Sequence[SinkHandle],
        host: Host,
        *,
        required: frozenset[str] = frozenset(),
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.sinks = tuple(sinks)
        self._host = host
        self._required = required
        self._wall_ms = wall_ms
        self._troubles = [_Trouble() for _ in self.sinks]
        self._reopen = False

    def send(self, documents: Sequence[Document]) -> None:
        """Send documents to all sinks. Does not block."""
        if not documents:
            return
        lines = "".join(jsonl(document) + "\n" for document in documents).encode()
        for sink in self.sinks:
            sink.send(lines, len(documents))

    def poll(self) -> list[Document]:
        """Poll the sinks; call it every second at least. Does not block.

        Returns:
            Documents about sinks, which were sent to the sinks too.

        Raises:
            SinkError: a required sink has stopped, or all sinks have.
        """
        if self._reopen:
            self._reopen = False
            for sink in self.sinks:
                sink.reopen()
        now_s = time.monotonic()
        documents: list[Document] = []
        for sink, trouble in zip(self.sinks, self._troubles, strict=True):
            sink.poll()
            message = trouble.update(sink, now_s)
            if message:
                state = trouble.reported or "recovered"
                documents.append(
                    sink_document(
                        self._host, ms=self._wall_ms(), state=state, message=message, sink=sink.as_dict()
                    )
                )
        self._check()
        self.send(documents)
        return documents

    @property
    def signalled(self) -> tuple[int, ...]:
        """Processes that `close` may kill; see `SinkHandle.signalled`."""
        return tuple(pid for sink in self.sinks for pid in sink.signalled)

    def timeout_s(self) -> float:
        """Return the seconds until the next `poll` is due."""
        return _QUEUED_POLL_S if any(sink.queued_bytes for sink in self.sinks) else 1.0

    def request_reopen(self) -> None:
        """Have the next `poll` reopen all sinks. For a signal handler."""
        self._reopen = True

    def close(self) -> None:
        """Wait for pending documents, in parallel, and stop all sinks; see `SinkProcess.close`.

        Raises:
            SinkError: as `poll`; all sinks have stopped nevertheless.
        """
        for sink in self.sinks:
            sink.finish()
        for sink in self.sinks:
            sink.close()
        self._check()

    def _check(self) -> None:
        for sink in self.sinks:
            if sink.stopped and sink.name in self._required:
                raise SinkError(sink.problem)
        if self.sinks and all(sink.stopped for sink in self.sinks):
            problems = (f"{sink.name}: {sink.problem}" for sink in self.sinks)
            raise SinkError(f"no sink is left; {'; '.join(problems)}")

    def summary(self) -> str:
        """Return the outcome of the documents of each sink, in one line."""
        return "; ".join(sink.summary() for sink in self.sinks)

    def lossy(self) -> bool:
        """Return whether any sink has dropped or failed documents."""
        return any(sink.counts.dropped or sink.counts.failed for sink in self.sinks)

    def counts(self) -> list[SinkFields]:
        """Return the name and the counters of each sink; see `SinkHandle.as_dict`."""
        return [sink.as_dict() for sink in self.sinks]
