"""Meaning of sequences and samples, case by case: events, and how many are completed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from tests.support.audit_events import AuditEvent

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_MS: Final = 1_788_001_000_000


class SequenceCase(NamedTuple):
    """One row.

    Attributes:
        topic: what it shows.
        query: in EQL; `[A]` stands for an open of /etc/a, and so on.
        events: as "A 0, B 5000 p2": the letter of the file, the time in ms, and the process if it is not p1.
        completed: how many sequences or samples.
    """

    topic: str
    query: str
    events: str
    completed: int


def text_of(query: str) -> str:
    """Return the query with its events spelled out."""
    for letter in "ABC":
        query = query.replace(f"[{letter}]", f'[file where file.path == "/etc/{letter.lower()}"]')
    return query


def events_of(events: str) -> Iterator[AuditEvent]:
    """Yield the events of a case."""
    opened = AuditEvent(call="openat", ms=_START_MS)
    for serial, one in enumerate(events.split(", "), 1):
        letter, ms, *process = one.split()
        pid = 5000 + int(process[0].removeprefix("p")) if process else 5001
        paths = ((f"/etc/{letter.lower()}", "NORMAL"),)
        yield replace(opened, ms=_START_MS + int(ms), serial=serial, pid=pid, ppid=pid + 1, paths=paths)


_AB: Final = "sequence by process.pid with maxspan=5s [A] [B]"
_RUNS: Final = "sequence by process.pid with maxspan=5s [A] with runs=3"
_SAMPLE: Final = "sample by process.pid [A] [B]"

CASES: Final = (
    SequenceCase("in order", _AB, "A 0, B 1", 1),
    SequenceCase("in the other order", _AB, "B 0, A 1", 0),
    SequenceCase("exactly maxspan", _AB, "A 0, B 5000", 1),
    SequenceCase("a millisecond more", _AB, "A 0, B 5001", 0),
    SequenceCase("other events between them", _AB, "A 0, C 1, C 2, B 3", 1),
    SequenceCase("two processes", _AB, "A 0, B 1 p2", 0),
    SequenceCase("two processes in turn", _AB, "A 0, A 1 p2, B 2, B 3 p2", 2),
    SequenceCase("a later first event replaces the earlier one", _AB, "A 0, A 4000, B 6000", 1),
    SequenceCase("a first event is used once", _AB, "A 0, B 1, B 2", 1),
    SequenceCase("two of each, nested", _AB, "A 0, A 1, B 2, B 3", 1),
    SequenceCase("two of each, one after the other", _AB, "A 0, B 1, A 2, B 3", 2),
    SequenceCase("equal stamps: serials decide", _AB, "A 0, B 0", 1),
    SequenceCase("lines in another order than their stamps", _AB, "B 1, A 0", 1),
    SequenceCase("maxspan counts from the first event", f"{_AB} [C]", "A 0, B 4000, C 5001", 0),
    SequenceCase("a new first event does not renew what has two", f"{_AB} [C]", "A 0, B 1, A 2, C 3", 1),
    SequenceCase(
        "without a key all events are together", "sequence with maxspan=5s [A] [B]", "A 0, B 1 p2", 1
    ),
    SequenceCase("an event is one step of a sequence only", _AB.replace("[B]", "[A]"), "A 0", 0),
    SequenceCase("but may end one and begin the next", _AB.replace("[B]", "[A]"), "A 0, A 1, A 2", 2),
    SequenceCase("runs", _RUNS, "A 0, A 1, A 2", 1),
    SequenceCase("runs slide", _RUNS, "A 0, A 1, A 2, A 3, A 4", 3),
    SequenceCase("runs within maxspan", _RUNS, "A 0, A 1, A 5001", 0),
    SequenceCase("runs, then another event", f"{_RUNS} [B]", "A 0, A 1, A 2, B 3", 1),
    SequenceCase("too few runs", f"{_RUNS} [B]", "A 0, A 1, B 2", 0),
    SequenceCase("more than the runs", f"{_RUNS} [B]", "A 0, A 1, A 2, A 3, B 4", 1),
    SequenceCase("another event between runs", f"{_RUNS} [B]", "A 0, C 1, A 2, A 3, B 4", 1),
    SequenceCase(
        "another key field in each event",
        "sequence with maxspan=5s [A] by process.parent.pid [B] by process.pid",
        "A 0, B 1 p2, B 2",
        1,
    ),
    SequenceCase("until ends it", f"{_AB} until [C]", "A 0, C 1, B 2", 0),
    SequenceCase("until comes too late", f"{_AB} until [C]", "A 0, B 1, C 2", 1),
    SequenceCase("until of another process", f"{_AB} until [C]", "A 0, C 1 p2, B 2", 1),
    SequenceCase("a new one after until", f"{_AB} until [C]", "A 0, C 1, A 2, B 3", 1),
    SequenceCase(
        "an absent key field", "sequence by process.command_line with maxspan=5s [A] [B]", "A 0, B 1", 0
    ),
    SequenceCase(
        "an absent optional key field",
        "sequence by ?process.command_line with maxspan=5s [A] [B]",
        "A 0, B 1",
        1,
    ),
    SequenceCase("at most one in nine minutes", f"{_AB} | tail 1", "A 0, B 1, A 2, B 3", 1),
    SequenceCase("one in each nine minutes", f"{_AB} | tail 1", "A 0, B 1, A 540001, B 540002", 2),
    SequenceCase("of each key", f"{_AB} | tail 1", "A 0, B 1, A 2 p2, B 3 p2", 2),
    SequenceCase("two, not four", f"{_AB} | head 2", "A 0, B 1, A 2, B 3, A 4, B 5, A 6, B 7", 2),
    SequenceCase(
        "single events, at most two", 'file where file.path == "/etc/a" | head 2', "A 0, A 1 p2, A 2", 2
    ),
    SequenceCase("a sample has no order", _SAMPLE, "B 0, A 1", 1),
    SequenceCase("a sample needs each event", _SAMPLE, "A 0, A 1", 0),
    SequenceCase("a sample of two processes", _SAMPLE, "A 0, B 1 p2", 0),
    SequenceCase("a sample within nine minutes", _SAMPLE, "A 0, B 540000", 1),
    SequenceCase("a sample later than that", _SAMPLE, "A 0, B 540001", 0),
    SequenceCase("a sample counts once while it continues", _SAMPLE, "A 0, B 1, A 2, B 3", 1),
    SequenceCase(
        "and again after nine minutes without its events", _SAMPLE, "A 0, B 1, A 540002, B 540003", 2
    ),
    SequenceCase(
        "each event of a sample is another one", _SAMPLE.replace("[B]", "[file where true]"), "A 0", 0
    ),
    SequenceCase("and finds its item", _SAMPLE.replace("[B]", "[file where true]"), "A 0, B 1", 1),
)
