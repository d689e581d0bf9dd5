"""Soak test at full load: flat memory, consistent counters, and losses by cause.

    python bench/live/soak.py [--seconds N] [--slice N] [--producers N] [--json FILE]

Consecutive runs of a minute, each with a new sensor and producers at full speed. Between runs, other programs
get the kernel's audit. The number of opens is known; the losses that the sensor reports must explain all
missing ones. Exit status 1: memory grew, or a sum is wrong.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from auditsense.bench.interpreter import python
from auditsense.bench.procfs import resident
from auditsense.bench.report import machine

if TYPE_CHECKING:
    from bench.live.ground import ground, write_json
    from tests.live.workloads import OWN_RULE, Scanner, finish
else:  # the first import makes the others possible
    from ground import ground, write_json

    from tests.live.workloads import OWN_RULE, Scanner, finish

OPENS = 100_000  # of one producer, before it is started again
SAMPLE_S = 1.0
SETTLE_S = 1.0
OTHERS_S = 1.0  # for other programs that wait for the kernel's audit
GROWTH_BYTES = 4 << 20

SENSOR = """
import json, signal, sys
import auditsense
from auditsense.sources.unicast import Unicast

with auditsense.Sensor(source=Unicast([sys.argv[1]], guarded=True)) as sensor:
    signal.signal(signal.SIGINT, lambda *_: sensor.stop())
    print("ready", flush=True)
    documents = sum(1 for _ in sensor)
    counts = {"documents": documents, "memory_bytes": sensor.reader.memory_bytes}
    counts |= sensor.stats().as_dict()
    counts["kernel_lost"] = sensor.losses.kernel_lost
    counts["by_cause"] = sensor.losses.by_cause()
print(json.dumps(counts), flush=True)
"""


@dataclass(frozen=True)
class Slice:
    """One run: opens, counters of the sensor, and its memory in bytes."""

    seconds: float
    opens: int
    counted: dict[str, int]
    by_cause: dict[str, int]
    samples: list[tuple[float, int]]

    @property
    def half(self) -> int:
        """Memory after half the time, when the load has touched all its pages."""
        return next(size for moment, size in self.samples if moment >= self.seconds / 2)

    @property
    def last(self) -> int:
        """Memory at the end."""
        return self.samples[-1][1]

    @property
    def missing(self) -> int:
        """Opens that the sensor did not see."""
        return self.opens - self.counted["matches"]

    def problems(self) -> list[str]:
        """Return the failed checks."""
        counts = self.counted
        parts = counts["records"] + counts["malformed"] + counts["foreign"] + counts["control"]
        explained = counts["kernel_lost"] + counts["serials_missing"] + counts["incomplete"]
        checks = {
            "datagrams are not records + malformed + foreign + control": counts["datagrams"] != parts,
            "events are still open": counts["open_events"] != 0,
            "more is missing than was reported as lost": not 0 <= self.missing <= explained,
            "memory grew": self.last - self.half > GROWTH_BYTES,
            "memory exceeds the configured limit": self.last - self.samples[0][1] > counts["memory_bytes"],
            "records did not come from the kernel": counts["foreign"] + counts["malformed"] != 0,
        }
        return [problem for problem, failed in checks.items() if failed]


def load(scanner: Scanner, producers: int, pid: int, seconds: float) -> tuple[int, list[tuple[float, int]]]:
    """Run the producers; return the number of opens, and samples of the sensor's memory."""
    started = time.monotonic()
    running: list[subprocess.Popen[str]] = []
    samples: list[tuple[float, int]] = []
    opens, next_sample = 0, 0.0
    while (passed := time.monotonic() - started) < seconds or running:
        for producer in [producer for producer in running if producer.poll() is not None]:
            finish(producer)
            running.remove(producer)
        while passed < seconds and len(running) < producers:
            running.append(scanner.start(OPENS))
            opens += OPENS
        if passed >= next_sample:
            samples.append((passed, resident(pid)))
            next_sample += SAMPLE_S
        time.sleep(0.005)
    return opens, samples


def run(seconds: float, producers: int) -> Slice:
    with (
        ground() as (scanner, _),
        subprocess.Popen(
            python(SENSOR, OWN_RULE),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        ) as sensor,
    ):
        assert sensor.stdout is not None
        try:
            if sensor.stdout.readline() != "ready\n":
                sys.exit("the sensor did not start")
            opens, samples = load(scanner, producers, sensor.pid, seconds)
            time.sleep(SETTLE_S)
            samples.append((seconds, resident(sensor.pid)))
            sensor.send_signal(signal.SIGINT)
            counted = json.loads(sensor.communicate(timeout=30)[0])
        finally:
            sensor.kill()
    by_cause = counted.pop("by_cause")
    return Slice(
        seconds=seconds,
        opens=opens,
        counted=counted,
        by_cause=by_cause,
        samples=samples,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Soak test at full load.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--slice", type=float, default=55, help="seconds of load per run; below a minute")
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    names = (
        "run",
        "opens",
        "matches",
        "missing",
        "kernel",
        "serials",
        "incomplete",
        "MiB first",
        "half",
        "end",
    )
    print("".join(f"{name:>11}" for name in names), flush=True)
    slices: list[Slice] = []
    problems: list[str] = []
    loaded = 0.0
    while loaded < arguments.seconds:
        time.sleep(OTHERS_S)
        current = run(min(arguments.slice, arguments.seconds - loaded), arguments.producers)
        loaded += current.seconds
        slices.append(current)
        sizes = [f"{size / (1 << 20):.1f}" for size in (current.samples[0][1], current.half, current.last)]
        lost = [current.counted[name] for name in ("kernel_lost", "serials_missing", "incomplete")]
        row = (len(slices), current.opens, current.counted["matches"], current.missing, *lost, *sizes)
        print("".join(f"{cell:>11}" for cell in row), flush=True)
        problems += [f"run {len(slices)}: {problem}" for problem in current.problems()]
    ends = [part.last for part in slices]
    if max(ends) - min(ends) > GROWTH_BYTES:
        problems.append("the runs ended with different memory")
    opens, missing = sum(part.opens for part in slices), sum(part.missing for part in slices)
    print(
        f"{loaded:g} s under load, {opens} opens ({opens / loaded:.0f} a second), {missing} not seen; ",
        end="",
    )
    causes = sorted({name for part in slices for name in part.by_cause})
    print(", ".join(f"{name} {sum(part.by_cause.get(name, 0) for part in slices)}" for name in causes))
    for problem in problems:
        print(f"FAILED: {problem}")
    figures = {"bench": "soak", "machine": machine(), "slices": [asdict(part) for part in slices]}
    write_json(arguments.json, {**figures, "problems": problems})
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
