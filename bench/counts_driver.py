"""Feed one file to a new core, in one call, and print how often that call allocated memory.

python bench/counts_driver.py FILE.packed|FILE.text

Started by counts.py, alone and under its tools. Without the counting library the number is 0.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from auditsense.core.ring import Limits, Ring
from auditsense.detect.alerts import AlertPolicy
from auditsense.detections.compiler import compile_all
from auditsense.detections.loader import shipped_detections


def allocations() -> int:
    """Return how often this process has called malloc and its kin."""
    counter = getattr(ctypes.CDLL(None), "allocations_so_far", None)
    return int(counter()) if counter is not None else 0


def main() -> None:
    path = Path(sys.argv[1])
    data = path.read_bytes()
    rules = compile_all(shipped_detections(), merge_ms=AlertPolicy().suppress_ms)
    # Room for all hits: none is drained meanwhile.
    with Ring(rules, Limits(hit_bytes=1 << 23), seed=1) as ring:
        take = ring.feed_text if path.suffix == ".text" else ring.feed
        allocations()  # what the first call of it takes is not the core's
        before = allocations()
        consumed = take(data)
        allocated = allocations() - before
        assert consumed == len(data), (consumed, len(data))
    print(allocated)


if __name__ == "__main__":
    main()
