"""Feed one file to a new core in one call, and print the number of allocations of that call.

python bench/counts_driver.py FILE.packed|FILE.text

Started by counts.py, with and without its tools. Without the counting library the number is 0.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from auditsense.bench.inputs import measured_detections
from auditsense.core.ring import Limits, Ring
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.compiler import compile_all


def allocations() -> int:
    """Return the number of calls of malloc and its variants in this process."""
    counter = getattr(ctypes.CDLL(None), "allocations_so_far", None)
    return int(counter()) if counter is not None else 0


def main() -> None:
    path = Path(sys.argv[1])
    data = path.read_bytes()
    rules = compile_all(measured_detections(), merge_ms=AlertPolicy().suppress_ms)
    # The buffer holds all hits: none is drained during the call.
    with Ring(rules, Limits(hit_bytes=1 << 23), seed=1) as ring:
        feed = ring.feed_text if path.suffix == ".text" else ring.feed
        allocations()  # the first call allocates too
        before = allocations()
        consumed = feed(data)
        allocated = allocations() - before
        assert consumed == len(data), (consumed, len(data))
    print(allocated)


if __name__ == "__main__":
    main()
