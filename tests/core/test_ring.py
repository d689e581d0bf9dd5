"""The ring: bounds, lifetime, threads, and that nothing is lost at its edges."""

from __future__ import annotations

import dataclasses
import errno
import gc
import importlib.metadata
import inspect
import itertools
import os
import re
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditsense._ffi import ffi, lib  # noqa: TID251 - sizes and names can only be compared there
from auditsense.core import ring as ring_module
from auditsense.core.hit import ColumnForm
from auditsense.core.process_facts import ProcessFacts
from auditsense.core.ring import PACKED_HEADER, Limits, Ring, Stats, core_version, pack
from auditsense.core.rule_table import EventEnd, Field, MaskedNumber, Op, RuleTable
from auditsense.errors import BusyError, ClosedError, UsageError
from auditsense.testing import burst, datagrams, open_event
from tests.support.rules import FieldTest, SimpleRule, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY = table([SimpleRule()])
TINY = Limits(
    datagram_slots=1,
    datagram_bytes=1024,
    event_slots=16,
    small_texts=16,
    large_texts=4,
    event_timeout_ms=1,
    key_slots=16,
    window_slack=0,
    hit_bytes=8 * 1024 + 262144,
)
BOUNDS = {
    "datagram_slots": (1, 1024),
    "datagram_bytes": (1024, 65536),
    "event_slots": (16, 1 << 20),
    "small_texts": (16, 1 << 20),
    "large_texts": (4, 4096),
    "event_timeout_ms": (1, 60_000),
    "key_slots": (16, 1 << 22),
    "window_slack": (0, 1024),
    "process_slots": (16, 1 << 20),
    "hit_bytes": (8 * 1024 + 262144, 1 << 30),
}
METHODS = [
    name
    for name, _ in inspect.getmembers(Ring, inspect.isfunction)
    if not name.startswith("_") and name != "close"
]


def memory_of(limits: Limits, rules: RuleTable = EVERY) -> int:
    """Ask what a ring would take, without taking it; 0: refused."""
    config, table, _keep = ring_module._to_c(rules, limits, {"seed": 0, "end": EventEnd.EOE}, ())
    return int(lib.as_ring_bytes(config, table))


# --- bounds ----------------------------------------------------------------------


def test_every_limit_has_bounds() -> None:
    assert list(BOUNDS) == [one.name for one in dataclasses.fields(Limits)]


@pytest.mark.parametrize(
    ("name", "value"), [(name, bound) for name, bounds in BOUNDS.items() for bound in bounds]
)
def test_limit_at_its_bound_is_accepted(name: str, value: int) -> None:
    limits = dataclasses.replace(TINY, **{name: value})
    if name == "datagram_bytes":
        limits = dataclasses.replace(limits, hit_bytes=8 * value + 262144)
    assert memory_of(limits) > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, (least, most) in BOUNDS.items() for value in (least - 1, most + 1, 2**32, -1)],
)
def test_limit_outside_its_bounds_is_refused(name: str, value: int) -> None:
    refusal = rf"outside its bounds: .*\b{name}={value}\b|{name}: expected a whole number, .*{value}$"
    with pytest.raises(UsageError, match=refusal) as refused:
        Ring(EVERY, dataclasses.replace(TINY, **{name: value}))
    assert "\n" not in str(refused.value)


RULE = SimpleRule(((1, 2),), (FieldTest(Field.UID, Op.NUMBER, (MaskedNumber(0),)),), (Field.PID,), 10, 5000)


@pytest.mark.parametrize(
    "rule",
    [
        dataclasses.replace(RULE, count=0),
        dataclasses.replace(RULE, count=102),
        dataclasses.replace(RULE, count=-1),
        dataclasses.replace(RULE, span_ms=0),
        dataclasses.replace(RULE, span_ms=604_800_001),
        dataclasses.replace(RULE, merge_ms=604_800_001),
        dataclasses.replace(RULE, calls=((2**32, 1),)),
        dataclasses.replace(RULE, tests=(FieldTest(Field.UID, Op.NUMBER, (MaskedNumber(2**64),)),)),
    ],
)
def test_rule_outside_its_bounds_is_refused(rule: SimpleRule) -> None:
    with pytest.raises(UsageError, match="1 rules"):
        Ring(table([rule]), TINY)


