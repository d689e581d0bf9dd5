"""What many of them in one process cost, and whether any number of lives leaves something behind.

    python bench/embedding.py [--detectors N] [--events N] [--cycles N] [--json FILE]

64 detectors at once over streams that are fed in turns, each with what it finds alone as the measure of what
it has to find; and 10,000 lives of a ring, a detector and a sensor (over a kernel in memory; the real one has
bench/live/cycles.py). Nothing is privileged. Exit status 1: a result differs, or memory or descriptors grew.
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
from auditsense.bench.report import machine
from auditsense.core.ring import Ring
from auditsense.detections.compiler import compile_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense import Document
    from auditsense.core.ring import Stats
    from bench.live.ground import write_json
    from tests.in_memory import audit
else:
    ROOT = Path(__file__).resolve().parents[1]
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "bench" / "live")]
    from ground import write_json
    from in_memory import audit

MIB = 1 << 20
HOST = Host("bench", "bench")
TURN_EVENTS = 50  # of one stream, before the next detector has its turn
GROWTH_BYTES = 2 << 20  # of all cycles together: a page a cycle would be 40 MiB
WARM = 200  # lives after which the allocator has what it will ever take
PAGE = os.sysconf("SC_PAGESIZE")


def resident() -> int:
    """Return this process's resident memory in bytes, with garbage collected."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def descriptors() -> int:
    """Return how many descriptors are open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@dataclass(frozen=True)
class Together:
    """Several detectors at once, against each alone.

    Attributes:
        detectors: how many.
        events: of each stream.
        differ: detectors that found something else than alone; has to be 0.
        documents: found by all of them.
        configured_bytes: memory of one core, by its configuration.
        resident_bytes: what one more detector added to the process, after its stream.
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
    """Return a stream that no other detector gets, in turns; the processes are the same in all of them."""
    kinds = (EventKind.OPEN, EventKind.OPEN, EventKind.LISTING, EventKind.OTHER_CALL, EventKind.USER)
    shape = InputShape(
        events, pids=8 + number, programs=8, producers=1 + number % 4, kinds=kinds, seed=number
    )
    return list(chunks(shape, size=TURN_EVENTS))


def found(detector: Detector, documents: list[Document]) -> tuple[str, Stats]:
    """Return all that a detector has to say, in a form that can be compared."""
    return json.dumps(documents + detector.finish()), detector.stats()


def fed(detector: Detector, piece: bytes) -> list[Document]:
    """Feed one turn; return what it led to."""
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
            documents = [one for piece in pieces for one in fed(detector, piece)]
            alone_s += time.process_time() - begun
            alone.append(found(detector, documents))
    before = resident()
    made = [Detector(host=HOST) for _ in streams]
    said: list[list[Document]] = [[] for _ in streams]
    begun = time.process_time()
    for turn in range(max(map(len, streams))):
        for number, pieces in enumerate(streams):
            if turn < len(pieces):
                said[number] += fed(made[number], pieces[turn])
    together_s = time.process_time() - begun
    after = resident()
    results = [found(detector, documents) for detector, documents in zip(made, said, strict=True)]
    configured = made[0].memory_bytes
    for detector in made:
        detector.close()
    return Together(
        detectors,
        events,
        differ=sum(one != other for one, other in zip(results, alone, strict=True)),
        documents=sum(len(json.loads(documents)) for documents, _ in results),
        configured_bytes=configured,
        resident_bytes=(after - before) // detectors,
        alone_ns=alone_s / detectors / events * 1e9,
        together_ns=together_s / detectors / events * 1e9,
    )


@dataclass(frozen=True)
class Lives:
    """Many lives of one thing, one after another.

    Attributes:
        name: of the thing.
        cycles: how many after the first ones, which warm up.
        first_bytes: growth of the process's resident memory over the first ones: what the allocator keeps of
            a core that was given back, and gives to the next one (glibc: all of it, from the third on).
        growth_bytes: the same over all the others.
        descriptors: more open afterwards than before; has to be 0.
        unlike: lives after which something was not as before; has to be 0.
        each_ms: wall time of one.
    """

    name: str
    cycles: int
    first_bytes: int
    growth_bytes: int
    descriptors: int
    unlike: int
    each_ms: float


