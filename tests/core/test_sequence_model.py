"""Sequences and samples of the core against models of a few lines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.core.hit import EventId, Hit
from auditsense.core.ring import Limits, Ring, pack
from auditsense.core.rule_table import (
    Class,
    Field,
    Filter,
    Op,
    Predicate,
    Rule,
    RuleKind,
    RuleTable,
    conjunction,
)
from auditsense.errors import UsageError
from auditsense.testing import datagram

if TYPE_CHECKING:
    from collections.abc import Sequence

START = 1_795_493_114_000
SMALL = Limits(datagram_slots=8, key_slots=64, hit_bytes=1 << 19)
SPAN_MS = 1000


@dataclass(frozen=True)
class Event:
    """An event as the rules of this file see it."""

    ms: int
    serial: int
    pid: int | None
    letters: str
    """Stages that it fits are named by a letter each."""

    @property
    def id(self) -> EventId:
        return EventId(self.ms, self.serial)

    def records(self) -> list[bytes]:
        head = f"msg=audit({self.ms // 1000}.{self.ms % 1000:03}:{self.serial}):"
        who = "" if self.pid is None else f"pid={self.pid} "
        call = f'arch=c000003e syscall=257 items=0 {who}comm="{self.letters}"'
        return [datagram(f"type=SYSCALL {head} {call}"), datagram(f"type=EOE {head}")]


@st.composite
def streams(draw: st.DrawFn, letters: str = "abcu", most: int = 40) -> list[Event]:
    steps = st.tuples(
        st.sampled_from([0, 1, 300, 400, 999, 1000, 1001]),
        st.sampled_from([1, 1, 2, None]),
        st.sets(st.sampled_from(letters), min_size=1, max_size=2).map(lambda some: "".join(sorted(some))),
    )
    ms, events = START, []
    for serial, (gap, pid, some) in enumerate(draw(st.lists(steps, max_size=most)), 1):
        ms += gap
        events.append(Event(ms, serial, pid, some))
    return events


def stage(letter: str, first: int, stages: int = 1, *, until: bool = False, optional: bool = False) -> Filter:
    program = conjunction([(Predicate(Field.COMM, Op.LIKE, (f"*{letter}*".encode(),)), True)])
    optional_keys = 1 if optional else 0
    return Filter(0, program, (Field.PID,), optional_keys, first, stages, until)


def table(rule: Rule, filters: Sequence[Filter]) -> RuleTable:
    return RuleTable((rule,), (Class(), Class(tuple(filters))), other_call_class=1)


def sequence(
    stages: str, *, until: str = "", optional: bool = False, limit: int = 0, span_ms: int = SPAN_MS
) -> RuleTable:
    """Return the table of a sequence; a letter that follows itself is one filter of several stages."""
    filters, at = [], 0
    while at < len(stages):
        runs = len(stages) - at - len(stages[at:].lstrip(stages[at]))
        filters.append(stage(stages[at], at, runs, optional=optional))
        at += runs
    filters += [stage(letter, 0, until=True, optional=optional) for letter in until]
    rule = Rule(RuleKind.SEQUENCE, len(stages), span_ms=span_ms, limit=limit, limit_ms=SPAN_MS)
    return table(rule, filters)


def sample(items: str) -> RuleTable:
    rule = Rule(RuleKind.SAMPLE, len(items), span_ms=SPAN_MS)
    return table(rule, [stage(letter, index) for index, letter in enumerate(items)])


def hits_of(rules: RuleTable, events: Sequence[Event], limits: Limits = SMALL) -> list[Hit]:
    packed, hits = pack(part for event in events for part in event.records()), []
    with Ring(rules, limits, seed=1) as ring:
        while packed:
            packed = packed[ring.feed(packed) :]
            hits += ring.drain()
    return hits


def sequences_of(
    events: Sequence[Event], stages: str, until: str = "", *, optional: bool = False
) -> list[list[Event]]:
    pending: dict[tuple[int | None, int], list[Event]] = {}
    complete = []
    for event in events:
        if event.pid is None and not optional:
            continue
        for at in reversed(range(len(stages))):
            if stages[at] in event.letters:
                before = pending.pop((event.pid, at - 1), []) if at else []
                if not at or (before and event.ms - before[0].ms <= SPAN_MS):
                    pending[event.pid, at] = [*before, event]
        complete += (
            [pending.pop((event.pid, len(stages) - 1))] if (event.pid, len(stages) - 1) in pending else []
        )
        if until and until in event.letters:
            pending = {key: some for key, some in pending.items() if key[0] != event.pid}
    return complete


def samples_of(events: Sequence[Event], items: str) -> list[Event]:
    """Return the events that complete a sample."""
    kept: dict[int, list[Event]] = {}
    silent_until: dict[int, int] = {}
    complete = []
    for event in events:
        if event.pid is None or not set(event.letters) & set(items):
            continue
        if event.ms <= silent_until.get(event.pid, 0):
            silent_until[event.pid] = event.ms + SPAN_MS
            continue
        recent = [one for one in kept.get(event.pid, []) if event.ms - one.ms <= SPAN_MS]
        kept[event.pid] = recent = [*recent, event]
        orders = permutations(recent, len(items))
        if any(all(item in one.letters for item, one in zip(items, order, strict=True)) for order in orders):
            complete.append(event)
            silent_until[event.pid] = event.ms + SPAN_MS
            kept[event.pid] = []
    return complete


STAGES = ["ab", "aa", "abc", "aba", "aab", "abb", "aaa", "abab", "aabbcc"]


@given(
    events=streams(),
    stages=st.sampled_from(STAGES),
    until=st.sampled_from(["", "u", "a"]),
    optional=st.booleans(),
)
def test_sequences_are_those_of_the_model(
    *, events: list[Event], stages: str, until: str, optional: bool
) -> None:
    hits = hits_of(sequence(stages, until=until, optional=optional), events)
    expected = sequences_of(events, stages, until, optional=optional)
    assert [list(hit.ids) for hit in hits] == [[event.id for event in one] for one in expected]
    for hit, one in zip(hits, expected, strict=True):
        assert [member[Field.COMM].decode() for member in hit.members] == [
            event.letters for event in one[:-1]
        ]
        assert hit.text(Field.COMM) == one[-1].letters


@given(events=streams("abc", 16), items=st.sampled_from(["ab", "aa", "abc", "aab", "abcb"]))
def test_samples_are_those_of_the_model(events: list[Event], items: str) -> None:
    hits = hits_of(sample(items), events)
    assert [hit.ids[-1] for hit in hits] == [event.id for event in samples_of(events, items)]
    by_id = {event.id: event for event in events}
    for hit in hits:
        assert len(set(hit.ids)) == len(items)
        assert len({by_id[one].pid for one in hit.ids}) == 1
        letters = [by_id[one].letters for one in hit.ids]
        assert any(
            all(item in some for item, some in zip(order, letters, strict=True))
            for order in permutations(items)
        )
        assert [member[Field.COMM].decode() for member in hit.members] == letters[:-1]


@given(
    events=streams(most=60), stages=st.sampled_from(STAGES), cut=st.integers(0, 60), is_sample=st.booleans()
)
def test_pending_events_continue_in_another_ring(
    *, events: list[Event], stages: str, cut: int, is_sample: bool
) -> None:
    rules = sample(stages) if is_sample else sequence(stages)
    with Ring(rules, SMALL, seed=1) as first, Ring(rules, SMALL, seed=1) as second:
        first.feed(pack(part for event in events[:cut] for part in event.records()))
        hits = first.drain()
        assert second.migrate_from(first, [0])
        second.feed(pack(part for event in events[cut:] for part in event.records()))
        hits += second.drain()
        assert second.stats().live_keys <= 3
    assert [hit.ids for hit in hits] == [hit.ids for hit in hits_of(rules, events)]


@given(
    pids=st.lists(st.integers(1, 40), max_size=120),
    letters=st.lists(st.sampled_from("abc"), min_size=120, max_size=120),
    stages=st.sampled_from(["abc", "aab"]),
)
def test_full_tables_lose_sequences_and_invent_none(pids: list[int], letters: list[str], stages: str) -> None:
    events = [
        Event(START + serial, serial, pid, letter)
        for serial, (pid, letter) in enumerate(zip(pids, letters, strict=False), 1)
    ]
    tiny = Limits(datagram_slots=8, key_slots=16, hit_bytes=1 << 19)
    expected = [tuple(event.id for event in one) for one in sequences_of(events, stages)]
    with Ring(sequence(stages), tiny, seed=1) as ring:
        ring.feed(pack(part for event in events for part in event.records()))
        found = [hit.ids for hit in ring.drain()]
        stats = ring.stats()
    assert set(found) <= set(expected)
    assert stats.live_keys <= 16
    assert stats.keys_evicted or found == expected


@pytest.mark.parametrize(("limit", "reported"), [(0, 6), (1, 2), (2, 4)])
def test_a_limit_holds_for_a_key_and_a_time(limit: int, reported: int) -> None:
    events = []
    for serial, ms in enumerate([0, 1, 2, 1002, 1003, 1004]):
        events += [Event(START + ms, 2 * serial, 1, "a"), Event(START + ms, 2 * serial + 1, 1, "b")]
    rules = sequence("ab", limit=limit)
    with Ring(rules, SMALL, seed=1) as ring:
        ring.feed(pack(part for event in events for part in event.records()))
        assert len(ring.drain()) == reported
        assert ring.stats().limited == 6 - reported


def test_a_limit_holds_in_every_time() -> None:
    """Not from the first hit on: the third within the time is left out wherever it begins."""
    events = []
    for serial, ms in enumerate([0, 600, 1100, 1200, 1300]):
        events += [Event(START + ms, 2 * serial, 1, "a"), Event(START + ms, 2 * serial + 1, 1, "b")]
    reported = [hit.last_ms - START for hit in hits_of(sequence("ab", limit=2), events)]
    assert reported == [0, 600, 1100]


def test_a_limit_is_kept_for_as_many_hits_as_it_has() -> None:
    """With the fewest keys, one of them can hold all that it may report."""
    tiny = Limits(datagram_slots=8, key_slots=16, hit_bytes=1 << 19)
    events = [Event(START, serial, 1, "a") for serial in range(1, 400)]
    assert len(hits_of(sequence("a", limit=300), events, tiny)) == 300
    others = [Event(START, 400 + serial, serial, "a") for serial in range(2, 60)]
    assert len(hits_of(sequence("a", limit=300), [*events, *others], tiny)) == 358


def test_a_limit_continues_in_another_ring() -> None:
    rules = sequence("a", limit=2)
    events = [Event(START + serial, serial, 1, "a") for serial in range(1, 5)]
    with Ring(rules, SMALL, seed=1) as first, Ring(rules, SMALL, seed=1) as second:
        first.feed(pack(part for event in events[:1] for part in event.records()))
        assert len(first.drain()) == 1
        assert second.migrate_from(first, [0])
        second.feed(pack(part for event in events[1:] for part in event.records()))
        assert len(second.drain()) == 1


def test_a_step_that_comes_late_is_counted() -> None:
    events = [Event(START + 10, 2, 1, "a"), Event(START, 1, 1, "b")]
    with Ring(sequence("ab"), SMALL, seed=1) as ring:
        ring.feed(pack(part for event in events for part in event.records()))
        assert len(ring.drain()) == 1
        assert ring.stats().disordered == 1


def test_members_keep_as_much_as_fits() -> None:
    long = "a" * 900
    head = "msg=audit(1.000:1):"
    call = f'arch=c000003e syscall=257 items=0 pid=1 comm="a" exe="/{long}" ses=4 tty=pts7'
    records = [datagram(f"type=SYSCALL {head} {call}"), datagram(f"type=EOE {head}")]
    with Ring(sequence("ab"), SMALL, seed=1) as ring:
        ring.feed(pack([*records, *Event(2000, 2, 1, "b").records()]))
        (hit,) = ring.drain()
    (member,) = hit.members
    assert member[Field.PID] == b"1"
    assert member[Field.EXE].startswith(b"/aaa")
    assert len(member[Field.EXE]) < 480
    assert Field.TTY not in member
    assert Field.PATH_NAME not in member


@pytest.mark.parametrize(
    "rules",
    [
        sequence("a"),
        sequence("a" * 102),
        table(Rule(RuleKind.SEQUENCE, 2, merge_ms=1), [stage("a", 0), stage("b", 1)]),
        table(Rule(RuleKind.SEQUENCE, 2), [stage("a", 0), stage("b", 2)]),
        table(Rule(RuleKind.SEQUENCE, 2), [stage("a", 0), stage("b", 1, 2)]),
        table(Rule(RuleKind.SEQUENCE, 2, count=2), [stage("a", 0), stage("b", 1)]),
        table(Rule(RuleKind.SAMPLE, 9), [stage("a", 0)]),
        table(Rule(RuleKind.SAMPLE, 2), [stage("a", 0, 2)]),
        table(Rule(RuleKind.SAMPLE, 2), [stage("a", 0), stage("u", 0, until=True)]),
        table(Rule(RuleKind.RUNS, count=2, limit=1), [stage("a", 0)]),
        table(Rule(RuleKind.EVENT, 2), [stage("a", 0)]),
    ],
)
def test_rules_outside_their_bounds_are_refused(rules: RuleTable) -> None:
    with pytest.raises(UsageError, match="outside its bounds"):
        Ring(rules, SMALL)


def test_the_longest_sequence_is_found_with_the_smallest_tables() -> None:
    tiny = Limits(datagram_slots=8, key_slots=16, hit_bytes=1 << 19)
    events = [Event(START + serial, serial, 1, "a") for serial in range(1, 200)]
    hits = hits_of(sequence("a" * 101), events, tiny)
    assert [hit.ids for hit in hits] == [
        tuple(event.id for event in one) for one in sequences_of(events, "a" * 101)
    ]
    assert len(hits) == 99
