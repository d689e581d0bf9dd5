"""Events as values: the fields of the records, decoded on access."""

from __future__ import annotations

import os
import pwd
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import Event, EventReader, Field, Host, Limits, Sensor, View
from auditsense.detections.fields import RECORD_FIELDS, Form, RecordField
from auditsense.kernel.self_test import SelfTest
from auditsense.testing import EventRecords as Records
from auditsense.testing import FakeSource, burst, call_event, datagrams, open_event

HERE = Host("0123", "here")


def events_of(*records: Records | bytes) -> list[Event]:
    """Return the events of log text."""
    text = b"".join(record if isinstance(record, bytes) else record.text for record in records)
    with EventReader(host=HERE) as detector:
        return [*detector.feed_text(text), *detector.finish()]


def test_text_is_decided_when_hits_are_full_at_its_end() -> None:
    """The last line fits, its event does not: it must not wait for the next text."""
    limits = Limits(datagram_bytes=1024, hit_bytes=8 * 1024 + 262144)
    text = [open_event(serial=n + 1, ms=1_795_493_114_674 + n).text for n in range(400)]
    for count in range(180, 400, 4):
        with EventReader(host=HERE, limits=limits) as detector:
            assert len(detector.feed_text(b"".join(text[:count]))) == count
            assert detector.feed_text(b"") == []


def test_attributes_have_the_values_of_records() -> None:
    (event,) = events_of(
        open_event(pid=12, ppid=34, uid=56, comm="a b", exe="/bin/ä", cwd="/x", path="/proc", title="p\0-x")
    )
    assert event.id == "1795493114.674:3"
    assert (event.ms, event.serial) == (1_795_493_114_674, 3)
    assert event.time == datetime(2026, 11, 24, 4, 5, 14, 674_000, tzinfo=UTC)
    assert (event.arch, event.syscall, event.success, event.exit) == ("x86_64", "openat", True, 5)
    assert event.arguments == ("ffffffffffffff9c", "c000012345", "80000", "0")
    assert (event.pid, event.ppid, event.auid, event.session) == (12, 34, 4_294_967_295, 4_294_967_295)
    ids = (event.uid, event.euid, event.suid, event.fsuid, event.gid, event.egid, event.sgid, event.fsgid)
    assert ids == (56,) * 8
    assert (event.comm, event.exe, event.cwd, event.path) == ("a b", "/bin/ä", "/x", "/proc")
    assert (event.title, event.argv, event.tty) == ("p -x", ("p", "-x"), None)
    assert (event.key, event.keys, event.node) == ("audit_proc", ("audit_proc",), "here")
    assert event.text(Field.PATH_MODE) == "040555"
    assert repr(event) == "Event(1795493114.674:3, openat, pid=12, exe='/bin/ä', path='/proc')"


def test_event_makes_its_document() -> None:
    records = open_event()
    (event,) = events_of(records)
    with EventReader(host=HERE) as reader:
        assert [event] == reader.feed(records.datagrams) + reader.finish()
    document = event.document()
    assert document["event"]["dataset"] == "auditd_manager.auditd"
    assert document["auditsense"] == {"events": [event.id], "state": "event"}


def test_absent_fields_are_none() -> None:
    (event,) = events_of(b"type=SYSCALL msg=audit(1.002:3): arch=c000003e syscall=59 pid=x exit=1-2\n")
    for name in (
        "success",
        "exit",
        "pid",
        "ppid",
        "uid",
        "comm",
        "exe",
        "cwd",
        "path",
        "key",
        "title",
        "tty",
    ):
        assert getattr(event, name) is None, name
    assert (event.keys, event.argv, event.syscall) == ((), (), "execve")
    assert event.user_name() is None


@pytest.mark.parametrize(
    ("arch", "call", "names"),
    [
        ("c00000b7", "56", ("aarch64", "openat")),
        ("c000003e", "9999", ("x86_64", "9999")),
        ("12345678", "56", ("12345678", "56")),
        ("zz", "56", ("zz", "56")),
    ],
)
def test_unknown_call_keeps_its_number(arch: str, call: str, names: tuple[str, str]) -> None:
    (event,) = events_of(f"type=SYSCALL msg=audit(1.002:3): arch={arch} syscall={call} pid=1\n".encode())
    assert (event.arch, event.syscall) == names


