"""How long an alert takes, from the return of the tenth open to the line on the sensor's standard output.

Each trial is a new process that opens /proc ten times and takes CLOCK_MONOTONIC right after the tenth
open has returned. Two moments are set against it, on the same clock: when the write to standard output has
returned (taken in the sensor's process for that sink: it is `auditsense run` with a sink that tells the time
of each write), and when this process, waiting on the pipe, has read the line.
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
from auditsense.bench.consumers import LIMITED, MODES, started
from auditsense.bench.interpreter import environment, python
from auditsense.bench.interpreter import program as find
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPENS: Final = 10
TRIALS_A_SENSOR: Final = 15  # a sensor sends 20 alerts of one program at once, with the flood's
_ALERT_LIMIT_S: Final = 5.0
_FLOOD_LIMIT_S: Final = "60"
_MOMENT: Final = struct.Struct("=qq")  # bytes written so far, when
_TIMED_SENSOR: Final = """
import os, struct, sys, time
from auditsense.sinks import worker
from auditsense.sinks.stream import StreamSink
moments, written, write_all = int(sys.argv.pop(1)), 0, StreamSink._write_all
close_inherited = worker.close_inherited
def timed(sink, output, lines):
    global written
    write_all(sink, output, lines)
    written += len(lines)
    os.write(moments, struct.pack("=qq", written, time.monotonic_ns()))
StreamSink._write_all = timed
worker.close_inherited = lambda *keep: close_inherited(moments, *keep)
from auditsense.cli import main
raise SystemExit(main())
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """One alert, in ns from the return of the tenth open; 0 is the clock read right after it."""

    written: int
    read: int


class TimedSensor:
    """`auditsense run`, its output on a pipe whose reader knows when each line was written."""

    def __init__(self, output: IO[bytes], moments: int) -> None:
        self._output = output
        self._moments = moments
        self._read = 0

    def alert_of(self, pid: int) -> tuple[int, int] | None:
        """Wait for the alert about a process; return when it was written and when read. None: none came."""
        deadline = time.monotonic() + _ALERT_LIMIT_S
        while (left := deadline - time.monotonic()) > 0 and select.select([self._output], [], [], left)[0]:
            lines = os.read(self._output.fileno(), 1 << 20)
            read = time.monotonic_ns()
            if not lines:
                return None
            self._read += len(lines)
            reached = written = 0
            while reached < self._read:  # the write that these lines came with
                reached, written = _MOMENT.unpack(os.read(self._moments, _MOMENT.size))
            if any(json.loads(line).get("process", {}).get("pid") == pid for line in lines.splitlines()):
                return written, read
        return None


@contextmanager
def timed_sensor(mode: str) -> Iterator[TimedSensor]:
    """Run one; it has ended when the block has."""
    words = ("run", "--source", "netlink", "--audit-rule", OWN_RULE, *LIMITED, *MODES[mode])
    reading, moments = os.pipe()
    try:
        with started(
            python(_TIMED_SENSOR, str(moments), *words), stdout=subprocess.PIPE, pass_fds=[moments]
        ) as (
            process,
            _,
        ):
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            yield TimedSensor(process.stdout, reading)
    finally:
        os.close(reading)
        os.close(moments)


@contextmanager
def flood(scanner: Sequence[str]) -> Iterator[None]:
    """Open /proc without pause during the block; one minute at most."""
    limit = find("timeout")
    command = [*((limit, _FLOOD_LIMIT_S) if limit else ()), *scanner, "-n", "1000000000"]
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=null, stdout=null, env=environment())
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def trials(
    scanner: Sequence[str], times: int, *, period_us: int, flooded: bool = False, mode: str = "default"
) -> Iterator[Trial | None]:
    """Yield one trial after the other; None: no alert came within 5 s.

    Args:
        scanner: the command of the processes that open, and of the flood.
        times: how many trials; a new sensor after every 15.
        period_us: from one open to the next, in microseconds.
        flooded: another process opens /proc without pause meanwhile.
        mode: of the sensor, one of `readers.MODES`.
    """
    done = 0
    while done < times:
        with timed_sensor(mode) as sensor, flood(scanner) if flooded else nullcontext():
            for _ in range(min(TRIALS_A_SENSOR, times - done)):
                yield _trial(sensor, scanner, period_us)
                done += 1


def _trial(sensor: TimedSensor, scanner: Sequence[str], period_us: int) -> Trial | None:
    load = scan(scanner, OPENS, period_us=period_us, timed=OPENS)
    moments = sensor.alert_of(load.pid)
    printed = finish(load).split()
    if not printed:
        raise AuditSenseError("the load did not say when its tenth open returned")
    if moments is None:
        return None
    tenth = int(printed[0])
    return Trial(written=moments[0] - tenth, read=moments[1] - tenth)
