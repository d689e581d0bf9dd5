"""Feed one file to a new core in one call, and print the number of allocations of that call.

    python bench/counts_driver.py FILE.packed|FILE.text [ROUNDS]

Started by counts.py, with and without its tools. Without the counting library the number is 0. With ROUNDS
it feeds the file to that number of new cores, and prints the least CPU time of one in ns: detections.py
compares builds. It uses only what earlier builds have too.
"""

from __future__ import annotations

import ctypes
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.core.ring import Limits, Ring
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.compiler import compile_all
from auditsense.detections.loader import shipped_detections

if TYPE_CHECKING:
    from auditsense.core.rule_table import RuleTable

MEASURED: Final = "pspy"
"""As in auditsense.bench.inputs, which earlier builds have without it."""


def allocations() -> int:
    """Return the number of calls of malloc and its variants in this process."""
    counter = getattr(ctypes.CDLL(None), "allocations_so_far", None)
    return int(counter()) if counter is not None else 0


def fed(rules: RuleTable, data: bytes, *, text: bool) -> tuple[int, int]:
    """Return the allocations and the CPU time in ns of one call that feeds everything."""
    # The buffer holds all hits: none is drained during the call.
    with Ring(rules, Limits(hit_bytes=1 << 23), seed=1) as ring:
        feed = ring.feed_text if text else ring.feed
        allocations()  # the first call allocates too
        before, started_ns = allocations(), time.process_time_ns()
        consumed = feed(data)
        ended_ns, allocated = time.process_time_ns(), allocations() - before
        assert consumed == len(data), (consumed, len(data))
    return allocated, ended_ns - started_ns


def main() -> None:
    path = Path(sys.argv[1])
    data = path.read_bytes()
    detections = [detection for detection in shipped_detections() if detection.id == MEASURED]
    rules = compile_all(detections, merge_ms=AlertPolicy().suppress_ms)
    text = path.suffix == ".text"
    if len(sys.argv) > 2:
        print(min(fed(rules, data, text=text)[1] for _ in range(int(sys.argv[2]))))
    else:
        print(fed(rules, data, text=text)[0])


if __name__ == "__main__":
    main()
