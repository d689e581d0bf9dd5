"""Time from the start of `auditsense run` to its first record, and its memory then.

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
    arguments = parser.parse_args()
    if not has_mode(arguments.mode):
        sys.exit(f"auditsense run of this build has no {' '.join(MODES[arguments.mode])}")
    with ground() as (scanner, _folder):
        startup(scanner.command, arguments.mode)  # loads files into the cache
        starts = [startup(scanner.command, arguments.mode) for _ in range(arguments.starts)]
    duration = Spread.of([start.record_s for start in starts])
    memory = Spread.of([start.resident_bytes for start in starts])
    print(
        f"start to first record: median {duration.median:.3f} s ({duration.low:.3f} to {duration.high:.3f})"
    )
    print(f"memory: median {memory.median / MIB:.1f} MiB")
    figures = {
        "bench": "startup",
        "machine": machine(),
        "mode": arguments.mode,
        "starts": [asdict(start) for start in starts],
        "record_s": asdict(duration),
        "resident_bytes": asdict(memory),
    }
    write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
