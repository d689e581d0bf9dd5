"""Generated input: records as the kernel sends them and as a daemon logs them.

Rule 1: every number in a record has a fixed width, so that an event is formatted in one operation. A million
        events take seconds, and are never in memory at once.
Rule 2: the shape and its seed determine every byte; two runs compare the same input.
"""

from __future__ import annotations

import enum
import random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense.core.ring import PACKED_HEADER
from auditsense.detections.loader import shipped_detections

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from auditsense.detections.model import Detection

START_MS: Final = 1_795_493_114_674
FIRST_SERIAL: Final = 10_000_000
FIRST_PID: Final = 1_000_000
LAST_PID: Final = 1 << 22  # the kernel's limit
RECORDS_AN_EVENT: Final = 5
CHUNK_EVENTS: Final = 20_000
MEASURED: Final = "pspy"
"""The detection that benches load: one alone, so that each open counts once, as in earlier versions."""
_NETLINK: Final = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port

_CALL = (
    b"arch=c000003e syscall=%b success=yes exit=5 a0=ffffff9c a1=7fe8360466f0 a2=%b a3=0 items=1 ppid=4308 "
    b"pid=%%(pid)07d auid=4294967295 uid=65534 gid=65534 euid=65534 suid=65534 fsuid=65534 egid=65534 "
    b"sgid=65534 fsgid=65534 tty=(none) ses=4294967295 "
    b'comm="worker-%%(program)04d" exe="/usr/lib/app-%%(program)04d/worker" key="audit_proc"'
)
_CWD = (1307, b"CWD", b'cwd="/srv"')
_ITEM = (
    b'item=0 name="/proc" inode=1 dev=00:15 mode=040555 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL cap_fp=0 '
    b"cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
)
_PATH = (1302, b"PATH", _ITEM)
_LOGIN = (
    b'pid=%(pid)07d uid=0 auid=4294967295 ses=4294967295 msg=\'op=login acct="worker-%(program)04d" '
    b'exe="/usr/sbin/sshd" hostname=? addr=192.0.2.7 terminal=ssh res=success\''
)
_TITLE = (1327, b"PROCTITLE", b"proctitle=707974686F6E33002F746D702F74312E7079")
_END = (1320, b"EOE", b"")


def measured_detections() -> list[Detection]:
    """Return the detection that benches load."""
    return [detection for detection in shipped_detections() if detection.id == MEASURED]


class EventKind(enum.Enum):
    """Kinds of events, as the type, name and text of their records."""

    OPEN = ((1300, b"SYSCALL", _CALL % (b"257", b"80000")), _CWD, _PATH, _TITLE, _END)
    """An open of /proc, which the detection counts."""
    LISTING = ((1300, b"SYSCALL", _CALL % (b"257", b"90800")), _CWD, _PATH, _TITLE, _END)
    """The same call with the flags of opendir: inspected, and rejected."""
    OTHER_CALL = ((1300, b"SYSCALL", _CALL % (b"059", b"80000")), _CWD, _PATH, _TITLE, _END)
    """Another system call: rejected by its number."""
    USER = ((1112, b"USER_LOGIN", _LOGIN),)
    """One record of a type that no detection uses."""


@dataclass(frozen=True, slots=True)
class InputShape:
    """Composition of a stream.

    Attributes:
        events: 1 or more.
        pids: processes, in turn; 1 to 3,194,304 (the kernel's limit minus the first).
        programs: names of programs, 1 to 10,000; a process keeps its name.
        producers: events whose records interleave, 1 or more.
        kinds: the seed chooses among these for each event.
        per_ms: events with the same stamp; 0: all events have one stamp.
        seed: of random choices.
    """

    events: int
    pids: int = 1
    programs: int = 1
    producers: int = 1
    kinds: tuple[EventKind, ...] = (EventKind.OPEN,)
    per_ms: int = 50
    seed: int = 1

    def __post_init__(self) -> None:
        if not (
            self.events >= 1
            and 1 <= self.pids <= LAST_PID - FIRST_PID
            and 1 <= self.programs <= 10_000
            and self.producers >= 1
            and self.kinds
            and self.per_ms >= 0
        ):
            raise ValueError(f"out of bounds: {self}")


