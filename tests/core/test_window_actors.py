"""Windows of one key by several actors: merging never crosses them, and `Hit.others` is right."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.core.hit import EventId, Hit
from auditsense.core.ring import Limits, Ring, pack
from auditsense.core.rule_table import ACTOR, Field, Op
from auditsense.errors import AuditSenseError, UsageError
from auditsense.testing import datagram
from tests.support.rules import FieldTest, SimpleException, SimpleRule, table

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence

START = 1_795_493_114_000
SMALL = Limits(datagram_slots=8, key_slots=64, hit_bytes=1 << 19)
COUNT, SPAN_MS, MERGE_MS = 3, 1000, 500
RULES = table([SimpleRule((), (), (Field.PID,), COUNT, SPAN_MS, MERGE_MS)])


@dataclass(frozen=True)
class Open:
    """An event as the window and the actor see it."""

    ms: int
    serial: int
    pid: int
    actor: tuple[str | None, ...]
    """exe, uid, auid and ses as a record has them; None: the record lacks the field."""

    def records(self) -> list[bytes]:
        head = f"msg=audit({self.ms // 1000}.{self.ms % 1000:03}:{self.serial}):"
        names = ("exe", "uid", "auid", "ses")
        who = " ".join(
            f"{name}={text}" for name, text in zip(names, self.actor, strict=True) if text is not None
        )
        return [
            datagram(f"type=SYSCALL {head} arch=c000003e syscall=257 items=0 pid={self.pid} {who}"),
            datagram(f"type=EOE {head}"),
        ]


@dataclass
class Found:
    """A hit as the model has it."""

    ids: tuple[EventId, ...]
    others: int
    actor: tuple[str | None, ...]
    last_ms: int
    more: int = 0


def merged(opens: Sequence[Open], drains: set[int]) -> list[Found]:
    """Return the hits of opens in the order of their stamps, drained before some of them."""
    hits: list[Found] = []
    waiting: dict[int, Found] = {}
    of_pid: dict[int, list[Open]] = defaultdict(list)
    second = 0
    before: dict[int, bool] = {}  # whether the match before completed a window too
    for number, one in enumerate(opens):
        waiting = {} if number in drains else waiting
        of_pid[one.pid].append(one)
        window = of_pid[one.pid][-COUNT:]
        complete = len(window) == COUNT and one.ms - window[0].ms <= SPAN_MS
        one_more, before[one.pid] = before.get(one.pid, False), complete
        if complete:
            if one.ms // 1000 != second:
                second, waiting = one.ms // 1000, {}
            hit = waiting.get(one.pid)
            if hit and one_more and hit.actor == one.actor and one.ms - hit.last_ms <= MERGE_MS:
                hit.more, hit.last_ms = hit.more + 1, one.ms
            else:
                others = sum(other.actor != one.actor for other in window)
                ids = tuple(EventId(other.ms, other.serial) for other in window)
                waiting[one.pid] = Found(ids, others, one.actor, one.ms)
                hits.append(waiting[one.pid])
    return hits


_actors = st.sampled_from(
    [
        ('"/usr/bin/a"', "0", "1000", "3"),
        ('"/usr/bin/b"', "0", "1000", "3"),
        ('"/usr/bin/a"', "65534", "1000", "3"),
        ('"/usr/bin/a"', "0", "1001", "3"),
        ('"/usr/bin/a"', "0", "1000", "4"),
        ("(null)", "0", "1000", "3"),
        (None, None, None, None),
    ]
)


@st.composite
def streams(draw: st.DrawFn) -> list[Open]:
    opens, ms = [], START
    few = st.sampled_from(draw(st.lists(_actors, min_size=1, max_size=3)))
    for serial in range(1, draw(st.integers(0, 40)) + 1):
        ms += draw(st.sampled_from([0, 1, 100, 333, 334, 500, 501]))
        opens.append(Open(ms, serial, draw(st.integers(1, 2)), draw(few)))
    return opens


def summaries(hits: Iterable[Hit]) -> list[tuple[tuple[EventId, ...], int, int, int]]:
    return [(hit.ids, hit.others, hit.more, hit.last_ms) for hit in hits]


@given(opens=streams(), drains=st.sets(st.integers(0, 40), max_size=4), data=st.data())
def test_merging_stays_within_an_actor(opens: list[Open], drains: set[int], data: st.DataObject) -> None:
    adopts = data.draw(st.sets(st.sampled_from(sorted(drains)), max_size=2)) if drains else set()
    ring, hits = Ring(RULES, SMALL, actor=ACTOR, seed=1), []
    for number, one in enumerate(opens):
        if number in drains:
            hits += ring.drain()
        if number in adopts:
            older, ring = ring, Ring(RULES, SMALL, actor=ACTOR, seed=1)
            with older:
                assert ring.migrate_from(older, [0])
        packed = pack(one.records())
        assert ring.feed(packed) == len(packed)
    with ring:
        hits += ring.drain()
    expected = merged(opens, drains)
    assert summaries(hits) == [(hit.ids, hit.others, hit.more, hit.last_ms) for hit in expected]


@given(opens=streams(), order=st.randoms(use_true_random=False))
def test_others_of_late_matches_differ_from_the_fields(opens: list[Open], order: random.Random) -> None:
    opens = sorted(opens, key=lambda one: one.ms + order.randrange(800))
    by_id = {EventId(one.ms, one.serial): one for one in opens}
    with Ring(table([SimpleRule((), (), (Field.PID,), COUNT, SPAN_MS)]), SMALL, actor=ACTOR, seed=1) as ring:
        for one in opens:
            ring.feed(pack(one.records()))
            for hit in ring.drain():  # completed by this one, wherever its stamp puts it
                assert EventId(one.ms, one.serial) in hit.ids
                assert hit.others == sum(by_id[other].actor != one.actor for other in hit.ids)


def test_without_actor_fields_a_key_is_one_actor() -> None:
    opens = [Open(START + n, n, 1, (f'"/{n}"', str(n), "0", "0")) for n in range(1, 7)]
    with Ring(RULES, SMALL, seed=1) as ring:
        ring.feed(pack(part for one in opens for part in one.records()))
        assert [(hit.others, hit.more) for hit in ring.drain()] == [(0, 3)]


def test_actor_fields_outside_the_fields_are_refused() -> None:
    with pytest.raises(UsageError, match="outside its bounds"):
        Ring(RULES, SMALL, actor=(63,))  # type: ignore[arg-type]


def test_rings_of_different_actors_do_not_migrate() -> None:
    with (
        Ring(RULES, SMALL, actor=ACTOR, seed=1) as older,
        Ring(RULES, SMALL, seed=1) as ring,
        pytest.raises(AuditSenseError, match="refused"),
    ):
        ring.migrate_from(older, [0])


def test_fields_of_actors_and_exceptions_are_stored() -> None:
    """Fields that hits do not carry are still available to decisions that need them."""
    exempt = SimpleException((FieldTest(Field.PROCTITLE, Op.TEXT, (b"quiet",)),))
    rules = table([SimpleRule((), (), (Field.PID,), 2, SPAN_MS, 0, (exempt,))])
    with Ring(rules, SMALL, fields=(Field.PID,), actor=(Field.CWD,), seed=1) as ring:
        for serial, (title, cwd) in enumerate([("loud", "/"), ("quiet", "/"), ("loud", "/tmp")], 1):  # noqa: S108
            head = f"msg=audit({START // 1000}.{START % 1000:03}:{serial}):"
            lines = [
                f"type=SYSCALL {head} arch=c000003e syscall=257 items=0 pid=1",
                f'type=CWD {head} cwd="{cwd}"',
                f'type=PROCTITLE {head} proctitle="{title}"',
                f"type=EOE {head}",
            ]
            ring.feed(pack(map(datagram, lines)))
        (hit,) = ring.drain()
        assert ring.stats().excepted == 1
        assert ([one.serial for one in hit.ids], hit.others) == ([1, 3], 1)


@pytest.mark.parametrize(
    "form", ["arch=c000003e syscall=257 items=0 pid=1 {} key=x", "{} items=0 pid=1 key=x"]
)
def test_actors_differ_wherever_their_fields_are(form: str) -> None:
    """Values remembered of one event are never used for a different event."""
    who = ["uid=1", "uid=2", "uid=1", "uid=1 exe=(null)", "uid=12", "", "uid=1"]
    with Ring(table([SimpleRule((), (), (Field.PID,), 2, SPAN_MS)]), SMALL, actor=ACTOR, seed=1) as ring:
        for serial, one in enumerate(who, 1):
            head = f"msg=audit({START // 1000}.{START % 1000:03}:{serial}):"
            ring.feed(
                pack([datagram(f"type=SYSCALL {head} {form.format(one)}"), datagram(f"type=EOE {head}")])
            )
        assert [hit.others for hit in ring.drain()] == [1, 1, 0, 1, 1, 1]