def test_several_keys_and_node_of_collector() -> None:
    (event,) = events_of(open_event(key="one\x01two", node="web1"))
    assert (event.key, event.keys, event.node) == ("one", ("one", "two"), "web1")


def test_title_does_not_distinguish_nuls_and_blanks() -> None:
    (event,) = events_of(open_event(title="sh\0-c\0echo a"))
    assert (event.argv, event.title) == (("sh", "-c", "echo a"), "sh -c echo a")


@given(st.binary(min_size=1, max_size=60))
def test_text_equals_document_for_any_bytes(path: bytes) -> None:
    (event,) = events_of(open_event(path=path, exe=path, comm="x"))
    assert event.path == event.document().get("file", {}).get("path")
    assert event.exe == event.document().get("process", {}).get("executable")


def test_user_name_is_that_of_this_host() -> None:
    (root,) = events_of(open_event(uid=0))
    (unknown,) = events_of(open_event(uid=4_123_456_789))
    assert root.user_name() == pwd.getpwuid(0).pw_name
    assert unknown.user_name() is None


def test_equal_events_compare_equal() -> None:
    first, second, other = events_of(*burst(2), open_event(serial=9))
    (again,) = events_of(open_event(serial=3))
    assert first == again
    assert len({first, again, second, other}) == 3
    assert first != "an event"


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_cutting_input_anywhere_keeps_events(size: int) -> None:
    records = [event for pid in range(1, 4) for event in burst(3, pid=pid, serial=10 * pid)]
    text = b"".join(record.text for record in records)
    with EventReader(host=HERE) as detector:
        events = [
            event for at in range(0, len(text), size) for event in detector.feed_text(text[at : at + size])
        ]
        events += detector.finish()
    with EventReader(host=HERE) as detector:
        stream = [datagram for record in records for datagram in record.datagrams]
        received = [
            event for at in range(0, len(stream), size) for event in detector.feed(stream[at : at + size])
        ]
        received += detector.finish()
    assert events == received
    assert [event.id for event in events] == [record.id for record in records]


def test_more_events_than_hit_buffer_all_arrive() -> None:
    with EventReader() as detector:
        text = b"".join(event.text for event in burst(5000, every_ms=0))
        events = [*detector.feed_text(text), *detector.finish()]
        assert [event.serial for event in events] == [*range(3, 5003)]
        assert detector.stats().incomplete == 0


# --- from a sensor -----------------------------------------------------------------------


def test_sensor_yields_events_and_separate_notices() -> None:
    source = FakeSource()
    source.send(open_event(serial=3), call_event("execve", serial=7, exe="/bin/sh"))
    notices: list[str] = []
    with Sensor(source=source, view=View.EVENTS) as sensor:
        calls = []
        for event in sensor.events(lambda document: notices.append(document["auditsense"]["state"])):
            calls.append(event.syscall)
            sensor.stop()
    assert calls == ["openat", "execve"]
    assert notices == ["loss"]
    assert source.left == 1


def test_events_received_while_leaving_are_yielded() -> None:
    source = FakeSource()
    with Sensor(source=source, view=View.EVENTS) as sensor:
        sensor.stop()
        source.send(open_event())
        assert [event.pid for event in sensor.events()] == [4352]


@pytest.mark.parametrize("audited", [True, False])
def test_own_events_are_left_out_where_audited(*, audited: bool) -> None:
    source = FakeSource(audited=audited)
    source.send(open_event(serial=3, pid=os.getpid()), open_event(serial=4, pid=4711))
    with Sensor(source=source, view=View.EVENTS) as sensor:
        sensor.stop()
        pids = [event.pid for event in sensor.events()]
    assert pids == ([4711] if audited else [os.getpid(), 4711])


