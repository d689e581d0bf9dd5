"""How a running sensor is, as one document. docs/status.md lists its fields.

Rule 1: nothing is asked of the kernel for it, and no file is opened: what the sensor found at its last look
        (once a second) is said. A client cannot make it work.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
from typing import TYPE_CHECKING, Any, Final

from auditsense.core.ring import Limits, core_version
from auditsense.detections.exceptions import excepted_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.self_test import SelfTest
    from auditsense.sensor.sensor import Sensor
    from auditsense.sources.base import Source

VERSION: Final = 1
"""Of the document. Fields may be added to it; one that goes or changes its meaning is a new version."""
_MOST_EXCEPTIONS: Final = 50
_LONGEST_TEXT: Final = 200  # characters of each text of an exception; in JSON one may become six bytes
_KERNEL: Final = (
    *("enabled", "failure", "pid", "rate_limit", "backlog_limit", "lost", "backlog"),
    *("backlog_wait_time", "backlog_wait_time_actual"),
)


@dataclasses.dataclass(frozen=True)
class Watched:
    """What a status document is made of.

    Attributes:
        sensor: while it is open.
        source: its source.
        why: why it is no other source, in a few words; "": the usual one.
        audit_rules: those that must be in force.
        wall_s: seconds since 1970 UTC.
        self_test: None: none.
        limits: of the sensor.
        sinks: gives the counters of the sinks, one object each.
    """

    sensor: Sensor
    source: Source
    why: str
    audit_rules: Sequence[str]
    wall_s: Callable[[], float]
    self_test: SelfTest | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    sinks: Callable[[], Sequence[dict[str, Any]]] = tuple


class Snapshot:
    """Makes the document. Made when the sensor begins to watch."""

    def __init__(self, watched: Watched) -> None:
        self._of = watched
        self._started_s = watched.wall_s()

    def document(self) -> dict[str, Any]:
        """Return the document of this moment.

        Raises:
            ClosedError: the sensor is not open.
        """
        sensor, source, limits = self._of.sensor, self._of.source, self._of.limits
        stats, alerts, test = sensor.stats(), sensor.alert_counts, self._of.self_test
        now_s = self._of.wall_s()
        return {
            "version": VERSION,
            "auditsense": core_version(),
            "pid": os.getpid(),
            "started": round(self._started_s, 3),
            "now": round(now_s, 3),
            "uptime_s": round(now_s - self._started_s, 3),
            "source": {
                "name": source.name,
                "why": self._of.why,
                "owner": not source.audited,
                "guardian": source.guardian.pid if source.guardian is not None else 0,
            },
            "audit_rules": [*self._of.audit_rules],
            "detections": [one.name for one in sensor.detector.detections],
            "kernel": _kernel(source),
            "counters": stats.as_dict(),
            "alerts": dataclasses.asdict(alerts),
            "events": {"open": stats.open_events, "limit": limits.event_slots, "evicted": stats.evicted},
            "windows": {"used": stats.live_keys, "limit": limits.key_slots, "evicted": stats.keys_evicted},
            "clock_steps": sensor.clock_steps,
            "losses": {"known": sensor.detector.lost, "by_cause": sensor.losses.by_cause()},
            "self_test": {"passed": test.passed, "failed": test.failed} if test is not None else None,
            "process": _process(sensor.detector.memory_bytes),
            "sinks": [*self._of.sinks()],
            "exceptions": _exceptions(sensor),
            "unknown_arches": [
                {"arch": f"{arch:#x}", "records": count} for arch, count in stats.unknown_arches
            ],
        }

    def answer(self) -> bytes:
        """Return the document as a line of JSON."""
        return json.dumps(self.document(), separators=(",", ":")).encode() + b"\n"


def _kernel(source: Source) -> dict[str, int | None] | None:
    status: AuditStatus | None = getattr(source, "kernel_status", None)  # a source without a kernel has none
    return {name: getattr(status, name) for name in _KERNEL} if status is not None else None


def _exceptions(sensor: Sensor) -> list[dict[str, object]]:
    """Return what exceptions took; bounded, because an answer has to fit into the kernel's buffer."""
    most = sorted(sensor.exceptions(), key=lambda one: -one[1])[:_MOST_EXCEPTIONS]
    texts = ("detection", "comment", "origin")
    return [{**one, **{name: str(one[name])[:_LONGEST_TEXT] for name in texts}} for one in excepted_by(most)]


def _process(core_bytes: int) -> dict[str, int | float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 3),
        "memory_peak_bytes": used.ru_maxrss * 1024,
        "memory_core_bytes": core_bytes,
    }
