"""Hits to alerts: what a person needs, made of what the core says.

A process that goes on and on completes a sequence with every open. One alert says it when it
starts; the rest of the burst is counted, and one closing document gives the total when nothing
more came for the suppression time.

Rule 1: time is event time; `advance` is how whoever has a clock lets it pass.
Rule 2: nothing grows without bound: bursts and alerts per interval have a limit, and what is
        over it is counted.
"""

from __future__ import annotations

import itertools
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from auditsense.detections.fields import HOST, field
from auditsense.documents import Document, alert_document
from auditsense.value import changed, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditsense.detections.model import Detection
    from auditsense.hit import Hit
    from auditsense.host import Host


@value
class AlertPolicy:
    """When to speak.

    Attributes:
        suppress_ms: further sequences of a burst are counted, not sent, until none came for so long.
        max_alerts: alerts sent per interval at most.
        interval_ms: that interval, of event time.
        max_bursts: bursts followed at a time; when there are more, the one that was quiet longest is
            closed early.
        update_ms: while a burst goes on, an update says its count so far each time so much event time has
            passed since it was last spoken of; 0: no updates. What an update counts depends on how often
            the hits are drained; alerts and closing documents do not.
        by: the fields that tell which sequences are one burst, beside the detection and the host, as
            ``("user.id",)`` or ``("process.executable",)``; empty: those of the detection's window. An
            absent field is a value of its own.
    """

    suppress_ms: int = 300_000
    max_alerts: int = 100
    interval_ms: int = 300_000
    max_bursts: int = 10_000
    update_ms: int = 0
    by: tuple[str, ...] = ()

    def merge_ms(self, detections: Iterable[Detection]) -> int:
        """Return how long the core may merge completed windows, `Rule.merge_ms`.

        Only while all windows of one key are of one burst: it merges without looking at other fields.
        """
        return self.suppress_ms if all({*self.by} <= {*one.window.by} for one in detections) else 0


@value(frozen=False)
class AlertCounts:
    """What became of the sequences.

    Attributes:
        alerts: sent.
        suppressed: sequences counted into a burst instead of being sent.
        updates: updates sent.
        closed: closing documents sent.
        withheld: alerts not sent because max_alerts of the interval were.
    """

    alerts: int = 0
    suppressed: int = 0
    updates: int = 0
    closed: int = 0
    withheld: int = 0


_Values = tuple[bytes | None, ...]
_MOST_WINDOWS = 1024  # that one burst tells apart


@value(frozen=False)
class _Burst:
    first: Hit
    last_ms: int
    count: int
    told: bool  # an alert was sent, so the burst has an end to tell as well
    told_count: int
    told_ms: int  # when it was last spoken of, in event time
    suppressed: int  # sequences that made no alert
    windows: set[_Values]  # whose sequences are in it, the first of them


_Key = tuple[int, tuple[bytes | None, ...]]  # the rule, and the values of the fields that tell bursts apart


