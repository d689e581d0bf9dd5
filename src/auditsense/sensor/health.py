"""What a sensor looks after besides the records: losses, the kernel's settings, its own sight.

All of it by looking every now and then, from the sensor's own loop: no thread, nothing per event.

Rule 1: a kernel that does not answer holds nothing up for long and ends nothing; it is asked again.
Rule 2: what is found becomes a document, with a bound on how often.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from auditsense.detect.detector import Detector
from auditsense.detect.ecs import (
    ALERT_DATASET,
    BURST_DATASET,
    Document,
    loss_document,
    narrow_lost,
    self_test_document,
    tamper_document,
)
from auditsense.detect.losses import Budget, Ledger, Losses
from auditsense.detect.notices import clock_document
from auditsense.errors import AuditSenseError, KernelCommandError
from auditsense.sensor.self_test import SelfTestRing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.core.ring import Stats
    from auditsense.detect.record_reader import RingReader
    from auditsense.detections.model import DetectionException
    from auditsense.kernel.self_test import SelfTest
    from auditsense.sensor.clock import Clock
    from auditsense.sources.base import Source

_EVERY_S = 1.0
_CLOCK_STEP_MS = 1000
_CLOSE_S = 0.1  # between reading two clocks that are compared
_FRESH_S = 0.1  # before an alert the kernel is asked again, but in a flood of alerts not for each
_SOON_S = 0.02  # and while a self-test is under way


class Kept(NamedTuple):
    """What a sensor that was left still says."""

    stats: Stats
    losses: Losses
    exceptions: list[tuple[DetectionException, int]]


class Checks:
    """Looks at one source and one detector.

    Args:
        source: asked for losses and findings.
        detector: asked for its counters; told what was lost elsewhere.
        self_test: None: none.
        clock: its wall clock dates documents; a step of it is reported.
        event_timeout_ms: of the detector.
    """

    def __init__(
        self,
        source: Source,
        detector: RingReader,
        self_test: SelfTest | None,
        clock: Clock,
        event_timeout_ms: int,
    ) -> None:
        self._source = source
        self._detector = detector
        self._self_test = self_test
        self._wall_ms = clock.wall_ms
        self.ledger = Ledger(clock.wall_ms(), notice_ms=2 * event_timeout_ms)
        self.clock_steps = 0
        """Steps of the wall clock, by a second or more."""
        self._clock_reports = Budget()
        self._clock = clock
        self._wall_ahead_ms: int | None = None  # of the clock that never steps, when last compared
        self._clock_step(0.0)  # the first comparison reports nothing
        self._next_s = 0.0
        self._asked_s = 0.0
        self._kernel_lost = 0
        self._challenges = detector.stats().control
        self._unguarded = False

    def due_s(self, now_s: float) -> float:
        """Return the seconds until `look` wants to be called."""
        if self._self_test is not None and self._self_test.pending:
            return _SOON_S
        return max(0.0, self._next_s - now_s)

    def look(self, now_s: float) -> list[Document]:
        """Look after all that is due. Returns what has to be said.

        Args:
            now_s: a clock that never steps back.
        """
        documents = self._test(now_s)
        if now_s < self._next_s:
            return documents
        self._next_s = now_s + _EVERY_S
        documents += self._guarding()
        documents += self._tampering()
        documents += self._clock_step(now_s)
        self._count(now_s)
        return documents + self._gap(now_s)

    def narrow(self, documents: Sequence[Document], now_s: float) -> None:
        """Let alerts say what was lost in their own window, as far as it is known by now."""
        alerts = [one for one in documents if one["event"]["dataset"] in {ALERT_DATASET, BURST_DATASET}]
        if not alerts:
            return
        if now_s - self._asked_s >= _FRESH_S:
            self._count(now_s)
        for alert in alerts:
            stamp = str(alert["auditsense"]["events"][0]).partition(":")[0]  # SECONDS.MILLIS
            narrow_lost(alert, self.ledger.since(int(stamp.replace(".", ""))))

    def finish(self, now_s: float, *, notices: bool) -> list[Document]:
        """Count what there is to count at the end. Returns the last gap, if there is one.

        Args:
            now_s: a clock that never steps back.
            notices: return what the source has noticed since the last look, too. Not for the kernel's
                sources: the host is restored by now, and differs from what they watch for.
        """
        documents = self._tampering() if notices else []
        self._count(now_s)
        return documents + self._gap(now_s, final=True)

    def losses(self) -> Losses:
        """Return what is known to be lost since the start, by cause, without asking the kernel."""
        detector = self._detector
        withheld = detector.alert_counts.withheld if isinstance(detector, Detector) else 0
        return Losses.of(
            detector.stats(),
            kernel_lost=self._kernel_lost,
            socket_drops=self._source.drops(),
            alerts_withheld=withheld,
        )

    def _count(self, now_s: float) -> None:
        self._asked_s = now_s
        with suppress(KernelCommandError):  # asked again soon; the core counts what it can tell meanwhile
            self._kernel_lost = self._source.kernel_lost()
        self._detector.lost_elsewhere = self._kernel_lost
        self.ledger.enter(self.losses(), self._wall_ms())

    def _gap(self, now_s: float, *, final: bool = False) -> list[Document]:
        stats = self._detector.stats()
        # The kernel makes and loses what a lean sensor is not sent, too: one of each type an event.
        unsent = len(self._detector.unsent)
        per_event = unsent + (max(1.0, stats.records / stats.events) if stats.events else 1.0)
        gap = self.ledger.gap(now_s, per_event, unsent, final=final)
        if gap is None:
            return []
        return [loss_document(gap, self._detector.host, lost_total=self.ledger.total.known)]

    def _guarding(self) -> list[Document]:
        """See to it that somebody would put the host back. Says once what happened to him."""
        guardian = self._source.guardian
        if guardian is None:
            return []
        try:
            if not guardian.watch():
                self._unguarded = False
                return []
            happened, repaired = guardian.incident
            message = f"the process that would put this host back {happened}"
        except AuditSenseError as problem:
            if self._unguarded:
                return []
            self._unguarded = True
            happened, repaired = "was ended", ""
            message = f"the process that would put this host back was ended: {problem}"
        return [
            tamper_document(
                self._detector.host,
                ms=self._wall_ms(),
                rule_id="auditsense.tamper.guardian",
                name=f"The Guardian {happened.title()}",
                severity="high",
                message=message,
                repaired=repaired,
            )
        ]

    def _clock_step(self, now_s: float) -> list[Document]:
        """Compare the wall clock with the one that never steps.

        Both are read close to each other: time that passes between them, while the kernel does not answer or
        this process is stopped, is no step. Where that cannot be told the next look compares them again.
        """
        before_s = self._clock.monotonic_s()
        wall_ms = self._wall_ms()
        after_s = self._clock.monotonic_s()
        if after_s - before_s > _CLOSE_S:
            return []
        ahead_ms = wall_ms - round(before_s * 1000)
        step_ms = 0 if self._wall_ahead_ms is None else ahead_ms - self._wall_ahead_ms
        self._wall_ahead_ms = ahead_ms
        if abs(step_ms) < _CLOCK_STEP_MS:
            return []  # set by a little, as time services do all the time
        self.clock_steps += 1
        if not self._clock_reports.take(now_s):
            return []
        host = self._detector.host
        return [clock_document(host, ms=wall_ms, step_ms=step_ms, before_ms=wall_ms - step_ms)]

    def _tampering(self) -> list[Document]:
        documents: list[Document] = []
        host, now_ms = self._detector.host, self._wall_ms()
        try:
            noticed = self._source.check()
        except KernelCommandError:
            return []  # compared again soon
        for one in noticed:
            found = one.deviation
            documents.append(
                tamper_document(
                    host,
                    ms=now_ms,
                    rule_id=found.id,
                    name=found.name,
                    severity=found.severity,
                    message=found.message,
                    repaired=one.repaired,
                )
            )
        challenges = self._detector.stats().control
        if challenges > self._challenges:
            count = challenges - self._challenges
            self._challenges = challenges
            documents.append(
                tamper_document(
                    host,
                    ms=now_ms,
                    rule_id="auditsense.tamper.challenge",
                    name="Another Process Asked For The Audit Socket",
                    severity="medium",
                    message=f"another process asked for the audit socket ({count} times) and did not get it",
                    repaired="",
                )
            )
        return documents

    def _test(self, now_s: float) -> list[Document]:
        if self._self_test is None:
            return []
        if isinstance(self._detector.ring, SelfTestRing):
            for pid in self._detector.ring.pids():
                self._self_test.saw(pid)
        wrong = self._self_test.step(now_s)
        return [self_test_document(self._detector.host, ms=self._wall_ms(), message=wrong)] if wrong else []
