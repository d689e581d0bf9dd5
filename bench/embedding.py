"""Cost of many detectors in one process, and leaks over many lifetimes.

    python bench/embedding.py [--detectors N] [--events N] [--cycles N] [--json FILE]

64 detectors get their streams in turns; each must find what it finds alone. Then 10,000 lifetimes of a ring,
a detector and a sensor (with a kernel in memory; bench/live/cycles.py uses the real one). Needs no
privileges. Exit status 1: a result differs, or memory or descriptors grew.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense import Detector, Host, Sensor, shipped_detections
from auditsense.bench.inputs import EventKind, InputShape, chunks
from auditsense.bench.procfs import resident
from auditsense.bench.report import machine
from auditsense.core.ring import Ring
from auditsense.detections.compiler import compile_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense import Document
    from auditsense.core.ring import Stats
    from bench.live.ground import write_json
    from tests.support.in_memory import audit
else:
    ROOT = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(ROOT), str(ROOT / "bench" / "live")]
    from ground import write_json

    from tests.support.in_memory import audit

MIB = 1 << 20
HOST = Host("bench", "bench")
TURN_EVENTS = 50  # of one stream, before the next detector is fed
GROWTH_BYTES = 2 << 20  # of all cycles; one page per cycle would be 40 MiB
WARM = 200  # lifetimes until the allocator has all memory that it needs


def own_memory() -> int:
    """Return this process's resident memory in bytes, with garbage collected."""
    gc.collect()
    return resident(os.getpid())


