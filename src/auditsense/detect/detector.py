"""Detect: bytes in, documents out. No I/O, no clock, no privileges, no threads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.core.hit import read_hits
from auditsense.core.ring import Limits, Ring
from auditsense.detect.ecs import alert_document
from auditsense.detect.file_systems import on_file_systems, types_of
from auditsense.detect.host import Host
from auditsense.detect.record_reader import RecordReader, exclusive
from auditsense.detect.rule_migration import carried_counts, new_indexes
from auditsense.detect.suppression import AlertCounts, AlertPolicy, Alerts
from auditsense.detect.unknown import masks_of, of_own_rule
from auditsense.detections.compiler import compile_all
from auditsense.detections.event_table import EventMapping
from auditsense.detections.loader import resolve_detections, validate_detections
from auditsense.errors import UsageError, expect, expect_number

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.core.rule_table import RuleTable
    from auditsense.detect.alert_policy import DetectionCounts
    from auditsense.detect.document_types import Document
    from auditsense.detect.file_systems import FileSystems
    from auditsense.detections.model import Detection, DetectionException


def checked_mapping(mapping: EventMapping | str) -> EventMapping:
    """Return the mapping of this name.

    Raises:
        UsageError: an unknown name.
    """
    try:
        return EventMapping(mapping)
    except ValueError:
        raise UsageError(f"unknown mapping {mapping!r} (choose {', '.join(EventMapping)})") from None


class Detector(RecordReader["Document"]):
    """Find detections in a stream of audit records.

    Time comes from the caller. Each kind of input has its calls:

    =====================  ==================================================================================
    input                  calls
    =====================  ==================================================================================
    live datagrams         ``feed(datagrams, now_ms)``; ``tick(now_ms)`` once a second while none come
    a log that grows       ``feed_text(text, now_ms)``; ``tick(now_ms, log_ms=…)`` once a second
    recorded               ``feed(datagrams)``, ``feed_packed`` or ``feed_text(text)``: stamps are the time
    a gap in the records   ``flush()``: decide the open events; bursts continue
    the end                ``finish()``: decide the open events and close all bursts; then ``close()``
    =====================  ==================================================================================

    Args:
        detections: what to look for; the shipped ones by default.
        sequences: return every completed window, as Elastic counts them, instead of alerts.
        host: host of the records that name no node; this host by default.
        policy: when an alert is sent.
        limits: capacity of the core.
        lean: records of the types in `unsent` need not come and are not awaited. Alerts lack what these
            carry: `process.title`, `process.working_directory`, and arguments, addresses and capabilities
            that no detection compares.
        mapping: fields that events have for detections: "native", all that the sensor knows, or
            "auditd_manager", exactly what that integration of Elastic fills.
        titled: internal, for `Sensor`: EOE need not come, because each event has a PROCTITLE record.
        order: for recorded input: number of matching events held back, to be decided by stamp and serial. At
            most half of `event_slots` and an eighth of `small_texts` of the limits; with 0 none is delayed.
        make_ring: internal, for `Sensor`.
        file_systems: internal, for `Sensor`.

    Raises:
        DetectionError: a detection cannot be compiled.
        UsageError: *detections* are not detections, an unknown mapping, or a limit outside its bounds.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        detections: Sequence[Detection] | None = None,
        *,
        sequences: bool = False,
        host: Host | None = None,
        policy: AlertPolicy | None = None,
        limits: Limits | None = None,
        lean: bool = False,
        mapping: EventMapping | str = EventMapping.NATIVE,
        titled: bool = False,
        order: int = 0,
        make_ring: Callable[..., Ring] = Ring,
        file_systems: FileSystems | None = None,
    ) -> None:
        self.detections = resolve_detections(detections)
        self.sequences = sequences
        self.mapping = checked_mapping(mapping)
        self._policy = policy if policy is not None else AlertPolicy()
        expect("policy", self._policy, AlertPolicy, "an AlertPolicy(…)")
        self._file_systems = file_systems
        self._devices = {} if file_systems is None else dict(file_systems.known)
        rules = self._compile(self.detections, self._policy)
        super().__init__(
            rules, host=host, limits=limits, order=order, lean=lean, titled=titled, make_ring=make_ring
        )
        self._excepted_before: tuple[int, ...] = ()  # by the rings of earlier hosts
        self._masks = masks_of(rules)
        self._types = types_of(self.detections)
        self._alerts = Alerts(self.detections, self.host, self._policy, lambda: self.lost)

    def __repr__(self) -> str:
        ids = ", ".join(detection.id for detection in self.detections)
        return f"<Detector of {ids or 'nothing'} in records of {self.host.name!r}>"

    def _compile(self, detections: Sequence[Detection], policy: AlertPolicy) -> RuleTable:
        merge_ms = 0 if self.sequences else policy.merge_ms(detections)
        return compile_all(detections, merge_ms=merge_ms, mapping=self.mapping, devices=self._devices)

    def _decode(self, drained: bytes) -> list[Document]:
        hits = of_own_rule(read_hits(drained), self._masks)
        if self._file_systems is not None:
            hits = on_file_systems(hits, self._types, self._file_systems)
        if not self.sequences:
            return self._alerts.process(hits)
        lost = self.lost
        documents: list[Document] = []
        for hit in hits:
            self._alerts.count_sequence(hit)
            detection = self.detections[hit.rule]
            documents.append(
                alert_document(
                    detection, hit, self.host, state="sequence", count=hit.count, ids=hit.ids, lost=lost
                )
            )
        return documents

    @exclusive
    def advance_clock(self, monotonic_ms: int) -> list[Document]:
        """Close the bursts that are over, by the clock of `feed`; part of `feed` and `tick`.

        From the first call on only this clock counts, and stamps only date documents. Call it only if you
        read a socket through `ring`: before each read.
        """
        return self._alerts.tick(monotonic_ms)

    @exclusive
    def feed_text(self, text: bytes | memoryview, now_ms: int = 0) -> list[Document]:
        """Read audit.log text, cut anywhere; see `EventReader.feed_text`."""
        expect_number("now_ms", now_ms)
        if now_ms:
            self._alerts.bound(now_ms)
        return super().feed_text(text, now_ms)

    @exclusive
    def tick(self, monotonic_ms: int = 0, *, log_ms: int | None = None) -> list[Document]:
        """Let time pass: decide the events whose end has not come in time, close the bursts that are over.

        Args:
            monotonic_ms: current time of the clock of `feed`; 0: there is no clock.
            log_ms: for log text: current time by the log's stamps, in ms since 1970 UTC; 0 before the first.
                A jump of more than a minute counts when the next call or record confirms it, and never
                beyond what *monotonic_ms* allows.
        """
        expect_number("log_ms", 0 if log_ms is None else log_ms)
        if monotonic_ms and log_ms is not None:
            self._alerts.bound(monotonic_ms)
        documents = super().tick(monotonic_ms, log_ms=log_ms)
        return documents + self._alerts.advance(log_ms) if log_ms else documents

    @exclusive
    def finish(self) -> list[Document]:
        """End the input: decide all open events and close all bursts. More may be fed afterwards."""
        return self.flush() + self._alerts.finish()

    @exclusive
    def set_host(self, host: Host) -> None:
        """Set the host of the records that follow; see `EventReader.set_host`."""
        expect("host", host, Host, "a Host(id, name)")
        if host != self.host:
            self._excepted_before = tuple(count for _, count in self.exceptions())
        super().set_host(host)
        self._alerts.host = host

    @exclusive
    def exceptions(self) -> list[tuple[DetectionException, int]]:
        """Return the exceptions of all detections, and how many events each has taken."""
        exceptions = [exception for detection in self.detections for exception in detection.exceptions]
        if not exceptions:
            return []
        before = self._excepted_before or (0,) * len(exceptions)
        counts = zip(exceptions, self.ring.exception_counts(), before, strict=True)
        return [(exception, count + earlier) for exception, count, earlier in counts]

    @property
    def alert_counts(self) -> AlertCounts:
        """Counters of sequences by outcome."""
        return self._alerts.counts

    @property
    def detection_counts(self) -> dict[str, DetectionCounts]:
        """Completed windows and alerts of each detection, by its id; they continue after `reload`."""
        return self._alerts.detection_counts()

    @exclusive
    def reload(self, detections: Sequence[Detection], policy: AlertPolicy | None = None) -> list[Document]:
        """Replace the detections and the policy in the middle of the stream.

        No record is lost, no event is decided early, and the counters continue. A detection that matches and
        counts as before keeps its windows and bursts, even if its exceptions have changed. Any other starts
        without windows, with the events whose SYSCALL record comes from now on. Bursts of removed detections
        are closed. Two rings exist for a moment.

        Args:
            detections: what to look for from now on.
            policy: when an alert is sent from now on; unchanged by default.

        Returns:
            What the records so far have completed under the old detections, and the closing documents.

        Raises:
            DetectionError: a detection cannot be compiled. No error changes anything.
            UsageError: a lean detector would need other records; make another.
            MemoryError: there is no memory for the second ring.
        """
        detections = validate_detections(detections)
        policy = policy if policy is not None else self._policy
        expect("policy", policy, AlertPolicy, "an AlertPolicy(…)")
        rules = self._compile(detections, policy)
        if self._unneeded_by(rules) != self._unneeded:
            raise UsageError("a lean sensor would need other records for these detections: needs a restart")
        documents = self.drain()
        moved = new_indexes(self.detections, self._rules, detections, rules)
        if rules != self._rules:
            excepted = self.exceptions()
            documents += self._migrate(self._new_ring(rules, self.ring.seed), moved)
            self._excepted_before = carried_counts(excepted, detections)
        documents += self._alerts.reload(detections, policy, moved)
        self.detections, self._policy, self._rules = detections, policy, rules
        self._masks = masks_of(rules)
        self._types = types_of(detections)
        return documents

    def _migrate(self, ring: Ring, moved: Sequence[int | None]) -> list[Document]:
        """Continue with another ring. Returns what the previous one had completed."""
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
