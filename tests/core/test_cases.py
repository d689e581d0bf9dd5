"""The readable cases of tests/cases, run through the ring: what the core promises, as sentences.

Each file says its notation at its head. A failing case names the file and the line that does not hold.
"""

from __future__ import annotations

import random
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from auditsense.core.ring import PACKED_HEADER, Limits, Ring
from auditsense.core.rule_table import EventEnd, Field, Op
from tests.support.rules import FieldTest, SimpleRule, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditsense.core.hit import Hit

CASES = Path(__file__).parents[1] / "cases"

TYPES = {
    "LOGIN": 1006,
    "AUDIT_USER": 1100,
    "SYSCALL": 1300,
    "PATH": 1302,
    "CONFIG_CHANGE": 1305,
    "SOCKADDR": 1306,
    "CWD": 1307,
    "EXECVE": 1309,
    "BPRM_FCAPS": 1321,
    "EOE": 1320,
    "PROCTITLE": 1327,
    "URINGOP": 1336,
    "OPENAT2": 1337,
    "MAC_TASK_CONTEXTS": 1425,
    "MAC_OBJ_CONTEXTS": 1426,
}

USUAL = {
    "SYSCALL": "arch=c000003e syscall=257 success=yes exit=3 a0=ffffffffffffff9c a1=47d12d a2=80000 a3=0 "
    "items=1 ppid=1 pid=92 auid=4294967295 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 "
    'tty=(none) ses=4294967295 comm="init" exe="/init" subj=unconfined key="audit_proc"',
    "CWD": 'cwd="/"',
    "PATH": 'item=0 name="/proc" inode=1 dev=00:14 mode=040555 ouid=0 ogid=0 nametype=NORMAL cap_fp=0',
    "PROCTITLE": "proctitle=696E6974002D78",
    "EOE": "",
    "AUDIT_USER": "pid=1 msg='op=x'",
}

EVERY_EVENT = SimpleRule()


def proc_rule(count: int) -> SimpleRule:
    """Return the rule of the /proc detection with another count."""
    return SimpleRule(
        calls=((0xC000003E, 257), (0x40000003, 295), (0xC00000B7, 56)),
        tests=(
            FieldTest(Field.PATH_NAME, Op.TEXT, (b"/proc",)),
            FieldTest(Field.A0, Op.LIKE, (b"ffffffffffffff9c", b"ffffff9c")),
            FieldTest(Field.A2, Op.TEXT, (b"80000", b"88000")),
        ),
        keys=(Field.PID, Field.NODE),
        count=count,
        span_ms=5000,
    )


# Reading the files


@dataclass(frozen=True)
class Row:
    """One line of a case."""

    file: str
    number: int
    text: str

    def fails(self, what: str) -> NoReturn:
        """End the case: this line does not hold."""
        pytest.fail(f"tests/cases/{self.file}:{self.number}: {what}\n    {self.text}", pytrace=False)


@dataclass(frozen=True)
class Case:
    """A title and its lines."""

    title: Row
    rows: list[Row] = field(default_factory=list)

    def __str__(self) -> str:
        """Return what pytest names the case by."""
        return f"{self.title.number}: {self.title.text.removeprefix('### ')}"


def read_cases(name: str) -> list[Case]:
    """Read a file of cases."""
    cases: list[Case] = []
    for number, line in enumerate((CASES / name).read_text().splitlines(), start=1):
        row = Row(name, number, line)
        if line.startswith("### "):
            cases.append(Case(row))
        elif line and not line.startswith("#"):
            cases[-1].rows.append(row)
    return cases


def unescape(text: str) -> bytes:
    r"""Return the bytes that a text stands for: \n, \r, \xHH, \\ and {unit*times}."""

    def escaped(found: re.Match[str]) -> str:
        code = found[1]
        return {"n": "\n", "r": "\r", "\\": "\\"}.get(code) or chr(int(code[1:], 16))

    text = re.sub(r"\{([^{}*]+)\*(\d+)\}", lambda found: found[1] * int(found[2]), text)
    return re.sub(r"\\(n|r|\\|x[0-9a-f]{2})", escaped, text).encode("latin-1")


