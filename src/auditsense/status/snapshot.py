"""The status document of a running sensor. docs/status.md lists its fields.

It reports the results of the last health check (once a second): no request to the kernel, no file. So a
client cannot cause load.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
from typing import TYPE_CHECKING, Any, Final

from auditsense._frozen import Frozen
from auditsense.core.ring import Limits, core_version
from auditsense.detect.alert_policy import DetectionCounts
from auditsense.detect.detector import Detector
from auditsense.detections.exceptions import excepted_by

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.detect.document_types import SinkFields
    from auditsense.kernel.audit_status import AuditStatus
    from auditsense.kernel.self_test import SelfTest
    from auditsense.sensor.activity import SentAlert
    from auditsense.sensor.sensor import Sensor
    from auditsense.sources.base import Source

VERSION: Final = 1
"""Version of the document. Adding a field keeps it; removing or redefining one increments it."""
_MOST_EXCEPTIONS: Final = 50
_LONGEST_TEXT: Final = 200  # characters of each text of an exception; in JSON one may become six bytes
_KERNEL: Final = (
    *("enabled", "failure", "pid", "rate_limit", "backlog_limit", "lost", "backlog"),
    *("backlog_wait_time", "backlog_wait_time_actual"),
)


@dataclasses.dataclass(slots=True, eq=False, repr=False)
class StatusContext(Frozen):
    """The objects that a status document describes.

    Attributes:
        sensor: while it is open.
        source: its source.
        why: why it is not the usual source, in a few words; "": it is.
        audit_rules: that must be active.
        wall_s: returns seconds since 1970 UTC.
        self_test: None: none.
        limits: of the sensor.
        sinks: returns the counters of the sinks, one object each.
        config_files: read at the start, absolute.
        privileges: returns what the process kept: user and confinement.
    """

    sensor: Sensor
    source: Source
    why: str
    audit_rules: Sequence[str]
    wall_s: Callable[[], float]
    self_test: SelfTest | None = None
    limits: Limits = dataclasses.field(default_factory=Limits)
    sinks: Callable[[], Sequence[SinkFields]] = tuple
    config_files: Sequence[str] = ()
    privileges: Callable[[], dict[str, Any]] = dict


class Snapshot:
    """Makes the document. Created when the sensor starts."""

    def __init__(self, context: StatusContext) -> None:
        self._context = context
        self._started_s = context.wall_s()

    def document(self) -> dict[str, Any]:
        """Return the current document.

        Raises:
            ClosedError: the sensor is not open.
        """
        context = self._context
        sensor, source, limits = context.sensor, context.source, context.limits
        stats, alerts, test = sensor.stats(), sensor.alert_counts, context.self_test
        now_s = context.wall_s()
        return {
            "version": VERSION,
            "auditsense": core_version(),
            "pid": os.getpid(),
            "started": round(self._started_s, 3),
            "now": round(now_s, 3),
            "uptime_s": round(now_s - self._started_s, 3),
            "source": {
                "name": source.name,
                "why": context.why,
                "owner": not source.audited,
                "guardian": source.guardian.pid if source.guardian is not None else 0,
            },
            "privileges": context.privileges(),
            "config_files": [*context.config_files],
            "audit_rules": [*context.audit_rules],
            "output": str(sensor.view),
            "detections": [detection.name for detection in sensor.detections],
            "kernel": _kernel(source),
            "detection_counts": _detection_counts(sensor),
            "last_record": _seconds(sensor.activity.last_record_ms if stats.records else None),
            "last_alert": _last_alert(sensor.activity.last_alert),
            "counters": stats.as_dict(),
            "alerts": dataclasses.asdict(alerts),
            "events": {"open": stats.open_events, "limit": limits.event_slots, "evicted": stats.evicted},
            "windows": {"used": stats.live_keys, "limit": limits.key_slots, "evicted": stats.keys_evicted},
            "processes": {
                "used": stats.live_processes,
                "limit": limits.process_slots if sensor.reader.ring.remembers_processes else 0,
                "evicted": stats.processes_evicted,
                "parents_unknown": stats.parents_unknown,
            },
            "clock_steps": sensor.clock_steps,
            "losses": {"known": sensor.reader.lost, "by_cause": sensor.losses.by_cause()},
            "self_test": _self_test(test) if test is not None else None,
            "process": _process(sensor.reader.memory_bytes),
            "sinks": [*context.sinks()],
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


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000


def _last_alert(alert: SentAlert | None) -> dict[str, object] | None:
    if alert is None:
        return None
    document = alert.document
    process = document.get("process", {})
    texts = {name: process[name] for name in ("name", "executable") if name in process}
    return {
        "time": _seconds(alert.ms),
        "event_id": document["event"]["id"],
        "rule_id": document["rule"]["id"],
        "process": {"pid": process.get("pid")}
        | {name: str(text)[:_LONGEST_TEXT] for name, text in texts.items()},
    }


def _detection_counts(sensor: Sensor) -> list[dict[str, object]]:
    reader = sensor.reader
    counts = reader.detection_counts if isinstance(reader, Detector) else {}
    return [
        {"id": detection.id} | dataclasses.asdict(counts.get(detection.id, DetectionCounts()))
        for detection in sensor.detections
    ]


def _self_test(test: SelfTest) -> dict[str, int]:
    return {"passed": test.passed, "failed": test.failed, "events": test.events}


def _exceptions(sensor: Sensor) -> list[dict[str, object]]:
    """Return the exceptions with the most events; bounded, because an answer has to fit into a buffer."""
    most = sorted(sensor.exceptions(), key=lambda pair: -pair[1])[:_MOST_EXCEPTIONS]
    texts = ("detection", "comment", "origin")
    return [
        {**entry, **{name: str(entry[name])[:_LONGEST_TEXT] for name in texts}} for entry in excepted_by(most)
    ]


def _process(core_bytes: int) -> dict[str, int | float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "cpu_s": round(used.ru_utime + used.ru_stime, 3),
        "memory_peak_bytes": used.ru_maxrss * 1024,
        "memory_core_bytes": core_bytes,
    }
