"""Cost of a record of hostile input, as a ratio to an ordinary record in the same run.

    python bench/adversarial.py [--records N] [--pairs N] [--only WORD] [--json FILE]

Hostile and ordinary input (opens that match) alternate, each on a new core with the same rule table and
limits. The figure is the ratio of their lowest CPU times. Preparation, such as a table full of open events,
is not timed. The unit is a record (in one row, a call). A record longer than an ordinary one counts as the
number of ordinary records of the same size, because it must be read in any case. Exit status 1: a record
costs more than 10 ordinary ones.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.inputs import measured_detections
from auditsense.bench.report import machine
from auditsense.bench.timing import alternate, cpu_of, cpu_of_program
from auditsense.core.ring import PACKED_HEADER, Limits, Ring
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.builder import define
from auditsense.detections.compiler import compile_all

if TYPE_CHECKING:
    from auditsense.core.rule_table import RuleTable
    from bench.live.ground import write_json
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent / "live"))
    from ground import write_json

MOST = 10.0
START_MS = 1_795_493_114_000
SYSCALL, PATH, CWD, EOE, USER = 1300, 1302, 1307, 1320, 1100
NAMES = {SYSCALL: b"SYSCALL", PATH: b"PATH", CWD: b"CWD", EOE: b"EOE", USER: b"USER"}
PIECE = 1 << 20
BOMB = "a compressed file that unpacks to one line"


@dataclass(frozen=True)
class Record:
    """One record; `ms` is its stamp, `now_ms` the time of its arrival."""

    kind: int
    serial: int
    body: bytes = b""
    ms: int = START_MS
    now_ms: int = 1000

    @property
    def text(self) -> bytes:
        """Return the text that the kernel sends."""
        return b"audit(%d.%03d:%d): %s" % (
            self.ms // 1000,
            self.ms % 1000,
            self.serial & 0xFFFFFFFF,
            self.body,
        )

    @property
    def packed(self) -> bytes:
        """Return the datagram as `Ring.feed` takes it."""
        text = self.text
        header = (len(text) + 16).to_bytes(4, sys.byteorder) + self.kind.to_bytes(2, sys.byteorder)
        return PACKED_HEADER.pack(self.now_ms, len(text) + 16, 0) + header + bytes(10) + text

    @property
    def line(self) -> bytes:
        """Return the line that a daemon writes."""
        return b"type=%s msg=%s\n" % (NAMES[self.kind], self.text)


def call(  # noqa: PLR0913 - one difference between inputs each
    serial: int,
    pid: int = 7,
    *,
    items: int = 1,
    exe: bytes = b"/usr/bin/x",
    more: bytes = b"",
    ms: int = START_MS,
) -> Record:
    """Return the SYSCALL record of an open that matches."""
    body = (
        b"arch=c000003e syscall=257 success=yes exit=3 a0=ffffff9c a1=7f a2=80000 a3=0 items=%d ppid=1 "
        b"pid=%d auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 tty=pts0 ses=1 "
        b'comm="x" exe="%s" key="audit_proc"%s' % (items, pid, exe, more)
    )
    return Record(SYSCALL, serial, body, ms)


def path(serial: int, name: bytes = b"/proc", item: int = 0, ms: int = START_MS) -> Record:
    body = b'item=%d name="%s" inode=1 dev=00:15 mode=040555 ouid=0 ogid=0 nametype=NORMAL' % (item, name)
    return Record(PATH, serial, body, ms)


def event(serial: int, pid: int = 7, ms: int = START_MS) -> list[Record]:
    """Return an ordinary event: three records."""
    return [call(serial, pid, ms=ms), path(serial, ms=ms), Record(EOE, serial, ms=ms)]


# --- inputs ----------------------------------------------------------------------

Maker = Callable[[int], Iterable[Record]]


def ordinary(records: int) -> Iterator[Record]:
    for serial in range(1, records // 3 + 1):
        yield from event(serial, 1 + serial % 100, ms=START_MS + serial)


def lost_ends(records: int) -> Iterator[Record]:
    for serial in range(1, records // 2 + 1):
        yield call(serial, serial % 1000)
        yield path(serial, b"/" + b"a" * 4000 if serial % 2 else b"/proc")


def large_behind_small(records: int) -> Iterator[Record]:
    for serial in range(100_000, 100_000 + records):
        yield Record(CWD, serial, b'cwd="/%s"' % (b"a" * 700))


def many_open(_records: int) -> Iterator[Record]:
    for serial in range(1, 4001):
        yield call(serial, serial)


def leaps(step: int) -> Maker:
    def make(records: int) -> Iterator[Record]:
        for number in range(records):
            yield Record(USER, 1 + number * step, b"pid=1", ms=START_MS + number)

    return make


def serials_there_and_back(records: int) -> Iterator[Record]:
    for number in range(records):
        yield Record(USER, 0x7FFF_FFFF if number % 2 else number, b"pid=1", ms=START_MS + number)


def many_paths(records: int) -> Iterator[Record]:
    for serial in range(1, records // 3000 + 2):
        yield call(serial, items=3000)
        for item in range(3000):
            yield path(serial, b"/usr/lib/x", item)
        yield Record(EOE, serial)


def key_flood(records: int) -> Iterator[Record]:
    for serial in range(1, records // 3 + 1):
        yield from event(serial, serial, ms=START_MS + serial)


def pids_alike(records: int) -> Iterator[Record]:
    for serial in range(1, records // 3 + 1):
        yield from event(serial, (serial << 16) & 0x7FFF_FFFF, ms=START_MS + serial)


def backwards(records: int) -> Iterator[Record]:
    for serial in range(1, records // 3 + 1):
        yield from event(serial, ms=START_MS - serial)


def sawtooth(records: int) -> Iterator[Record]:
    for serial in range(1, records // 3 + 1):
        yield from event(serial, ms=START_MS + serial // 2 + (0 if serial % 2 else 2_000))


def steps_of_years(records: int) -> Iterator[Record]:
    for serial in range(1, records // 3 + 1):
        yield from event(serial, ms=START_MS + (serial % 3) * 2_000_000_000_000)


def ends_again(records: int) -> Iterator[Record]:
    yield call(7, items=2, more=b" x=" + b"a" * 14_000)
    for _ in range(records):
        yield Record(EOE, 7)


def interleaved(records: int) -> Iterator[Record]:
    width = 4000
    for first in range(1, records // 3 + 1, width):
        serials = range(first, first + width)
        yield from (call(serial, serial % 100) for serial in serials)
        yield from (path(serial) for serial in reversed(serials))
        yield from (Record(EOE, serial) for serial in serials)


def filled(unit: bytes, size: int = 15_000) -> Maker:
    """Make records whose text is full of one unit."""

    def make(records: int) -> Iterator[Record]:
        body = b"arch=c000003e syscall=257 " + unit * (size // len(unit))
        for serial in range(1, records * 150 // max(size, 1000) + 1):
            yield Record(SYSCALL, serial, body)
            yield Record(EOE, serial)

    return make


@dataclass(frozen=True)
class Input:
    """A hostile input, its preparation, and the configuration of the core."""

    name: str
    make: Maker
    before: Maker = lambda _records: ()
    limits: Limits = field(default_factory=Limits)
    rules: Callable[[], RuleTable] = lambda: compile_all(
        measured_detections(), merge_ms=AlertPolicy().suppress_ms
    )
    lines: bool = False
    pieces: int = PIECE


def long_name(exe: bytes, records: int) -> Iterator[Record]:
    """Make events of one program; its name is in quotes, or in hex if it has a blank."""
    for serial in range(1, records // 3 + 1):
        if b" " in exe:
            body = call(serial).body
            yield Record(SYSCALL, serial, body.replace(b'"/usr/bin/x"', exe.hex().upper().encode()))
        else:
            yield call(serial, exe=exe)
        yield path(serial)
        yield Record(EOE, serial)


def wildcards(pattern: str = "*a*a*a*a*a*a*a*a*b{}", count: int = 50) -> RuleTable:
    """Return a table of exceptions whose patterns nearly match."""
    exceptions = [
        {"comment": "x", "match": {"process.executable": {"like": pattern.format(n)}}} for n in range(count)
    ]
    detection = define("x", "x", match={"file.path": "/proc"}, matches=10, within="5s", exceptions=exceptions)
    return compile_all([detection], merge_ms=AlertPolicy().suppress_ms)


AS = b"/" + b"a" * 4000
PAIRS = b"/ab" + b"".join(b"b%d" % n for n in range(50)) + b"a" * 3800
LONG_WILDCARDS = partial(wildcards, "*" + "a" * 45 + "*" + "a" * 45 + "b{}*")
SLACK = Limits(window_slack=1024)
LONG = Limits(datagram_bytes=65_536, hit_bytes=1 << 20)
INPUTS = (
    Input("events whose end is lost, each second path of 4,000 bytes", lost_ends),
    Input("large records while 4,000 events are open", large_behind_small, before=many_open),
    Input("events interleaved 4,000 deep, paths in reverse", interleaved),
    Input("serials that leap by 65,535", leaps(65_535)),
    Input("serials that leap by 131,070", leaps(131_070)),
    Input("serials that leap by 2", leaps(2)),
    Input("serials that leap to 2^31 and back", serials_there_and_back),
    Input("3,000 PATH records an event", many_paths),
    Input("a process an event", key_flood),
    Input("processes whose ids share their low 16 bits", pids_alike),
    Input("a process an event, 1,000 windows", key_flood, limits=Limits(key_slots=1024)),
    Input("each match earlier than all before", backwards),
    Input("each match earlier than all before, slack 1,024", backwards, limits=SLACK),
    Input("each second match late, slack 1,024", sawtooth, limits=SLACK),
    Input("a stamp that leaps by 60 years an event", steps_of_years),
    Input("ends of an event with a SYSCALL record of 14,000 bytes", ends_again),
    *(
        Input(f"15,000 bytes of `{unit.decode()}`", filled(unit))
        for unit in (b"a=", b"=", b'"', b'x="a" ', b"key=", b"type=", b"name=a=UID= ", b"subj= ", b"a=41 ")
    ),
    *(
        Input(f"150 bytes of `{unit.decode()}`", filled(unit, 150))
        for unit in (b"a=", b"=", b"a ", b'x="a" ', b"pid=1 ", b"subj= ")
    ),
    Input("64 KB lines of `type=`", filled(b"type=", 65_000), limits=LONG, lines=True),
    Input("64 KB lines of `msg=audit(`", filled(b"msg=audit(", 65_000), limits=LONG, lines=True),
    Input("64 KB lines of blanks", filled(b" ", 65_000), limits=LONG, lines=True),
    Input("50 exceptions with wildcards, a program of 4,000 bytes", partial(long_name, AS), rules=wildcards),
    Input(
        "50 exceptions with wildcards, a program of 4,000 bytes in hex",
        partial(long_name, AS + b" "),
        rules=wildcards,
    ),
    Input(
        "50 exceptions with wildcards, a program of 60 bytes", partial(long_name, AS[:60]), rules=wildcards
    ),
    Input(
        "50 exceptions with long wildcards, a program of 4,000 bytes",
        partial(long_name, AS),
        rules=LONG_WILDCARDS,
    ),
    Input(
        "50 exceptions with long wildcards that a program nearly fits",
        partial(long_name, PAIRS),
        rules=LONG_WILDCARDS,
    ),
    Input(
        "50 exceptions with long wildcards, a program of 100 bytes",
        partial(long_name, AS[:100]),
        rules=LONG_WILDCARDS,
    ),
    Input("a call with one byte of text, by a call with none", ordinary, lines=True, pieces=1),
)


# --- measuring -------------------------------------------------------------------


@dataclass(frozen=True)
class RecordCost:
    """Result of one input, in ns of CPU per record."""

    name: str
    records: float
    ns: float
    ordinary_ns: float
    each: float  # ordinary records of the same size

    @property
    def ratio(self) -> float:
        """The cost as a number of ordinary records."""
        return self.ns / self.ordinary_ns


@dataclass(frozen=True)
class Prepared:
    """Input in pieces, and the number of ordinary records of its size."""

    pieces: Sequence[bytes]
    lines: bool
    records: float
    each: float = 1.0


def prepared(records: Sequence[Record], ordinary_bytes: float, *, lines: bool, size: int = PIECE) -> Prepared:
    """Encode records; *size*: bytes of text per call."""
    encoded = [record.line if lines else record.packed for record in records]
    counted = sum(max(1.0, len(data) / ordinary_bytes) for data in encoded)
    if lines and size < PIECE:
        text = b"".join(encoded)
        return Prepared([text[at : at + size] for at in range(0, len(text), size)], lines, len(text) / size)
    return Prepared(
        [b"".join(encoded[at : at + 1000]) for at in range(0, len(encoded), 1000)],
        lines,
        counted,
        counted / max(1, len(encoded)),
    )


def feed(ring: Ring, data: Prepared) -> None:
    """Feed everything; drain hits as a sensor does."""
    feed_piece = ring.feed_text if data.lines else ring.feed
    for piece in data.pieces:
        used = feed_piece(piece)
        while used < len(piece):
            ring.drain_bytes()
            used += feed_piece(memoryview(piece)[used:])


def measure(hostile: Input, records: int, pairs: int) -> RecordCost:
    rules = hostile.rules()
    records_of = partial(prepared, lines=hostile.lines)
    usual = list(ordinary(records))
    sizes = [len(record.line if hostile.lines else record.packed) for record in usual]
    size = sum(sizes) / len(sizes)
    data = records_of(list(hostile.make(records)), size, size=hostile.pieces)
    reference = records_of(usual, size)
    if hostile.pieces < PIECE:
        reference = Prepared([b""] * len(data.pieces), hostile.lines, data.records)
    before = records_of(list(hostile.before(records)), size)

    def run(timed: Prepared, first: Prepared | None) -> float:
        with Ring(rules, hostile.limits, seed=1) as ring:
            if first is not None:
                feed(ring, first)
            return cpu_of(lambda: feed(ring, timed)) / timed.records * 1e9

    times = alternate(lambda: run(data, before), lambda: run(reference, None), pairs)
    return RecordCost(hostile.name, data.records, min(times.first), min(times.second), data.each)


def bomb(pairs: int, megabytes: int = 64) -> RecordCost:
    """Measure a replay of a compressed file that unpacks to one endless line, relative to ordinary lines."""
    lines = b"".join(record.line for record in ordinary(300_000))
    size = len(lines) / 300_000
    program = "from auditsense.cli import main; raise SystemExit(main())"
    replay = (sys.executable, "-I", "-c", program, "replay", "-o", "count")
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as folder:
        files = {name: Path(folder) / f"{name}.gz" for name in ("bomb", "usual", "short")}
        files["bomb"].write_bytes(gzip.compress(lines[:PIECE] + b"a" * (megabytes << 20)))
        files["usual"].write_bytes(gzip.compress(lines, 1))
        files["short"].write_bytes(gzip.compress(lines[: lines.index(b"\n") + 1]))
        start = min(cpu_of_program((*replay, str(files["short"])))[0] for _ in range(pairs))

        def run(name: str, records: float) -> float:
            return max(cpu_of_program((*replay, str(files[name])))[0] - start, 1e-6) / records * 1e9

        counted = (megabytes << 20) / size
        times = alternate(lambda: run("bomb", counted), lambda: run("usual", 300_000), pairs)
    return RecordCost(BOMB, counted, min(times.first), min(times.second), counted)


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of a record of hostile input.")
    parser.add_argument("--records", type=int, default=30_000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", default="", metavar="WORD", help="the inputs whose name has this")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    print(f"{'a record of':<60}{'ns':>12}{'ordinary':>12}{'ratio':>9}", flush=True)
    costs: list[RecordCost] = []
    works: list[Callable[[], RecordCost]] = [
        partial(measure, hostile, arguments.records, arguments.pairs)
        for hostile in INPUTS
        if arguments.only in hostile.name
    ]
    if arguments.only in BOMB:
        works.append(partial(bomb, arguments.pairs))
    for work in works:
        cost = work()
        costs.append(cost)
        print(f"{cost.name:<60}{cost.ns:>12.0f}{cost.ordinary_ns:>12.0f}{cost.ratio:>9.2f}", flush=True)
    rows = [{**asdict(cost), "ratio": cost.ratio} for cost in costs]
    write_json(arguments.json, {"bench": "adversarial", "machine": machine(), "most": MOST, "rows": rows})
    failed = [cost for cost in costs if cost.ratio > MOST]
    for cost in failed:
        print(f"FAILED: {cost.name}: {cost.ratio:.1f} ordinary records, more than {MOST:g}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