# Making input


def datagram(kind: int, text: bytes) -> bytes:
    """Return a record as the kernel sends it: nlmsg_len is 16 too small, as it really is."""
    return struct.pack("=IHHII", len(text), kind, 0, 0, 0) + text


def packed(now_ms: int, datagrams: Iterable[bytes]) -> bytes:
    """Pack datagrams that came at one time."""
    return b"".join(PACKED_HEADER.pack(now_ms, len(each), 0) + each for each in datagrams)


def log_line(kind: str, text: bytes, node: str = "") -> bytes:
    """Return a record as a daemon writes it."""
    before = f"node={node} " if node else ""
    return f"{before}type={kind.removeprefix('AUDIT_')} msg=".encode() + text + b"\n"


def feed_all(feed: Callable[[memoryview], int], ring: Ring, data: bytes) -> list[Hit]:
    """Feed all of it, draining whenever the hits are full; return the hits."""
    rest = memoryview(data)
    hits: list[Hit] = []
    while rest:
        rest = rest[feed(rest) :]
        hits += ring.drain()
    return hits


# What is expected


def check_field(row: Row, hit: Hit | None) -> None:
    """Check "field: value" or "no field" of an event."""
    absent = re.fullmatch(r"-> no (\w+)", row.text)
    present = re.fullmatch(r"-> (\w+): ?(.*)", row.text)
    found = absent or present
    if found is None:
        row.fails("this is no expectation")
    if hit is None:
        row.fails("no event was decided")
    value = hit.values[Field[found[1].upper()]]
    wanted = unescape(present[2]) if present else None
    if value != wanted:
        row.fails(f"it is {value!r}")


def check_counts(row: Row, ring: Ring) -> None:
    """Check "counts name=number …"."""
    counted = ring.stats().as_dict()
    for word in row.text.split()[2:]:
        name, _, wanted = word.partition("=")
        if counted[name] != int(wanted):
            row.fails(f"{name} is {counted[name]}")


# Records

RECORD = re.compile(r"(?:(datagram) )?([A-Z_0-9]+) (.*)")
LINE = re.compile(r"line (.*)")


@dataclass
class RecordCase:
    """The input of a case of records.txt, in both forms it can come in; None: it cannot."""

    datagrams: list[bytes] | None
    log: bytes | None
    expected: list[Row]


def record_case(case: Case) -> RecordCase:
    """Parse a case: its records with their stamp, a SYSCALL and an end, and the expected result."""
    records: list[tuple[str, bytes]] = []
    lines = b""
    only_datagrams = False
    expected: list[Row] = []
    for row in case.rows:
        record, line = RECORD.fullmatch(row.text), LINE.fullmatch(row.text)
        if row.text.startswith("->"):
            expected.append(row)
        elif line:
            lines += unescape(line[1]) + b"\n"
        elif record:
            only_datagrams |= record[1] is not None
            text = unescape(record[3])
            stamp = b"" if text.startswith(b"audit(") else b"audit(1.000:1): "
            records.append((record[2], stamp + text))
        else:
            row.fails("this is no record")
    in_lines = re.search(rb"^(node=\S+ )?type=(SYSCALL|UNKNOWN\[1300\]) ", lines, re.MULTILINE)
    if not in_lines and not any(kind == "SYSCALL" for kind, _ in records):
        records.insert(0, ("SYSCALL", b"audit(1.000:1): " + USUAL["SYSCALL"].encode()))
    end = ("EOE", b"audit(1.000:1): ")
    datagrams = [datagram(TYPES[kind], text) for kind, text in [*records, end]]
    log = b"".join(log_line(kind, text) for kind, text in records) + lines
    return RecordCase(None if lines else datagrams, None if only_datagrams else log, expected)


def ways(cases: list[Case]) -> Iterator[object]:
    for case in cases:
        made = record_case(case)
        if made.datagrams is not None:
            yield pytest.param(case, False, id=f"{case} (datagrams)")
        if made.log is not None:
            yield pytest.param(case, True, id=f"{case} (log)")


