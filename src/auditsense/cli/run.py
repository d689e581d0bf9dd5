"""auditsense run: watch this host."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from auditsense.cli import put, say
from auditsense.cli.common import ending, say_put_back, standard_output, wanted_detections
from auditsense.detector import View
from auditsense.errors import UsageError
from auditsense.sensor import Sensor
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    import argparse

    from auditsense.detections.model import Detection

_NOT_YET = ("multicast", "audisp", "unix")


def audit_rules(given: list[str], detections: list[Detection]) -> list[str]:
    """Return the audit rules of the command line, or those the detections need, each once."""
    return given or list(dict.fromkeys(detection.audit_rule for detection in detections))


def _check_source(source: str) -> None:
    name = source.partition(":")[0]
    if name in _NOT_YET:
        raise UsageError(f"the source {name} does not exist yet; use --source netlink")
    if name not in {"auto", "netlink"}:
        raise UsageError(f"there is no source {source!r}; use --source netlink")


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal or the end of `--duration`."""
    _check_source(arguments.source)
    detections = wanted_detections(arguments)
    rules = audit_rules(arguments.audit_rule, detections)
    source = Unicast(rules, guarded=True)
    if arguments.dry_run:
        for line in source.plan():
            put(line)
        return 0
    sink = standard_output(arguments)
    sensor = Sensor(detections, view=View(arguments.output), source=source)
    with ending(sensor.stop):
        started = time.monotonic()
        with sensor:
            say_put_back(source)
            say(f"watching; source netlink, audit rules: {'; '.join(rules)}")
            if arguments.duration is not None:
                timer = threading.Timer(arguments.duration, sensor.stop)
                timer.daemon = True
                timer.start()
            for documents in sensor.batches():
                sink.write(documents)
            summary = _summary(sensor, time.monotonic() - started)
        say(f"{summary}; the host is as it was")
    return 0


def _summary(sensor: Sensor, seconds: float) -> str:
    stats = sensor.stats()
    counts = sensor.alert_counts
    said = (
        f"{seconds:.1f} s, {stats.records} records, {stats.events} events, {stats.matches} matches, "
        f"{counts.alerts} alerts; lost: kernel {sensor.kernel_lost}, serials {stats.serials_missing}, "
        f"incomplete {stats.incomplete}"
    )
    if counts.withheld:
        said += f"; {counts.withheld} alerts withheld, over the limit of the interval"
    return said
