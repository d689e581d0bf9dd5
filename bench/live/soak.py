"""A long time at full load: memory flat, counters consistent, and what was lost by cause.

    python bench/live/soak.py [--seconds N] [--slice N] [--producers N] [--json FILE]

Runs of a minute back to back, each a sensor of its own that reads what the producers make as fast as they
can; between two of them others get their turn with the kernel's audit. The number of opens is known, so
what is missing is known as well, and has to be explained by what the sensor says was lost.
Exit status 1: memory grew, or a sum does not come out.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.interpreter import python
from auditsense.bench.report import machine

if TYPE_CHECKING:
    from bench.live.ground import ground, write_json
    from tests.live.loads import OWN_RULE, Scanner, finish
else:  # the first import makes the others possible
    from ground import ground, write_json
    from loads import OWN_RULE, Scanner, finish

OPENS = 100_000  # of one producer, before it is started again
SAMPLE_S = 1.0
SETTLE_S = 1.0
OTHERS_S = 1.0  # for who else waits for the kernel's audit
GROWTH_BYTES = 4 << 20
PAGE = os.sysconf("SC_PAGESIZE")

SENSOR = """
import json, signal, sys
import auditsense
from auditsense.sources.unicast import Unicast

with auditsense.Sensor(source=Unicast([sys.argv[1]], guarded=True)) as sensor:
    signal.signal(signal.SIGINT, lambda *_: sensor.stop())
    print("ready", flush=True)
    documents = sum(1 for _ in sensor)
    said = {"documents": documents, "memory_bytes": sensor.reader.memory_bytes, **sensor.stats().as_dict()}
    said["kernel_lost"] = sensor.kernel_lost
    said["by_cause"] = sensor.losses.by_cause()
print(json.dumps(said), flush=True)
"""


@dataclass(frozen=True)
class Slice:
    """One run: what was made, what the sensor counted, and its memory in bytes."""

    seconds: float
    opens: int
    counted: dict[str, int]
    by_cause: dict[str, int]
    samples: list[tuple[float, int]]

    @property
    def half(self) -> int:
        """Memory after half the time: by then every page that this load uses has been touched."""
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
        """Return what does not come out."""
        one = self.counted
        parts = one["records"] + one["malformed"] + one["foreign"] + one["control"]
        explained = one["kernel_lost"] + one["serials_missing"] + one["incomplete"]
        wrong = {
            "datagrams are not records + malformed + foreign + control": one["datagrams"] != parts,
            "events are still open": one["open_events"] != 0,
            "more is missing than was said to be lost": not 0 <= self.missing <= explained,
            "memory grew": self.last - self.half > GROWTH_BYTES,
            "memory is more than was promised": self.last - self.samples[0][1] > one["memory_bytes"],
            "something not sent by the kernel came": one["foreign"] + one["malformed"] != 0,
        }
        return [words for words, is_so in wrong.items() if is_so]


def resident(pid: int) -> int:
    """Return the memory of a process that has pages, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * PAGE


def load(scanner: Scanner, producers: int, pid: int, seconds: float) -> tuple[int, list[tuple[float, int]]]:
    """Keep the producers busy; return how many opens they made, and samples of the sensor's memory."""
    started = time.monotonic()
    running: list[subprocess.Popen[str]] = []
    samples: list[tuple[float, int]] = []
    opens, next_sample = 0, 0.0
    while (passed := time.monotonic() - started) < seconds or running:
        for one in [one for one in running if one.poll() is not None]:
            finish(one)
            running.remove(one)
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
    parser = argparse.ArgumentParser(description="A long time at full load.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--slice", type=float, default=55, help="of load in one run; below a minute")
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
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
    while loaded < wanted.seconds:
        time.sleep(OTHERS_S)
        one = run(min(wanted.slice, wanted.seconds - loaded), wanted.producers)
        loaded += one.seconds
        slices.append(one)
        sizes = [f"{size / (1 << 20):.1f}" for size in (one.samples[0][1], one.half, one.last)]
        lost = [one.counted[name] for name in ("kernel_lost", "serials_missing", "incomplete")]
        row = (len(slices), one.opens, one.counted["matches"], one.missing, *lost, *sizes)
        print("".join(f"{cell:>11}" for cell in row), flush=True)
        problems += [f"run {len(slices)}: {words}" for words in one.problems()]
    ends = [one.last for one in slices]
    if max(ends) - min(ends) > GROWTH_BYTES:
        problems.append("the runs did not end with the same memory")
    opens, missing = sum(one.opens for one in slices), sum(one.missing for one in slices)
    print(
        f"{loaded:g} s under load, {opens} opens ({opens / loaded:.0f} a second), {missing} not seen; ",
        end="",
    )
    causes = sorted({name for one in slices for name in one.by_cause})
    print(", ".join(f"{name} {sum(one.by_cause.get(name, 0) for one in slices)}" for name in causes))
    for problem in problems:
        print(f"NOT SO: {problem}")
    figures = {"bench": "soak", "machine": machine(), "slices": [asdict(one) for one in slices]}
    write_json(wanted.json, {**figures, "problems": problems})
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
