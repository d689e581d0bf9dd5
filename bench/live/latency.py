"""How long an alert takes, from the tenth open to the line on the sensor's standard output.

    python bench/live/latency.py [--trials N] [--period-ms N] [--flood] [--json FILE]

Each trial is a new process that opens /proc ten times and takes CLOCK_MONOTONIC right after the
tenth open has returned. Two moments are set against it, on the same clock: when the sensor's
flush of its standard output has returned (taken in the sensor, which is `auditsense run` with a
standard output that tells the time of each flush), and when this process, waiting on the pipe,
has read the line. --flood: another process opens /proc without pause meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import struct
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.live.ground import ground, machine, percentile, write_json
    from tests.live.loads import OWN_RULE, Scanner
else:  # the first import makes the other possible
    from ground import ground, machine, percentile, write_json
    from loads import OWN_RULE, Scanner

TIMED_SENSOR = """
import io, os, struct, sys, time
moments = int(sys.argv.pop(1))
class Timed(io.TextIOWrapper):
    written = 0
    def write(self, text):
        self.written += len(text)  # alerts are ASCII
        return super().write(text)
    def flush(self):
        super().flush()
        os.write(moments, struct.pack("=qq", self.written, time.monotonic_ns()))
sys.stdout = Timed(sys.stdout.detach())
from auditsense.cli import main
raise SystemExit(main())
"""
MOMENT = struct.Struct("=qq")  # bytes written so far, when
TRIALS_A_SENSOR = 50  # a sensor sends 100 alerts in 5 minutes at most, the flood's own included
ALERT_LIMIT_S = 5.0
FLOOD_LIMIT_S = "120"


@dataclass(frozen=True)
class Trial:
    """Nanoseconds from the return of the tenth open."""

    written: int
    read: int


class TimedSensor:
    """`auditsense run`, its output on a pipe."""

    def __init__(self) -> None:
        self._moments, moments = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", TIMED_SENSOR, str(moments), "run", "--audit-rule", OWN_RULE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[moments],
            bufsize=0,
        )
        os.close(moments)
        self._read = 0
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        if b"watching" not in line:
            sys.exit(f"the sensor did not start: {line.decode()}")

    def alert_of(self, pid: int) -> tuple[int, int] | None:
        """Wait for the alert about a process; return when it was written and when read. None: none came."""
        output: IO[bytes] | None = self.process.stdout
        assert output is not None
        deadline = time.monotonic() + ALERT_LIMIT_S
        while (left := deadline - time.monotonic()) > 0 and select.select([output], [], [], left)[0]:
            lines = os.read(output.fileno(), 1 << 20)
            read = time.monotonic_ns()
            self._read += len(lines)
            reached = written = 0
            while reached < self._read:  # the flush that these lines came with
                reached, written = MOMENT.unpack(os.read(self._moments, MOMENT.size))
            if any(json.loads(line).get("process", {}).get("pid") == pid for line in lines.splitlines()):
                return written, read
        return None

    def close(self) -> str:
        """End the sensor. Returns its last word."""
        self.process.send_signal(signal.SIGINT)
        _, said = self.process.communicate(timeout=30)
        os.close(self._moments)
        return said.decode().strip()


@contextmanager
def flood(scanner: Scanner, wanted: bool) -> Iterator[None]:  # noqa: FBT001 - a flag of the command line
    """Open /proc without pause during the block, if wanted."""
    if not wanted:
        yield
        return
    command = ["timeout", FLOOD_LIMIT_S, *scanner.command, "-n", "1000000000"]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.terminate()


def trial(sensor: TimedSensor, scanner: Scanner, period_us: int) -> Trial | None:
    load = scanner.start(10, period_us=period_us, timed=10)
    moments = sensor.alert_of(load.pid)
    printed, _ = load.communicate(timeout=30)
    if moments is None:
        return None
    tenth = int(printed.split()[0])
    return Trial(written=moments[0] - tenth, read=moments[1] - tenth)


def measure(wanted: argparse.Namespace) -> tuple[list[Trial | None], list[str]]:
    trials: list[Trial | None] = []
    said: list[str] = []
    with ground() as (scanner, _folder):
        while len(trials) < wanted.trials:
            sensor = TimedSensor()
            try:
                with flood(scanner, wanted.flood):
                    turns = range(min(TRIALS_A_SENSOR, wanted.trials - len(trials)))
                    trials += [trial(sensor, scanner, int(wanted.period_ms * 1000)) for _ in turns]
            finally:
                said.append(sensor.close())
    return trials, said


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
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    trials, said = measure(wanted)
    good = [one for one in trials if one is not None]
    print(f"{len(good)} alerts in {len(trials)} trials{', flooded' if wanted.flood else ''}")
    print(f"{'ms after the tenth open':<24}{'median':>10}{'99 %':>10}{'max':>10}")
    table = {
        "written": row("written by the sensor", [one.written for one in good]),
        "read": row("read from its pipe", [one.read for one in good]),
    }
    for line in said:
        print(line, file=sys.stderr)
    figures = {
        "bench": "latency",
        "machine": machine(),
        "flood": wanted.flood,
        "period_ms": wanted.period_ms,
        "trials": len(trials),
        "alerts": len(good),
        "ms": table,
        "read_ns": [one.read for one in good],
        "written_ns": [one.written for one in good],
        "sensor_said": said,
    }
    write_json(wanted.json, figures)
    if len(good) != len(trials):
        sys.exit(f"{len(trials) - len(good)} alerts did not come")


if __name__ == "__main__":
    main()
