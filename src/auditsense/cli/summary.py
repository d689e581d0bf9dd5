"""Counters of a sensor in one line: while it runs and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense._values import duration
from auditsense.cli.common import unknown_arches
from auditsense.detections.compiler import compile_all
from auditsense.detections.record_filter import UNREAD, needed_records
from auditsense.kernel.self_test import DEFAULT_EVERY_S
from auditsense.status.table import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.config.settings import RunSettings
    from auditsense.core.stats import Stats
    from auditsense.detect.suppression import AlertCounts
    from auditsense.kernel.self_test import SelfTest
    from auditsense.sensor.sensor import Sensor
    from auditsense.sinks.config import SinkSettings

_RECORD_NAMES: Final = {
    1306: "SOCKADDR",
    1307: "CWD",
    1309: "EXECVE",
    1320: "EOE",
    1321: "BPRM_FCAPS",
    1327: "PROCTITLE",
}
_CAUSES = ("socket_drops", "truncated", "foreign", "keys_evicted", "stale")


def start_details(
    settings: RunSettings, sinks: Sequence[SinkSettings], source: str, why: str, self_test: SelfTest | None
) -> Iterator[str]:
    """Yield what `run --verbose` prints before it starts."""
    yield f"configuration: {', '.join(map(str, settings.files)) or 'no file'}"
    yield f"source: {source}, {why or _why(settings.source.name)}"
    yield f"detections: {', '.join(detection.id for detection in settings.detections)}"
    yield f"record filter: {_record_filter(settings)}"
    yield f"sinks: {', '.join(map(str, sinks))}"
    every_ms = round((settings.source.self_test_s or DEFAULT_EVERY_S) * 1000)
    yield f"self-test: {f'every {duration(every_ms)}' if self_test is not None else 'off'}"


def _why(name: str) -> str:
    return "because no other process owns the audit socket" if name == "auto" else "as configured"


def _record_filter(settings: RunSettings) -> str:
    if not settings.source.lean:
        return "EOE, and what no field comes from (--lean leaves out more)"
    rules = compile_all(settings.detections, merge_ms=settings.policy.suppress_ms)
    unsent = sorted(needed_records(rules).unsent - UNREAD)
    return f"the kernel leaves out {', '.join(_RECORD_NAMES.get(kind, str(kind)) for kind in unsent)}"


def state(sensor: Sensor) -> str:
    """Return the state of a running sensor, for the service manager."""
    counts = sensor.alert_counts
    alerts, lost = counted(counts.alerts, "alerts"), sensor.losses.kernel_lost
    return f"watching; {alerts}; records lost by the kernel: {lost}"


def summary(sensor: Sensor, self_test: SelfTest | None, seconds: float) -> str:
    """Return what a sensor counted until its end; zero counters that rarely matter are left out."""
    stats = sensor.stats()
    passed = self_test.passed if self_test is not None else 0
    matches = stats.matches - passed  # those of the sensor itself do not count
    counts = sensor.alert_counts
    found = [
        counted(stats.records, "records"),
        counted(stats.events, "events"),
        f"{matches} {'match' if matches == 1 else 'matches'}",
        counted(counts.alerts, "alerts"),
    ]
    line = (
        f"{seconds:.1f} s, {', '.join(found)}; lost: kernel {sensor.losses.kernel_lost}, "
        f"serials {stats.serials_missing}, incomplete {stats.incomplete}"
    )
    losses = sensor.losses.by_cause()
    line += "".join(f", {cause.replace('_', ' ')} {losses[cause]}" for cause in _CAUSES if cause in losses)
    parts = [line]
    if none_completed(stats, passed):
        parts.append("no match completed a detection: counts, sequences and samples need more")
    if stats.malformed and stats.lines:
        parts.append(f"{stats.malformed} of {stats.lines} lines were no audit record")
    if self_test is not None and self_test.failed:
        parts.append(f"{self_test.failed} of {passed + self_test.failed} self-tests failed")
    parts += [
        f"excepted from {exception.detection}: {count} events ({exception.comment})"
        for exception, count in sensor.exceptions()
        if count
    ]
    parts += unknown_arches(stats)
    if sensor.clock_steps:
        parts.append(f"the clock was set {sensor.clock_steps} times")
    if stats.stamp_steps:
        parts.append(f"stamps of records went back {stats.stamp_steps} times")
    return "; ".join(parts) + _withheld(counts)


def none_completed(stats: Stats, self_tests: int) -> bool:
    """Return whether there were matches, apart from those of self-tests, and none completed a detection."""
    return stats.matches > self_tests >= stats.sequences and stats.limited == 0


def _withheld(counts: AlertCounts) -> str:
    if not counts.withheld:
        return ""
    later = f", {counts.delayed} of them sent later" if counts.delayed else ""
    return f"; {counts.withheld} alerts withheld, over the limit of the interval{later}"
