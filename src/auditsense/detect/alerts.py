"""Alert policy: which hits become alerts, and what is reported of the rest.

A process that goes on completes a window with every open. One alert reports that a burst has begun; the rest
of the burst is counted, and one closing document gives the total when nothing more came for the suppression
time. See docs/adr/0025-alert-policy.md.

Rule 1: a burst belongs to one actor. What another executable, user, login or session did is another burst.
Rule 2: time never runs backwards. An owner with a clock passes it on (`tick`); otherwise it follows the
        stamps, one host at a time (`StreamTime`).
Rule 3: what depends on time is decided where a run of hits begins. A run is a row of hits within one second
        of their stamps; the core merges windows within a run only. So batches change nothing.
Rule 4: an alert over the limit is withheld, not dropped: its burst waits (`FairLimit`), and each interval in
        which something was withheld ends with a document that names who waits.
Rule 5: nothing grows without bound: bursts, what waits, and alerts per interval have a limit.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from auditsense.core.rule_table import ACTOR, Field
from auditsense.detect.alert_policy import AlertCounts, AlertPolicy
from auditsense.detect.burst import Burst, account_of, actor_of
from auditsense.detect.ecs import alert_document
from auditsense.detect.fair_limit import FairLimit
from auditsense.detect.notices import withheld_document, withheld_row
from auditsense.detect.stream_time import LATE_MS, StreamTime
from auditsense.detections.fields import HOST, field

__all__ = ("AlertCounts", "AlertPolicy", "Alerts")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditsense.core.hit import Hit
    from auditsense.detect.burst import BurstKey
    from auditsense.detect.documents import Document
    from auditsense.detect.host import Host
    from auditsense.detections.model import Detection

_RUN_MS = 1000  # as in _ring/hit.c
_MOST_HOSTS = 1024  # whose times are told apart; the rest shares one
_OTHER_HOSTS = b"\n"  # no line holds it
_MOST_LISTED = 100  # of those who wait, in one document


class _HostTime:
    """The time of one host, and its bursts: the one whose last run came longest ago is first."""

    __slots__ = ("bursts", "run", "run_stamp_ms", "seen_ms", "stream")

    def __init__(self, stream: StreamTime, seen_ms: int) -> None:
        self.stream = stream
        self.bursts: dict[BurstKey, Burst] = {}
        self.run = -1  # in which it was last observed
        self.run_stamp_ms = 0  # its first stamp there
        self.seen_ms = seen_ms  # when that was, in the time of all


class Alerts:
    """Turns the hits of one stream into alerts.

    Args:
        detections: in the order of the rule table.
        host: where events without a node come from.
        policy: when to send.
        lost: tells how many records are known to be lost so far; asked for each document, which says it.
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
        self._policy = policy
        self._set_fields()
        self.host = host
        """Where events that name no node come from."""
        self._limit = FairLimit(self._policy.max_alerts)
        self._bursts: dict[BurstKey, Burst] = {}
        self._hosts: dict[bytes | None, _HostTime] = {}
        self._began = itertools.count()
        self._used = itertools.count()
        self._now_ms = 0  # of the host that is furthest, or of the owner's clock
        self._clock_ms: int | None = None  # what the owner's clock showed at time 0
        self._bound_ms: int | None = None  # what the clock shows that bounds leaps of the stamps
        self._interval_start_ms: int | None = None
        self._run = 0
        self._second = -1  # of the run's stamps
        self._touched: list[Burst] = []  # in this run

    def take(self, hits: Iterable[Hit]) -> list[Document]:
        """Return the alerts and closing documents that these hits, as drained, cause, in order."""
        documents: list[Document] = []
        for hit in hits:
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
        """Let time pass by the owner's clock, which from now on counts instead of the stamps.

        Args:
            monotonic_ms: a clock that never steps.
        """
        documents = self._end_run()
        if self._clock_ms is None:
            self._clock_ms = monotonic_ms - self._now_ms
        self._now_ms = max(self._now_ms, monotonic_ms - self._clock_ms)
        return documents + self._pass_time(self._hosts.values())

    def bound(self, monotonic_ms: int) -> None:
        """Let no leap of the stamps be longer than this clock, which never steps, says."""
        self._bound_ms = monotonic_ms

    def advance(self, now_ms: int) -> list[Document]:
        """Let event time pass: close the bursts that were quiet for the suppression time.

        Args:
            now_ms: as a stamp of this host.
        """
        documents = self._end_run()
        if self._clock_ms is None:
            host = self._host_at(None, now_ms)
            host.stream.observe(now_ms, confirmed=False, clock_ms=self._bound_ms)
            self._now_ms = max(self._now_ms, host.stream.now_ms)
            host.seen_ms = self._now_ms
        return documents + self._pass_time(self._hosts.values())

    def reload(
        self, detections: Sequence[Detection], policy: AlertPolicy, places: Sequence[int | None]
    ) -> list[Document]:
        """Go on with other detections and another policy; the counters go on.

        Args:
            detections: in the order of the new rule table.
            policy: when to send from now on.
            places: for each detection before, where it is now; the bursts of one that is gone (None) end,
                and all when the policy tells bursts apart by other fields.

        Returns:
            The closing documents of those, and of bursts that are more than may be followed now. When bursts
            that wait for an alert are among them, also the document that names who waits.
        """
        documents = self._end_run()
        if policy.by != self._policy.by:
            places = [None] * len(places)
        documents += self._close([one for one in self._bursts.values() if places[one.key[0]] is None])
        waiting = self._limit.listed(self._limit.waiting)
        if any(places[one.key[0]] is None for one in waiting):
            documents += self._report_withheld()
            self._limit.keep(one for one in waiting if places[one.key[0]] is not None)
        for burst in {id(one): one for one in (*self._bursts.values(), *waiting)}.values():
            place = places[burst.key[0]]
            if place is not None:
                burst.first = replace(burst.first, rule=place)
                burst.key = (place, burst.key[1])
        self._bursts = {one.key: one for one in self._bursts.values()}
        for host in self._hosts.values():
            host.bursts = {one.key: one for one in host.bursts.values()}
        self._detections = detections
        self._policy = policy
        self._set_fields()
        self._limit.set_most(policy.max_alerts)
        while len(self._bursts) > policy.max_bursts:
            documents += self._evict()
        return documents

    def finish(self) -> list[Document]:
        """Close all bursts, at the end of the stream, and report who was withheld."""
        documents = self._end_run(last=True)
        documents += self._close([*self._bursts.values()])
        documents += self._report_withheld()
        self._limit.keep(())
        return documents

    def _set_fields(self) -> None:
        """Find which fields tell windows and bursts apart, for each detection."""
        self._windows_by = [tuple(field(name) for name in one.window.by) for one in self._detections]
        by = tuple(field(name) for name in dict.fromkeys((*self._policy.by, HOST)))
        self._by = [
            by if self._policy.by else tuple(dict.fromkeys((*one, Field.NODE, *ACTOR)))
            for one in self._windows_by
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
        """Let time follow the first hit of a host in a run."""
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
        """End the interval when it is over: report who was withheld, and send alerts of some of them."""
        start_ms = self._interval_start_ms
        if start_ms is None or self._now_ms - start_ms < self._policy.interval_ms:
            return []
        documents = self._report_withheld()
        chosen = self._limit.begin_interval()
        documents += [self._tell(burst, late=True) for burst in chosen]
        # Without alerts in it, the next interval begins with the next burst.
        self._interval_start_ms = self._now_ms if chosen or self._limit.waiting else None
        return documents

    def _end_run(self, *, last: bool = False) -> list[Document]:
        """End a run of hits: send what depends on how the bursts of the run have grown."""
        self._run += 1
        documents: list[Document] = []
        for burst in self._touched:
            if burst.ended:
                continue
            if not burst.told:
                if self._limit.admit_grown(burst):
                    documents.append(self._tell(burst, late=True))
            elif not last and self._update_due(burst):
                self.counts.updates += 1
                documents.append(self._document(burst, "update"))
        self._touched.clear()
        return documents

    def _update_due(self, burst: Burst) -> bool:
        every_ms = self._policy.update_ms
        return every_ms > 0 and burst.count > burst.told_count and burst.quiet_ms - burst.told_ms >= every_ms

    # --- bursts ------------------------------------------------------------------------

    def _take(self, hit: Hit, host: _HostTime) -> list[Document]:
        documents: list[Document] = []
        key = (hit.rule, tuple(hit.value(by) for by in self._by[hit.rule]))
        window = tuple(hit.value(by) for by in self._windows_by[hit.rule])
        burst = self._bursts.get(key)
        if burst is not None and burst.run != self._run:
            now_ms = self._time(host, hit.ms) + (host.stream.pending_ms if self._clock_ms is None else 0)
            if now_ms - burst.quiet_ms > self._policy.suppress_ms:
                documents += self._close([burst])
                burst = None
        if burst is None:
            if len(self._bursts) >= self._policy.max_bursts:
                documents += self._evict()
            burst = self._begin(key, hit)
            self._count(burst, hit, burst.complete(window, hit))
            self._touch(burst, host, hit)
            self.counts.suppressed += hit.more
            if self._interval_start_ms is None:
                self._interval_start_ms = self._now_ms
            if self._limit.admit(burst):
                burst.told_ms = self._time(host, hit.ms)
                documents.append(self._tell(burst, hit=hit))
            else:
                self.counts.withheld += 1
            return documents
        self._count(burst, hit, burst.complete(window, hit))
        self._touch(burst, host, hit)
        burst.suppressed += 1
        self.counts.suppressed += 1 + hit.more
        return documents

    def _begin(self, key: BurstKey, hit: Hit) -> Burst:
        account = account_of(hit)
        group = (account, hit.value(Field.UID), hit.value(Field.EXE))
        burst = Burst(key, hit, next(self._began), 0, hit.last_ms, 0, -1, 0, account, group)
        burst.actors = {} if self._policy.by else None
        self._bursts[key] = burst
        return burst

    @staticmethod
    def _count(burst: Burst, hit: Hit, matches: int) -> None:
        """Count what a hit stands for: matches of the window it is about, and one for each merged window."""
        burst.add(actor_of(hit) if burst.actors is not None else (), matches + hit.more)
        burst.suppressed += hit.more
        burst.last_ms = max(burst.last_ms, hit.last_ms)

    def _touch(self, burst: Burst, host: _HostTime, hit: Hit) -> None:
        """Note when the burst was last active."""
        burst.quiet_ms = max(burst.quiet_ms, self._time(host, hit.last_ms))
        if burst.run != self._run:
            burst.run = self._run
            burst.used = next(self._used)
            host.bursts.pop(burst.key, None)
            host.bursts[burst.key] = burst
            self._touched.append(burst)

    def _tell(self, burst: Burst, *, hit: Hit | None = None, late: bool = False) -> Document:
        """Return the alert of a burst: of its first hit alone, or a late one of all that came since."""
        self.counts.alerts += 1
        self.counts.delayed += late
        burst.told = True
        if hit is None:
            return self._document(burst, "alert")
        burst.told_count = hit.count - hit.others
        return self._document_of(burst, "alert", hit.ms, burst.told_count, 0)

    def _document(self, burst: Burst, state: str) -> Document:
        """Return a document of all that a burst is so far."""
        burst.told_count = burst.count
        burst.told_ms = burst.quiet_ms
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
        )

    def _close(self, bursts: Sequence[Burst]) -> list[Document]:
        """End bursts, in the order in which they went quiet. Returns the closing documents."""
        documents: list[Document] = []
        for burst in sorted(bursts, key=lambda one: (one.last_ms, one.began)):
            del self._bursts[burst.key]
            del self._host_of(burst).bursts[burst.key]
            burst.ended = True
            if not burst.told:
                self._limit.end(burst)
            elif burst.count != burst.told_count:
                self.counts.closed += 1
                documents.append(self._document(burst, "closed"))
        return documents

    def _evict(self) -> list[Document]:
        """Close the burst that was quiet longest."""
        longest = min(
            (next(iter(host.bursts.values())) for host in self._hosts.values() if host.bursts),
            key=lambda burst: burst.used,
        )
        return self._close([longest])

    def _report_withheld(self) -> list[Document]:
        """Return the document that names whose alerts are withheld, if there are any."""
        limit = self._limit
        listed = limit.listed(_MOST_LISTED)
        if not listed:
            return []
        rows = [
            withheld_row(self._detections[one.first.rule].id, one.first, one.count, one.last_ms)
            for one in listed
        ]
        newest_ms = max(one.last_ms for one in listed)
        count = limit.waiting + limit.forgotten
        return [withheld_document(self.host, rows=rows, ms=newest_ms, count=count)]
