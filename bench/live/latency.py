"""Latency of an alert, from the tenth open to the line on the sensor's standard output.

    python bench/live/latency.py [--trials N] [--period-ms N] [--flood] [--mode NAME] [--json FILE]

src/auditsense/bench/latency.py describes the method. --flood: another process opens /proc without pause. Exit
status 1: an alert is missing.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from auditsense.bench import latency
from auditsense.bench.consumers import MODES, has_mode
from auditsense.bench.report import machine
from auditsense.bench.timing import percentile

if TYPE_CHECKING:
    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json


def row(name: str, nanoseconds: list[int]) -> dict[str, float]:
    """Print one line of the table; return its figures in ms."""
    figures = {
        "median": percentile(nanoseconds, 50) / 1e6,
        "p99": percentile(nanoseconds, 99) / 1e6,
        "max": max(nanoseconds) / 1e6,
    }
    print(f"{name:<24}" + "".join(f"{value:>10.3f}" for value in figures.values()))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description="Time from the tenth open of /proc to the alert.")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--period-ms", type=float, default=20, help="from one open to the next (20)")
    parser.add_argument("--flood", action="store_true", help="with another producer at full speed")
    parser.add_argument("--mode", choices=MODES, default="default")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    if not has_mode(arguments.mode):
        sys.exit(f"auditsense run of this build has no {' '.join(MODES[arguments.mode])}")
    with ground() as (scanner, _folder):
        trials = list(
            latency.trials(
                scanner.command,
                arguments.trials,
                period_us=int(arguments.period_ms * 1000),
                flooded=arguments.flood,
                mode=arguments.mode,
            )
        )
    alerts = [trial for trial in trials if trial is not None]
    timed = [alert for alert in alerts if not alert.is_clock_error]
    print(
        f"{len(alerts)} alerts in {len(trials)} trials{', flooded' if arguments.flood else ''}, "
        f"{len(alerts) - len(timed)} left out for a clock error"
    )
    if timed:
        print(f"{'ms after the tenth open':<24}{'median':>10}{'99 %':>10}{'max':>10}")
        table = {
            "written": row("written by the sensor", [alert.written for alert in timed]),
            "read": row("read from its pipe", [alert.read for alert in timed]),
        }
        figures = {
            "bench": "latency",
            "machine": machine(),
            "mode": arguments.mode,
            "flood": arguments.flood,
            "period_ms": arguments.period_ms,
            "trials": len(trials),
            "alerts": len(alerts),
            "clock_errors": len(alerts) - len(timed),
            "ms": table,
            "read_ns": [alert.read for alert in timed],
        }
        write_json(arguments.json, figures)
    if len(alerts) != len(trials):
        sys.exit(f"{len(trials) - len(alerts)} alerts are missing")


if __name__ == "__main__":
    main()