def hot(events: int) -> InputShape:
    """Return one process that opens /proc, with one stamp: all tables stay in the cache."""
    return InputShape(events, per_ms=0)


def cold(events: int) -> InputShape:
    """Return many processes and programs, four producers, and other events between the opens."""
    kinds = (EventKind.OPEN, EventKind.OPEN, EventKind.LISTING, EventKind.OTHER_CALL, EventKind.USER)
    return InputShape(events, pids=20_000, programs=5_000, producers=4, kinds=kinds)


@dataclass(frozen=True, slots=True)
class _Form:
    """An event's bytes before its numbers are filled in, and the ends of its records afterwards."""

    template: bytes
    ends: tuple[int, ...]


_SAMPLE: Final = {b"seconds": 0, b"ms": 0, b"serial": FIRST_SERIAL, b"pid": FIRST_PID, b"program": 0}
_STAMP: Final = b"audit(%(seconds)010d.%(ms)03d:%(serial)08d): "


def _form(kind: EventKind, *, text: bool) -> _Form:
    template, ends = b"", []
    for number, name, body in kind.value:
        record = _STAMP + body
        if text:
            record = b"type=" + name + b" msg=" + record + b"\n"
        else:
            length = len(record % _SAMPLE)
            # As from the kernel: the length in the header is 16 too small.
            header = PACKED_HEADER.pack(0, length + 16, 0) + _NETLINK.pack(length, number, 0, 0, 0)
            record = header.replace(b"%", b"%%") + record
        template += record
        ends.append(len(template % _SAMPLE))
    return _Form(template, tuple(ends))


def _interleaved(group: Iterable[tuple[bytes, _Form]]) -> Iterator[bytes]:
    parts = [
        [event[start:end] for start, end in zip((0, *form.ends), form.ends, strict=False)]
        for event, form in group
    ]
    for turn in range(max(len(records) for records in parts)):
        yield from (records[turn] for records in parts if turn < len(records))


def chunks(shape: InputShape, *, text: bool = False, size: int = CHUNK_EVENTS) -> Iterator[bytes]:
    """Yield the stream in pieces of complete events.

    Args:
        shape: of the stream.
        text: as lines of a log, including EOE; else as packed datagrams without a time of arrival.
        size: events per piece, 1 or more; rounded up to a multiple of the producers.
    """
    chance = random.Random(shape.seed)  # noqa: S311 - the same input every time
    forms = [_form(kind, text=text) for kind in shape.kinds]
    waiting: list[tuple[bytes, _Form]] = []
    piece: list[bytes] = []
    for n in range(shape.events):
        ms = START_MS + (n // shape.per_ms if shape.per_ms else 0)
        turn = n % shape.pids
        form = forms[0] if len(forms) == 1 else forms[int(chance.random() * len(forms))]
        numbers = {
            b"seconds": ms // 1000,
            b"ms": ms % 1000,
            b"serial": FIRST_SERIAL + n,
            b"pid": FIRST_PID + turn,
            b"program": turn % shape.programs,
        }
        event = form.template % numbers
        if shape.producers == 1:
            piece.append(event)
        else:
            waiting.append((event, form))
            if len(waiting) == shape.producers or n + 1 == shape.events:
                piece += _interleaved(waiting)
                waiting.clear()
        if not waiting and ((n + 1) % size < shape.producers or n + 1 == shape.events):
            yield b"".join(piece)
            piece.clear()


def packed(shape: InputShape) -> bytes:
    """Return the stream as packed datagrams, in one piece: about 1 KB per event."""
    return b"".join(chunks(shape))


def log(shape: InputShape) -> bytes:
    """Return the stream as log text, in one piece: about 0.8 KB per event."""
    return b"".join(chunks(shape, text=True))


def write_log(shape: InputShape, path: Path) -> int:
    """Write the stream as a log; return its size."""
    with path.open("wb") as file:
        return sum(file.write(chunk) for chunk in chunks(shape, text=True))
