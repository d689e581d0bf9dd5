"""The same events give the same alerts through every source."""

from __future__ import annotations

import gzip
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import Detector, Sensor
from auditsense.core.ring import pack
from auditsense.detect.host import this_host
from auditsense.errors import InputError, UsageError
from auditsense.replay import capture
from auditsense.replay.replay import replay
from auditsense.sources.af_unix import AuditdSocket
from auditsense.sources.audisp import Audisp
from auditsense.sources.tail import LogTail
from auditsense.testing import FakeClock, FakeSource, burst
from tests.support.faults import NO_HOST, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from auditsense.sources.text_source import TextSource

EVENTS = [
    *burst(25, every_ms=40),
    *burst(9, pid=5000, serial=500, ms=1_795_493_130_000),  # one too few
    *burst(12, pid=5001, serial=600, ms=1_795_493_140_000),
]
RAW = b"".join(event.text for event in EVENTS)
WITH_EOE = b"".join(event.text + event.lines[-1].encode() + b" \n" for event in EVENTS)
ENRICHED = b"".join(
    line + b'\x1dARCH=x86_64 SYSCALL=openat AUID="unset" UID="daemon"\n'
    if b"type=SYSCALL" in line
    else line + b"\n"
    for line in RAW.splitlines()
)
LIMIT_S = 300.0


def alerts(documents: Iterable[Any]) -> list[tuple[list[str], int]]:
    """Return what names an alert, and at its start."""
    return [
        (document["auditsense"]["events"], document["process"]["pid"])
        for document in documents
        if document["auditsense"]["state"] == "alert"
    ]


def expected() -> list[tuple[list[str], int]]:
    with Detector() as detector:
        documents = detector.feed(datagram for event in EVENTS for datagram in event.datagrams)
        documents += detector.finish()
        assert detector.stats().serials_missing  # they count up in three places: no loss is made up in text
    assert [pid for _, pid in alerts(documents)] == [4352, 5001]
    return alerts(documents)


def polled(sensor: Sensor, until: Callable[[], bool]) -> list[Any]:
    documents: list[Any] = []
    deadline = time.monotonic() + LIMIT_S
    while not until():
        assert time.monotonic() < deadline
        sensor.wait(0.05)
        documents += sensor.poll()
    return documents


def by_kernel(*, audited: bool) -> list[Any]:
    source = FakeSource(audited=audited)
    with Sensor(source=source) as sensor:
        source.send(*EVENTS)
        return sensor.poll() + sensor.finish()


def by_stdin(text: bytes, step: int = 1000) -> list[Any]:
    ours, theirs = os.pipe()
    try:
        with Sensor(source=Audisp(ours)) as sensor:
            documents = []
            for at in range(0, len(text), step):
                os.write(theirs, text[at : at + step])
                documents += sensor.poll()
            os.close(theirs)
            documents += [document for batch in sensor.batches() for document in batch]  # ends by itself
            assert sensor.ended
            assert sensor.losses.by_cause() == {}
            return documents
    finally:
        os.close(ours)


def by_socket(folder: Path, text: bytes) -> list[Any]:
    path = folder / "events"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with Sensor(source=AuditdSocket(str(path))) as sensor:
            theirs, _ = listener.accept()
            with theirs:
                theirs.sendall(text[:30_001])
                documents = polled(sensor, lambda: sensor.stats().lines >= text[:30_001].count(b"\n"))
                theirs.sendall(text[30_001:])
                return (
                    documents
                    + polled(sensor, lambda: sensor.stats().lines == text.count(b"\n"))
                    + sensor.finish()
                )


def by_log(folder: Path, text: bytes) -> list[Any]:
    path = folder / "audit.log"
    path.write_bytes(b"type=SYSCALL msg=audit(1.000:1): what was there before\n")
    with Sensor(source=LogTail(str(path))) as sensor:
        with path.open("ab", buffering=0) as file:
            file.write(text[:10_007])
            documents = polled(sensor, lambda: sensor.stats().lines >= text[:10_007].count(b"\n"))
            file.write(text[10_007:30_000])
        path.rename(folder / "audit.log.1")
        path.write_bytes(text[30_000:40_000])  # a file that is rotated away before anybody looks
        (folder / "audit.log.1").rename(folder / "audit.log.2")
        path.rename(folder / "audit.log.1")
        path.write_bytes(text[40_000:])
        documents += polled(sensor, lambda: sensor.stats().lines >= text.count(b"\n"))
        return documents + sensor.finish()


