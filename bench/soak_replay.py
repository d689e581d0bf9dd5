"""Two hours of a normal host, made by a seeded generator and replayed at once: memory flat, counters exact.

    python bench/soak_replay.py [--hours N] [--events-per-second N] [--seed N] [--json FILE]

The host: programs that list /proc in the everyday way, services that open it by and by, now and then a
scanner for a while; events whose records interleave, arrive late, twice, or not at all. The generator knows
what it made, so every counter that is compared is compared exactly.
Exit status 1: memory grew, or a count is not what it has to be.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense import Detector, Host
from auditsense.core.ring import pack
from auditsense.testing import datagram, open_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense.testing import EventRecords

START_MS = 1_795_493_114_674
SCAN_EVERY_S = 900
SCAN_OPENS = 50
SCAN_PERIOD_MS = 100
MINUTE_MS = 60_000
WARM_MINUTES = 10
GROWTH_BYTES = 4 << 20
PAGE = os.sysconf("SC_PAGESIZE")
HERE = Host("0123456789abcdef0123456789abcdef", "here")


@dataclass
class Made:
    """What the generator made."""

    random: random.Random
    counts: Counter[str] = field(default_factory=Counter)
    scanners: set[int] = field(default_factory=set)
    serial: int = 0
    pid: int = 1000

    def process(self) -> int:
        """Return a pid: the next one, as the kernel gives them out."""
        self.pid = self.pid % (1 << 22) + 1
        return self.pid

    def number(self) -> int:
        """Return the next serial."""
        self.serial += 1
        return self.serial

    def everyday(self, ms: int) -> EventRecords:
        """Return one event of a host that has nothing to hide."""
        what = self.random.random()
        if what < 0.7:  # ls, ps, top: O_DIRECTORY among the flags
            return open_event(ms=ms, serial=self.number(), pid=self.process(), comm="ps", a2="90800")
        if what < 0.9:  # a service, again and again, too slowly
            pid = 700 + self.random.randrange(40)
            return open_event(ms=ms, serial=self.number(), pid=pid, comm="monitor", exe="/m")
        return open_event(ms=ms, serial=self.number(), pid=self.process(), path="/proc/self/stat", a2="0")

    def datagrams(self, event: EventRecords) -> list[bytes]:
        """Return the event as it may arrive, and count what that has to come to."""
        parts = list(event.datagrams)
        self.counts["events"] += 1
        fate = self.random.random()
        if fate < 0.001:  # lost whole
            self.counts["events"] -= 1
            self.counts["serials_missing"] += 1
            return []
        if fate < 0.002:  # without its end
            parts.pop()
            self.counts["incomplete"] += 1
        elif fate < 0.003:  # a record twice
            parts.insert(1, parts[1])
            self.counts["duplicate"] += 1
        self.counts["datagrams"] += len(parts)
        return parts


def host(made: Made, hours: float, per_second: float) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the datagrams of one second after the other."""
    kept: list[list[bytes]] = []
    scan: list[tuple[int, int]] = []
    for second in range(int(hours * 3600)):
        ms = START_MS + second * 1000
        if second % SCAN_EVERY_S == SCAN_EVERY_S // 2:
            pid = made.process()
            made.scanners.add(pid)
            scan = [(ms + n * SCAN_PERIOD_MS, pid) for n in range(SCAN_OPENS)]
        times = [
            (ms + made.random.randrange(1000), 0) for _ in range(round(made.random.gauss(per_second, 2)))
        ]
        times = sorted(times + [one for one in scan if one[0] < ms + 1000])
        scan = [one for one in scan if one[0] >= ms + 1000]
        events = [
            open_event(ms=moment, serial=made.number(), pid=pid) if pid else made.everyday(moment)
            for moment, pid in times
        ]
        kept += [parts for event in events if (parts := made.datagrams(event))]
        batch: list[bytes] = []
        while len(kept) > 1:  # two events interleave; the last one waits for the next second
            first, second_one = kept.pop(0), kept.pop(0)
            while first or second_one:
                source = first if first and (not second_one or made.random.random() < 0.7) else second_one
                batch.append(source.pop(0))
        if made.random.random() < 0.01:
            batch.append(
                datagram(f"type=USER_LOGIN msg=audit({ms // 1000}.000:{made.number()}): pid=1 res=1")
            )
            made.counts["datagrams"] += 1
            made.counts["events"] += 1
        yield ms, batch
    yield ms, [part for parts in kept for part in parts]


def resident() -> int:
    """Return the memory of this process that has pages, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def main() -> int:
    parser = argparse.ArgumentParser(description="Two hours of a normal host, compressed.")
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--events-per-second", type=float, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    made = Made(random.Random(wanted.seed))  # noqa: S311 - the same host every time
    sizes: list[int] = []
    alerts: list[int] = []
    spent = 0.0
    with Detector(host=HERE) as detector:
        for second, (_, batch) in enumerate(host(made, wanted.hours, wanted.events_per_second)):
            packed = pack(batch)
            started = time.perf_counter()
            documents = detector.feed_packed(packed)[0]
            spent += time.perf_counter() - started
            alerts += [one["process"]["pid"] for one in documents if one["auditsense"]["state"] == "alert"]
            if second % 60 == 0:
                sizes.append(resident())
        documents = detector.finish()
        alerts += [one["process"]["pid"] for one in documents if one["auditsense"]["state"] == "alert"]
        stats = detector.stats().as_dict()
        memory = detector.memory_bytes
    warm = sizes[min(WARM_MINUTES, len(sizes) - 1)]
    problems = [
        f"{name} is {stats[name]}, made were {made.counts[name]}"
        for name in ("datagrams", "events", "incomplete", "duplicate", "serials_missing")
        if stats[name] != made.counts[name]
    ]
    if stats["datagrams"] != stats["records"] + stats["malformed"] + stats["foreign"] + stats["control"]:
        problems.append("datagrams are not records + malformed + foreign + control")
    if stats["open_events"] or stats["malformed"] or stats["evicted"] or stats["late"]:
        problems.append("events are open, or something was malformed, evicted or late")
    if sorted(alerts) != sorted(made.scanners):
        problems.append(f"alerts of {sorted(alerts)}, scanners were {sorted(made.scanners)}")
    if sizes[-1] - warm > GROWTH_BYTES:
        problems.append("memory grew")
    print(
        f"{wanted.hours:g} hours, {stats['events']} events, {stats['datagrams']} datagrams in {spent:.2f} s "
        f"({stats['datagrams'] / spent:.0f} a second); {len(alerts)} alerts of {len(made.scanners)} scanners"
    )
    print(
        f"memory: {warm >> 10} KiB after {WARM_MINUTES} minutes, {sizes[-1] >> 10} KiB at the end, "
        f"{max(sizes) >> 10} KiB at most; the ring may take {memory >> 10} KiB"
    )
    print(", ".join(f"{name} {count}" for name, count in stats.items() if count))
    for problem in problems:
        print(f"NOT SO: {problem}")
    if wanted.json is not None:
        figures = {"bench": "soak_replay", "seed": wanted.seed, "stats": stats, "resident": sizes}
        Path(wanted.json).write_text(json.dumps({**figures, "problems": problems}) + "\n", encoding="utf-8")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
