"""Several sinks at once, each apart: what one cannot take the others get all the same.

Says when a sink begins to fail or to drop, and when it is well again, as documents that go to all of them: to
the sink in question when it takes something again, after what it still gets and before what comes then.
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

    from auditsense.detect.ecs import Document
    from auditsense.detect.host import Host
    from auditsense.sinks.subprocess_sink import Apart, Inside

_SOON_S = 0.05  # with a pipe of 1 MiB that is 20 MiB a second, of what had to wait
_QUIET_S = 5.0  # without trouble, until it is over
_RANKS = ("", "failing", "dropping", "over")


@dataclass(slots=True)
class _Trouble:
    """What was said of one sink.

    Attributes:
        said: one of `_RANKS`.
        since: documents dropped and failed before that began.
        seen: the same at the last look.
        last_s: when there was trouble last.
    """

    said: str = ""
    since: tuple[int, int] = (0, 0)
    seen: tuple[int, int] = (0, 0)
    last_s: float = 0.0


class Sinks:
    """Gives documents to several sinks, and waits for none of them.

    Args:
        sinks: that were started.
        host: this host, for what is said about them.
        needed: names of those without which there is no sense in going on.
        wall_ms: the time, ms since 1970 UTC.
    """

    def __init__(
        self,
        sinks: Sequence[Apart | Inside],
        host: Host,
        *,
        needed: frozenset[str] = frozenset(),
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self.sinks = tuple(sinks)
        self._host = host
        self._needed = needed
        self._wall_ms = wall_ms
        self._troubles = [_Trouble() for _ in self.sinks]
        self._reopen = False

    def write(self, documents: Sequence[Document]) -> None:
        """Give all of them documents. Does not wait."""
        if not documents:
            return
        lines = "".join(jsonl(document) + "\n" for document in documents).encode()
        for one in self.sinks:
            one.give(lines, len(documents))

    def tend(self) -> list[Document]:
        """Look after the sinks: to be called every second at least. Does not wait.

        Returns:
            What had to be said about them; they were given it as well.

        Raises:
            SinkError: one that is needed is over, or all of them are.
        """
        if self._reopen:
            self._reopen = False
            for one in self.sinks:
                one.reopen()
        now_s = time.monotonic()
        said: list[Document] = []
        for one, trouble in zip(self.sinks, self._troubles, strict=True):
            one.tend()
            message = _change(one, trouble, now_s)
            if message:
                said.append(self._document(one, trouble.said or "recovered", message))
        self._check()
        self.write(said)
        return said

    def wait_s(self) -> float:
        """Return the seconds until `tend` wants to be called."""
        return _SOON_S if any(one.queued for one in self.sinks) else 1.0

    def ask_to_reopen(self) -> None:
        """Have the next `tend` make all of them begin anew at the same place. For a signal handler."""
        self._reopen = True

    def close(self) -> None:
        """Let them write what they were given, and end them, side by side; see `Apart.close`.

        Raises:
            SinkError: as `tend`; they have ended all the same.
        """
        for one in self.sinks:
            one.end()
        for one in self.sinks:
            one.close()
        self._check()

    def _check(self) -> None:
        for one in self.sinks:
            if one.over and one.name in self._needed:
                raise SinkError(one.problem)
        if self.sinks and all(one.over for one in self.sinks):
            raise SinkError(
                "no sink is left; " + "; ".join(f"{one.name}: {one.problem}" for one in self.sinks)
            )

    def summary(self) -> str:
        """Return what became of the documents, in one line; names and counts of each sink."""
        return "; ".join(f"{one.name}: {_counted(one)}" for one in self.sinks)

    def lossy(self) -> bool:
        """Return whether any sink has not got everything."""
        return any(one.counts.dropped or one.counts.failed for one in self.sinks)

    def counts(self) -> list[dict[str, str | int]]:
        """Return the name and the counters of each sink; `problem` where there is one."""
        return [_counts(one) for one in self.sinks]

    def _document(self, one: Apart | Inside, state: str, message: str) -> Document:
        return sink_document(self._host, ms=self._wall_ms(), state=state, message=message, sink=_counts(one))


def _counts(one: Apart | Inside) -> dict[str, str | int]:
    counts = one.counts
    found: dict[str, str | int] = {
        "name": one.name,
        "given": counts.given,
        "written": counts.written,
        "dropped": counts.dropped,
        "failed": counts.failed,
        "queued_bytes": one.queued,
        "most_queued_bytes": counts.most_queued,
    }
    return found | {"problem": one.problem} if one.problem else found


def _change(one: Apart | Inside, trouble: _Trouble, now_s: float) -> str:
    """Return what there is to say about a sink that was not said yet; "" for nothing."""
    lost = (one.counts.dropped, one.counts.failed)
    if one.over:
        state = "over"
    elif lost != trouble.seen:
        state = "dropping"
    else:
        state = "failing" if one.problem else ""
    before, trouble.seen = trouble.seen, lost
    if state:
        trouble.last_s = now_s
    if _RANKS.index(state) > _RANKS.index(trouble.said):
        if not trouble.said:
            trouble.since = before
        trouble.said = state
        return _begins(one, state)
    if state or not trouble.said or one.queued or now_s - trouble.last_s < _QUIET_S:
        return ""
    trouble.said = ""
    dropped, failed = (now - then for now, then in zip(lost, trouble.since, strict=True))
    return f"the sink {one.name} writes again; {dropped} documents were dropped and {failed} failed meanwhile"


def _begins(one: Apart | Inside, state: str) -> str:
    why = f": {one.problem}" if one.problem else ""
    if state == "over":
        return f"the sink {one.name} is over{why}; it gets nothing any more"
    if state == "failing":
        return f"the sink {one.name} fails{why}; documents wait in its queue"
    why = why or ", because it takes less than comes"
    return f"the sink {one.name} does not get all documents{why}"


def _counted(one: Apart | Inside) -> str:
    counts = one.counts
    said = f"{counts.written} documents written"
    if counts.dropped:
        said += f", {counts.dropped} dropped"
    if counts.failed:
        said += f", {counts.failed} failed"
    return f"{said} ({one.problem})" if one.problem else said