def by_replay(names: list[Path]) -> list[Any]:
    with Detector() as detector:
        return [
            document for batch in replay([str(name) for name in names], detector, print) for document in batch
        ]


def by_rotated(folder: Path) -> list[Any]:
    third = RAW.find(b"\n", len(RAW) // 3) + 1
    names = [folder / name for name in ("audit.log.2.gz", "audit.log.1", "audit.log")]
    names[0].write_bytes(gzip.compress(RAW[:third]))
    names[1].write_bytes(RAW[third : 2 * third])
    names[2].write_bytes(RAW[2 * third :])
    return by_replay(names)


def by_zstd(folder: Path) -> list[Any]:
    zstandard = pytest.importorskip("zstandard")
    name = folder / "audit.log.zst"
    name.write_bytes(zstandard.compress(RAW))
    return by_replay([name])


def by_capture(folder: Path) -> list[Any]:
    name = folder / "capture"
    with capture.create(name, this_host(), 0) as file:
        file.write(pack((datagram for event in EVENTS for datagram in event.datagrams), 0))
    return by_replay([name])


WAYS: dict[str, Callable[[Path], list[Any]]] = {
    "unicast": lambda _: by_kernel(audited=False),
    "multicast": lambda _: by_kernel(audited=True),
    "audisp": lambda _: by_stdin(WITH_EOE),
    "audisp, enriched": lambda _: by_stdin(ENRICHED),
    "audisp, a byte too many at a time": lambda _: by_stdin(RAW, 997),
    "unix": lambda folder: by_socket(folder, WITH_EOE),
    "log": lambda folder: by_log(folder, RAW),
    "log, enriched": lambda folder: by_log(folder, ENRICHED),
    "rotated and gzip": by_rotated,
    "zstd": by_zstd,
    "capture": by_capture,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_source_gives_same_alerts(way: str, tmp_path: Path) -> None:
    assert alerts(WAYS[way](tmp_path)) == expected()


def rule_names(documents: Iterable[Any]) -> list[str]:
    return [
        document["rule"]["name"]
        for document in documents
        if document["rule"]["id"] == "auditsense.tamper.source"
    ]


def test_auditd_socket_reports_and_reconnects(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with Sensor(source=AuditdSocket(str(path))) as sensor:
            theirs, _ = listener.accept()
            theirs.sendall(EVENTS[0].text)
            polled(sensor, lambda: sensor.stats().lines > 0)
            theirs.close()
            documents: list[Any] = []
            deadline = time.monotonic() + LIMIT_S
            listener.settimeout(0)
            while True:
                documents += sensor.poll()
                try:
                    theirs, _ = listener.accept()
                    break
                except BlockingIOError:
                    assert time.monotonic() < deadline
                    sensor.wait(0.05)
            with theirs:
                theirs.sendall(EVENTS[8].text)
                documents += polled(sensor, lambda: sensor.stats().events >= 2)
                while len(rule_names(documents)) < 3 and time.monotonic() < deadline:
                    sensor.wait(0.05)
                    documents += sensor.poll()
            assert rule_names(documents) == [
                "The Source Is Gone",
                "The Source Is Back",
                "Records Did Not Come",
            ]
            gap = documents[-1]["message"]
            assert gap.startswith("7 events between serial 3 and 11")


def test_truncated_log_is_read_from_start(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(RAW)
    with Sensor(source=LogTail(str(path))) as sensor:
        os.truncate(path, 0)
        sensor.poll()
        with path.open("ab") as file:
            file.write(EVENTS[0].text)
        polled(sensor, lambda: sensor.stats().events == 1)


def test_removed_log_continues_when_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"")
    with Sensor(source=LogTail(str(path))) as sensor:
        path.unlink()
        documents = polled(sensor, lambda: bool(sensor.timeout_s() and not path.exists()))
        path.write_bytes(EVENTS[0].text)
        documents += polled(sensor, lambda: sensor.stats().events == 1)
        assert set(rule_names(documents)) <= {"The Source Is Gone"}


def test_open_event_of_text_is_decided_after_silence(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"")
    with Sensor(source=LogTail(str(path))) as sensor:
        path.write_bytes(EVENTS[0].lines[0].encode() + b"\n")
        polled(sensor, lambda: sensor.stats().lines == 1)
        polled(sensor, lambda: sensor.stats().open_events == 0)
        assert sensor.losses.incomplete == 1


def test_audisp_refuses_binary_format() -> None:
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b"\0\0\0\0\x10\0\0\0\x14\5\0\0\x04\0\0\0text")
        with Sensor(source=Audisp(ours)) as sensor, pytest.raises(InputError, match="format = string"):
            sensor.poll()
    finally:
        os.close(theirs)
        os.close(ours)


@pytest.mark.parametrize(
    "source", [LogTail("/nowhere/audit.log"), LogTail("/"), AuditdSocket("/nowhere/events")]
)
def test_unreadable_source_is_reported_on_entering(source: TextSource) -> None:
    with pytest.raises(InputError, match=r"nowhere|not a file"), Sensor(source=source):
        pass
    assert source.fileno() == -1


def test_text_source_refuses_lean() -> None:
    with pytest.raises(UsageError, match="lean"), Sensor(source=LogTail("/nowhere"), lean=True):
        pass


def log_with(path: Path, data: bytes) -> tuple[list[Any], list[str]]:
    """Return what a sensor that follows a log tells when this is written: documents and messages."""
    path.write_bytes(b"")
    source = LogTail(str(path))
    messages: list[str] = []
    with Sensor(source=source) as sensor:
        path.write_bytes(data)
        documents = polled(sensor, lambda: sensor.stats().lines >= data.count(b"\n"))
        deadline = time.monotonic() + LIMIT_S
        while not (messages or sensor.stats().records) and time.monotonic() < deadline:
            sensor.wait(0.05)
            documents += sensor.poll()
            messages += source.take_messages()
        messages += source.take_messages()
        documents += sensor.finish()
    return documents, messages


@pytest.mark.parametrize("lines", [1, 50])
def test_text_without_records_is_reported(tmp_path: Path, lines: int, fault: Recorder) -> None:
    path = tmp_path / "kern.log"
    documents, messages = log_with(path, b"Nov 24 16:00:00 a kernel: eth0: up\n" * lines)
    noun = "1 of 1 line is" if lines == 1 else "50 of 50 lines are"
    wanted = f"log:{path}: {noun} no audit record; the first: Nov 24 16:00:00 a kernel: eth0: up"
    assert messages == [wanted]
    assert rule_names(documents) == ["No Audit Records"]
    fault(
        "a followed log holds no audit records",
        how="run --source log:PATH on a log of something else",
        did="continued reading",
        lost="nothing",
        reported="once, that nothing is understood and what the first line looks like",
        host=NO_HOST,
    )


def test_text_with_some_records_is_not_reported(tmp_path: Path) -> None:
    documents, messages = log_with(tmp_path / "x", b"other\n" * 3 + EVENTS[0].text + b"other\n" * 99)
    assert (rule_names(documents), messages) == ([], [])


def test_wrapped_text_is_unwrapped_live(tmp_path: Path) -> None:
    wrapped = b"".join(b'{"message": %s}\n' % json.dumps(line.decode()).encode() for line in RAW.splitlines())
    path = tmp_path / "x"
    documents, messages = log_with(path, wrapped)
    assert alerts(documents) == expected()
    assert messages == [f"log:{path}: reading records inside field message"]


def test_host_without_titles_gets_alert_among_other_lines(tmp_path: Path) -> None:
    """Its events end by the clock, although the log never falls silent."""
    path = tmp_path / "audit.log"
    path.write_bytes(b"")
    lines = [line for event in burst(10) for line in event.text.splitlines(keepends=True)]
    clock = FakeClock()
    with Sensor(source=LogTail(str(path)), clock=clock) as sensor:
        path.write_bytes(b"".join(line for line in lines if b"type=PROCTITLE" not in line))
        polled(sensor, lambda: sensor.stats().lines == 30)
        documents = []
        for serial in range(1000, 1006):
            with path.open("ab") as log:
                log.write(b"type=USER_AUTH msg=audit(1795493115.000:%d): pid=1\n" % serial)
            clock.advance(0.5)
            documents += sensor.poll()
        assert [document["auditsense"]["state"] for document in documents] == ["alert"]
        assert sensor.losses.incomplete == 0
