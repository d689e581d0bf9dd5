"""Memory of the core after a flood of a million processes with one open each.

Runs as a separate program (`python -I -m auditsense.bench.flood EVENTS`), so that nothing else is in the
measured memory. Prints one JSON object: see `FloodResult`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

from auditsense.bench.inputs import InputShape, chunks, measured_detections
from auditsense.bench.procfs import resident
from auditsense.detect.detector import Detector
from auditsense.detect.host import Host

_HERE = Host("0" * 32, "bench")


@dataclass(frozen=True, slots=True)
class FloodResult:
    """Result of a flood, in bytes and counts.

    Attributes:
        pids: processes, each with one event.
        configured: limit that the core reports in advance.
        core: resident memory of this process after the flood, less that before the core was created.
        counted: events that the core counted.
        evicted: windows.
    """

    pids: int
    configured: int
    core: int
    counted: int
    evicted: int


def flood(pids: int) -> FloodResult:
    """Feed one event per process, in pieces. The pids repeat after 3,194,304."""
    pieces = chunks(InputShape(pids, pids=min(pids, 3_000_000), programs=10_000), size=2000)
    piece = next(pieces)
    before = resident(os.getpid())
    with Detector(measured_detections(), host=_HERE) as detector:
        while piece:
            detector.feed_packed(piece)
            piece = next(pieces, b"")
        after = resident(os.getpid())
        detector.finish()
        stats = detector.stats()
        configured = detector.memory_bytes
    return FloodResult(pids, configured, after - before, stats.events, stats.keys_evicted)


def main() -> None:
    """Print the result of a flood."""
    print(json.dumps(asdict(flood(int(sys.argv[1])))))  # noqa: T201 - read by the bench


if __name__ == "__main__":
    main()