def lives(name: str, cycles: int, live: Callable[[], bool]) -> Lives:
    """Open, use and close something again and again; *live* tells whether all was as before."""
    start = resident()
    unlike = sum(not live() for _ in range(min(WARM, cycles)))
    memory, opened = resident(), descriptors()
    begun = time.monotonic()
    unlike += sum(not live() for _ in range(cycles))
    each_ms = (time.monotonic() - begun) / cycles * 1e3
    growth, left = resident() - memory, descriptors() - opened
    return Lives(name, cycles, memory - start, growth, left, unlike, round(each_ms, 3))


def all_lives(cycles: int) -> list[Lives]:
    """Return the lives of a ring, a detector and a sensor, each with an alert in it."""
    rules = compile_all(shipped_detections(), merge_ms=0)
    piece = b"".join(chunks(InputShape(12, per_ms=1)))
    datagrams = [piece[at + 16 : end] for at, end in _entries(piece)]

    def ring() -> bool:
        with Ring(rules) as one:
            return one.feed(piece) == len(piece) and len(one.drain()) > 0

    def detector() -> bool:
        with Detector(host=HOST) as one:
            return len(one.feed_packed(piece)[0]) == 1

    with audit(datagrams) as (kernel, source):
        before = kernel.host_state()

        def sensor() -> bool:
            with Sensor(source=source()) as one:
                found = one.poll()
                taken = kernel.host_state() != before
                one.finish()
            return bool(found) and taken and kernel.host_state() == before

        kinds = (("Ring", ring), ("Detector", detector), ("Sensor, kernel in memory", sensor))
        return [lives(name, cycles, live) for name, live in kinds]


def _entries(piece: bytes) -> list[tuple[int, int]]:
    """Return where packed datagrams begin and end."""
    places: list[tuple[int, int]] = []
    at = 0
    while at < len(piece):
        end = at + 16 + int.from_bytes(piece[at + 8 : at + 12], "little")
        places.append((at, end))
        at = end
    return places


def table(one: Together, several: Sequence[Lives]) -> list[str]:
    """Return the figures as lines."""
    lines = [
        f"{one.detectors} detectors at once, {one.events} events each, {one.documents} documents",
        f"  that found something else than alone   {one.differ:>10}",
        f"  memory of one, as configured           {one.configured_bytes / MIB:>10.1f} MiB",
        f"  memory of one, resident                {one.resident_bytes / MIB:>10.2f} MiB",
        f"  an event, alone                        {one.alone_ns:>10.0f} ns",
        f"  an event, in turns                     {one.together_ns:>10.0f} ns",
        f"  ratio                                  {one.together_ns / one.alone_ns:>10.2f}",
        "",
        f"{'lives':<26}{'cycles':>8}{'first KiB':>11}{'then KiB':>10}{'fds':>6}{'unlike':>8}{'ms':>8}",
    ]
    lines += [
        f"{life.name:<26}{life.cycles:>8}{life.first_bytes / 1024:>+11.0f}{life.growth_bytes / 1024:>+10.0f}"
        f"{life.descriptors:>+6}{life.unlike:>8}{life.each_ms:>8.2f}"
        for life in several
    ]
    return lines


def sound(one: Together, several: Sequence[Lives]) -> bool:
    """Tell whether everything is as it has to be; times are not looked at."""
    return one.differ == 0 and all(
        life.descriptors == life.unlike == 0 and life.growth_bytes <= GROWTH_BYTES for life in several
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Many detectors at once, and many lives.")
    parser.add_argument("--detectors", type=int, default=64)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--cycles", type=int, default=10_000)
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    one = together(wanted.detectors, wanted.events)
    several = all_lives(wanted.cycles)
    print(*table(one, several), sep="\n")
    figures = {"bench": "embedding", "machine": machine(), "together": asdict(one)}
    write_json(wanted.json, {**figures, "lives": [asdict(life) for life in several]})
    if not sound(one, several):
        sys.exit("a result differs, or something was left behind")


if __name__ == "__main__":
    main()
