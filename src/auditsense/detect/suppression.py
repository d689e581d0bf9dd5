"""Suppression: one alert per burst of hits, within a limit. See docs/adr/0025-alert-policy.md.

A process that continues to scan completes a window with every open. One alert reports the start of a burst.
The rest is counted, and a closing document reports the total when the burst was quiet for the suppression
time.

Rule 1: a burst belongs to one actor. Another executable, user, login or session starts another burst.
Rule 2: time never runs backwards. It follows the caller's clock (`tick`), or without one the stamps, host by
        host (`StreamTime`).
Rule 3: decisions that depend on time are made at the start of a run: consecutive hits whose stamps are in the
        same second. The core merges windows within a run only. So batches change nothing.
Rule 4: an alert over the limit is withheld, not dropped: its burst waits (`FairLimit`). Each interval with a
        withheld alert ends with a document that lists the waiting bursts.
Rule 5: what another detection finds of the same actor is counted in the burst that it joins (`joins`), and is
        no second alert.
Rule 6: the numbers of bursts, waiting bursts and alerts per interval are bounded.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from auditsense.core.rule_table import ACTOR, Field
from auditsense.detect.alert_policy import AlertCounts, AlertPolicy, DetectionCounts
from auditsense.detect.burst_state import Burst, account_of, actor_of
from auditsense.detect.ecs import alert_document
from auditsense.detect.fair_limit import FairLimit
from auditsense.detect.joins import Joins
from auditsense.detect.notices import withheld_document, withheld_row
from auditsense.detect.stream_time import LATE_MS, StreamTime
from auditsense.detections.fields import HOST, field

__all__ = ("AlertCounts", "AlertPolicy", "Alerts")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditsense.core.hit import Hit
    from auditsense.detect.burst_state import BurstKey
    from auditsense.detect.document_types import Document
    from auditsense.detect.host import Host
    from auditsense.detections.model import Detection

_RUN_MS = 1000  # as in _ring/hit.c
_MOST_HOSTS = 1024  # with a time each; the others share one
_OTHER_HOSTS = b"\n"  # no node name contains it
_MOST_LISTED = 100  # waiting bursts in one document


class _HostTime:
    """The time of one host, and its bursts, least recently used first."""

    __slots__ = ("bursts", "run", "run_stamp_ms", "seen_ms", "stream")

    def __init__(self, stream: StreamTime, seen_ms: int) -> None:
        self.stream = stream
        self.bursts: dict[BurstKey, Burst] = {}
        self.run = -1  # the last one with a hit
        self.run_stamp_ms = 0  # its first stamp there
        self.seen_ms = seen_ms  # when that was, in the common time


class Alerts:
    """Make the alerts of the hits of one stream.

    Args:
        detections: in the order of the rule table.
        host: host of events without a node.
        policy: when to send an alert.
        lost: returns the number of records known to be lost, for each document.
    """

    def __init__(
        self,
        detections: Sequence[Detection],
        host: Host,
        policy: AlertPolicy,
        lost: Callable[[], int],
    ) -> None:
        self.counts = AlertCounts()
        self._lost = lost
        self._detections = detections
        self._by_rule = [DetectionCounts() for _ in detections]
        self._policy = policy
        self._set_fields()
        self._joins = Joins(detections, self._windows_by)
        self.host = host
        """Host of events without a node."""
        self._limit = FairLimit(self._policy.max_alerts)
        self._bursts: dict[BurstKey, Burst] = {}
        self._hosts: dict[bytes | None, _HostTime] = {}
        self._began = itertools.count()
        self._used = itertools.count()
        self._now_ms = 0  # time of the most advanced host, or of the caller's clock
        self._clock_ms: int | None = None  # the caller's clock at time 0
        self._bound_ms: int | None = None  # the clock that bounds jumps of the stamps
        self._interval_start_ms: int | None = None
        self._run = 0
        self._second = -1  # of the run's stamps
        self._touched: list[Burst] = []  # in this run

    def detection_counts(self) -> dict[str, DetectionCounts]:
        """Return the counters of each detection, by its id."""
        return {
            detection.id: counts for detection, counts in zip(self._detections, self._by_rule, strict=True)
        }

    def count_sequence(self, hit: Hit) -> None:
        """Count a completed window and those merged into it, for its detection."""
        self._by_rule[hit.rule].sequences += 1 + hit.more

    def process(self, hits: Iterable[Hit]) -> list[Document]:
        """Return the alerts and closing documents of these hits, in order."""
        documents: list[Document] = []
        for hit in hits:
            self.count_sequence(hit)
            if self._detections[hit.rule].building_block:
                continue
            second = hit.ms // _RUN_MS
            if second != self._second:
                self._second = second
                documents += self._end_run()
            host = self._host_at(hit.value(Field.NODE), hit.ms)
            if host.run != self._run:
                documents += self._observe(host, hit)
            documents += self._take(hit, host)
        return documents

    def tick(self, monotonic_ms: int) -> list[Document]:
        """Let time pass by a clock that never steps. From the first call on it replaces the stamps."""
        documents = self._end_run()
        if self._clock_ms is None:
            self._clock_ms = monotonic_ms - self._now_ms
        self._now_ms = max(self._now_ms, monotonic_ms - self._clock_ms)
        return documents + self._pass_time(self._hosts.values())

    def bound(self, monotonic_ms: int) -> None:
        """Limit jumps of the stamps to the time that this clock, which never steps, has passed."""
        self._bound_ms = monotonic_ms

    def advance(self, now_ms: int) -> list[Document]:
        """Let event time pass to *now_ms*, as a stamp of this host would."""
        documents = self._end_run()
        if self._clock_ms is None:
            host = self._host_at(None, now_ms)
            host.stream.observe(now_ms, confirmed=False, clock_ms=self._bound_ms)
            self._now_ms = max(self._now_ms, host.stream.now_ms)
            host.seen_ms = self._now_ms
        return documents + self._pass_time(self._hosts.values())

    def reload(
        self, detections: Sequence[Detection], policy: AlertPolicy, indexes: Sequence[int | None]
    ) -> list[Document]:
        """Replace the detections and the policy; the counters continue.

        Args:
            detections: in the order of the new rule table.
            policy: when to send an alert from now on.
            indexes: the new index of each earlier detection. The bursts of a removed one (None) end; all end
                if the policy tells bursts apart by other fields.

        Returns:
            The closing documents of these bursts and of those over the new limit. If a burst that waits for
            an alert is among them, also the document that lists the waiting bursts.
        """
        documents = self._end_run()
        if policy.by != self._policy.by:
            indexes = [None] * len(indexes)
        documents += self._close([burst for burst in self._bursts.values() if indexes[burst.key[0]] is None])
        waiting = self._limit.listed(self._limit.waiting)
        if any(indexes[burst.key[0]] is None for burst in waiting):
            documents += self._report_withheld()
            self._limit.keep(burst for burst in waiting if indexes[burst.key[0]] is not None)
        for burst in {id(burst): burst for burst in (*self._bursts.values(), *waiting)}.values():
            index = indexes[burst.key[0]]
            if index is not None:
                burst.first = replace(burst.first, rule=index)
                burst.key = (index, burst.key[1])
        self._bursts = {burst.key: burst for burst in self._bursts.values()}
        for host in self._hosts.values():
            host.bursts = {burst.key: burst for burst in host.bursts.values()}
        earlier = self.detection_counts()
        self._by_rule = [earlier.get(detection.id, DetectionCounts()) for detection in detections]
        self._detections = detections
        self._policy = policy
        self._set_fields()
        self._joins = Joins(detections, self._windows_by)
        self._joins.add_all(self._bursts.values())
        self._limit.set_limit(policy.max_alerts)
        while len(self._bursts) > policy.max_bursts:
            documents += self._evict()
        return documents

    def finish(self) -> list[Document]:
        """End the stream: close all bursts and report those that were withheld."""
        documents = self._end_run(last=True)
        documents += self._close([*self._bursts.values()])
        documents += self._report_withheld()
        self._limit.keep(())
        return documents

    def _set_fields(self) -> None:
        """Set the fields that tell windows and bursts apart, for each detection."""
        self._windows_by = [
            tuple(field(name) for name in detection.window.by) for detection in self._detections
        ]
        by = tuple(field(name) for name in dict.fromkeys((*self._policy.by, HOST)))
        self._by = [
            by if self._policy.by else tuple(dict.fromkeys((*fields, Field.NODE, *ACTOR)))
            for fields in self._windows_by
        ]

    # --- time --------------------------------------------------------------------------

    def _host_at(self, node: bytes | None, stamp_ms: int) -> _HostTime:
        host = self._hosts.get(node)
        if host is None:
            if len(self._hosts) >= _MOST_HOSTS:
                node = _OTHER_HOSTS
                if (host := self._hosts.get(node)) is not None:
                    return host
            host = self._hosts[node] = _HostTime(StreamTime(stamp_ms, self._now_ms), self._now_ms)
        return host

    def _host_of(self, burst: Burst) -> _HostTime:
        return self._hosts.get(burst.first.value(Field.NODE)) or self._hosts[_OTHER_HOSTS]

    def _time(self, host: _HostTime, stamp_ms: int | None = None) -> int:
        """Return the time at a host; *stamp_ms*: of an event of its present run."""
        if self._clock_ms is not None:
            return self._now_ms
        since_ms = 0 if stamp_ms is None else min(max(stamp_ms - host.run_stamp_ms, 0), _RUN_MS - 1)
        return host.stream.now_ms + since_ms

    def _observe(self, host: _HostTime, hit: Hit) -> list[Document]:
        """Advance time to the first hit of a host in a run."""
        host.run = self._run
        host.run_stamp_ms = hit.ms
        if self._clock_ms is None:
            confirmed = hit.count > 1 and hit.ms - hit.ids[-2].ms <= LATE_MS
            host.stream.observe(hit.ms, confirmed=confirmed, clock_ms=self._bound_ms)
            self._now_ms = max(self._now_ms, host.stream.now_ms)
            host.seen_ms = self._now_ms
        return self._pass_time((host,))

    def _pass_time(self, hosts: Iterable[_HostTime]) -> list[Document]:
        quiet: list[Burst] = []
        for host in hosts:
            idle_ms = 0 if self._clock_ms is not None else self._now_ms - host.seen_ms
            now_ms = self._time(host) + idle_ms
            for burst in host.bursts.values():
                if now_ms - burst.quiet_ms <= self._policy.suppress_ms:
                    break
                quiet.append(burst)
        return (self._close(quiet) if quiet else []) + self._pass_interval()

    def _pass_interval(self) -> list[Document]:
        """End the interval if it is over: report the withheld bursts, and send alerts for some of them."""
        start_ms = self._interval_start_ms
        if start_ms is None or self._now_ms - start_ms < self._policy.interval_ms:
            return []
        documents = self._report_withheld()
        chosen = self._limit.begin_interval()
        documents += [self._alert(burst, late=True) for burst in chosen]
        # An interval without alerts begins with its first burst.
        self._interval_start_ms = self._now_ms if chosen or self._limit.waiting else None
        return documents

    def _end_run(self, *, last: bool = False) -> list[Document]:
        """End a run of hits: send what depends on the growth of its bursts."""
        self._run += 1
        documents: list[Document] = []
        for burst in self._touched:
            if burst.ended:
                continue
            if not burst.alerted:
                if self._limit.admit_grown(burst):
                    documents.append(self._alert(burst, late=True))
            elif not last and self._update_due(burst):
                self.counts.updates += 1
                documents.append(self._document(burst, "update"))
        self._touched.clear()
        return documents

    def _update_due(self, burst: Burst) -> bool:
        every_ms = self._policy.update_ms
        return (
            every_ms > 0
            and burst.count > burst.reported_count
            and burst.quiet_ms - burst.reported_ms >= every_ms
        )

    # --- bursts ------------------------------------------------------------------------

    def _take(self, hit: Hit, host: _HostTime) -> list[Document]:
        documents: list[Document] = []
        key = (hit.rule, tuple(hit.value(by) for by in self._by[hit.rule]))
        window = tuple(hit.value(by) for by in self._windows_by[hit.rule])
        burst = self._bursts.get(key)
        if burst is not None and self._is_over(burst, hit, host):
            documents += self._close([burst])
            burst = None
        if burst is None:
            while (joined := self._joins.find(hit)) is not None:
                if not self._is_over(joined, hit, host):
                    self._join(joined, hit, host)
                    return documents
                documents += self._close([joined])
            if len(self._bursts) >= self._policy.max_bursts:
                documents += self._evict()
            burst = self._begin(key, hit)
            self._count(burst, hit, burst.complete(window, hit))
            self._touch(burst, host, hit)
            self.counts.suppressed += hit.more
            if self._interval_start_ms is None:
                self._interval_start_ms = self._now_ms
            if self._limit.admit(burst):
                burst.reported_ms = self._time(host, hit.ms)
                documents.append(self._alert(burst, hit=hit))
            else:
                self.counts.withheld += 1
            return documents
        self._count(burst, hit, burst.complete(window, hit))
        self._touch(burst, host, hit)
        burst.suppressed += 1
        self.counts.suppressed += 1 + hit.more
        return documents

    def _is_over(self, burst: Burst, hit: Hit, host: _HostTime) -> bool:
        """Return whether a burst was quiet for the suppression time before a hit."""
        if burst.run == self._run:
            return False
        now_ms = self._time(host, hit.ms) + (host.stream.pending_ms if self._clock_ms is None else 0)
        return now_ms - burst.quiet_ms > self._policy.suppress_ms

    def _join(self, burst: Burst, hit: Hit, host: _HostTime) -> None:
        """Count a hit of another detection in a burst."""
        self._touch(burst, host, hit)
        burst.last_ms = max(burst.last_ms, hit.last_ms)
        burst.also[self._detections[hit.rule].id] = None
        burst.suppressed += 1 + hit.more
        self.counts.suppressed += 1 + hit.more

    def _begin(self, key: BurstKey, hit: Hit) -> Burst:
        account = account_of(hit)
        group = (account, hit.value(Field.UID), hit.value(Field.EXE))
        burst = Burst(key, hit, next(self._began), 0, hit.last_ms, 0, -1, 0, account, group)
        burst.actors = {} if self._policy.by else None
        self._bursts[key] = burst
        self._joins.add(burst)
        return burst

    @staticmethod
    def _count(burst: Burst, hit: Hit, matches: int) -> None:
        """Count the matches of a hit: those of its window, and one for each merged window."""
        burst.add(actor_of(hit) if burst.actors is not None else (), matches + hit.more)
        burst.suppressed += hit.more
        burst.last_ms = max(burst.last_ms, hit.last_ms)

    def _touch(self, burst: Burst, host: _HostTime, hit: Hit) -> None:
        """Record the activity of a burst."""
        burst.quiet_ms = max(burst.quiet_ms, self._time(host, hit.last_ms))
        if burst.run != self._run:
            burst.run = self._run
            burst.used = next(self._used)
            host.bursts.pop(burst.key, None)
            host.bursts[burst.key] = burst
            self._touched.append(burst)

    def _alert(self, burst: Burst, *, hit: Hit | None = None, late: bool = False) -> Document:
        """Return the alert of a burst: of its first hit, or a late one of all its hits so far."""
        self.counts.alerts += 1
        self._by_rule[burst.first.rule].alerts += 1
        self.counts.delayed += late
        burst.alerted = True
        if hit is None:
            return self._document(burst, "alert")
        burst.reported_count = hit.count - hit.others
        return self._document_of(burst, "alert", hit.ms, burst.reported_count, 0)

    def _document(self, burst: Burst, state: str) -> Document:
        """Return a document of the whole burst so far."""
        burst.reported_count = burst.count
        burst.reported_ms = burst.quiet_ms
        return self._document_of(burst, state, burst.last_ms, burst.count, burst.suppressed)

    def _document_of(self, burst: Burst, state: str, last_ms: int, count: int, suppressed: int) -> Document:
        hit = burst.first if burst.first.last_ms == last_ms else replace(burst.first, last_ms=last_ms)
        return alert_document(
            self._detections[hit.rule],
            hit,
            self.host,
            state=state,
            count=count,
            ids=hit.ids,
            lost=self._lost(),
            suppressed=suppressed,
            actors=None if burst.actors is None or state == "alert" else burst.actors,
            more_actors=burst.more_actors,
            also=[] if state == "alert" else [*burst.also],
        )

    def _close(self, bursts: Sequence[Burst]) -> list[Document]:
        """End bursts, oldest last event first. Returns the closing documents."""
        documents: list[Document] = []
        for burst in sorted(bursts, key=lambda burst: (burst.last_ms, burst.began)):
            del self._bursts[burst.key]
            self._joins.remove(burst)
            del self._host_of(burst).bursts[burst.key]
            burst.ended = True
            if not burst.alerted:
                self._limit.end(burst)
            elif burst.count != burst.reported_count or burst.also:
                self.counts.closed += 1
                documents.append(self._document(burst, "closed"))
        return documents

    def _evict(self) -> list[Document]:
        """Close the least recently used burst."""
        oldest = min(
            (next(iter(host.bursts.values())) for host in self._hosts.values() if host.bursts),
            key=lambda burst: burst.used,
        )
        return self._close([oldest])

    def _report_withheld(self) -> list[Document]:
        """Return the document that lists the waiting bursts, if there are any."""
        limit = self._limit
        listed = limit.listed(_MOST_LISTED)
        if not listed:
            return []
        rows = [
            withheld_row(self._detections[burst.first.rule].id, burst.first, burst.count, burst.last_ms)
            for burst in listed
        ]
        newest_ms = max(burst.last_ms for burst in listed)
        count = limit.waiting + limit.forgotten
        return [withheld_document(self.host, rows=rows, ms=newest_ms, count=count)]
