"""Check that the host stays unchanged over many lifetimes of a sensor.

    python bench/live/cycles.py [--cycles N] [--seconds S] [--json FILE]

Opens and closes a real sensor, with an audit rule for user 65534 only, for N cycles or S seconds. After each
cycle the kernel's audit must have its previous settings and rules; memory and descriptors must not grow. Exit
status 1 otherwise.
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
from auditsense.bench.procfs import resident
from auditsense.bench.report import machine
from auditsense.bench.timing import Spread
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from bench.live.ground import ground, write_json
    from tests.live.host_guard import host_state
    from tests.live.workloads import OWN_RULE
else:  # the first import makes the others possible
    from ground import ground, write_json

    from tests.live.host_guard import host_state
    from tests.live.workloads import OWN_RULE

WARM = 10
SAMPLE = 25  # cycles per sample of the memory
GROWTH_BYTES = 2 << 20  # over the second half; in the first the allocator warms up


def own_memory() -> int:
    gc.collect()
    return resident(os.getpid())


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description="Many lifetimes of a sensor on the real kernel.")
    parser.add_argument("--cycles", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    durations: list[float] = []
    memory: list[int] = []
    unlike = untaken = opened = 0
    with ground():
        before = host_state()
        ends = time.monotonic() + arguments.seconds
        while len(durations) < arguments.cycles + WARM and time.monotonic() < ends:
            if len(durations) == WARM:
                opened = descriptors()
            if len(durations) % SAMPLE == 0:
                memory.append(own_memory())
            begun = time.monotonic()
            with Sensor(source=Unicast([OWN_RULE])) as sensor:
                sensor.poll()
                within = host_state() if len(durations) < WARM else None
            durations.append(time.monotonic() - begun)
            untaken += within is not None and (within.pid != os.getpid() or within.rules == before.rules)
            unlike += host_state() != before
        memory.append(own_memory())
        growth, left = memory[-1] - memory[len(memory) // 2], descriptors() - opened
    cycles = durations[WARM:]
    if not cycles:
        sys.exit("the time was too short for the first cycles")
    each = Spread.of(cycles)
    print(f"{len(cycles)} lifetimes, {unlike} after which the kernel's audit differed")
    print(f"one: median {each.median * 1e3:.1f} ms ({each.low * 1e3:.1f} to {each.high * 1e3:.1f})")
    print(f"memory, MiB: {' '.join(f'{size / (1 << 20):.1f}' for size in memory)}")
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
    write_json(arguments.json, figures)
    if unlike or untaken or left or growth > GROWTH_BYTES:
        sys.exit("the audit state, memory or descriptors differ, or nothing was taken over")


if __name__ == "__main__":
    main()