@pytest.mark.parametrize(("case", "by_log"), list(ways(read_cases("records.txt"))))
def test_record_case(case: Case, *, by_log: bool) -> None:
    made = record_case(case)
    rules = table([EVERY_EVENT, proc_rule(1)])
    with Ring(rules, Limits(event_slots=16, small_texts=64, large_texts=8)) as ring:
        if by_log:
            hits = feed_all(ring.feed_text, ring, made.log or b"")
        else:
            hits = feed_all(ring.feed, ring, packed(1000, made.datagrams or []))
        ring.finish()
        hits += ring.drain()
        event = next((hit for hit in hits if hit.rule == 0), None)
        matches = any(hit.rule == 1 for hit in hits)
        for row in made.expected:
            if row.text in {"-> matches", "-> no match"}:
                if matches != (row.text == "-> matches"):
                    row.fails("it matches" if matches else "it does not match")
            elif row.text.startswith("-> counts "):
                check_counts(row, ring)
            else:
                check_field(row, event)


# Events

EVENT = re.compile(r"(?:node=(\S+) )?(\d+\.\d{3}):(\d+) ([A-Z_0-9]+(?:\[\d+\])?)(?: (.*))?")
EACH = re.compile(r"for N in (\d+)\.\.(\d+): (.*)")


class EventRun:
    """Carries out the rows of one case of events.txt."""

    def __init__(self, case: Case) -> None:
        """Create the ring that the case asks for."""
        end = EventEnd.EOE
        order = 0
        limits = {"event_slots": 16, "small_texts": 64, "large_texts": 4, "datagram_bytes": 16384}
        self.by_log = any(row.text == "log" for row in case.rows)
        for row in case.rows:
            if row.text.startswith("limits "):
                limits |= {
                    name: int(value) for name, value in (word.split("=") for word in row.text.split()[1:])
                }
            if row.text.startswith("order "):
                order = int(row.text.split()[1])
            if row.text.startswith("ends "):
                end = EventEnd[row.text.removeprefix("ends ").upper()]
        self.ring = Ring(table([EVERY_EVENT]), Limits(**limits), end=end, order=order)
        self.now_ms = 1000
        self.decided: list[Hit] = []
        self.last: Hit | None = None

    def run(self, case: Case) -> None:
        """Carry out all rows; nothing may have been decided that no row names."""
        for row in case.rows:
            self.step(row)
        if self.decided:
            case.title.fails(f"decided as well: {self.names()}")

    def names(self) -> str:
        return " ".join(str(hit.ids[0]) for hit in self.decided) or "nothing"

    def step(self, row: Row) -> None:
        word, _, rest = row.text.partition(" ")
        if word in {"log", "limits", "ends", "order"} or self.passed(word, rest):
            return
        if row.text.startswith("=> counts "):
            check_counts(row, self.ring)
        elif word == "=>":
            if self.names() != rest:
                row.fails(f"decided: {self.names()}")
            self.last = self.decided[-1] if self.decided else self.last
            self.decided = []
        elif word == "->":
            check_field(row, self.last)
        elif each := EACH.fullmatch(row.text):
            for number in range(int(each[1]), int(each[2]) + 1):
                self.record(row, re.sub(r":N\b", f":{number}", each[3]))
        else:
            self.record(row, row.text)

    def passed(self, word: str, rest: str) -> bool:
        """Let time pass, or the input end, if that is what the row says."""
        if word == "at":
            self.now_ms = 0 if rest == "stamps" else int(rest)
        elif word == "expire":
            self.ring.expire(int(rest))
        elif word == "finish":
            self.ring.finish()
        else:
            return False
        self.decided += self.ring.drain()
        return True

    def record(self, row: Row, text: str) -> None:
        found = EVENT.fullmatch(text)
        if found is None:
            row.fails("this is no step")
        node, stamp, serial, kind, given = found.groups()
        body = USUAL.get(kind, "") if given is None else given
        if kind == "SYSCALL":
            body = USUAL[kind]
            for word in (given or "").split():
                body = re.sub(rf"\b{word.partition('=')[0]}=\S+", word.replace("\\", r"\\"), body)
        record = f"audit({stamp}:{serial}): ".encode() + unescape(body)
        if self.by_log:
            self.decided += feed_all(self.ring.feed_text, self.ring, log_line(kind, record, node or ""))
        else:
            one = packed(self.now_ms, [datagram(TYPES[kind], record)])
            self.decided += feed_all(self.ring.feed, self.ring, one)


