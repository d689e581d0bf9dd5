"""A processor taken away for a while, as a host does with its virtual machines: nothing is lost."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.workloads import Scanner, finish, of_process, running

if TYPE_CHECKING:
    from collections.abc import Iterator


OPENS = 60_000
TAKEN_S = 0.05
"""How long at a time: more than a queue of 8,192 records can take, half of what one of 32,768 can."""

# Holds one processor before all others, and lets it go for a while; until its standard input ends.
TAKE = """
import os, select, sys, time
processor, taken, free = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
os.sched_setaffinity(0, {processor})
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
except OSError as error:
    raise SystemExit(print(f"refused: {error}"))
print("ready", flush=True)
while not select.select([sys.stdin], [], [], free)[0]:
    until = time.monotonic() + taken
    while time.monotonic() < until:
        pass
"""


@contextlib.contextmanager
def taken(processor: int, seconds: float, free_s: float) -> Iterator[None]:
    """Take a processor away for so long, again and again, for as long as the block lasts."""
    arguments = [str(processor), str(seconds), str(free_s)]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", TAKE, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if line.startswith("refused"):
                pytest.skip(f"no real-time priority to be had here: {line}")
            assert line == "ready\n"
            yield
        finally:
            process.communicate("", timeout=300)


def test_stolen_cpu_time_loses_no_event(scanner: Scanner) -> None:
    with running("run") as sensor:
        with contextlib.ExitStack() as stack:
            # Not at the same times: while all are taken nothing is made either.
            for number, processor in enumerate(sorted(os.sched_getaffinity(0))):
                stack.enter_context(taken(processor, TAKEN_S, 0.2 + 0.11 * number))
            loads = [scanner.start(OPENS // 2), scanner.start(OPENS // 2)]
            for load in loads:
                finish(load)
        time.sleep(0.2)  # for the last records
        assert sensor.end() == 0
        for load in loads:
            states = [one["auditsense"] for one in of_process(sensor.documents(), load.pid)]
            assert [one["state"] for one in states] == ["alert", "closed"]
            assert states[-1]["count"] == OPENS // 2
        assert "lost: kernel 0, serials 0, incomplete 0" in sensor.stderr
