"""Rows: chosen fields of many events at a time. What a row holds is what `Event` says, whatever the bytes."""

from __future__ import annotations

import asyncio
import os
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import Document, EventReader, Field, Host, Limits, RowReader, Sensor, UsageError, View
from auditsense.detect.rows import NAMES
from auditsense.kernel.self_test import SelfTest
from auditsense.testing import FakeSource, burst, call_event, open_event

HERE = Host("0123", "here")

# Parts of log lines: valid and invalid ones.
NUMBERS = st.sampled_from(
    ["0", "7", "-2", "007", "-0", "x", "1-2", "(none)", "", "9" * 19, "9" * 20, "9" * 30, "257"]
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            '"/bin/sh"',
            "(null)",
            '""',
            "?",
            "2F6200",
            "FF2F",
            "00",
            "61006220630000",
            '"a\0b"',
            '"\0"',
            '"\xff\xc3"',
            "2F0A",
        ]
    ),
    st.text("ABC0189", max_size=6),
)
LINES = st.builds(
    lambda arch, call, pid, exit_, exe, name, key, node: (
        f"{node}type=SYSCALL msg=audit(1.002:%d): arch={arch} syscall={call} success=yes exit={exit_} a0=1 "
        f"a1=2 items=1 ppid=1 pid={pid} comm={exe} exe={exe} key={key}\n"
        f"{node}type=CWD msg=audit(1.002:%d): cwd={name}\n"
        f"{node}type=PATH msg=audit(1.002:%d): item=0 name={name} nametype=NORMAL\n"
        f"{node}type=PROCTITLE msg=audit(1.002:%d): proctitle={exe}\n"
    ),
    st.sampled_from(["c000003e", "40000003", "c00000b7", "zz", ""]),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    TEXTS,
    TEXTS,
    TEXTS,
    st.sampled_from(["", "node=web1 "]),
)


def rows_of(text: bytes, *fields: str, size: int = 1 << 20) -> list[tuple[Any, ...]]:
    """Return the rows of log text that is fed in pieces."""
    with RowReader(fields, host=HERE) as detector:
        pieces = (text[at : at + size] for at in range(0, len(text), size))
        return [*(row for piece in pieces for row in detector.feed_text(piece)), *detector.finish()]


def by_event(text: bytes, *fields: str) -> list[tuple[Any, ...]]:
    """Return the same, one event at a time, with everything kept."""
    with EventReader(host=HERE) as detector:
        events = [*detector.feed_text(text), *detector.finish()]
        return [tuple(getattr(event, name) for name in fields) for event in events]


def test_row_has_the_fields_in_order() -> None:
    text = open_event(pid=12, exe="/bin/ä", path="/proc", serial=9).text
    assert rows_of(text, "path", "syscall", "pid", "serial") == [("/proc", "openat", 12, 9)]
    assert rows_of(text, "exe") == [("/bin/ä",)]


