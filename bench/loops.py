"""Cost of the Python around the core: the same datagrams through the core, a detector, and a sensor's loops.

    python bench/loops.py [--events N] [--pairs N] [--json FILE]

Runs in memory, in one process, without sockets and sleeps. Each loop alternates with the core alone
(`Ring.feed` of packed datagrams, `Ring.drain_bytes`) with the same rules. The figure is the median of the
pairs' ratios of CPU time. All but `feed_packed` get single datagrams from a source in memory and pack them;
with the kernel's socket, `recvmmsg` passes them to the core without Python. A sensor's bursts end by this
host's clock, so it has more documents than a detector.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense import AlertPolicy, Detector, Host, Sensor, View, shipped_detections
from auditsense.bench.inputs import EventKind, InputShape, chunks
from auditsense.bench.report import machine
from auditsense.bench.timing import alternate, cpu_of
from auditsense.core.ring import PACKED_HEADER, Ring
from auditsense.detections.compiler import compile_all
from auditsense.testing import FakeSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.live.ground import write_json
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent / "live"))
    from ground import write_json

TURN_EVENTS = 200  # that a flood of 50,000 events/s brings between two polls
KINDS = (EventKind.OPEN, EventKind.OPEN, EventKind.LISTING, EventKind.OTHER_CALL, EventKind.USER)
HOST = Host("bench", "bench")
EVENTS = "for event in sensor.events()"
ROWS = "for row in sensor.rows()"


class Turns(FakeSource):
    """Source with one batch of datagrams per turn; ends the sensor after the last."""

    def __init__(self, batches: list[list[bytes]]) -> None:
        super().__init__()
        self._batches = iter(batches)
        self._now = next(self._batches)
        self.done: Callable[[], None] = lambda: None

    def drive(self, sensor: Sensor) -> None:
        """Stop the sensor after the last batch; until then it never waits."""
        self.done = sensor.stop
        os.eventfd_write(sensor._loop._wake, 1)  # noqa: SLF001 - nothing reads it

    def take_early(self) -> list[bytes]:
        """Return the next batch."""
        batch, self._now = self._now, next(self._batches, [])
        if not self._now:
            self.done()
        return batch


def datagrams(packed: bytes) -> list[bytes]:
    """Return the single datagrams."""
    single: list[bytes] = []
    at = 0
    while at < len(packed):
        start = at + PACKED_HEADER.size
        at = start + PACKED_HEADER.unpack_from(packed, at)[1]
        single.append(packed[start:at])
    return single


class Loops:
    """Loops over the same input."""

    def __init__(self, events: int) -> None:
        shape = InputShape(events, pids=50, programs=8, producers=2, kinds=KINDS)
        self.packed = list(chunks(shape, size=TURN_EVENTS))
        self.batches = [datagrams(piece) for piece in self.packed]
        self.found: dict[str, int] = {}

    def core(self) -> None:
        """Feed and drain the core."""
        detections = shipped_detections()
        rules = compile_all(detections, merge_ms=AlertPolicy().merge_ms(detections))
        with Ring(rules) as ring:
            for piece in self.packed:
                ring.feed(piece)
                ring.drain_bytes()
            ring.finish()
            ring.drain_bytes()
            stats = ring.stats()
            self.found["events"], self.found["hits"] = stats.events, stats.hits

    def detector(self) -> None:
        """Feed a detector that creates alerts."""
        count = 0
        with Detector(host=HOST) as detector:
            for batch in self.batches:
                count += len(detector.feed(batch))
            count += len(detector.finish())
        self.found["Detector.feed"] = count

    def packed_detector(self) -> None:
        """Feed a detector packed datagrams."""
        count = 0
        with Detector(host=HOST) as detector:
            for piece in self.packed:
                count += len(detector.feed_packed(piece)[0])
            count += len(detector.finish())
        self.found["Detector.feed_packed"] = count

    def loop(self) -> None:
        """Iterate over a sensor."""
        source = Turns(self.batches)
        with Sensor(source=source) as sensor:
            source.drive(sensor)
            self.found["for alert in sensor"] = sum(1 for _ in sensor)

    def events(self) -> None:
        """Iterate over a sensor's events, and read three fields of each."""
        source = Turns(self.batches)
        with Sensor(source=source, view=View.EVENTS) as sensor:
            source.drive(sensor)
            self.found[EVENTS] = sum(
                (event.pid, event.exe, event.path) != (None, None, None) for event in sensor.events()
            )

    def rows(self) -> None:
        """Iterate over a sensor's rows of the same three fields."""
        source = Turns(self.batches)
        with Sensor(source=source, view=View.EVENTS, fields=("pid", "exe", "path")) as sensor:
            source.drive(sensor)
            self.found[ROWS] = sum(row != (None, None, None) for row in sensor.rows())

    def loop_of_tasks(self) -> None:
        """Iterate over a sensor in an event loop."""

        async def count() -> int:
            source = Turns(self.batches)
            async with Sensor(source=source) as sensor:
                source.drive(sensor)
                return sum([1 async for _ in sensor])

        self.found["async for alert in sensor"] = asyncio.run(count())


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the Python around the core.")
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    bench = Loops(arguments.events)
    bench.core()
    assert bench.found.pop("events") > 0
    hits = bench.found.pop("hits")
    rows = []
    for name, work in (
        ("Detector.feed_packed", bench.packed_detector),
        ("Detector.feed", bench.detector),
        ("for alert in sensor", bench.loop),
        ("async for alert in sensor", bench.loop_of_tasks),
        (EVENTS, bench.events),
        (ROWS, bench.rows),
    ):
        work()
        pairs = alternate(partial(cpu_of, work), partial(cpu_of, bench.core), arguments.pairs)
        each_us = sorted(pairs.first)[len(pairs.first) // 2] / arguments.events * 1e6
        core_us = sorted(pairs.second)[len(pairs.second) // 2] / arguments.events * 1e6
        ratio = pairs.ratio
        print(
            f"{name:30} {each_us:6.2f} µs an event  core {core_us:5.2f}  "
            f"{ratio.median:5.2f} × core ({ratio.low:.2f} to {ratio.high:.2f})  {bench.found[name]} found"
        )
        rows.append({"name": name, "us": each_us, "core_us": core_us, "ratio": asdict(ratio)})
    figures = {"bench": "loops", "machine": machine(), "events": arguments.events, "pairs": arguments.pairs}
    bench.found.pop("events"), bench.found.pop("hits")
    figures |= {"batch_events": TURN_EVENTS, "hits": hits}
    write_json(arguments.json, {**figures, "found": bench.found, "rows": rows})
    if not all(bench.found.values()) or bench.found["Detector.feed"] != bench.found["Detector.feed_packed"]:
        sys.exit("a loop found nothing, or the detectors differ")


if __name__ == "__main__":
    main()