@pytest.mark.parametrize("case", read_cases("events.txt"), ids=str)
def test_event_case(case: Case) -> None:
    run = EventRun(case)
    with run.ring:
        run.run(case)


# Windows

MATCHES = re.compile(r"(\d+)(?: every (\d+) ms)?(?: of (.+))?")


@dataclass(frozen=True)
class Match:
    """One match: its stamp, its process ("unnamed": the record has no pid) and its host ("": this one)."""

    ms: int
    pid: str
    node: str

    def records(self, serial: int) -> list[tuple[str, bytes]]:
        stamp = f"audit({self.ms // 1000}.{self.ms % 1000:03}:{serial}): "
        syscall = USUAL["SYSCALL"].replace(" pid=92", "" if self.pid == "unnamed" else f" pid={self.pid}")
        bodies = {"SYSCALL": syscall, "PATH": USUAL["PATH"]}
        return [(kind, (stamp + body).encode()) for kind, body in bodies.items()] + [("", stamp.encode())]


def matches_of(case: Case) -> tuple[list[Match], bool, Row, int]:
    """Read a case: its matches in the order they come, whether shuffled, and the sequences expected."""
    matches: list[Match] = []
    now_ms, node, shuffled = 100_000, "", False
    for row in case.rows:
        if row.text == "shuffled":
            shuffled = True
        elif found := re.fullmatch(r"gap (\d+) ms", row.text):
            now_ms += int(found[1])
        elif found := re.fullmatch(r"at ([\d.]+) s", row.text):
            now_ms = 100_000 + round(float(found[1]) * 1000)
        elif found := re.fullmatch(r"node (\S+)", row.text):
            node = found[1]
        elif found := MATCHES.fullmatch(row.text):
            pids = (found[3] or "7").split(" and ")
            for number in range(int(found[1])):
                now_ms += int(found[2] or 0) if number else 0
                matches.append(Match(now_ms, pids[number % len(pids)], node))
        elif found := re.fullmatch(r"= (\d+) sequences", row.text):
            return matches, shuffled, row, int(found[1])
        else:
            row.fails("this is no step")
    return case.title.fails("it expects nothing")


def sequences(matches: list[Match], *, by_log: bool) -> int:
    """Return the sequences that the ring finds, one hit each."""
    with Ring(
        table([proc_rule(10)]), Limits(event_slots=64, small_texts=256, large_texts=4, key_slots=64)
    ) as ring:
        found = 0
        for serial, match in enumerate(matches, start=1):
            records = match.records(serial)
            if by_log:
                kinds = [kind or "PROCTITLE" for kind, _ in records]
                lines = (
                    log_line(kind, text, match.node) for kind, (_, text) in zip(kinds, records, strict=True)
                )
                found += len(feed_all(ring.feed_text, ring, b"".join(lines)))
            else:
                datagrams = [datagram(TYPES[kind or "EOE"], text) for kind, text in records]
                found += len(feed_all(ring.feed, ring, packed(1000, datagrams)))
        stats = ring.stats()
        assert (stats.incomplete, stats.evicted, stats.sequences) == (0, 0, found)
        return found


WINDOWS = [
    pytest.param(case, by_log, id=f"{case} ({'log' if by_log else 'datagrams'})")
    for case in read_cases("windows.txt")
    for by_log in (False, True)
    if by_log or not any(match.node for match in matches_of(case)[0])  # only log lines name a host
]


@pytest.mark.parametrize(("case", "by_log"), WINDOWS)
def test_window_case(case: Case, *, by_log: bool) -> None:
    matches, shuffled, row, wanted = matches_of(case)
    for seed in range(10 if shuffled else 1):
        ordered = random.Random(seed).sample(matches, len(matches)) if shuffled else matches  # noqa: S311
        found = sequences(ordered, by_log=by_log)
        if found != wanted:
            row.fails(f"there are {found}")