@pytest.mark.parametrize(
    "rule",
    [
        dataclasses.replace(RULE, count=101, span_ms=604_800_000, merge_ms=604_800_000),
        dataclasses.replace(RULE, count=1, span_ms=1, keys=(Field.PID, Field.NODE)),
        dataclasses.replace(RULE, calls=(), tests=(), keys=()),
    ],
)
def test_rule_at_its_bounds_is_accepted(rule: SimpleRule) -> None:
    with Ring(table([rule]), TINY) as ring:
        assert ring.drain() == []


@pytest.mark.parametrize(("rules", "accepted"), [(1024, True), (1025, False)])
def test_table_has_at_most_1024_rules(rules: int, accepted: bool) -> None:  # noqa: FBT001 - a case's column
    assert (memory_of(TINY, table([RULE] * rules)) > 0) is accepted


def test_memory_grows_with_every_table() -> None:
    base = memory_of(TINY, table([RULE]))
    for name in BOUNDS:
        limits = dataclasses.replace(TINY, **{name: 2 * getattr(TINY, name) + 20})
        if name == "datagram_bytes":
            limits = dataclasses.replace(limits, hit_bytes=8 * limits.datagram_bytes + 262144)
        grown = memory_of(limits, table([RULE]))
        free = name in {"event_timeout_ms", "process_slots"}  # no rule asks for a process
        assert grown == base if free else grown > base, name


def test_memory_bytes_equals_allocation() -> None:
    def mapped() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * os.sysconf(
            "SC_PAGESIZE"
        )

    before = mapped()
    with Ring(table([RULE]), Limits(key_slots=1 << 18)) as ring:
        taken = mapped() - before
        assert ring.memory_bytes > 100 << 20
        # In addition, the ring has a buffer for drained hits, and the allocators round up.
        assert ring.memory_bytes <= taken < ring.memory_bytes + (8 << 20)
    assert mapped() - before < 16 << 20


# --- one name for one thing --------------------------------------------------------


def test_limits_and_stats_match_the_core() -> None:
    assert ["seed", "boot", *(one.name for one in dataclasses.fields(Limits)), "end", "asks"] == [
        name for name, _ in ffi.typeof("as_config").fields
    ]
    counters = [one.name for one in dataclasses.fields(Stats) if one.name != "unknown_arches"]
    assert counters == [name for name, _ in ffi.typeof("as_stats").fields]


@pytest.mark.parametrize(
    ("python", "core", "prefix"),
    [(Field, "as_field", "AS_FIELD_"), (Op, "as_op", "AS_OP_"), (EventEnd, "as_event_end", "AS_END_")],
)
def test_enums_match_the_core(python: type[Field | Op | EventEnd], core: str, prefix: str) -> None:
    names = {name: value for name, value in ffi.typeof(core).relements.items() if name != "AS_FIELDS"}
    assert {f"{prefix}{one.name}": one.value for one in python} == names


def test_every_limit_and_counter_is_documented() -> None:
    for described in (Limits, Stats):
        text = inspect.getdoc(described) or ""
        for one in dataclasses.fields(described):
            assert f"    {one.name}: " in text


def test_core_has_a_version() -> None:
    assert re.match(r"\d+\.\d+\.\d+", core_version())
    assert core_version() == importlib.metadata.version("auditsense")


def test_column_forms_match_the_core() -> None:
    forms = ffi.typeof("as_column_form").relements
    assert {f"AS_COLUMN_{form.name}": form.value for form in ColumnForm} == forms


def test_default_config_equals_limits() -> None:
    config: Any = ffi.new("as_config *", {"seed": 9})
    lib.as_config_default(config)
    assert {name: getattr(config, name) for name in BOUNDS} == dataclasses.asdict(Limits())
    assert (config.seed, config.end) == (0, EventEnd.EOE)


# --- lifetime and threads ------------------------------------------------------------


FACTS = ProcessFacts(pid=7, parent=1, start_ms=1000, read_ms=2000, name=b"sh")


def call(ring: Ring, name: str) -> object:
    given: dict[str, object] = {"fd": -1, "now_ms": 1, "packed": b"", "text": b"", "rounds": 1}
    given |= {"older": ring, "rules": [0], "wanted": [], "only_kernel": False, "facts": FACTS}
    method: Callable[..., object] = getattr(ring, name)
    return method(**{parameter: given[parameter] for parameter in inspect.signature(method).parameters})


