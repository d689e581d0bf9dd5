"""Latency of an alert, from the return of the tenth open to the line on the sensor's standard output.

Each trial is a new process that opens /proc ten times and reads CLOCK_MONOTONIC when the tenth open has
returned. The same clock is read twice more: when the write to standard output has returned (in the process of
that sink, of an `auditsense run` whose sink reports the time of each write), and when this process has read
the line from the pipe.
"""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from auditsense.bench.c_helpers import OWN_RULE, finish, scan
from auditsense.bench.consumers import LIMITED, MODES, ONLY, started
from auditsense.bench.interpreter import environment, python
from auditsense.bench.interpreter import program as find
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPENS: Final = 10
TRIALS_PER_SENSOR: Final = 15  # a sensor sends 20 alerts of one program at once, including the flood's
_ALERT_LIMIT_S: Final = 5.0
_FLOOD_LIMIT_S: Final = "60"
_TIMESTAMP: Final = struct.Struct("=qq")  # bytes written so far, time
_TIMED_SENSOR: Final = """
import os, struct, sys, time
from auditsense.sinks import worker
from auditsense.sinks.stream import StreamSink
timestamps, written, write_all = int(sys.argv.pop(1)), 0, StreamSink._write_all
close_inherited = worker.close_inherited
def timed(sink, output, lines):
    global written
    write_all(sink, output, lines)
    written += len(lines)
    os.write(timestamps, struct.pack("=qq", written, time.monotonic_ns()))
StreamSink._write_all = timed
worker.close_inherited = lambda *keep: close_inherited(timestamps, *keep)
from auditsense.cli import main
raise SystemExit(main())
"""


@dataclass(frozen=True, slots=True)
class LatencyTrial:
    """Latency of one alert until it was written and read, in ns from the return of the tenth open."""

    written: int
    read: int

    @property
    def is_clock_error(self) -> bool:
        """Whether the alert seems older than the tenth open: the process read the clock too late."""
        return min(self.written, self.read) < 0


class TimedSensor:
    """`auditsense run` that reports the time of each write to its output."""

    def __init__(self, output: IO[bytes], timestamps: int) -> None:
        self._output = output
        self._timestamps = timestamps
        self._read = 0

    def alert_of(self, pid: int) -> tuple[int, int] | None:
        """Wait for the alert about a process; return when it was written and read; None: no alert."""
        deadline = time.monotonic() + _ALERT_LIMIT_S
        while (left := deadline - time.monotonic()) > 0 and select.select([self._output], [], [], left)[0]:
            lines = os.read(self._output.fileno(), 1 << 20)
            read = time.monotonic_ns()
            if not lines:
                return None
            self._read += len(lines)
            reached = written = 0
            while reached < self._read:  # the write of these lines
                reached, written = _TIMESTAMP.unpack(os.read(self._timestamps, _TIMESTAMP.size))
            if any(json.loads(line).get("process", {}).get("pid") == pid for line in lines.splitlines()):
                return written, read
        return None


@contextmanager
def timed_sensor(mode: str, other: str | None = None, only: Sequence[str] = ONLY) -> Iterator[TimedSensor]:
    """Run a timed sensor during the block; see `trials`."""
    words = ("run", *only, "--source", "netlink", "--audit-rule", OWN_RULE, *LIMITED, *MODES[mode])
    reading, timestamps = os.pipe()
    try:
        with started(
            python(_TIMED_SENSOR, str(timestamps), *words, other=other),
            stdout=subprocess.PIPE,
            pass_fds=[timestamps],
        ) as (
            process,
            _,
        ):
            assert process.stdout is not None
            yield TimedSensor(process.stdout, reading)
    finally:
        os.close(reading)
        os.close(timestamps)


@contextmanager
def flood(scanner: Sequence[str]) -> Iterator[None]:
    """Open /proc without pause during the block, for one minute at most."""
    limit = find("timeout")
    command = [*((limit, _FLOOD_LIMIT_S) if limit else ()), *scanner, "-n", "1000000000"]
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=null, stdout=null, env=environment())
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def trials(  # noqa: PLR0913 - each has a default that most keep
    scanner: Sequence[str],
    times: int,
    *,
    period_us: int,
    flooded: bool = False,
    mode: str = "default",
    other: str | None = None,
    only: Sequence[str] = ONLY,
) -> Iterator[LatencyTrial | None]:
    """Yield trials; None: no alert within 5 s.

    Args:
        scanner: the command of the scanning processes, and of the flood.
        times: number of trials; a new sensor after every 15.
        period_us: microseconds from one open to the next.
        flooded: whether another process opens /proc without pause.
        mode: of the sensor, one of `consumers.MODES`.
        other: interpreter of another version; None: this one.
        only: options that select detections.
    """
    done = 0
    while done < times:
        with timed_sensor(mode, other, only) as sensor, flood(scanner) if flooded else nullcontext():
            for _ in range(min(TRIALS_PER_SENSOR, times - done)):
                yield _trial(sensor, scanner, period_us)
                done += 1


def _trial(sensor: TimedSensor, scanner: Sequence[str], period_us: int) -> LatencyTrial | None:
    load = scan(scanner, OPENS, period_us=period_us, timed=OPENS)
    timestamps = sensor.alert_of(load.pid)
    printed = finish(load).split()
    if not printed:
        raise AuditSenseError("the load did not print the time of its tenth open")
    if timestamps is None:
        return None
    tenth = int(printed[0])
    return LatencyTrial(written=timestamps[0] - tenth, read=timestamps[1] - tenth)
