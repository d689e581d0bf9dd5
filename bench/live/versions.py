"""Start, memory and latency of this version next to another one, alternately in one run.

    python bench/live/versions.py --baseline PYTHON [--starts N] [--trials N] [--json FILE]

PYTHON: interpreter of a virtual environment with the other version. Starts and memory as in startup.py,
latency as in latency.py with the default detections, each with both versions in turn. Memory: Pss of all
processes of the sensor, with
standard output as the only sink.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from auditsense.bench import latency
from auditsense.bench.report import machine
from auditsense.bench.startup import StartupResult, startup
from auditsense.bench.timing import percentile

if TYPE_CHECKING:
    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json

MB = 1_000_000
PERIOD_US = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description="This version and another one.")
    parser.add_argument("--baseline", required=True, metavar="PYTHON")
    parser.add_argument("--starts", type=int, default=15)
    parser.add_argument("--trials", type=int, default=60, help="of the latency, for each version")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    versions = {"before": arguments.baseline, "now": None}
    starts: dict[str, list[StartupResult]] = {name: [] for name in versions}
    read_ns: dict[str, list[int]] = {name: [] for name in versions}
    with ground() as (scanner, _folder):
        for other in versions.values():  # loads files into the cache
            startup(scanner.command, other=other)
        for _ in range(arguments.starts):
            for name, other in versions.items():
                starts[name].append(startup(scanner.command, other=other))
        for _ in range(0, arguments.trials, latency.TRIALS_PER_SENSOR):
            for name, other in versions.items():
                for trial in latency.trials(
                    scanner.command, latency.TRIALS_PER_SENSOR, period_us=PERIOD_US, other=other, only=()
                ):
                    if trial is None:
                        sys.exit(f"an alert is missing ({name})")
                    read_ns[name].append(trial.read)
    median = {
        name: {
            "start_ms": percentile([start.record_s for start in starts[name]], 50) * 1000,
            "processes_mb": percentile([start.processes_bytes for start in starts[name]], 50) / MB,
            "sensor_mb": percentile([start.resident_bytes for start in starts[name]], 50) / MB,
            "latency_ms": percentile(read_ns[name], 50) / 1e6,
        }
        for name in versions
    }
    print(f"{'median':<16}{'before':>10}{'now':>10}{'now - before':>14}")
    for row, before in median["before"].items():
        now = median["now"][row]
        print(f"{row:<16}{before:>10.2f}{now:>10.2f}{now - before:>14.2f}")
    figures = {
        "bench": "versions",
        "machine": machine(),
        "median": median,
        "starts": {name: [asdict(start) for start in some] for name, some in starts.items()},
        "read_ns": read_ns,
    }
    write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
