"""The index of candidates finds what a scan of all filters finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from auditsense.core.ring import Limits, Ring, pack
from auditsense.core.rule_table import (
    FALSE,
    TRUE,
    Field,
    MaskedNumber,
    Node,
    Op,
    Predicate,
    Program,
    Rule,
    RuleTable,
    Selection,
    select,
)
from auditsense.testing import datagram

if TYPE_CHECKING:
    from collections.abc import Sequence

START = 1_795_493_114_000
SMALL = Limits(datagram_slots=8, key_slots=16, hit_bytes=1 << 20)
WORDS = [
    "a",
    "A",
    "ab",
    "aB",
    "b",
    "-x",
    "--yy",
    "/bin/true",
    "a very long word that needs more than eight bytes",
]

texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True).map(
    lambda words: tuple(word.encode() for word in words)
)
patterns = st.sampled_from([(b"a*",), (b"*b",), (b"*long*", b"-?"), (b"*",)])
fields = st.sampled_from([Field.COMM, Field.EXE, Field.ARGS, Field.PATH_NAME, Field.PATHS])
anchors = (
    st.builds(Predicate, fields, st.just(Op.TEXT), texts, st.booleans())
    | st.builds(Predicate, fields, st.just(Op.LIKE), patterns, st.booleans())
    | st.builds(Predicate, st.just(Field.UID), st.just(Op.NUMBER), st.just((MaskedNumber(0),)))
)


def any_and(some: Sequence[Predicate], also: Predicate | None) -> Program:
    """Return a program that holds if one of the predicates does, and the other one as well."""
    last = TRUE if also is None else len(some)
    nodes = [
        Node(predicate, last, index + 1 if index + 1 < len(some) else FALSE)
        for index, predicate in enumerate(some)
    ]
    return (*nodes, Node(also, TRUE, FALSE)) if also is not None else tuple(nodes)


@st.composite
def selections(draw: st.DrawFn) -> Selection:
    some = tuple(draw(st.lists(anchors, min_size=1, max_size=3)))
    also = draw(st.none() | anchors)
    return Selection(Rule(), program=any_and(some, also), anchors=some if draw(st.integers(0, 5)) else ())


def found(rules: RuleTable, records: list[bytes]) -> list[tuple[int, bytes]]:
    with Ring(rules, SMALL, seed=1) as ring:
        ring.feed(pack(records))
        return [(hit.rule, hit.rest) for hit in ring.drain()]


@given(
    chosen=st.lists(selections(), min_size=1, max_size=90),
    comms=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    exe=st.sampled_from(WORDS),
    name=st.sampled_from(WORDS),
    arguments=st.lists(st.sampled_from(WORDS), max_size=4),
    uid=st.sampled_from([0, 1]),
)
def test_anchors_change_no_result(
    *, chosen: list[Selection], comms: list[str], exe: str, name: str, arguments: list[str], uid: int
) -> None:
    listed = " ".join(f'a{index}="{argument}"' for index, argument in enumerate(arguments))
    call = "arch=c000003e syscall=59 success=yes exit=0 a0=0 a1=0 a2=0 a3=0 items=1 ppid=1 pid=1"
    records = []
    for serial, comm in enumerate(comms):
        head = f"msg=audit({START // 1000}.000:{serial}):"
        end = (
            f'auid=1 uid={uid} gid=1 euid=1 suid=1 fsuid=1 egid=1 sgid=1 fsgid=1 tty=pts0 ses=1 comm="{comm}"'
        )
        lines = (
            f'type=SYSCALL {head} {call} {end} exe="{exe}" key="x"',
            f"type=EXECVE {head} argc={len(arguments)} {listed}",
            f'type=CWD {head} cwd="/bin"',
            f'type=PATH {head} item=0 name="{name}" inode=1 nametype=NORMAL',
            f"type=EOE {head}",
        )
        records += [datagram(line) for line in lines]
    scanned = select(Selection(one.rule, program=one.program) for one in chosen)
    assert found(select(chosen), records) == found(scanned, records)
