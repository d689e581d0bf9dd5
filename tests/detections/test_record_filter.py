"""Records that a lean sensor leaves out, and that it finds the same without them."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import Detector, KernelCommandError, Sensor
from auditsense.core.rule_table import EventEnd, Field, Op
from auditsense.detections.compiler import compile_all
from auditsense.detections.loader import shipped_detections
from auditsense.detections.record_filter import READ_RECORDS, UNREAD, RecordFilter, needed_records
from auditsense.sources import audit_socket
from auditsense.testing import FakeSource, burst, open_event
from tests.support.rules import FieldTest, SimpleRule, table

if TYPE_CHECKING:
    from auditsense import Document

SYSCALL, PATH, CWD, EOE, PROCTITLE = 1300, 1302, 1307, 1320, 1327
SOCKADDR, EXECVE, CAPABILITIES = 1306, 1309, 1321
MOSTLY = {SOCKADDR, EXECVE, CAPABILITIES, *UNREAD}
"""What no open has."""


def rule(*fields: Field, keys: tuple[Field, ...] = ()) -> SimpleRule:
    tests = tuple(FieldTest(field, Op.TEXT, (b"x",)) for field in fields)
    return SimpleRule(calls=(), tests=tests, keys=keys, count=1, span_ms=1)


# --- what can be left out ----------------------------------------------------------


def test_shipped_detections_need_two_records_of_five() -> None:
    unneeded = needed_records(compile_all(shipped_detections(), merge_ms=0))
    assert unneeded == RecordFilter(frozenset({CWD, EOE, PROCTITLE, *MOSTLY}), EventEnd.PATHS)
    assert unneeded.unsent_per_event == 3


@pytest.mark.parametrize(
    ("rules", "unsent", "end"),
    [
        ([rule(Field.CWD)], {EOE, PROCTITLE}, EventEnd.PATHS),
        ([rule(keys=(Field.CWD,))], {EOE, PROCTITLE}, EventEnd.PATHS),
        ([rule(Field.PROCTITLE)], {EOE, CWD}, EventEnd.PROCTITLE),
        ([rule(Field.PATH_NAME), rule(Field.PROCTITLE, Field.CWD)], {EOE}, EventEnd.PROCTITLE),
        ([rule(Field.PATHS)], {EOE, PROCTITLE}, EventEnd.PATHS),
    ],
)
def test_records_of_compared_fields_are_sent(
    rules: list[SimpleRule], unsent: set[int], end: EventEnd
) -> None:
    assert needed_records(table(rules)) == RecordFilter(frozenset({*unsent, *MOSTLY}), end)


@pytest.mark.parametrize(
    ("field", "kind", "end"),
    [
        (Field.ARGS, EXECVE, EventEnd.PATHS),
        (Field.PARENT_ARGS, EXECVE, EventEnd.PATHS),
        (Field.CAPABILITIES, CAPABILITIES, EventEnd.PATHS),
        (
            Field.SOCKET_IP,
            SOCKADDR,
            EventEnd.PROCTITLE,
        ),  # it follows the SYSCALL record of a call without PATH
    ],
)
def test_record_of_a_compared_field_is_sent(field: Field, kind: int, end: EventEnd) -> None:
    needed = needed_records(table([rule(field)]))
    assert MOSTLY - needed.unsent == {kind}
    assert needed.end is end


# --- the same is found -----------------------------------------------------------------


def kind(datagram: bytes) -> int:
    return int(struct.unpack_from("=H", datagram, 4)[0])


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Opens of /proc and of others by three processes; records of different processes interleave."""
    queues: dict[int, list[bytes]] = {}
    for serial, pid in enumerate(draw(st.lists(st.integers(1, 3), max_size=45)), start=1):
        name = draw(st.sampled_from(["/proc", "/proc", "/proc", "/etc"]))
        event = open_event(ms=1000 + 10 * serial, serial=serial, pid=pid, path=name)
        queues.setdefault(pid, []).extend(event.datagrams)
    stream = []
    while queues:
        pid = draw(st.sampled_from(sorted(queues)))
        stream.append(queues[pid].pop(0))
        if not queues[pid]:
            del queues[pid]
    return stream


