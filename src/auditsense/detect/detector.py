"""The detector: bytes in, documents out. No I/O, no clock, no privilege, no thread.

Everything else is built around it: the sensor gives it a socket, replay gives it files, an agent
gives it what it has received itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NoReturn, Self

from auditsense.core.ring import Limits, Ring, Stats, pack, piece
from auditsense.core.rule_table import ACTOR, EventEnd, Rule, RuleTable
from auditsense.detect._exclusive import alone
from auditsense.detect.alerts import AlertCounts, AlertPolicy, Alerts
from auditsense.detect.ecs import Document, alert_document, event_document
from auditsense.detect.host import Host, this_host
from auditsense.detect.rule_migration import going_on, places
from auditsense.detect.view import View
from auditsense.detections.compiler import compile_all
from auditsense.detections.given import given as given_detections
from auditsense.detections.given import several
from auditsense.detections.record_filter import Lean
from auditsense.detections.record_filter import lean as without
from auditsense.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from auditsense.core.hit import Hit
    from auditsense.detect.events import Event
    from auditsense.detect.rows import Rows
    from auditsense.detections.model import Detection, DetectionException

__all__ = ("Detector", "View")

_EVERY_EVENT = Rule(calls=(), tests=(), keys=(), count=1, span_ms=1)


class Detector:
    """Finds detections in a stream of audit records.

    Memory is fixed at creation (`memory_bytes`). Not to be shared by threads: a second one inside gets
    BusyError. Detectors share nothing. After a fork the child has a copy of its own, with all that was fed
    until then. Use it as a context manager, or call `close`.

    Args:
        detections: what to look for; the shipped ones unless given, none with `View.EVENTS`.
        view: what comes out.
        host: of records that name no node; this host unless given.
        policy: when alerts are sent and when counted.
        limits: what the core may hold.
        lean: records of the types in `unsent` need not come, and are not waited for; what an alert would
            say of them (`process.title`, `process.working_directory`) it does not.
        order: for recorded input, as of `Ring`; with 0 no alert waits.
        fields: with `View.EVENTS`, the attributes of `Event` that will be asked for, in the order of `rows`
            (`auditsense.detect.rows.NAMES`); all of them unless given. The core keeps no other, which is
            faster, and asking an event for one is a UsageError. Documents need all, so there are none.

    Raises:
        DetectionError: a detection that cannot be compiled.
        UsageError: what is no detections or no view; a limit outside its bounds; a field that there is not,
            or fields with another view.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        detections: Sequence[Detection] | None = None,
        *,
        view: View = View.ALERTS,
        host: Host | None = None,
        policy: AlertPolicy | None = None,
        limits: Limits | None = None,
        lean: bool = False,
        order: int = 0,
        fields: Sequence[str] | None = None,
    ) -> None:
        self._inside = threading.RLock()  # methods call each other
        self.host = host if host is not None else this_host()
        self.view = View(view)
        nothing = detections is None and self.view is View.EVENTS
        self.detections = given_detections(() if nothing else detections)
        self.lost_elsewhere = 0
        """Records lost before they reached this detector, as its owner knows; alerts say it."""
        self._rows = None if fields is None else self._rows_of(fields)
        self._kept = None if self._rows is None else self._rows.fields
        self._policy = policy if policy is not None else AlertPolicy()
        self._limits, self._lean, self._order = limits, lean, order
        self._rules = self._rules_of(self.detections, self._policy)
        self._spared = self._spared_by(self._rules)
        self.ring = self._ring_of(self._rules)
        # Now or never: where privileges were given up, nothing may be left to load.
        self._events_in = _load_events_in() if self.view is View.EVENTS else None
        self._counted_before: Stats | None = None  # by the ring of the host before, see rehost
        self._excepted_before: tuple[int, ...] = ()
        self._alerts = Alerts(self.detections, self.host, self._policy, lambda: self.lost)

    def _rules_of(self, detections: Sequence[Detection], policy: AlertPolicy) -> RuleTable:
        if self.view is View.EVENTS:
            return (_EVERY_EVENT,)
        merge_ms = policy.merge_ms(detections) if self.view is View.ALERTS else 0
        return compile_all(detections, merge_ms=merge_ms)

    def _spared_by(self, rules: RuleTable) -> Lean:
        return without(rules) if self._lean else Lean(frozenset(), EventEnd.EOE)

    def _ring_of(self, rules: RuleTable, seed: int | None = None) -> Ring:
        end, order, kept = self._spared.end, self._order, self._kept
        return Ring(rules, self._limits, end=end, order=order, fields=kept, actor=ACTOR, seed=seed)

    @property
    def unsent(self) -> frozenset[int]:
        """Record types that need not come."""
        return self._spared.unsent

    @property
    def memory_bytes(self) -> int:
        """Memory of the core, all of it taken at creation; pages never used stay untouched."""
        return self.ring.memory_bytes

    @alone
    def feed(self, datagrams: Iterable[bytes], now_ms: int = 0) -> list[Document]:
        """Take datagrams as received from the kernel, netlink header included.

        Args:
            datagrams: any number; how they are split over calls changes nothing.
            now_ms: when they came, by a clock that never steps back, in ms; 0: there is no clock.

        Returns:
            What they led to, in order.
        """
        return self.feed_packed(pack(datagrams, now_ms))[0]

    @alone
    def feed_packed(self, packed: bytes) -> tuple[list[Document], int]:
        """Take packed datagrams, as in a capture.

        Returns:
            What they led to, and the bytes consumed. Those are fewer than given when the end is no
            whole datagram.
        """
        rest = memoryview(packed)
        documents: list[Document] = []
        while True:
            consumed = self.ring.feed(rest)
            rest = rest[consumed:]
            drained = self.drain()
            documents += drained
            if not consumed and not drained:
                return documents, len(packed) - len(rest)

    @alone
    def feed_text(self, text: bytes | memoryview) -> list[Document]:
        """Take audit.log text, cut anywhere. Returns what it led to, in order."""
        documents = self.take_text(text)
        while hits := self.ring.drain():
            documents += self._documents(hits)
            self.ring.feed_text(b"")  # what was taken, but not decided because the hits were full
        return documents

    @alone
    def take_text(self, text: bytes | memoryview) -> list[Document]:
        """Take audit.log text as `feed_text` does, but leave with the core what it led to, for `drain`.

        Returns:
            What the core had no room for, in order; mostly nothing.
        """
        documents: list[Document] = []
        rest = piece(text)
        rest = rest[self.ring.feed_text(rest) :]
        while rest:  # the hits are full
            documents += self.drain()
            rest = rest[self.ring.feed_text(rest) :]
        return documents

    @alone
    def events(self, datagrams: Iterable[bytes], now_ms: int = 0) -> Iterator[Event]:
        """Take datagrams as `feed` does, and yield the events they complete, without making documents.

        Nothing is taken before it is asked for: iterate to the end. Only with `View.EVENTS`.

        Raises:
            UsageError: another view.
        """
        return self._events(self.ring.feed, pack(datagrams, now_ms))

    @alone
    def text_events(self, text: bytes | memoryview) -> Iterator[Event]:
        """Take audit.log text, cut anywhere, and yield the events it completes; see `events`."""
        return self._events(self.ring.feed_text, piece(text))

    @alone
    def last_events(self) -> Iterator[Event]:
        """End the input, and yield the events that were open; see `events`. More may be fed afterwards."""
        self._only_events()
        done = False
        while not done:
            done = self.ring.finish()
            yield from self.drain_events()

    @alone
    def drain_events(self) -> list[Event]:
        """Return what the core has found since the last call as events; see `events`."""
        events_in = self._only_events()
        drained = self.ring.drain_bytes()
        return events_in(drained, self.host) if drained else []

    @alone
    def rows(self, datagrams: Iterable[bytes], now_ms: int = 0) -> Iterator[tuple[Any, ...]]:
        """Take datagrams as `feed` does, and yield for each event they complete a tuple of its `fields`.

        The quickest way to read them: a batch of events is decoded at a time. Nothing is taken before it is
        asked for: iterate to the end.

        Raises:
            UsageError: the detector was made without `fields`.
        """
        return self._only_rows().fed(self.ring, self.ring.feed, pack(datagrams, now_ms))

    @alone
    def text_rows(self, text: bytes | memoryview) -> Iterator[tuple[Any, ...]]:
        """Take audit.log text, cut anywhere, and yield a tuple for each event it completes; see `rows`."""
        return self._only_rows().fed(self.ring, self.ring.feed_text, piece(text))

    @alone
    def last_rows(self) -> Iterator[tuple[Any, ...]]:
        """End the input, and yield a tuple for each event that was open. More may be fed afterwards."""
        return self._only_rows().last(self.ring)

    @alone
    def drain_rows(self) -> list[tuple[Any, ...]]:
        """Return what the core has found since the last call as rows; see `rows`."""
        return [*self._only_rows().drain(self.ring)]

    def _rows_of(self, names: Sequence[str]) -> Rows:
        if self.view is not View.EVENTS:
            raise UsageError(f"fields come with View.EVENTS only; this detector's view is {self.view}")
        from auditsense.detect.rows import Rows  # noqa: PLC0415 - for who asks

        return Rows(names, self.host)

    def _only_rows(self) -> Rows:
        if self._rows is None:
            raise UsageError("rows need the names of their fields: Detector(view=View.EVENTS, fields=(...))")
        return self._rows

    def _events(
        self, feed: Callable[[bytes | memoryview], int], given: bytes | memoryview
    ) -> Iterator[Event]:
        self._only_events()
        rest = memoryview(given)
        while True:
            consumed = feed(rest)
            rest = rest[consumed:]
            events = self.drain_events()
            yield from events
            if not consumed and not events:
                return

    def _only_events(self) -> Callable[[bytes, Host], list[Event]]:
        if self._events_in is None:
            raise UsageError(f"events come with View.EVENTS only; this detector's view is {self.view}")
        return self._events_in

    @alone
    def settle(self) -> list[Document]:
        """Decide what is open, as at a break in the records; bursts go on. More may be fed afterwards."""
        documents: list[Document] = []
        done = False
        while not done:
            done = self.ring.finish()
            documents += self.drain()
        return documents

    @alone
    def finish(self) -> list[Document]:
        """End the input: decide what is open, close all bursts. More may be fed afterwards."""
        return self.settle() + self._alerts.finish()

    @alone
    def expire(self, now_ms: int) -> list[Document]:
        """Let time pass although no datagram comes: decide the events whose end has not come in time.

        Returns what that led to, in order; *now_ms* is of the clock of `feed`.
        """
        self.ring.expire(now_ms)
        return self.drain()

    @alone
    def advance(self, now_ms: int) -> list[Document]:
        """Let event time pass to *now_ms* (ms since 1970 UTC): close the bursts that ended.

        A leap by more than a minute must be confirmed by a second call or record. Live, use `tick`.
        """
        return self._alerts.advance(now_ms)

    @alone
    def bound(self, monotonic_ms: int) -> None:
        """Let no leap of stamps be longer than this clock says: a log's clock set ahead is no silence."""
        self._alerts.bound(monotonic_ms)

    @alone
    def tick(self, monotonic_ms: int) -> list[Document]:
        """Let time pass by a clock that never steps: close the bursts that ended, end intervals of alerts.

        From the first call on that clock alone counts, as ``time.monotonic_ns() // 1_000_000``; stamps only
        date documents. Call it before each feed, and once a second while nothing comes.
        """
        return self._alerts.tick(monotonic_ms)

    @alone
    def drain(self) -> list[Document]:
        """Return what the core has found since the last call."""
        hits = self.ring.drain()
        return self._documents(hits) if hits else []

    def _documents(self, hits: Sequence[Hit]) -> list[Document]:
        if self._rows is not None:
            raise UsageError("documents need every field: make the detector without fields=")
        if self.view is View.EVENTS:
            return [event_document(hit, self.host) for hit in hits]
        if self.view is View.SEQUENCES:
            lost = self.lost
            return [self._sequence(hit, lost) for hit in hits]
        return self._alerts.take(hits)

    def stats(self) -> Stats:
        """Return the core's counters."""
        stats = self.ring.stats()
        return stats if self._counted_before is None else self._counted_before + stats

    @alone
    def exceptions(self) -> list[tuple[DetectionException, int]]:
        """Return the exceptions of all detections, and how many events each has taken."""
        known = [one for detection in self.detections for one in detection.exceptions]
        if not known or self.view is View.EVENTS:
            return []
        taken = self.ring.exception_counts()
        before = self._excepted_before or (0,) * len(known)
        return [(one, now + then) for one, now, then in zip(known, taken, before, strict=True)]

    @property
    def alert_counts(self) -> AlertCounts:
        """What became of the sequences."""
        return self._alerts.counts

    @property
    def lost(self) -> int:
        """Records or events known to be lost so far, by every cause that can be told apart."""
        stats = self.stats()
        return self.lost_elsewhere + stats.serials_missing + stats.incomplete + stats.truncated

    @alone
    def rehost(self, host: Host) -> None:
        """Say where the records that follow come from.

        What another host did does not count for this one: its windows, and what was not finished, are
        forgotten. The counters go on.
        """
        if host != self.host:
            self._counted_before = self.stats()
            self._excepted_before = tuple(count for _, count in self.exceptions())
            self.ring.close()
            self.ring = self._ring_of(self._rules)
        self.host = host
        self._alerts.host = host
        if self._rows is not None:
            self._rows.host = host

    @alone
    def reload(self, detections: Sequence[Detection], policy: AlertPolicy | None = None) -> list[Document]:
        """Go on with other detections and another policy, in the middle of the stream.

        No record is lost, no event is decided early, and the counters go on. A detection that matches and
        counts as before keeps its windows and bursts, whatever else of it has changed, its exceptions
        included. What is new or matches otherwise begins without windows, and looks at the events whose
        SYSCALL record comes from now on. The bursts of what is gone are closed. For a moment there are two
        rings.

        Args:
            detections: what to look for from now on.
            policy: when alerts are sent from now on; as before unless given.

        Returns:
            What the records so far led to, by the detections before, and the closing documents.

        Raises:
            DetectionError: a detection that cannot be compiled. This and the others change nothing.
            UsageError: a lean detector would need other records from now on: that takes a new one.
            MemoryError: there is no memory for the second ring.
        """
        detections = several(detections)
        policy = policy if policy is not None else self._policy
        rules = self._rules_of(detections, policy)
        if self._spared_by(rules) != self._spared:
            raise UsageError("a lean sensor would need other records for these detections: needs a restart")
        if self.view is View.EVENTS:
            self.detections, self._policy = detections, policy
            return []
        documents = self.drain()
        moved = places(self.detections, self._rules, detections, rules)
        if rules != self._rules:
            taken = self.exceptions()
            documents += self._go_on(self._ring_of(rules, self.ring.seed), moved)
            self._excepted_before = going_on(taken, detections)
        documents += self._alerts.reload(detections, policy, moved)
        self.detections, self._policy, self._rules = detections, policy, rules
        return documents

    def _go_on(self, ring: Ring, moved: Sequence[int | None]) -> list[Document]:
        """Go on with another ring; returns what the one before had found."""
        documents: list[Document] = []
        try:
            while not ring.migrate_from(self.ring, moved):
                documents += self.drain()
        except BaseException:
            ring.close()
            raise
        self.ring.close()
        self.ring = ring
        return documents

    @alone
    def close(self) -> None:
        """Give the memory back. A second call does nothing."""
        self.ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: the core's memory belongs to one process."""
        raise TypeError(
            "a Detector cannot be pickled or copied; send its detections, policy and limits, and make another"
        )

    def _sequence(self, hit: Hit, lost: int) -> Document:
        detection = self.detections[hit.rule]
        return alert_document(
            detection, hit, self.host, state="sequence", count=hit.count, ids=hit.ids, lost=lost
        )


def _load_events_in() -> Callable[[bytes, Host], list[Event]]:
    from auditsense.detect.events import events_in  # noqa: PLC0415 - for this view only

    return events_in
