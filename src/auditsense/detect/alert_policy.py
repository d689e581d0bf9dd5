"""Alert policy, and counters of sequences by outcome."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.errors import UsageError, expect_number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.detections.model import Detection


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """When to send an alert, and what one burst is.

    Attributes:
        suppress_ms: further sequences of a burst are counted, not sent, until none came for this time.
        max_alerts: alerts sent per interval at most; None: no limit. No account (a login, or a user without
            one) gets all of them (docs/alerts.md, Bursts).
        interval_ms: that interval.
        max_bursts: bursts at a time; beyond it, the one that was quiet longest is closed early.
        update_ms: interval of updates, which report the count of a burst that continues; 0: no updates.
        by: the fields that tell which sequences are one burst, in addition to the detection and the host, as
            ``("user.id",)`` or ``("process.executable",)``. Then a burst may have several actors, which its
            closing document lists. Empty: those of the detection's window and of the actor: executable,
            user, login and session. An absent field is a distinct value.
    """

    suppress_ms: int = 300_000
    max_alerts: int | None = 100
    interval_ms: int = 300_000
    max_bursts: int = 10_000
    update_ms: int = 0
    by: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("suppress_ms", "interval_ms", "update_ms"):
            expect_number(name, getattr(self, name))
        if self.max_alerts is not None:
            expect_number("max_alerts", self.max_alerts)
        expect_number("max_bursts", self.max_bursts, 1)
        if not isinstance(self.by, tuple | list) or not all(isinstance(name, str) for name in self.by):
            raise UsageError(f'by: expected a tuple of field names, as ("user.id",), not {self.by!r:.60}')

    def merge_ms(self, detections: Iterable[Detection]) -> int:
        """Return how long the core may merge completed windows of a key, in ms.

        Only if all windows of one key and actor belong to one burst: it merges without comparing other
        fields.
        """
        actor = {"process.executable", "user.id", "user.audit.id", "auditd.session"}
        return (
            self.suppress_ms
            if all({*self.by} <= {*detection.window.by} | actor for detection in detections)
            else 0
        )


@dataclass(slots=True)
class DetectionCounts:
    """Counters of one detection.

    Attributes:
        sequences: completed windows, each as Elastic counts them.
        alerts: sent.
    """

    sequences: int = 0
    alerts: int = 0


@dataclass(slots=True)
class AlertCounts:
    """Counters of sequences by outcome.

    Attributes:
        alerts: sent.
        suppressed: sequences counted into a burst instead of being sent.
        updates: updates sent.
        closed: closing documents sent.
        withheld: bursts whose alert was not sent when they began, because of max_alerts.
        delayed: of these, bursts whose alert was sent later.
    """

    alerts: int = 0
    suppressed: int = 0
    updates: int = 0
    closed: int = 0
    withheld: int = 0
    delayed: int = 0
