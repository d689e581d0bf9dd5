"""Does the host stay as it is, however often a sensor is opened and closed?

    python bench/live/cycles.py [--cycles N] [--seconds S] [--json FILE]

Lives of a real sensor with an audit rule for user 65534 only; ends after so many, or so long. After each the
kernel's audit has to be as before, settings and rules; memory and descriptors have to stay. Exit status 1
when not.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense import Sensor
from auditsense.bench.report import machine
from auditsense.bench.timing import Spread
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from bench.live.ground import ground, write_json
    from tests.live.guarded import host_state
    from tests.live.loads import OWN_RULE
else:  # the first import makes the others possible
    from ground import ground, write_json
    from guarded import host_state
    from loads import OWN_RULE

WARM = 10
SAMPLE = 25  # lives from one look at the memory to the next
GROWTH_BYTES = 2 << 20  # over the second half; in the first the allocator finds out what it keeps
PAGE = os.sysconf("SC_PAGESIZE")


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Many lives of a sensor on the real kernel.")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    took: list[float] = []
    memory: list[int] = []
    unlike = untaken = opened = 0
    with ground():
        before = host_state()
        ends = time.monotonic() + wanted.seconds
        while len(took) < wanted.cycles + WARM and time.monotonic() < ends:
            if len(took) == WARM:
                opened = descriptors()
            if len(took) % SAMPLE == 0:
                memory.append(resident())
            begun = time.monotonic()
            with Sensor(source=Unicast([OWN_RULE])) as sensor:
                sensor.poll()
                within = host_state() if len(took) < WARM else None
            took.append(time.monotonic() - begun)
            untaken += within is not None and (within.pid != os.getpid() or within.rules == before.rules)
            unlike += host_state() != before
        memory.append(resident())
        growth, left = memory[-1] - memory[len(memory) // 2], descriptors() - opened
    cycles = took[WARM:]
    if not cycles:
        sys.exit("not even the first lives fitted in that time")
    each = Spread.of(cycles)
    print(f"{len(cycles)} lives, {unlike} after which the kernel's audit was not as before")
    print(f"one: median {each.median * 1e3:.1f} ms ({each.low * 1e3:.1f} to {each.high * 1e3:.1f})")
    print(f"memory, MiB: {' '.join(f'{one / (1 << 20):.1f}' for one in memory)}")
    print(f"memory over the second half {growth / 1024:+.0f} KiB, descriptors {left:+}")
    figures = {
        "bench": "cycles",
        "machine": machine(),
        "cycles": len(cycles),
        "unlike": unlike,
        "median_s": each.median,
        "resident_bytes": memory,
        "growth_bytes": growth,
        "descriptors": left,
    }
    write_json(wanted.json, figures)
    if unlike or untaken or left or growth > GROWTH_BYTES:
        sys.exit("something was left behind, or was not taken over")


if __name__ == "__main__":
    main()
