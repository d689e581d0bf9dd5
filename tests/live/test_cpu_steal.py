"""The processors taken away for a while, as a host does with its virtual machines: nothing is lost.

In each batch the loads and other programs of real-time priority hold all processors, so that neither the
sensor nor the kernel's own thread runs before the batch is made. How long that takes does not matter: the
kernel has to queue the records of the batch, and the batch fits into a queue of 32,768.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.workloads import (
    Scanner,
    batch_loads,
    counted,
    of_process,
    queued_records,
    running,
    until_read,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


OPENS = 60_000
SMALLER_QUEUE = 8_192
"""Records. More have to wait, or the test would tell nothing about the queue that a sensor asks for."""
FIRST, TAKER, LOAD = 60, 50, 40
"""Real-time priorities: of this process, of those that hold processors, of the loads."""

# Holds one processor from each line of standard input to the next one.
TAKE = """
import os, select, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
print("ready", flush=True)
while sys.stdin.buffer.raw.read(1):
    print("taken", flush=True)
    while not select.select([0], [], [], 0)[0]:
        pass
    sys.stdin.buffer.raw.read(1)
"""


class Taker:
    """Holds a processor before all others, on request."""

    def __init__(self, processor: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", TAKE, str(processor)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self._expect("ready\n")

    def _expect(self, line: str) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == line

    def _tell(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Hold the processor for as long as the block lasts."""
        self._tell()
        self._expect("taken\n")
        try:
            yield
        finally:
            self._tell()

    def end(self) -> None:
        """Let it end."""
        self._process.communicate("", timeout=300)


@contextlib.contextmanager
def taker(processor: int) -> Iterator[Taker]:
    """Start one; it ends with the block."""
    started = Taker(processor)
    try:
        yield started
    finally:
        started.end()


@contextlib.contextmanager
def first() -> Iterator[None]:
    """Run this process before all others, so that it sees what waits at the moment a batch is made."""
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(FIRST))
    except PermissionError as error:
        pytest.skip(f"no real-time priority to be had here: {error}")
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, priority)


def test_stolen_cpu_time_loses_no_event(scanner: Scanner) -> None:
    free, *others = sorted(os.sched_getaffinity(0))
    with running("run") as sensor, batch_loads(scanner, OPENS, producers=2) as loads:
        waited = 0
        with contextlib.ExitStack() as stack:
            takers = [stack.enter_context(taker(processor)) for processor in others]
            stack.enter_context(first())
            for load in loads.processes:
                os.sched_setaffinity(load.pid, {free})
                os.sched_setscheduler(load.pid, os.SCHED_FIFO, os.sched_param(LOAD))
            for one in takers:
                os.sched_setscheduler(one.pid, os.SCHED_FIFO, os.sched_param(TAKER))
            for _ in range(loads.batches):
                with contextlib.ExitStack() as taken:
                    for one in takers:
                        taken.enter_context(one.holding())
                    loads.one_batch()
                    waited = max(waited, queued_records())
                until_read()
            loads.finish()
        assert sensor.end() == 0
        figures = counted(sensor)
        lost = [figures[cause] for cause in ("kernel", "serials", "incomplete")]
        documents = sensor.documents()
        states = [
            [
                (one["auditsense"]["state"], one["auditsense"]["count"])
                for one in of_process(documents, load.pid)
            ]
            for load in loads.processes
        ]
        missing = OPENS - sum(ended[-1][1] for ended in states)
        assert missing <= sum(lost), "a loss was not reported"
        assert waited > SMALLER_QUEUE, "the processors were not taken"
        assert (missing, lost) == (0, [0, 0, 0])
        assert states == [[("alert", 10), ("closed", OPENS // 2)]] * 2
