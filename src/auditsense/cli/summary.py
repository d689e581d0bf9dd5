"""Counters of a sensor in one line: while it runs and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.cli.common import unknown_arches

if TYPE_CHECKING:
    from auditsense.detect.suppression import AlertCounts
    from auditsense.kernel.self_test import SelfTest
    from auditsense.sensor.sensor import Sensor

_CAUSES = ("socket_drops", "truncated", "foreign", "keys_evicted", "stale")


def state(sensor: Sensor) -> str:
    """Return the state of a running sensor, for the service manager."""
    counts = sensor.alert_counts
    return f"watching; {counts.alerts} alerts; records lost by the kernel: {sensor.losses.kernel_lost}"


def summary(sensor: Sensor, self_test: SelfTest | None, seconds: float) -> str:
    """Return what a sensor counted until its end; zero counters that rarely matter are left out."""
    stats = sensor.stats()
    passed = self_test.passed if self_test is not None else 0
    matches = stats.matches - passed  # those of the sensor itself do not count
    counts = sensor.alert_counts
    line = (
        f"{seconds:.1f} s, {stats.records} records, {stats.events} events, {matches} matches, "
        f"{counts.alerts} alerts; lost: kernel {sensor.losses.kernel_lost}, serials {stats.serials_missing}, "
        f"incomplete {stats.incomplete}"
    )
    losses = sensor.losses.by_cause()
    line += "".join(f", {cause.replace('_', ' ')} {losses[cause]}" for cause in _CAUSES if cause in losses)
    parts = [line]
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


def _withheld(counts: AlertCounts) -> str:
    if not counts.withheld:
        return ""
    later = f", {counts.delayed} of them sent later" if counts.delayed else ""
    return f"; {counts.withheld} alerts withheld, over the limit of the interval{later}"