@given(stream=streams())
def test_lean_detector_finds_the_same_without_unneeded_records(stream: list[bytes]) -> None:
    with Detector(sequences=True) as full, Detector(lean=True, sequences=True) as spared:
        expected = full.feed(stream) + full.finish()
        sent = [datagram for datagram in stream if kind(datagram) not in spared.unsent]
        found = spared.feed(sent) + spared.finish()
        assert spared.stats().datagrams * 5 == full.stats().datagrams * 2
        for name in ("events", "matches", "sequences", "incomplete", "serials_missing", "late"):
            assert getattr(spared.stats(), name) == getattr(full.stats(), name)

    def told(documents: list[Document]) -> list[tuple[int, list[str]]]:
        return sorted(
            (document["process"]["pid"], document["auditsense"]["events"]) for document in documents
        )

    assert told(found) == told(expected)


@given(streams())
def test_detector_finds_the_same_without_unread_records(stream: list[bytes]) -> None:
    with Detector(sequences=True) as full, Detector(titled=True, sequences=True) as spared:
        assert spared.unsent == READ_RECORDS.unsent
        all_found = [*full.feed(stream), *full.finish()]
        found = [*spared.feed([one for one in stream if kind(one) not in spared.unsent]), *spared.finish()]
        assert found == all_found
        assert spared.stats().incomplete == full.stats().incomplete == 0


def test_operation_of_io_uring_is_complete_without_an_end() -> None:
    """The kernel writes EOE behind it, which is not sent, and no PROCTITLE."""
    text = b"audit(1.000:7): uring_op=28 success=yes exit=5 items=1 ppid=1 pid=2 key=(null)"
    with Detector(titled=True) as detector:
        detector.feed([struct.pack("=IHHII", 16 + len(text), 1336, 0, 0, 0) + text])
        detector.finish()
        assert (detector.stats().events, detector.stats().incomplete) == (1, 0)


def test_lean_detector_accepts_all_records() -> None:
    with Detector(lean=True) as detector:
        events = [open_event(ms=1000 + n, serial=n) for n in range(1, 11)]
        (alert, *_) = detector.feed([datagram for event in events for datagram in event.datagrams])
        assert alert["auditsense"]["count"] == 10
        assert detector.stats().late == 0


def test_lean_event_without_path_is_incomplete() -> None:
    with Detector(lean=True) as detector:
        event = open_event(ms=1000, serial=1)
        detector.feed([record for record in event.datagrams if kind(record) == SYSCALL])
        detector.finish()
        assert detector.stats().incomplete == 1


# --- the filter ---------------------------------------------------------------------------


@pytest.fixture(name="pair")
def pair_fixture() -> object:
    with ExitStack() as stack:
        ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        for end in ends:
            stack.enter_context(end)
        yield ends


def test_kernel_filters_exactly_the_requested_types(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernels = pair
    audit_socket.filter_out(ours, {CWD, EOE, PROCTITLE})
    event = open_event(ms=1000, serial=1)
    for datagram in (*event.datagrams, b"", b"short", struct.pack("=IHHII", 16, 65535, 0, 0, 0)):
        kernels.send(datagram)
    kinds = []
    while True:
        try:
            kinds.append(kind(ours.recv(9000)))
        except BlockingIOError:
            break
    # What is too short for a type is dropped: a program that reads past the end ends with no.
    assert kinds == [SYSCALL, PATH, 65535]


def test_empty_filter_changes_no_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, kernels = pair
    audit_socket.filter_out(ours, ())
    kernels.send(b"short")
    assert ours.recv(10) == b"short"


def test_refused_filter_raises_an_error() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 44, 1)  # SO_LOCK_FILTER
        with pytest.raises(KernelCommandError, match="cannot keep records out of the socket: "):
            audit_socket.filter_out(sock, {EOE})


# --- loss --------------------------------------------------------------------------


@pytest.mark.parametrize("lean", [False, True], ids=["full", "lean"])
def test_lost_events_do_not_depend_on_lean(*, lean: bool) -> None:
    """Of each event the kernel makes five records, and refuses five, however many it sends."""
    source = FakeSource()
    events = burst(400)
    with Sensor(source=source, lean=lean) as sensor:
        source.send(*events[:-4])
        # Of the last four only the SYSCALL record came; the kernel counts what it refused of each.
        source.send(*(event.datagrams[0] for event in events[-4:]))
        source.lost = 4 * 4 + 10
        loss = sensor.finish()[-1]["auditsense"]["loss"]
    assert loss["by_cause"] == {"kernel_lost": 26, "incomplete": 4}
    assert loss["events"] == 14
