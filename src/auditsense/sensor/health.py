"""Periodic health checks: losses, kernel settings, guardian, clock, self-test.

They run from the sensor's own loop: no thread, nothing per event. A kernel that does not answer delays a
check only briefly and is polled again later. Findings become documents at a bounded rate.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from auditsense.detect.detector import Detector
from auditsense.detect.ecs import (
    ALERT_DATASET,
    BURST_DATASET,
    loss_document,
    narrow_lost,
    self_test_document,
    tamper_document,
)
from auditsense.detect.losses import Losses, LossLedger, RateLimiter
from auditsense.detect.notices import clock_document
from auditsense.errors import AuditSenseError, KernelCommandError
from auditsense.kernel.tamper import KEY_STOLEN
from auditsense.sensor.side_ring import self_test_pids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.core.ring import Stats
    from auditsense.detect.document_types import Document
    from auditsense.detect.record_reader import RingReader
    from auditsense.detections.model import DetectionException
    from auditsense.kernel.self_test import SelfTest
    from auditsense.sensor.clock import Clock
    from auditsense.sources.base import Source

_EVERY_S = 1.0
_CLOCK_STEP_MS = 1000
_CLOCKS_APART_S = 0.1  # most time between reading two clocks that are compared
_FRESH_S = 0.1  # the kernel's loss counter is this recent in an alert, also in a flood of alerts
_SOON_S = 0.02  # while a self-test is in progress


class FinalCounters(NamedTuple):
    """Counters of a sensor that was left."""

    stats: Stats
    losses: Losses
    exceptions: list[tuple[DetectionException, int]]


class HealthMonitor:
    """Monitors one source and one reader.

    Args:
        source: polled for losses and changes.
        reader: polled for its counters; receives the losses before it.
        self_test: None: none.
        clock: its wall clock dates documents; a step of it is reported.
        event_timeout_ms: of the reader.
    """

    def __init__(
        self,
        source: Source,
        reader: RingReader,
        self_test: SelfTest | None,
        clock: Clock,
        event_timeout_ms: int,
    ) -> None:
        self._source = source
        self._reader = reader
        self._self_test = self_test
        self._wall_ms = clock.wall_ms
        self.ledger = LossLedger(clock.wall_ms(), notice_ms=2 * event_timeout_ms)
        self.clock_steps = 0
        """Steps of the wall clock by a second or more."""
        self._clock_reports = RateLimiter()
        self._clock = clock
        self._wall_ahead_ms: int | None = None  # of the monotonic clock, when last compared
        self._check_clock(0.0)  # the first comparison reports nothing
        self._next_s = 0.0
        self._counted_s = 0.0
        self._kernel_lost = 0
        self._challenges = reader.stats().control
        self._unguarded = False

    def timeout_s(self, now_s: float) -> float:
        """Return the seconds until `poll` is due."""
        if self._self_test is not None and self._self_test.pending:
            return _SOON_S
        return max(0.0, self._next_s - now_s)

    def poll(self, now_s: float) -> list[Document]:
        """Run the checks that are due. Returns their findings.

        Args:
            now_s: current monotonic time.
        """
        documents = self._run_self_test(now_s)
        if now_s < self._next_s:
            return documents
        self._next_s = now_s + _EVERY_S
        documents += self._check_guardian()
        documents += self._check_tampering()
        documents += self._check_clock(now_s)
        self._count(now_s)
        return documents + self._report_losses(now_s)

    def narrow_losses(self, documents: Sequence[Document], now_s: float) -> None:
        """Replace the losses in alerts by those in their own window, as far as they are known."""
        datasets = {ALERT_DATASET, BURST_DATASET}
        alerts = [document for document in documents if document["event"]["dataset"] in datasets]
        if not alerts:
            return
        if now_s - self._counted_s >= _FRESH_S:
            self._count(now_s)
        for alert in alerts:
            stamp = str(alert["auditsense"]["events"][0]).partition(":")[0]  # SECONDS.MILLIS
            narrow_lost(alert, self.ledger.since(int(stamp.replace(".", ""))))

    def finish(self, now_s: float, *, notices: bool) -> list[Document]:
        """Count the losses at the end. Returns a document about the last ones, if any.

        Args:
            now_s: current monotonic time.
            notices: include changes that the source has noticed since the last poll. Not for the kernel's
                sources: the host is restored by now, and differs from the state they watch for.
        """
        documents = self._check_tampering() if notices else []
        self._count(now_s)
        return documents + self._report_losses(now_s, final=True)

    def losses(self) -> Losses:
        """Return the known losses since the start by cause, without asking the kernel."""
        reader = self._reader
        withheld = reader.alert_counts.withheld if isinstance(reader, Detector) else 0
        return Losses.of(
            reader.stats(),
            kernel_lost=self._kernel_lost,
            socket_drops=self._source.drops(),
            alerts_withheld=withheld,
        )

    def _count(self, now_s: float) -> None:
        self._counted_s = now_s
        with suppress(KernelCommandError):  # polled again soon
            self._kernel_lost = self._source.kernel_lost()
        self._reader.lost_elsewhere = self._kernel_lost
        self.ledger.update(self.losses(), self._wall_ms())

    def _report_losses(self, now_s: float, *, final: bool = False) -> list[Document]:
        stats = self._reader.stats()
        # The kernel also creates and loses records that it does not send: one per type and event.
        unsent = self._reader.unsent_per_event
        per_event = unsent + (max(1.0, stats.records / stats.events) if stats.events else 1.0)
        gap = self.ledger.report(now_s, per_event, unsent, final=final)
        if gap is None:
            return []
        return [loss_document(gap, self._reader.host, lost_total=self.ledger.total.known)]

    def _check_guardian(self) -> list[Document]:
        """Restart the guardian if it died. Reports each death once."""
        guardian = self._source.guardian
        if guardian is None:
            return []
        try:
            if not guardian.watch():
                self._unguarded = False
                return []
            happened, repaired = guardian.incident
            message = f"the process that restores this host {happened}"
        except AuditSenseError as error:
            if self._unguarded:
                return []
            self._unguarded = True
            happened, repaired = "was ended", ""
            message = f"the process that restores this host was ended: {error}"
        name = f"The Guardian {happened.title()}"
        return [self._tamper_document("auditsense.tamper.guardian", name, "high", message, repaired)]

    def _tamper_document(
        self, rule_id: str, name: str, severity: str, message: str, repaired: str
    ) -> Document:
        harmless = rule_id == KEY_STOLEN and not self._compares_keys()
        return tamper_document(
            self._reader.host,
            ms=self._wall_ms(),
            rule_id=rule_id,
            name=name,
            severity=severity,
            message=message,
            repaired=repaired,
            harmless=harmless,
        )

    def _compares_keys(self) -> bool:
        """Return whether the key of an audit rule matters to a detection, or to the reader of all events."""
        if not isinstance(self._reader, Detector):
            return True
        keys = {"auditd.data.key", "tags"}
        return any(keys & detection.compared_fields for detection in self._reader.detections)

    def _check_clock(self, now_s: float) -> list[Document]:
        """Compare the wall clock with the monotonic clock.

        Time that passes between reading the two, while this process is stopped for example, is not a step.
        If they were not read close together, the next poll compares them again.
        """
        before_s = self._clock.monotonic_s()
        wall_ms = self._wall_ms()
        after_s = self._clock.monotonic_s()
        if after_s - before_s > _CLOCKS_APART_S:
            return []
        ahead_ms = wall_ms - round(before_s * 1000)
        step_ms = 0 if self._wall_ahead_ms is None else ahead_ms - self._wall_ahead_ms
        self._wall_ahead_ms = ahead_ms
        if abs(step_ms) < _CLOCK_STEP_MS:
            return []  # a small correction, as time services make all the time
        self.clock_steps += 1
        if not self._clock_reports.allow(now_s):
            return []
        host = self._reader.host
        return [clock_document(host, ms=wall_ms, step_ms=step_ms, before_ms=wall_ms - step_ms)]

    def _check_tampering(self) -> list[Document]:
        try:
            changes = self._source.check()
        except KernelCommandError:
            return []  # polled again soon
        documents = [
            self._tamper_document(
                change.deviation.id,
                change.deviation.name,
                change.deviation.severity,
                change.deviation.message,
                change.repaired,
            )
            for change in changes
        ]
        challenges = self._reader.stats().control
        count, self._challenges = challenges - self._challenges, max(challenges, self._challenges)
        if count > 0:
            documents.append(
                self._tamper_document(
                    "auditsense.tamper.challenge",
                    "Another Process Asked For The Audit Socket",
                    "medium",
                    f"another process asked for the audit socket ({count} times) and did not get it",
                    "",
                )
            )
        return documents

    def _run_self_test(self, now_s: float) -> list[Document]:
        if self._self_test is None:
            return []
        for pid in self_test_pids(self._reader.ring):
            self._self_test.saw(pid)
        failure = self._self_test.step(now_s)
        if not failure:
            return []
        return [self_test_document(self._reader.host, ms=self._wall_ms(), message=failure)]
