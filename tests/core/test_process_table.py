"""The process table as a ring uses it, against a model: which parent an event has."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.core.process_facts import ProcessFacts
from auditsense.core.process_rules import needs_processes, remember_processes
from auditsense.core.ring import Limits, Ring, pack
from auditsense.core.rule_table import Field, Op, Predicate, Rule, Selection, conjunction, select
from auditsense.detect.unknown import masks_of, of_own_rule, unknown_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditsense.core.hit import Hit

START_MS = 1_700_000_000_000
EXECVE, OPENAT = 59, 257
SMALL = Limits(
    datagram_slots=8, event_slots=64, small_texts=256, process_slots=16, key_slots=16, hit_bytes=1 << 20
)
# Selects execs whose parent is not "nothing": all of them, and asks for the parent.
ASKS_PARENT = conjunction([(Predicate(Field.PARENT_NAME, Op.TEXT, (b"nothing",)), False)])
TABLE = remember_processes(
    select([Selection(Rule(), calls=((0xC000003E, EXECVE), (0xC000003E, OPENAT)), program=ASKS_PARENT)])
)


def records(
    serial: int,
    pid: int,
    parent: int,
    name: str = "",
    *,
    call: int = EXECVE,
    arguments: tuple[str, ...] = ("x",),
    success: bool = True,
    ms: int | None = None,
    executable: str = "",
) -> list[bytes]:
    """Return one event, as datagrams; *executable* as the record has it, below /bin by default."""
    stamp = START_MS + serial if ms is None else ms
    head = f"audit({stamp // 1000}.{stamp % 1000:03}:{serial}): "
    program = executable or f'"/bin/{name}"'
    syscall = (
        f"arch=c000003e syscall={call} success={'yes' if success else 'no'} exit=0 a0=0 a1=0 a2=0 a3=0 "
        f"items=0 ppid={parent} pid={pid} auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 "
        f'tty=(none) ses=1 comm="{name}" exe={program} key=(null)'
    )
    execve = f"argc={len(arguments)} " + " ".join(f'a{n}="{word}"' for n, word in enumerate(arguments))
    texts = [(1300, syscall), *([(1309, execve)] if call == EXECVE else []), (1320, "")]
    return [
        (len(head + text)).to_bytes(4, "little")
        + kind.to_bytes(2, "little")
        + bytes(10)
        + (head + text).encode()
        for kind, text in texts
    ]


def feed(ring: Ring, datagrams: Iterable[bytes], *, at_once: int = 1000) -> list[Hit]:
    """Feed datagrams in pieces; return all hits."""
    waiting, hits = list(datagrams), []
    for start in range(0, len(waiting), at_once):
        rest = memoryview(pack(waiting[start : start + at_once], 1000 + start))
        while rest:
            rest = rest[ring.feed(rest) :]
            hits += ring.drain()
    return hits


def parents(hits: Iterable[Hit]) -> list[tuple[str | None, str | None]]:
    return [(hit.text(Field.PARENT_NAME), hit.text(Field.PARENT_EXECUTABLE)) for hit in hits]


# --- one by one ------------------------------------------------------------------------


def test_an_exec_names_its_parent() -> None:
    with Ring(TABLE, SMALL) as ring:
        hits = feed(ring, [*records(1, 10, 1, "bash"), *records(2, 11, 10, "curl")])
        assert parents(hits) == [(None, None), ("bash", "/bin/bash")]
        assert [hit.unknown != 0 for hit in hits] == [True, False]
        assert ring.stats().parents_unknown == 1
        assert ring.stats().live_processes == 2


@pytest.mark.parametrize("executable", ["(null)", "(none)", "?", '""'])
def test_an_exec_without_a_program_has_none(executable: str) -> None:
    with Ring(TABLE, SMALL) as ring:
        hits = feed(ring, [*records(1, 10, 1, "bash", executable=executable), *records(2, 11, 10, "ls")])
        assert parents(hits)[1] == ("bash", None)


def test_an_exec_that_fails_changes_nothing() -> None:
    with Ring(TABLE, SMALL) as ring:
        feed(ring, [*records(1, 10, 1, "bash"), *records(2, 10, 1, "curl", success=False)])
        assert parents(feed(ring, records(3, 11, 10, "ls"))) == [("bash", "/bin/bash")]


def test_another_call_has_a_parent_too() -> None:
    with Ring(TABLE, SMALL) as ring:
        feed(ring, records(1, 10, 1, "bash"))
        assert parents(feed(ring, records(2, 11, 10, "cat", call=OPENAT))) == [("bash", "/bin/bash")]


def test_a_table_that_no_rule_asks_has_no_memory() -> None:
    plain = select([Selection(Rule(), calls=((0xC000003E, EXECVE),))])
    assert not needs_processes(plain)
    assert needs_processes(TABLE)
    assert needs_processes(plain, selected=[Field.ENTITY_ID])
    with Ring(plain, SMALL) as without, Ring(TABLE, SMALL) as with_it:
        assert not without.remembers_processes
        assert with_it.remembers_processes
        assert with_it.memory_bytes - without.memory_bytes > 16 * 1024


# --- processes that the table lacks ------------------------------------------------------


def test_a_missing_parent_is_read_once() -> None:
    asked: list[int] = []

    def read(pid: int) -> ProcessFacts:
        asked.append(pid)
        return ProcessFacts(pid, 1, START_MS - 60_000, START_MS, b"sshd", b"/usr/sbin/sshd")

    with Ring(TABLE, SMALL, read_process=read) as ring:
        hits = feed(ring, [*records(1, 10, 9, "bash"), *records(2, 11, 9, "bash")])
        assert parents(hits) == [("sshd", "/usr/sbin/sshd")] * 2
        assert asked == [9]
        assert ring.stats().parents_unknown == 0


def test_a_parent_that_has_ended_is_asked_for_once() -> None:
    asked: list[int] = []
    with Ring(TABLE, SMALL, read_process=asked.append) as ring:
        feed(ring, [*records(1, 10, 9, "bash"), *records(2, 11, 9, "bash")])
        assert asked == [9]
        assert ring.stats().parents_unknown == 2


def test_without_a_reader_a_missing_parent_is_unknown_at_once() -> None:
    with Ring(TABLE, SMALL) as ring:
        assert parents(feed(ring, records(1, 10, 9, "bash"))) == [(None, None)]


def test_the_process_that_has_the_pid_later_is_not_the_parent() -> None:
    def read(pid: int) -> ProcessFacts:
        return ProcessFacts(pid, 1, START_MS + 60_000, START_MS + 60_000, b"late", b"/bin/late")

    with Ring(TABLE, SMALL, read_process=read) as ring:
        assert parents(feed(ring, records(1, 10, 9, "bash"))) == [(None, None)]
        later = records(2, 11, 9, "bash", ms=START_MS + 70_000)
        assert parents(feed(ring, later)) == [("late", "/bin/late")]


def test_processes_of_the_start_are_known() -> None:
    with Ring(TABLE, SMALL) as ring:
        ring.add_process(ProcessFacts(9, 1, START_MS - 1000, START_MS, b"sh", b"/bin/sh", (b"sh", b"-c")))
        assert parents(feed(ring, records(1, 10, 9, "ls"))) == [("sh", "/bin/sh")]


# --- another rule table ------------------------------------------------------------------


def test_a_ring_with_other_rules_continues_with_the_processes() -> None:
    with Ring(TABLE, SMALL, seed=1) as before:
        feed(before, records(1, 10, 1, "bash"))
        with Ring(TABLE, SMALL, seed=1) as ring:
            assert ring.migrate_from(before, [0])
            assert parents(feed(ring, records(2, 11, 10, "ls"))) == [("bash", "/bin/bash")]
            assert ring.stats().live_processes == 2


def test_a_question_moves_with_the_event_that_it_is_about() -> None:
    def read(pid: int) -> ProcessFacts:
        return ProcessFacts(pid, 1, START_MS - 1000, START_MS, b"sh", b"/bin/sh")

    exec_, end = records(1, 11, 10, "ls")[:-1], records(1, 11, 10, "ls")[-1:]
    with Ring(TABLE, SMALL, seed=1, read_process=read) as before:
        feed(before, exec_)
        with Ring(TABLE, SMALL, seed=1, read_process=read) as ring:
            assert ring.migrate_from(before, [0])
            assert parents(feed(ring, end)) == [("sh", "/bin/sh")]


# --- what could not be looked at -----------------------------------------------------------


def test_hit_names_the_unknown_fields_of_its_rule() -> None:
    other = select([Selection(Rule(), calls=((0xC000003E, EXECVE),))])
    with Ring(TABLE, SMALL) as ring:
        hits = feed(ring, records(1, 10, 9, "bash"))
    (own,) = of_own_rule(hits, masks_of(TABLE))
    assert unknown_names(own) == ["process.parent.name"]
    (no_question,) = of_own_rule(hits, masks_of(other))
    assert unknown_names(no_question) == []


# --- against a model ---------------------------------------------------------------------


@dataclass
class Model:
    """A dict of the processes, the least recently used first; execs alone feed it."""

    slots: int
    names: dict[int, str] = field(default_factory=dict)
    evicted: int = 0

    def use(self, pid: int) -> str | None:
        if pid in self.names:
            self.names[pid] = self.names.pop(pid)
        return self.names.get(pid)

    def exec(self, pid: int, name: str) -> None:
        if pid not in self.names and len(self.names) == self.slots:
            del self.names[next(iter(self.names))]
            self.evicted += 1
        self.names.pop(pid, None)
        self.names[pid] = name


EXECS = st.lists(
    st.tuples(st.integers(2, 40), st.integers(2, 40), st.sampled_from(["bash", "curl", "ls", "make"])),
    max_size=120,
)


@given(EXECS, st.integers(1, 50))
def test_parents_are_those_of_the_model(execs: list[tuple[int, int, str]], at_once: int) -> None:
    model = Model(slots=SMALL.process_slots)
    expected: list[str | None] = []
    datagrams: list[bytes] = []
    for serial, (pid, parent, name) in enumerate(execs, 1):
        model.exec(pid, name)
        expected.append(model.use(parent))
        datagrams += records(serial, pid, parent, name)
    with Ring(TABLE, SMALL) as ring:
        hits = feed(ring, datagrams, at_once=at_once)
        assert [hit.text(Field.PARENT_NAME) for hit in hits] == expected
        assert ring.stats().processes_evicted == model.evicted
        assert ring.stats().live_processes == len(model.names)


@given(EXECS, st.integers(1, 50), st.integers(1, 50))
def test_any_batching_asks_the_same(execs: list[tuple[int, int, str]], one: int, other: int) -> None:
    datagrams = [
        datagram
        for serial, (pid, parent, name) in enumerate(execs, 1)
        for datagram in records(serial, pid, parent, name)
    ]

    def run(at_once: int) -> tuple[list[tuple[str | None, str | None]], list[int]]:
        asked: list[int] = []

        def read(pid: int) -> ProcessFacts | None:
            asked.append(pid)
            return ProcessFacts(pid, 1, START_MS - 1000, START_MS, b"read") if pid % 2 else None

        with Ring(TABLE, SMALL, read_process=read) as ring:
            return parents(feed(ring, datagrams, at_once=at_once)), asked

    assert run(one) == run(other)


# --- the rest of an entry ----------------------------------------------------------------


@pytest.fixture(name="hits_of")
def hits_of_fixture() -> Callable[[list[bytes]], list[Hit]]:
    def hits_of(datagrams: list[bytes]) -> list[Hit]:
        with Ring(TABLE, SMALL, host="this host and boot") as ring:
            return feed(ring, datagrams)

    return hits_of


def test_an_exec_of_the_same_process_keeps_its_entity(hits_of: Callable[[list[bytes]], list[Hit]]) -> None:
    hits = hits_of(
        [*records(1, 10, 1, "bash"), *records(2, 10, 1, "curl"), *records(3, 11, 10, "ls")],
    )
    first, second, child = (hit.text(Field.ENTITY_ID) for hit in hits)
    assert first == second != child
    assert hits[2].text(Field.PARENT_ENTITY_ID) == first


def test_an_entity_is_the_same_in_every_run_and_differs_by_boot() -> None:
    def entity(boot: str) -> str | None:
        with Ring(TABLE, SMALL, host=boot) as ring:
            return feed(ring, records(1, 10, 1, "bash"))[0].text(Field.ENTITY_ID)

    assert entity("a") == entity("a") != entity("b")


def test_the_leader_of_a_session_is_the_first_process_below_sshd(
    hits_of: Callable[[list[bytes]], list[Hit]],
) -> None:
    hits = hits_of(
        [
            *records(1, 10, 1, "sshd"),
            *records(2, 11, 10, "bash", arguments=("-bash",)),
            *records(3, 12, 11, "sh"),
            *records(4, 13, 12, "ls"),
        ]
    )
    assert hits[3].text(Field.LEADER_EXECUTABLE) == "/bin/bash"
    assert hits[3].text(Field.LEADER_ARGS) == "-bash"
    assert [hit.text(Field.LEADER_TYPE) for hit in hits] == ["init", "sshd", "sshd", "sshd"]
