"""A replay decides events by stamp and serial: its sequences are those of a short model, members included."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import Detector, EventReader, Host, Limits, UsageError, View
from auditsense.core.ring import PACKED_HEADER
from auditsense.replay import capture
from auditsense.replay.replay import LIMITS, ORDER, replay
from auditsense.testing import datagram
from tests.support.faults import NO_HOST, Recorder
from tests.support.outputs import as_documents, reader_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from auditsense import Stats

START_MS = 1_795_493_114_000
HERE = Host("0123456789abcdef0123456789abcdef", "here")
CALL = (
    "arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=1 a2=80000 a3=0 items={items} pid={pid}"
    ' ppid=1 auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 comm="x" exe="/x" key="k"'
)


@dataclass(frozen=True)
class Open:
    """An open of /proc, or, with matches False, of another path."""

    ms: int
    serial: int
    node: str
    pid: int
    matches: bool

    @property
    def id(self) -> str:
        return f"{self.ms // 1000}.{self.ms % 1000:03}:{self.serial}"

    def lines(self, chance: random.Random, *, titles: bool, ends: bool) -> list[str]:
        parent = chance.random() < 0.3
        name = "/proc" if self.matches else "/etc"
        paths = [f'PATH item={int(parent)} name="{name}" inode=1 nametype=NORMAL']
        if chance.random() < 0.05:  # a text of the large kind
            paths[0] += f" obj={'x' * 900}"
        if parent:
            paths.insert(0, 'PATH item=0 name="/" inode=2 nametype=PARENT')
        records = [f"SYSCALL {CALL.format(items=len(paths), pid=self.pid)}", 'CWD cwd="/"', *paths]
        records += ["PROCTITLE proctitle=78"] if titles else []
        records += ["EOE "] if ends else []
        head = f"msg=audit({self.id}):"
        node = f"node={self.node} " if self.node else ""
        return [
            f"{node}type={kind} {head} {body}" for kind, _, body in (one.partition(" ") for one in records)
        ]


def model(opens: Iterable[Open]) -> list[tuple[str, ...]]:
    """Return the sequences that Elastic finds: any ten in a row of one process and host within 5 s."""
    found, of_process = [], defaultdict(list)
    for one in sorted(opens, key=lambda one: (one.ms, one.serial)):
        if one.matches:
            of_process[one.node, one.pid].append(one)
            window = of_process[one.node, one.pid][-10:]
            if len(window) == 10 and window[-1].ms - window[0].ms <= 5000:
                found.append(tuple(one.id for one in window))
    return sorted(found)


def some_opens(chance: random.Random, *, nodes: Sequence[str], events: int) -> list[Open]:
    """Make opens of several processes and hosts, many in one millisecond, with clocks up to an hour apart."""
    opens = []
    for node in nodes:
        ms = START_MS + (chance.choice([0, 0, 2500, 3_600_000]) if node else 0)
        serial = chance.randrange(1, 1 << 31)
        pids = chance.sample(range(2, 30_000), chance.randint(1, 4))
        mean_ms = chance.choice([2, 40, 150, 400])
        for _ in range(events // len(nodes)):
            ms += 0 if chance.random() < 0.3 else int(chance.expovariate(1 / mean_ms))
            serial += chance.choice([1, 1, 1, 3])
            opens.append(Open(ms, serial, node, chance.choice(pids), chance.random() < 0.8))
    return opens


def interleaved(
    chance: random.Random, opens: Iterable[Open], *, delay_ms: int, in_order: bool, titles: bool, ends: bool
) -> list[tuple[float, str]]:
    """Return records and their arrival: up to *delay_ms* late, each independently or in its event's order."""
    arrivals: list[tuple[float, str]] = []
    first: dict[str, int] = {}
    for one in opens:  # hosts are read at the same time, whatever their clocks say
        at = float(one.ms - first.setdefault(one.node, one.ms))
        lines = one.lines(chance, titles=titles, ends=ends)
        delays = [chance.uniform(0, delay_ms) for _ in lines]
        arrivals += [
            (at + late, line)
            for late, line in zip(sorted(delays) if in_order else delays, lines, strict=True)
        ]
    return sorted(arrivals, key=lambda pair: pair[0])


def replayed(names: Iterable[Path], view: View = View.SEQUENCES) -> tuple[list[Any], Stats, list[str]]:
    messages: list[str] = []
    with reader_of(view, host=HERE, limits=LIMITS, order=ORDER) as detector:
        results = [
            one for batch in replay([str(name) for name in names], detector, messages.append) for one in batch
        ]
        return as_documents(results), detector.stats(), messages


def sequences(documents: Iterable[Any]) -> list[tuple[str, ...]]:
    return sorted(tuple(one["auditsense"]["events"]) for one in documents)


