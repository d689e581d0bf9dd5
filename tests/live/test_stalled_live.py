"""A sensor that stands still: nobody waits for it, and what it missed is said to the event; see conftest.py.

The load is known (so many opens were made), the sensor says how many it saw: the difference is what was
lost, and has to be what it says was lost.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from auditsense import Document
    from tests.faults import AS_BEFORE, Recorder
    from tests.live.loads import NOBODY, Command, Scanner, finish, running
else:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from faults import AS_BEFORE
    from loads import NOBODY, Command, Scanner, finish, running

STALL_S = 10.0
# How many opens, and the microseconds from one to the next. For the owner's socket more than the kernel's
# queue can take while nobody reads; for a listener only as much as the owner beside it can read.
LOADS = {"netlink": (300_000, 40), "multicast": (140_000, 80)}
LONGEST_OPEN_S = 2.0  # with the kernel's own settings it is 60 s; the rest is a busy machine
CAUSES = ("kernel_lost", "serials_missing", "incomplete", "socket_drops")
NOTICED_S = 8.0  # two event timeouts until the last missing serial is judged, and some

# Opens /proc again and again as the loads do; prints the longest open in seconds, and how many there were.
PROBE = f"""
import os, sys, time
os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
print("ready", flush=True)
longest, count, end = 0.0, 0, time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    begun = time.perf_counter()
    fd = os.open("/proc", os.O_RDONLY | os.O_CLOEXEC)
    longest = max(longest, time.perf_counter() - begun)
    os.close(fd)
    count += 1
    time.sleep(0.001)
print(longest, count)
"""


def probe(seconds: float) -> subprocess.Popen[str]:
    """Start the probe; it has begun when this returns."""
    started = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROBE, str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert started.stdout is not None
    assert started.stdout.readline() == "ready\n"
    return started


@dataclass(frozen=True)
class Stall:
    """What came of it: the longest open in seconds, opens made and not seen, and what was said to be lost."""

    longest_s: float
    missed: int
    said: list[Document]

    @property
    def events(self) -> int:
        return sum(one["auditsense"]["loss"]["events"] for one in self.said)

    def cause(self, name: str) -> int:
        return sum(one["auditsense"]["loss"]["by_cause"].get(name, 0) for one in self.said)


def stalled(sensor: Command, scanner: Scanner, opens: int, period_us: int) -> Stall:
    """Let a load run while the sensor stands still, and end the sensor when it has caught up."""
    load = scanner.start(opens, period_us=period_us)
    time.sleep(0.5)
    prober = probe(STALL_S)
    sensor.process.send_signal(signal.SIGSTOP)
    try:
        longest, count = finish(prober).split()
    finally:
        sensor.process.send_signal(signal.SIGCONT)
    finish(load)
    time.sleep(NOTICED_S)
    assert sensor.end() == 0
    found = re.search(r" (\d+) matches,", sensor.said)
    assert found is not None
    said = [one for one in sensor.documents() if one["event"]["dataset"] == "auditsense.loss"]
    return Stall(float(longest), opens + int(count) - int(found[1]), said)


@pytest.mark.parametrize("source", ["netlink", "multicast"])
def test_nobody_waits_for_a_stopped_sensor_and_what_it_missed_is_said(
    compiled: Scanner | None, source: str, capsys: pytest.CaptureFixture[str], fault: Recorder
) -> None:
    if compiled is None:
        pytest.skip("there is no C compiler for scanner.c")
    with ExitStack() as stack:
        if source == "multicast":
            stack.enter_context(running("run", "--source", "netlink"))
        sensor = stack.enter_context(running("run", "--source", source, "--format", "jsonl"))
        stall = stalled(sensor, compiled, *LOADS[source])
    causes = {name: stall.cause(name) for name in CAUSES}
    with capsys.disabled():
        sys.stdout.write(
            f"\n{source}: longest open {stall.longest_s * 1000:.1f} ms, "
            f"missed {stall.missed}, said {stall.events}: {causes}\n"
        )
    assert stall.longest_s < LONGEST_OPEN_S
    assert stall.missed > 1000, "the load was too small to tell anything"
    # An event of which a part came may have matched all the same.
    unsure = causes["incomplete"]
    # Netlink: where the kernel's queue filled up in the middle of an event it counted more than one record of
    # it. Multicast: off by 1 in most runs, but once by 23 of 76,315, for a reason not found yet.
    unsure += stall.missed // (100 if source == "netlink" else 1000)
    assert abs(stall.events - stall.missed) <= unsure
    assert len(stall.said) <= 4
    fault(
        "the sensor stands still",
        how="SIGSTOP for 10 s under 300,000 opens (multicast: 140,000 beside an owner), then SIGCONT; live",
        did="went on where it was; no open of another process took 2 s meanwhile",
        lost="what did not fit into the socket and the kernel's queue",
        said="four documents at most; their estimates add up to the events missed, within what is unsure",
        host=AS_BEFORE,
    )
