"""A million processes, one open each: does the memory stay what it was said to be?

Run as a program of its own (`python -I -m auditsense.bench.flood EVENTS`), so that nothing else is in the
memory it looks at. Prints one JSON object: see `Flood`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

from auditsense.bench.inputs import Shape, chunks
from auditsense.detect.detector import Detector
from auditsense.detect.host import Host

_HERE = Host("0" * 32, "bench")
_PAGE = os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, slots=True)
class Flood:
    """What a flood did, in bytes and counts.

    Attributes:
        pids: processes, each with one event.
        configured: what the core said that it may take, before it took it.
        core: pages of this process after the flood, less those before the core was made.
        counted: events that the core counted.
        evicted: windows that it gave up.
    """

    pids: int
    configured: int
    core: int
    counted: int
    evicted: int


def _resident() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no pathlib beside what is measured
        return int(file.read().split()[1]) * _PAGE


def flood(pids: int) -> Flood:
    """Feed one event of each of so many processes, in pieces. The pids repeat after 3,194,304."""
    pieces = chunks(Shape(pids, pids=min(pids, 3_000_000), programs=10_000), size=2000)
    piece = next(pieces)
    before = _resident()
    with Detector(host=_HERE) as detector:
        while piece:
            detector.feed_packed(piece)
            piece = next(pieces, b"")
        after = _resident()
        detector.finish()
        stats = detector.stats()
        configured = detector.memory_bytes
    return Flood(pids, configured, after - before, stats.events, stats.keys_evicted)


def main() -> None:
    """Print what a flood of so many processes did."""
    print(json.dumps(asdict(flood(int(sys.argv[1])))))  # noqa: T201 - its purpose


if __name__ == "__main__":
    main()
