"""The counters of the core as a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything that came in and where it went, counted since creation; `_ring.cdef.h` says more.

    Attributes:
        datagrams: received or fed.
        foreign: of these, not sent by the kernel; dropped unread.
        truncated: datagrams and lines longer than the limit; their start was used. Also events that a
            detection may want with a record of 16 fields and words that are none of the kernel's.
        control: datagrams that are answers or notices, not records.
        lines: lines of log text, without the separators of ausearch and tail.
        records: records whose stamp could be read.
        malformed: datagrams and lines that are no record.
        events: events closed, for whatever reason.
        incomplete: of these, without their end or SYSCALL record; of text, without that or its PATHs.
        evicted: of the incomplete, given up because a table was full.
        late: records of an event that was closed already.
        duplicate: records that their event had already.
        serials_missing: numbers the kernel gave out and that never came (datagrams only).
        serial_restarts: times that these numbers began again, which another boot does.
        stamp_steps: times that the stamps of a host went back by more than 5 s and stayed there.
        matches: events that a rule wanted.
        excepted: events that a rule would have wanted, but for one of its exceptions.
        keyless: matches that lack a key field.
        stale: matches older than all of a full window that are within the span of them; not counted in it.
        keys_evicted: windows given up because all key slots were in use.
        sequences: completed windows.
        hits: of these, handed out one by one; the others were merged.
        unknown_arch: SYSCALL records of architectures that `syscalls.ARCHES` lacks: no call has a name there.
        open_events: events being put together at this moment.
        live_keys: windows at this moment.
        disordered: matches decided after a later one of their host, in a ring with an order.
        unknown_arches: what `unknown_arch` counts: value of the record and number of records; 8 at most.
    """

    datagrams: int
    foreign: int
    truncated: int
    control: int
    lines: int
    records: int
    malformed: int
    events: int
    incomplete: int
    evicted: int
    late: int
    duplicate: int
    serials_missing: int
    serial_restarts: int
    stamp_steps: int
    matches: int
    excepted: int
    keyless: int
    stale: int
    keys_evicted: int
    sequences: int
    hits: int
    unknown_arch: int
    open_events: int
    live_keys: int
    disordered: int
    unknown_arches: tuple[tuple[int, int], ...] = ()

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name, in the order above."""
        return {name: getattr(self, name) for name in COUNTERS}

    def __add__(self, later: Stats) -> Stats:
        """Return what both counted together; of what is at this moment, what is in the later one."""
        both = {name: value + getattr(later, name) for name, value in self.as_dict().items()}
        both |= {"open_events": later.open_events, "live_keys": later.live_keys}
        arches = Counter(dict(self.unknown_arches)) + Counter(dict(later.unknown_arches))
        return Stats(**both, unknown_arches=tuple(arches.items()))


COUNTERS = tuple(item.name for item in fields(Stats))[:-1]  # all but unknown_arches
