"""From the start of `auditsense run` to the first record it has seen, and its memory then.

    python bench/live/startup.py [--starts N] [--mode NAME] [--json FILE]

A process opens /proc every millisecond; the time is from the fork of the sensor to the first event on its
standard output (`-o events`).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from auditsense.bench.consumers import MODES, has_mode
from auditsense.bench.report import machine
from auditsense.bench.startup import startup
from auditsense.bench.timing import Spread

if TYPE_CHECKING:
    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json

MIB = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description="Start to first record.")
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--mode", choices=MODES, default="default")
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    if not has_mode(wanted.mode):
        sys.exit(f"auditsense run of this build has no {' '.join(MODES[wanted.mode])}")
    with ground() as (scanner, _folder):
        startup(scanner.command, wanted.mode)  # audit has been on once, and the files are in the cache
        found = [startup(scanner.command, wanted.mode) for _ in range(wanted.starts)]
    took = Spread.of([one.record_s for one in found])
    memory = Spread.of([one.resident_bytes for one in found])
    print(f"start to first record: median {took.median:.3f} s ({took.low:.3f} to {took.high:.3f})")
    print(f"memory: median {memory.median / MIB:.1f} MiB")
    figures = {
        "bench": "startup",
        "machine": machine(),
        "mode": wanted.mode,
        "starts": [asdict(one) for one in found],
        "record_s": asdict(took),
        "resident_bytes": asdict(memory),
    }
    write_json(wanted.json, figures)


if __name__ == "__main__":
    main()