@pytest.mark.parametrize("name", METHODS)
def test_closed_ring_refuses_every_method(name: str) -> None:
    ring = Ring(EVERY, TINY)
    ring.close()
    with pytest.raises(ClosedError, match="closed"):
        call(ring, name)


def test_second_close_does_nothing() -> None:
    ring = Ring(EVERY, TINY)
    with ring:
        pass
    ring.close()


@pytest.mark.parametrize("name", [*METHODS, "close"])
def test_every_method_refuses_a_second_thread(name: str) -> None:
    with Ring(EVERY, TINY) as ring:
        refused: list[BaseException] = []

        def second() -> None:
            try:
                call(ring, name)
            except BusyError as error:
                refused.append(error)

        with ring._enter():
            thread = threading.Thread(target=second)
            thread.start()
            thread.join()
        assert [str(error) for error in refused] == [
            "another thread is using this ring; create one per thread"
        ]
        assert ring.stats().records == 0  # and afterwards it works as before


def test_second_thread_is_refused_during_a_call() -> None:
    text = b"".join(one.text for one in burst(2000)) * 4
    stop = threading.Event()
    fed = itertools.count()

    def feed() -> None:
        while not stop.is_set():
            try:
                ring.feed_text(text)
                next(fed)
            except BusyError:
                continue

    def ask_often() -> None:
        for _ in range(1_000_000):
            ring.stats()

    with Ring(table([RULE])) as ring:
        thread = threading.Thread(target=feed)
        thread.start()
        try:
            with pytest.raises(BusyError):
                ask_often()
        finally:
            stop.set()
            thread.join()
        assert ring.stats().lines == next(fed) * text.count(b"\n")


def test_unclosed_ring_is_freed_with_a_warning() -> None:
    forgotten = [Ring(EVERY, TINY)]
    with pytest.warns(ResourceWarning, match="a Ring was not closed"):
        forgotten.clear()


def test_failed_ring_leaves_no_warning() -> None:
    with pytest.raises(UsageError):
        Ring(EVERY, dataclasses.replace(TINY, event_slots=0))
    gc.collect()  # a warning would be an error here


# --- sockets -----------------------------------------------------------------------