def assert_nothing_lost(stats: Stats, opens: Sequence[Open]) -> None:
    assert stats.events == len(opens)
    counted = (stats.incomplete, stats.evicted, stats.disordered, stats.stale, stats.duplicate)
    assert counted == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("seed", range(60))
def test_interleaved_log_gives_models_sequences(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same logs every time
    nodes = chance.choice([("",), ("a", "b"), ("", "b"), ("a", "b", "c")])
    opens = some_opens(chance, nodes=nodes, events=chance.choice([60, 400, 1500]))
    titles = chance.random() < 0.8
    in_order = chance.random() < 0.5
    arrivals = interleaved(
        chance,
        opens,
        delay_ms=chance.choice([5, 300, 2000]),
        in_order=in_order,
        titles=titles,
        ends=chance.random() < 0.3,
    )
    lines = [line + "\n" for _, line in arrivals]
    cuts = sorted(chance.sample(range(len(lines)), 2))
    files = []
    for n, part in enumerate((lines[: cuts[0]], lines[cuts[0] : cuts[1]], lines[cuts[1] :])):
        files.append(tmp_path / f"audit.log.{n}")
        files[-1].write_text("".join(part))
    documents, stats, _ = replayed(files)
    assert sequences(documents) == model(opens)
    assert_nothing_lost(stats, opens)
    if titles and in_order:
        assert stats.late == 0
        assert all(one["process"]["title"] == "x" for one in documents)


@pytest.mark.parametrize("seed", range(20))
def test_interleaved_capture_gives_models_sequences(seed: int, tmp_path: Path) -> None:
    chance = random.Random(1000 + seed)  # noqa: S311 - the same logs every time
    opens = some_opens(chance, nodes=("",), events=chance.choice([60, 400]))
    delay_ms = chance.choice([5, 300, 1990])
    in_order = seed % 2 == 0
    arrivals = interleaved(chance, opens, delay_ms=delay_ms, in_order=in_order, titles=True, ends=True)
    clock = chance.choice([None, 1000, 1 << 40])
    path = tmp_path / "capture"
    with capture.create(path, HERE, START_MS) as stream:
        for at, line in arrivals:
            one = datagram(line)
            stream.write(PACKED_HEADER.pack(0 if clock is None else clock + int(at), len(one), 0) + one)
    documents, stats, _ = replayed([path])
    assert sequences(documents) == model(opens)
    assert_nothing_lost(stats, opens)
    assert not in_order or stats.late == 0


def test_events_and_alerts_of_a_replay_are_in_order(tmp_path: Path, fault: Recorder) -> None:
    """The other views come from the same order."""
    chance = random.Random(7)  # noqa: S311 - the same logs every time
    opens = some_opens(chance, nodes=("",), events=800)
    arrivals = interleaved(chance, opens, delay_ms=2000, in_order=False, titles=True, ends=False)
    path = tmp_path / "audit.log"
    path.write_text("".join(line + "\n" for _, line in arrivals))
    events, stats, _ = replayed([path], View.EVENTS)
    assert [one["auditsense"]["events"][0] for one in events] == [
        one.id for one in sorted(opens, key=lambda one: (one.ms, one.serial))
    ]
    assert_nothing_lost(stats, opens)
    alerts, _, _ = replayed([path], View.ALERTS)
    first: dict[int, str] = {}
    for window in model(opens):
        pid = next(one.pid for one in opens if one.id == window[-1])
        first[pid] = min(first.get(pid, window[-1]), window[-1])
    told = {
        one["process"]["pid"]: one["auditsense"]["events"][-1]
        for one in alerts
        if one["auditsense"]["state"] == "alert"
    }
    assert told == first
    fault(
        "records overtake each other by two seconds",
        how="a log of 800 opens, each record late by itself by up to 2 s, replayed",
        did="found the sequences of the sorted log, with the same members",
        lost="nothing",
        reported="nothing",
        host=NO_HOST,
    )


def test_stamp_of_another_event_closes_nothing() -> None:
    """Two events 2.5 s apart, one of 2096 between them: each waits for its own records."""
    chance = random.Random(1)  # noqa: S311 - the same logs every time
    one = Open(START_MS, 1, "", 7, matches=True).lines(chance, titles=True, ends=False)
    other = Open(START_MS + 2500, 2, "", 7, matches=True).lines(chance, titles=True, ends=False)
    far = Open(4_000_000_000_000, 3, "", 7, matches=True).lines(chance, titles=True, ends=False)
    for feed_text in (True, False):
        with EventReader(host=HERE) as detector:
            lines = [one[0], far[0], other[0], *far[1:], *other[1:], *one[1:]]
            if feed_text:
                events = detector.feed_text("".join(line + "\n" for line in lines).encode())
            else:
                ends = [
                    f"type=EOE msg=audit({stamp}):"
                    for stamp in (
                        "4000000000.000:3",
                        f"{(START_MS + 2500) // 1000}.500:2",
                        f"{START_MS // 1000}.000:1",
                    )
                ]
                events = detector.feed([datagram(line) for line in [*lines, *ends]])
            stats = detector.stats()
        assert len(events) == 3
        assert (stats.late, stats.incomplete, stats.open_events) == (0, 0, 0)


def scan_text(serials: Iterable[int], kinds: Sequence[str], *, pid: int = 77) -> str:
    bodies = {
        "SYSCALL": CALL.format(items=1, pid=pid),
        "CWD": 'cwd="/"',
        "PATH": 'item=0 name="/proc" inode=1 nametype=NORMAL',
        "PROCTITLE": "proctitle=78",
    }
    return "".join(
        f"type={kind} msg=audit({START_MS // 1000}.{serial % 1000:03}:{serial}): {bodies[kind]}\n"
        for serial in serials
        for kind in kinds
    )


@pytest.mark.parametrize(
    "kinds",
    [
        ("SYSCALL", "CWD", "PATH"),
        ("SYSCALL", "PATH"),
        ("SYSCALL", "CWD", "PROCTITLE"),
        ("SYSCALL", "CWD"),
        ("SYSCALL",),
    ],
    ids=" ".join,
)
def test_records_a_host_never_writes_are_not_lost(kinds: Sequence[str]) -> None:
    """EL5 and EL6 have no PROCTITLE; an exclude rule keeps out PATH or CWD."""
    with Detector(host=HERE) as detector:
        documents = detector.feed_text(scan_text(range(1, 20_001), kinds).encode())
        open_events = detector.stats().open_events
        documents += detector.finish()
        stats = detector.stats()
    assert open_events <= 1  # of an endless stream, the rest was decided on the way
    assert (stats.events, stats.incomplete, stats.evicted, stats.late) == (20_000, 0, 0, 0)
    alerts = [one for one in documents if one["auditsense"]["state"] == "alert"]
    assert len(alerts) == ("PATH" in kinds)
    assert all(one["auditsense"]["lost"] == 0 for one in documents)


def test_missing_path_is_counted_once() -> None:
    text = scan_text(range(1, 101), ("SYSCALL", "PATH", "PROCTITLE"))
    lines = text.splitlines(keepends=True)
    del lines[3 * 50 + 1]
    with Detector(host=HERE) as detector:
        detector.feed_text("".join(lines).encode())
        detector.finish()
        stats = detector.stats()
    assert (stats.events, stats.incomplete, stats.late) == (100, 1, 0)


def test_large_paths_do_not_end_the_order(tmp_path: Path) -> None:
    """Every text of every held event is a large one, and the order still holds."""
    chance = random.Random(3)  # noqa: S311 - the same logs every time
    opens = some_opens(chance, nodes=("",), events=600)
    arrivals = interleaved(chance, opens, delay_ms=2000, in_order=True, titles=True, ends=False)
    path = tmp_path / "audit.log"
    path.write_text(
        "".join(
            f"{line} obj={'y' * 4000}\n" if "type=PROCTITLE" not in line else f"{line}\n"
            for _, line in arrivals
        )
    )
    documents, stats, _ = replayed([path])
    assert sequences(documents) == model(opens)
    assert_nothing_lost(stats, opens)


def test_late_record_is_counted_as_stale() -> None:
    limits = Limits(event_slots=64, small_texts=256)
    with Detector(host=HERE, limits=limits, order=8, sequences=True) as detector:
        kinds = ("SYSCALL", "PATH", "PROCTITLE")
        detector.feed_text(scan_text([*range(2, 10), 1], kinds).encode())
        assert detector.stats().disordered == 0
        detector.feed_text(scan_text(range(10, 40), kinds).encode())
        assert detector.stats().disordered == 0
        detector.feed_text(scan_text([20], kinds, pid=78).encode())  # known already: late, not out of order
        detector.feed_text(scan_text([0], kinds, pid=78).encode())
        detector.finish()
        stats = detector.stats()
    assert (stats.disordered, stats.matches, stats.late) == (1, 40, 3)


def test_order_has_bounds() -> None:
    for order, good in ((2048, False), (1024, True), (1025, False), (-1, False)):
        limits = Limits(event_slots=4096, small_texts=8192)
        if good:
            Detector(host=HERE, limits=limits, order=order).close()
        else:
            with pytest.raises(UsageError, match=r"outside its bounds|expected a whole number"):
                Detector(host=HERE, limits=limits, order=order)