def descriptors() -> int:
    """Return the number of open descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


@dataclass(frozen=True)
class Together:
    """Several detectors at once, compared with each alone.

    Attributes:
        detectors: their number.
        events: of each stream.
        differ: detectors whose result differs from that alone; must be 0.
        documents: of all detectors.
        configured_bytes: memory limit of one core.
        resident_bytes: memory of the process per detector, after its stream.
        alone_ns: CPU time of an event, each detector fed alone.
        together_ns: the same, fed in turns.
    """

    detectors: int
    events: int
    differ: int
    documents: int
    configured_bytes: int
    resident_bytes: int
    alone_ns: float
    together_ns: float


def stream(number: int, events: int) -> list[bytes]:
    """Return the turns of a stream of one detector; all streams have the same processes."""
    kinds = (EventKind.OPEN, EventKind.OPEN, EventKind.LISTING, EventKind.OTHER_CALL, EventKind.USER)
    shape = InputShape(
        events, pids=8 + number, programs=8, producers=1 + number % 4, kinds=kinds, seed=number
    )
    return list(chunks(shape, size=TURN_EVENTS))


def result(detector: Detector, documents: list[Document]) -> tuple[str, Stats]:
    """Return all output of a detector, in a form that can be compared."""
    return json.dumps(documents + detector.finish()), detector.stats()


def feed(detector: Detector, piece: bytes) -> list[Document]:
    """Feed one turn; return its documents."""
    documents, consumed = detector.feed_packed(piece)
    assert consumed == len(piece)
    return documents


def together(detectors: int, events: int) -> Together:
    """Feed every stream to a detector alone, and then all of them in turns."""
    streams = [stream(number, events) for number in range(detectors)]
    alone: list[tuple[str, Stats]] = []
    alone_s = 0.0
    for pieces in streams:
        with Detector(host=HOST) as detector:
            begun = time.process_time()
            documents = [document for piece in pieces for document in feed(detector, piece)]
            alone_s += time.process_time() - begun
            alone.append(result(detector, documents))
    before = own_memory()
    all_detectors = [Detector(host=HOST) for _ in streams]
    outputs: list[list[Document]] = [[] for _ in streams]
    begun = time.process_time()
    for turn in range(max(map(len, streams))):
        for number, pieces in enumerate(streams):
            if turn < len(pieces):
                outputs[number] += feed(all_detectors[number], pieces[turn])
    together_s = time.process_time() - begun
    after = own_memory()
    results = [result(detector, output) for detector, output in zip(all_detectors, outputs, strict=True)]
    configured = all_detectors[0].memory_bytes
    for detector in all_detectors:
        detector.close()
    return Together(
        detectors,
        events,
        differ=sum(shared != single for shared, single in zip(results, alone, strict=True)),
        documents=sum(len(json.loads(documents)) for documents, _ in results),
        configured_bytes=configured,
        resident_bytes=(after - before) // detectors,
        alone_ns=alone_s / detectors / events * 1e9,
        together_ns=together_s / detectors / events * 1e9,
    )


@dataclass(frozen=True)
class Lifetimes:
    """Many lifetimes of one kind of object, one after another.

    Attributes:
        name: of the object.
        cycles: number without the first ones, which warm up.
        first_bytes: growth of the process's resident memory over the first ones: memory of a freed core that
        the
            allocator keeps for the next one (glibc: all of it, from the third on).
        growth_bytes: the same over all others.
        descriptors: growth of the number of open descriptors; must be 0.
        unlike: lifetimes after which the state differed; must be 0.
        each_ms: wall time of one.
    """

    name: str
    cycles: int
    first_bytes: int
    growth_bytes: int
    descriptors: int
    unlike: int
    each_ms: float


def lives(name: str, cycles: int, live: Callable[[], bool]) -> Lifetimes:
    """Open, use and close an object repeatedly; *live* returns whether the state is as before."""
    start = own_memory()
    unlike = sum(not live() for _ in range(min(WARM, cycles)))
    memory, opened = own_memory(), descriptors()
    begun = time.monotonic()
    unlike += sum(not live() for _ in range(cycles))
    each_ms = (time.monotonic() - begun) / cycles * 1e3
    growth, left = own_memory() - memory, descriptors() - opened
    return Lifetimes(name, cycles, memory - start, growth, left, unlike, round(each_ms, 3))


def all_lives(cycles: int) -> list[Lifetimes]:
    """Return the lifetimes of a ring, a detector and a sensor, each with an alert."""
    rules = compile_all(shipped_detections(), merge_ms=0)
    piece = b"".join(chunks(InputShape(12, per_ms=1)))
    datagrams = [piece[at + 16 : end] for at, end in _entries(piece)]

    def ring() -> bool:
        with Ring(rules) as core:
            return core.feed(piece) == len(piece) and len(core.drain()) > 0

    def detector() -> bool:
        with Detector(host=HOST) as opened:
            return len(opened.feed_packed(piece)[0]) == 1

    with audit(datagrams) as (kernel, source):
        before = kernel.host_state()

        def sensor() -> bool:
            with Sensor(source=source()) as opened:
                alerts = opened.poll()
                taken = kernel.host_state() != before
                opened.finish()
            return bool(alerts) and taken and kernel.host_state() == before

        kinds = (("Ring", ring), ("Detector", detector), ("Sensor, kernel in memory", sensor))
        return [lives(name, cycles, live) for name, live in kinds]


def _entries(piece: bytes) -> list[tuple[int, int]]:
    """Return the offsets of packed datagrams."""
    offsets: list[tuple[int, int]] = []
    at = 0
    while at < len(piece):
        end = at + 16 + int.from_bytes(piece[at + 8 : at + 12], "little")
        offsets.append((at, end))
        at = end
    return offsets


def table(shared: Together, several: Sequence[Lifetimes]) -> list[str]:
    """Return the figures as lines."""
    lines = [
        f"{shared.detectors} detectors at once, {shared.events} events each, {shared.documents} documents",
        f"  with a result that differs from alone   {shared.differ:>10}",
        f"  memory of one, as configured           {shared.configured_bytes / MIB:>10.1f} MiB",
        f"  memory of one, resident                {shared.resident_bytes / MIB:>10.2f} MiB",
        f"  an event, alone                        {shared.alone_ns:>10.0f} ns",
        f"  an event, in turns                     {shared.together_ns:>10.0f} ns",
        f"  ratio                                  {shared.together_ns / shared.alone_ns:>10.2f}",
        "",
        f"{'lifetimes':<26}{'cycles':>8}{'first KiB':>11}{'then KiB':>10}{'fds':>6}{'unlike':>8}{'ms':>8}",
    ]
    lines += [
        f"{life.name:<26}{life.cycles:>8}{life.first_bytes / 1024:>+11.0f}{life.growth_bytes / 1024:>+10.0f}"
        f"{life.descriptors:>+6}{life.unlike:>8}{life.each_ms:>8.2f}"
        for life in several
    ]
    return lines


def sound(shared: Together, several: Sequence[Lifetimes]) -> bool:
    """Return whether all counts are as required, whatever the times."""
    return shared.differ == 0 and all(
        life.descriptors == life.unlike == 0 and life.growth_bytes <= GROWTH_BYTES for life in several
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Many detectors at once, and many lifetimes.")
    parser.add_argument("--detectors", type=int, default=64)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    shared = together(arguments.detectors, arguments.events)
    several = all_lives(arguments.cycles)
    print(*table(shared, several), sep="\n")
    figures = {"bench": "embedding", "machine": machine(), "together": asdict(shared)}
    write_json(arguments.json, {**figures, "lives": [asdict(life) for life in several]})
    if not sound(shared, several):
        sys.exit("a result differs, or memory or descriptors leaked")


if __name__ == "__main__":
    main()