@pytest.fixture
def strangers() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A socket to receive from, and one that is not the kernel to send with."""
    receiver, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with receiver, sender:
        yield receiver, sender


@pytest.fixture
def answered() -> Iterator[socket.socket]:
    """A socket with waiting answers of the kernel, to a request for the loopback device."""
    request = struct.pack("=IHHII", 32, 18, 1, 1, 0) + struct.pack("=BBHiII", 0, 0, 0, 1, 0, 0)  # RTM_GETLINK
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as asked:
        asked.send(request)
        asked.send(request)
        yield asked


def test_datagrams_of_the_kernel_are_accepted(answered: socket.socket) -> None:
    with Ring(EVERY) as ring:
        assert ring.receive(answered.fileno(), 1) == 2
        assert ring.receive(answered.fileno(), 1) == 0
        stats = ring.stats()
        assert (stats.datagrams, stats.control, stats.foreign) == (2, 2, 0)


def test_datagrams_of_other_processes_are_dropped(
    strangers: tuple[socket.socket, socket.socket],
) -> None:
    receiver, sender = strangers
    for one in open_event().datagrams:
        sender.send(one)
    with Ring(EVERY) as ring:
        assert ring.receive(receiver.fileno(), 1) == 5
        stats = ring.stats()
        assert (stats.datagrams, stats.foreign, stats.records) == (5, 5, 0)
        assert ring.finish()
        assert ring.drain() == []


def test_sender_check_follows_only_kernel(
    strangers: tuple[socket.socket, socket.socket],
) -> None:
    receiver, sender = strangers
    with Ring(EVERY) as ring:
        for only_kernel, foreign in ((False, 5), (True, 5), (True, 5), (False, 10), (True, 10)):
            for one in open_event().datagrams:
                sender.send(one)
            assert ring.receive(receiver.fileno(), 1, only_kernel=only_kernel) == 5
            assert ring.stats().foreign == foreign
        assert ring.stats().records == 15


def test_fetched_datagrams_keep_their_senders(
    strangers: tuple[socket.socket, socket.socket],
) -> None:
    receiver, sender = strangers
    for one in open_event().datagrams:
        sender.send(one)
    with Ring(EVERY) as ring, Ring(EVERY, seed=ring.seed) as after:
        assert lib.as_ring_fetch(ring._handle, receiver.fileno()) == 5
        assert after.migrate_from(ring, [0])
        assert after.receive(receiver.fileno(), 1, only_kernel=True) == 5
        assert (after.stats().foreign, after.stats().records) == (5, 0)


def test_kernel_protects_connected_sockets() -> None:
    usersock = 2  # netlink for anybody
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, usersock) as connected,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, usersock) as other,
    ):
        connected.bind((0, 0))
        other.sendto(b"x", connected.getsockname())
        connected.connect((0, 0))
        with pytest.raises(ConnectionRefusedError):
            other.sendto(b"x", connected.getsockname())


def test_rounds_bound_one_receive(strangers: tuple[socket.socket, socket.socket]) -> None:
    receiver, sender = strangers
    for one in open_event().datagrams:
        sender.send(one)
    with Ring(EVERY, dataclasses.replace(TINY, datagram_slots=2)) as ring:
        assert [ring.receive(receiver.fileno(), 1, rounds=1) for _ in range(4)] == [2, 2, 1, 0]


def test_long_datagram_is_cut_and_counted(
    strangers: tuple[socket.socket, socket.socket],
) -> None:
    receiver, sender = strangers
    for length in (1023, 1024, 1025):
        sender.send(bytes(length))
    with Ring(EVERY, dataclasses.replace(TINY, datagram_slots=2)) as ring:
        assert ring.receive(receiver.fileno(), 1, rounds=1) == 2
        assert ring.stats().truncated == 0
        assert ring.receive(receiver.fileno(), 1) == 1
        assert ring.stats().truncated == 1


@pytest.mark.parametrize("name", ["receive", "fetch_packed"])
def test_socket_failure_raises_os_error(name: str) -> None:
    read, write = os.pipe()
    try:
        with Ring(EVERY, TINY) as ring, pytest.raises(OSError, match="non-socket") as failed:
            getattr(ring, name)(read, 1)
    finally:
        os.close(read)
        os.close(write)
    assert failed.value.errno == errno.ENOTSOCK


def test_fetched_datagrams_are_packed_with_time_and_sender(answered: socket.socket) -> None:
    with Ring(RuleTable(), TINY) as ring, Ring(EVERY, TINY) as reader:
        fetched = ring.fetch_packed(answered.fileno(), 7)
        now_ms, length, sender = PACKED_HEADER.unpack_from(fetched)
        assert (now_ms, length, sender) == (7, min(len(fetched) - 16, 1024), 0)
        assert struct.unpack_from("=IH", fetched, 16)[1] == 16  # RTM_NEWLINK
        fetched += ring.fetch_packed(answered.fileno(), 8)
        assert ring.fetch_packed(answered.fileno(), 9) == b""
        assert ring.stats().datagrams == 2
        assert reader.feed(fetched) == len(fetched)
        assert reader.stats().control == 2


# --- packed datagrams --------------------------------------------------------------


def test_packed_form_is_header_and_bytes() -> None:
    packed = pack([b"abc", b""], 0x0102030405060708)
    assert packed == (
        bytes.fromhex("0807060504030201 03000000 00000000")
        + b"abc"
        + bytes.fromhex("0807060504030201 00000000 00000000")
    )
    assert PACKED_HEADER.size == 16


def test_partial_packed_datagram_is_not_consumed() -> None:
    packed = pack(open_event().datagrams)
    for end in range(len(packed)):
        with Ring(EVERY, TINY) as ring:
            consumed = ring.feed(packed[:end])
            assert consumed <= end
            assert ring.feed(packed[consumed:]) == len(packed) - consumed
            assert len(ring.drain()) == 1


def test_packed_sender_counts_as_foreign() -> None:
    one = datagrams("type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=257")[0]
    with Ring(EVERY, TINY) as ring:
        for port in (1, 2**31, 2**32 - 1):
            ring.feed(struct.pack("<QII", 0, len(one), port) + one)
        assert (ring.stats().foreign, ring.stats().records) == (3, 0)


def test_long_packed_datagram_is_cut_and_used() -> None:
    event = open_event(path="/" + "x" * 2000)
    with Ring(EVERY, TINY) as ring:
        ring.feed(pack(event.datagrams))
        (hit,) = ring.drain()
        assert ring.stats().truncated == 1
    name = hit.text(Field.PATH_NAME) or ""
    assert 900 < len(name) < 1024
    assert name == "/" + "x" * (len(name) - 1)


def test_long_line_is_counted_once_however_it_is_split() -> None:
    text = b"x" * 3000 + b"\n" + open_event().text
    for cut in (0, 1, 1023, 1024, 1025, 2999, 3000, 3001):
        with Ring(EVERY, TINY) as ring:
            ring.feed_text(text[:cut])
            ring.feed_text(text[cut:])
            stats = ring.stats()
            assert (stats.lines, stats.truncated, stats.malformed, stats.records) == (5, 1, 1, 4)
            assert len(ring.drain()) == 1


def test_nlmsg_len_does_not_cut_records() -> None:
    with Ring(EVERY, TINY) as ring:
        ring.feed(pack(open_event(key="audit_proc").datagrams))
        (hit,) = ring.drain()
        assert hit.text(Field.KEY) == "audit_proc"


@pytest.mark.parametrize("form", ["datagrams", "text"])
def test_feeding_stops_at_full_hits_and_resumes(form: str) -> None:
    events = burst(1500)
    text = b"".join(one.text for one in events)
    packed = pack([part for one in events for part in one.datagrams])
    ids, stops = [], 0
    with Ring(EVERY, TINY) as ring:
        rest = packed if form == "datagrams" else text
        while rest:
            consumed = ring.feed(rest) if form == "datagrams" else ring.feed_text(rest)
            rest = rest[consumed:]
            hits = ring.drain()
            assert consumed or hits, "it stands still"
            stops += bool(rest)
            ids += [str(hit.ids[0]) for hit in hits]
        assert ring.finish()
        ids += [str(hit.ids[0]) for hit in ring.drain()]
    assert stops > 2
    assert ids == [one.id for one in events]


def test_finish_waits_for_drained_hits() -> None:
    call = "arch=c000003e syscall=257 items=1"
    padding = "x" * 400
    lines = [f"type=SYSCALL msg=audit(1.000:{n}): {call} comm={padding} exe={padding}\n" for n in range(300)]
    limits = dataclasses.replace(
        TINY, event_slots=16384, small_texts=65536, large_texts=1024, event_timeout_ms=9
    )
    hits, finished = 0, 0
    with Ring(EVERY, limits) as ring:
        assert ring.feed_text("".join(lines).encode()) > 0
        while not ring.finish():
            finished += 1
            drained = len(ring.drain())
            assert drained
            hits += drained
        hits += len(ring.drain())
    assert finished > 1
    assert hits == 300


def test_windows_merge_into_undrained_hit() -> None:
    rule = SimpleRule((), (), (Field.PID,), 10, 5000, merge_ms=300)
    events = burst(15, ms=1_795_493_114_000, every_ms=10)
    later = burst(1, ms=events[-1].ms + 300, serial=100) + burst(1, ms=events[-1].ms + 601, serial=200)
    with Ring(table([rule]), TINY) as ring:
        for one in events + later:
            assert ring.feed(pack(one.datagrams)) > 0
        first, second = ring.drain()
        assert (first.more, first.last_ms) == (6, later[0].ms)
        assert (second.more, second.last_ms) == (0, later[1].ms)
        assert [str(one) for one in first.ids] == [one.id for one in events[:10]]
        assert (ring.stats().sequences, ring.stats().hits) == (8, 2)


def test_windows_of_two_seconds_do_not_merge() -> None:
    """A run of completions ends with the second of their stamps, of whichever key, however often drained."""
    rule = SimpleRule((), (), (Field.PID,), 2, 5000, merge_ms=60_000)
    start = 1_795_493_114_000
    stamps = [(1, 0), (1, 1), (2, 2), (2, 3), (1, 999), (1, 1000), (1, 1001), (2, 998), (1, 1002), (1, 1003)]
    with Ring(table([rule]), TINY) as ring:
        for serial, (pid, ms) in enumerate(stamps, 1):
            (one,) = burst(1, ms=start + ms, serial=serial, pid=pid)
            assert ring.feed(pack(one.datagrams)) > 0
        found = [(hit.number(Field.PID), hit.ms - start, hit.more) for hit in ring.drain()]
    assert found == [(1, 1, 1), (2, 3, 0), (1, 1000, 1), (2, 998, 0), (1, 1002, 1)]