def test_self_test_hits_are_set_aside() -> None:
    test = SelfTest(60, within_s=5)
    source = FakeSource()
    with Sensor(source=source, view=View.EVENTS, self_test=test) as sensor:
        source.send(open_event(serial=3, pid=1, path=test.path), open_event(serial=4, pid=2))
        sensor.stop()
        assert [event.pid for event in sensor.events()] == [
            1,
            2,
        ]
        assert sensor.stats().hits == 3


def test_readable_text_makes_an_event() -> None:
    with EventReader() as detector:
        (event,) = detector.feed(
            datagrams("""
                type=SYSCALL msg=audit(1795493114.674:3): arch=c000003e syscall=87 success=no exit=-13 pid=7
                type=PATH msg=audit(1795493114.674:3): item=0 name="/etc/passwd" nametype=DELETE
                type=EOE msg=audit(1795493114.674:3):
            """)
        )
    assert (event.syscall, event.success, event.exit, event.path) == ("unlink", False, -13, "/etc/passwd")


@pytest.mark.parametrize(
    "row", [row for row in RECORD_FIELDS if row.attribute], ids=lambda row: row.attribute
)
def test_event_attribute_is_the_field_of_the_table(row: RecordField) -> None:
    records = open_event(pid=12, ppid=34, uid=56, title="p\0x").text
    stamp = records.partition(b"msg=")[2].partition(b" ")[0]
    more = [
        b'type=EXECVE msg=%b argc=2 a0="a" a1="b"\n' % stamp,
        b"type=SOCKADDR msg=%b saddr=02002329C00002010000000000000000\n" % stamp,
        b"type=BPRM_FCAPS msg=%b pe=3\n" % stamp,
    ]
    head, end, tail = records.partition(b"type=PROCTITLE")
    (event,) = events_of(head + b"".join(more) + end + tail)
    text = event.text(row.field)
    value = getattr(event, row.attribute)
    if text is None:  # a marker as "(none)", or a field of another record
        assert value is None
    elif row.form is Form.LIST:
        assert value == tuple(text.split("\0"))
    elif row.form is Form.TEXT:
        assert value == text.replace("\0", " ")
    else:
        assert value == int(text)


def test_exec_has_its_arguments_and_other_events_their_title() -> None:
    call = b"type=SYSCALL msg=audit(1.002:3): arch=c000003e syscall=59 items=0 pid=1\n"
    title = b"type=PROCTITLE msg=audit(1.002:3): proctitle=61002D78\n"
    arguments = b'type=EXECVE msg=audit(1.002:3): argc=3 a0="b" a1="" a2=632064\n'
    (event,) = events_of(call + title)
    assert (event.args, event.argv, event.command_line, event.args_count) == ((), ("a", "-x"), None, None)
    (event,) = events_of(call + arguments + title)
    assert event.args == event.argv == ("b", "", "c d")
    assert (event.command_line, event.args_count, event.args_cut) == ("b  c d", 3, False)
    (event,) = events_of(call + arguments.replace(b"argc=3", b"argc=4") + title)
    assert event.args_cut


def test_single_record_is_an_event() -> None:
    (event,) = events_of(
        b'type=USER_LOGIN msg=audit(1.002:3): pid=9 uid=0 auid=1000 ses=2 msg=\'op=login acct="ann" '
        b'exe="/usr/sbin/sshd" hostname=a.example addr=192.0.2.7 terminal=ssh res=success\'\n'
    )
    assert (event.record_type, event.syscall, event.pid, event.auid) == (1112, None, 9, 1000)
    assert (event.account, event.hostname, event.address, event.terminal) == (
        "ann",
        "a.example",
        "192.0.2.7",
        "ssh",
    )
    assert (event.exe, event.comm) == ("/usr/sbin/sshd", "sshd")


def test_table_has_each_field_once() -> None:
    assert len({row.field for row in RECORD_FIELDS}) == len(RECORD_FIELDS)
    names = [row.name for row in RECORD_FIELDS if row.name]
    assert len({*names}) == len(names)
