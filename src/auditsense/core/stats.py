"""The counters of the core."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields

from auditsense._frozen import Frozen


@dataclass(slots=True, eq=False, repr=False)
class Stats(Frozen):
    """Counters of all input and its outcome since creation; see `as_stats` in `_ring.cdef.h`.

    Attributes:
        datagrams: received or fed.
        foreign: of these, not sent by the kernel; dropped unread.
        truncated: datagrams and lines longer than the limit; their start was used. Also events that a
            detection may match and that have a record with 16 fields and words unknown to the kernel.
        control: datagrams that are replies or notices, not records.
        lines: log lines, without the separators of ausearch and tail.
        records: records with a readable stamp.
        malformed: datagrams and lines that are not records.
        events: events closed, for any reason.
        incomplete: of these, without an end or SYSCALL record; in text, without SYSCALL or its PATHs.
        evicted: of the incomplete, closed early because a table was full.
        late: records of an event that was already closed.
        duplicate: records that their event already had.
        serials_missing: serials that the kernel issued and that never arrived (datagrams only).
        serial_restarts: restarts of the serials: another boot.
        stamp_steps: times that the stamps of a host stepped back by more than 5 s and stayed there.
        matches: events that a rule matched.
        excepted: events that a rule would have matched, except for one of its exceptions.
        keyless: matches without a key field.
        stale: matches older than all of a full window, within its span; not counted in it.
        keys_evicted: windows evicted because all key slots were in use.
        sequences: completed windows.
        hits: of these, returned separately; the others were merged.
        unknown_arch: SYSCALL records of architectures without a call table: their calls have no name.
        open_events: gauge: events being reassembled.
        live_keys: gauge: windows.
        limited: completed sequences and samples beyond the limit of their rule; not in `sequences`.
        disordered: matches decided after a later one of their host, in a ring with an order; in others,
            events that were decided after the later event before them of a sequence.
        parents_unknown: events of which rules asked the parent, and it is not known.
        processes_evicted: processes forgotten because all process slots or their texts were in use.
        live_processes: gauge: processes remembered.
        args_cut: events whose arguments were read and are not complete: there are more than 1,024 or
            32 KiB, or a record of them was lost.
        unknown_arches: pairs of architecture and number of records that `unknown_arch` counts; at most 8.
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
    limited: int
    disordered: int
    parents_unknown: int
    processes_evicted: int
    live_processes: int
    args_cut: int
    unknown_arches: tuple[tuple[int, int], ...] = ()

    def __repr__(self) -> str:
        """Show the counters that are not zero."""
        counted = ", ".join(f"{name}={count}" for name, count in self.as_dict().items() if count)
        return f"Stats({counted})"

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name, in the order above."""
        return {name: getattr(self, name) for name in COUNTERS}

    def __add__(self, later: Stats) -> Stats:
        """Return the sums of both; gauges come from the later one."""
        both = {name: value + getattr(later, name) for name, value in self.as_dict().items()}
        both |= {"open_events": later.open_events, "live_keys": later.live_keys}
        arches = Counter(dict(self.unknown_arches)) + Counter(dict(later.unknown_arches))
        return Stats(**both, unknown_arches=tuple(arches.items()))


COUNTERS = tuple(item.name for item in fields(Stats))[:-1]  # all but unknown_arches