class Alerts:
    """Turns the hits of one stream into alerts.

    Args:
        detections: in the order of the rule table.
        host: where events without a node come from.
        policy: when to speak.
        lost: tells how many records are known to be lost so far; asked for each document, which says it.
    """

    def __init__(
        self,
        detections: Sequence[Detection],
        host: Host,
        policy: AlertPolicy | None = None,
        lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self.counts = AlertCounts()
        self._lost = lost
        self._detections = detections
        self._policy = policy if policy is not None else AlertPolicy()
        self._set_fields()
        self.host = host
        """Where events that name no node come from."""
        self._bursts: dict[_Key, _Burst] = {}
        # One entry a burst: when it was quiet since, as last looked at. Ordered by event time, not by
        # the order of calls, so that the same records in any batches close bursts in the same order.
        self._quiet: list[tuple[int, int, _Key]] = []
        self._begun = itertools.count()
        self._interval_start = 0
        self._sent = 0
        self._now = 0

    def take(self, hits: Iterable[Hit]) -> list[Document]:
        """Return the alerts and closing documents that these hits, as drained, cause, in order."""
        documents: list[Document] = []
        for hit in hits:
            documents += self.advance(hit.ms)
            documents += self._take(hit)
        return documents

    def advance(self, now_ms: int) -> list[Document]:
        """Let event time pass: close the bursts that were quiet for the suppression time."""
        self._now = max(self._now, now_ms)
        documents: list[Document] = []
        while (quietest := self._quietest()) is not None:
            if self._now - self._bursts[quietest].last_ms <= self._policy.suppress_ms:
                break
            documents += self._close(quietest)
        return documents

    def reload(
        self, detections: Sequence[Detection], policy: AlertPolicy, places: Sequence[int | None]
    ) -> list[Document]:
        """Go on with other detections and another policy; the counters go on.

        Args:
            detections: in the order of the new rule table.
            policy: when to speak from now on.
            places: for each detection before, where it is now; the bursts of one that is gone (None) end,
                and all when the policy tells bursts apart by other fields.

        Returns:
            The closing documents of those, and of bursts that are more than may be followed now.
        """
        if policy.by != self._policy.by:
            places = [None] * len(places)
        documents: list[Document] = []
        kept: list[tuple[int, int, _Key]] = []
        while (quietest := self._quietest()) is not None:
            place = places[quietest[0]]
            if place is None:
                documents += self._close(quietest)
                continue
            last_ms, begun, key = heappop(self._quiet)
            kept.append((last_ms, begun, (place, key[1])))
        moved = {key: self._bursts[key] for key in self._bursts}
        self._bursts = {}
        for (rule, values), burst in moved.items():
            place = places[rule]
            if place is not None:
                burst.first = changed(burst.first, rule=place)
                self._bursts[place, values] = burst
        self._quiet = kept  # in order, so it is a heap
        self._detections = detections
        self._policy = policy
        self._set_fields()
        while len(self._bursts) > policy.max_bursts and (quietest := self._quietest()) is not None:
            documents += self._close(quietest)
        return documents

    def _set_fields(self) -> None:
        """Find which fields tell windows and bursts apart, for each detection."""
        self._windows_by = [tuple(field(name) for name in one.window.by) for one in self._detections]
        by = tuple(field(name) for name in dict.fromkeys((*self._policy.by, HOST)))
        self._by = [by if self._policy.by else one for one in self._windows_by]

    def finish(self) -> list[Document]:
        """Close all bursts, at the end of the stream."""
        documents: list[Document] = []
        while (quietest := self._quietest()) is not None:
            documents += self._close(quietest)
        return documents

    def _take(self, hit: Hit) -> list[Document]:
        key = (hit.rule, tuple(hit.value(by) for by in self._by[hit.rule]))
        burst = self._bursts.get(key)
        window = tuple(hit.value(by) for by in self._windows_by[hit.rule])
        if burst is not None:
            # The first sequence of a window is all its matches, each later one is one match more.
            known = window in burst.windows or len(burst.windows) >= _MOST_WINDOWS
            burst.count += (1 if known else hit.count) + hit.more
            if not known:
                burst.windows.add(window)
            burst.suppressed += 1 + hit.more
            burst.last_ms = max(burst.last_ms, hit.last_ms)
            self.counts.suppressed += 1 + hit.more
            return self._update(burst)
        documents: list[Document] = []
        quietest = self._quietest()
        if quietest is not None and len(self._bursts) >= self._policy.max_bursts:
            documents += self._close(quietest)
        told = self._may_send(hit.ms)
        matches = hit.count
        self._bursts[key] = _Burst(
            hit, hit.last_ms, matches + hit.more, told, matches, hit.ms, hit.more, {window}
        )
        heappush(self._quiet, (hit.last_ms, next(self._begun), key))
        self.counts.suppressed += hit.more
        if told:
            self.counts.alerts += 1
            first = changed(hit, last_ms=hit.ms)
            documents.append(self._document(first, "alert", matches, 0))
        return documents

    def _update(self, burst: _Burst) -> list[Document]:
        """Say that a burst goes on, when it is time to."""
        every_ms = self._policy.update_ms
        if not every_ms or not burst.told or burst.last_ms - burst.told_ms < every_ms:
            return []
        burst.told_ms = burst.last_ms
        self.counts.updates += 1
        return [
            self._document(
                changed(burst.first, last_ms=burst.last_ms), "update", burst.count, burst.suppressed
            )
        ]

    def _may_send(self, ms: int) -> bool:
        # Either way: after the host's clock was set back, the interval must not last until it catches up.
        if abs(ms - self._interval_start) >= self._policy.interval_ms:
            self._interval_start = ms
            self._sent = 0
        self._sent += 1
        if self._sent > self._policy.max_alerts:
            self.counts.withheld += 1
            return False
        return True

    def _quietest(self) -> _Key | None:
        """Return the burst that nothing came to for longest; it is first in line afterwards."""
        while self._quiet:
            last_ms, begun, key = self._quiet[0]
            if self._bursts[key].last_ms == last_ms:
                return key
            heappop(self._quiet)
            heappush(self._quiet, (self._bursts[key].last_ms, begun, key))
        return None

    def _close(self, quietest: _Key) -> list[Document]:
        heappop(self._quiet)
        burst = self._bursts.pop(quietest)
        if not burst.told or burst.count == burst.told_count:
            return []
        self.counts.closed += 1
        last = changed(burst.first, last_ms=burst.last_ms)
        return [self._document(last, "closed", burst.count, burst.suppressed)]

    def _document(self, hit: Hit, state: str, count: int, suppressed: int) -> Document:
        return alert_document(
            self._detections[hit.rule],
            hit,
            self.host,
            state=state,
            count=count,
            ids=hit.ids,
            lost=self._lost(),
            suppressed=suppressed,
        )