@given(st.lists(LINES, min_size=1, max_size=6), st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_row_equals_event_for_any_bytes(lines: list[str], fields: list[str]) -> None:
    text = b"".join((line % ((serial,) * 4)).encode("latin-1") for serial, line in enumerate(lines, 3))
    rows = rows_of(text, *fields)
    assert len(rows) == len(lines)
    assert rows == by_event(text, *fields)


@given(st.lists(LINES, min_size=1, max_size=3), st.integers(1, 300))
def test_cutting_text_anywhere_keeps_rows(lines: list[str], size: int) -> None:
    text = b"".join((line % ((serial,) * 4)).encode("latin-1") for serial, line in enumerate(lines, 3))
    assert rows_of(text, *NAMES, size=size) == rows_of(text, *NAMES)


def test_datagrams_and_text_make_the_same_rows() -> None:
    records = [*burst(5), call_event("execve", serial=90, exe="/bin/sh")]
    with RowReader(NAMES, host=HERE) as detector:
        given_ = [datagram for record in records for datagram in record.datagrams]
        rows = [*detector.feed(given_), *detector.finish()]
    assert rows == by_event(b"".join(record.text for record in records), *NAMES)


def test_more_events_than_hit_buffer_all_arrive() -> None:
    text = b"".join(event.text for event in burst(5000, every_ms=0))
    assert [serial for (serial,) in rows_of(text, "serial")] == [*range(3, 5003)]


def test_rows_can_be_kept() -> None:
    text = b"".join(event.text for event in burst(3))
    assert rows_of(text, "serial", "pid") == [(3, 4352), (4, 4352), (5, 4352)]


def test_events_of_selected_fields_have_them() -> None:
    with EventReader(host=HERE, fields=("syscall", "path", "key")) as detector:
        detector.buffer_text(open_event(path="/proc").text)
        (event,) = detector.finish()
    assert (event.syscall, event.path, event.key, event.serial) == ("openat", "/proc", "audit_proc", 3)
    assert event.text(Field.ARCH) == "c000003e"
    assert repr(event) == "Event(1795493114.674:3)"


@pytest.mark.parametrize("name", ["pid", "exe", "cwd", "title", "argv", "node", "success", "arguments"])
def test_unselected_field_raises_an_error(name: str) -> None:
    with EventReader(fields=("path",)) as detector:
        detector.buffer_text(open_event().text)
        (event,) = detector.finish()
    with pytest.raises(UsageError, match="was not selected"):
        getattr(event, name)
    with pytest.raises(UsageError, match="a document needs all fields"):
        event.document()


def test_absent_selected_field_is_none() -> None:
    line = b"type=SYSCALL msg=audit(1.002:3): arch=c000003e syscall=59 pid=1\n"
    assert rows_of(line, "path", "exe", "exit", "syscall") == [(None, None, None, "execve")]


@pytest.mark.parametrize("fields", [(), ("pid", "pid"), ("process.pid",), ("id",), "pid"])
def test_unknown_field_names_are_refused(fields: Any) -> None:  # noqa: ANN401 - what a user may give
    with pytest.raises(UsageError, match="out of ms, serial"):
        RowReader(fields)
    with pytest.raises(UsageError, match="out of ms, serial"):
        EventReader(fields=fields)


def test_document_needs_all_fields() -> None:
    with EventReader(fields=("pid",)) as reader:
        (event,) = reader.feed(open_event().datagrams)
    with pytest.raises(UsageError, match="a document needs all fields"):
        event.document()


def test_rows_have_the_name_of_the_new_host() -> None:
    with RowReader(("node",), host=HERE) as detector:
        detector.set_host(Host("4567", "there"))
        assert [*detector.feed_text(open_event().text), *detector.finish()] == [("there",)]


@pytest.mark.parametrize(
    ("fields", "more", "why"),
    [
        ((), {}, "out of ms, serial"),
        ("pid", {}, "out of ms, serial"),
        (("nope",), {}, "'nope' is no field"),
        (("exe",), {"view": View.ALERTS}, r"View\.EVENTS"),
    ],
)
def test_sensor_refuses_unknown_fields(fields: Any, more: Any, why: str) -> None:  # noqa: ANN401 - what a user may give
    with pytest.raises(UsageError, match=why):
        Sensor(source=FakeSource(), fields=fields, **{"view": View.EVENTS, **more}).__enter__()


def test_sensor_refuses_self_test_with_fields() -> None:
    with pytest.raises(UsageError, match="self-test"):
        Sensor(source=FakeSource(), view=View.EVENTS, fields=("exe",), self_test=SelfTest())


def test_sensor_of_rows_has_no_documents() -> None:
    source = FakeSource()
    with Sensor(source=source, view=View.EVENTS, fields=("pid",)) as sensor:
        source.send(open_event())
        sensor.stop()
        with pytest.raises(UsageError, match="reads rows"):
            list(sensor)


# --- of a sensor ---------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [("path", "serial"), ("serial", "pid", "path"), ("path", "argv")])
def test_sensor_yields_rows_of_the_fields(fields: tuple[str, ...]) -> None:
    source = FakeSource()
    events = [open_event(path="/proc", title="sh\0-c\0a b"), open_event(serial=4, path="/etc")]
    source.send(events[0])  # comes while entering
    with Sensor(source=source, view=View.EVENTS, fields=fields) as sensor:
        source.send(events[1])
        sensor.stop()
        rows = list(sensor.rows())
    assert rows == by_event(b"".join(document.text for document in events), *fields)
    assert source.left == 1


def test_sensor_yields_more_rows_than_hit_buffer() -> None:
    source = FakeSource()
    limits = Limits(datagram_bytes=1024, hit_bytes=8 * 1024 + 262144)
    with Sensor(source=source, view=View.EVENTS, fields=("serial",), limits=limits) as sensor:
        numbers = iter(sensor.rows())
        source.send(open_event(serial=2))
        assert next(numbers) == (2,)
        source.send(*burst(1000, every_ms=0))
        assert [serial for (serial,) in islice(numbers, 1000)] == [*range(3, 1003)]
        sensor.stop()
        assert list(numbers) == []


def test_sensor_of_rows_omits_own_events_and_sends_notices() -> None:
    source = FakeSource(audited=True)
    source.lost = 7
    notices: list[Document] = []
    with Sensor(source=source, view=View.EVENTS, fields=("serial",)) as sensor:
        source.send(open_event(pid=os.getpid()), open_event(serial=4, pid=os.getpid() + 1))
        sensor.stop()
        assert list(sensor.rows(notices.append)) == [(4,)]
    assert [document["event"]["dataset"] for document in notices] == ["auditsense.loss"]


def test_rows_with_asyncio() -> None:
    source = FakeSource()

    async def read() -> list[tuple[Any, ...]]:
        async with Sensor(source=source, view=View.EVENTS, fields=("path",)) as sensor:
            source.send(open_event(path="/proc"))
            events = []
            async for row in sensor.rows():
                events.append(row)
                sensor.stop()
            return events

    assert asyncio.run(read()) == [("/proc",)]


def test_sensor_without_fields_has_no_rows() -> None:
    with (
        Sensor(source=FakeSource(), view=View.EVENTS) as sensor,
        pytest.raises(UsageError, match="does not read rows"),
    ):
        sensor.rows()


def test_sensor_of_rows_yields_nothing_else() -> None:
    source = FakeSource()
    with Sensor(source=source, view=View.EVENTS, fields=("path",)) as sensor:
        rows = iter(sensor.rows())
        source.send(open_event())
        next(rows)
        with pytest.raises(UsageError, match="does not read events"):
            sensor.events()
        source.send(open_event(serial=9))
        with pytest.raises(UsageError, match="reads rows"):
            sensor.poll()
