"""Sinks against a real systemd-journald and rsyslogd; see tests/support/log_daemons.py."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import Host
from auditsense.detect.compact_line import look_up
from auditsense.detect.ecs import sink_document
from auditsense.sinks import SinkError, syslog
from auditsense.sinks.config import SyslogSettings
from auditsense.sinks.format import Format, compact_text
from auditsense.sinks.journald import JournaldSink
from auditsense.sinks.subprocess_sink import SinkProcess
from auditsense.sinks.syslog import SyslogSink, encode_message
from tests.cli.test_cli import TEXT
from tests.support.debian import debian
from tests.support.faults import NO_HOST, NOTHING, Recorder
from tests.support.log_daemons import LIMIT_S, PACKAGES, Rsyslogd, as_root, journald, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense import Document
    from auditsense.sinks import Sink

HOST = Host("0123456789abcdef0123456789abcdef", "here")
NASTY = 'two\nlines "quoted" ]\\ ü \x1b[2J'


def alert(n: int, severity: str = "low", text: str = "x") -> Document:
    """Return a document with the fields of an alert that sinks read."""
    document = sink_document(
        HOST, ms=1_790_000_000_123, state="failing", message=text, sink=cast("Any", {"n": n})
    )
    document["auditsense"]["severity"] = severity
    document["process"] = {"pid": 4352, "name": text, "executable": "/usr/bin/x", "parent": {"pid": 1}}
    return document


def numbers(documents: list[Document]) -> list[int]:
    return [look_up(document, "auditsense.sink.n") for document in documents]


@contextmanager
def started(sink: Sink, name: str) -> Iterator[SinkProcess]:
    process = SinkProcess(sink, name)
    process.start()
    try:
        yield process
    finally:
        process.close()
        assert process.counts.pending == 0


def send(process: SinkProcess, *documents: Document) -> None:
    process.send("".join(json.dumps(document) + "\n" for document in documents).encode(), len(documents))


def polled(process: SinkProcess) -> SinkProcess:
    process.poll()
    return process


# --- journald -----------------------------------------------------------------------


@as_root
def test_journald_gets_fields_and_complete_document(tmp_path: Path) -> None:
    documents = [
        alert(0, "critical", NASTY),
        alert(1, "high"),
        alert(2, "medium"),
        alert(3),
        alert(4, "none"),
    ]
    documents.append(alert(5, text="y" * 500_000))  # goes as a file in memory
    with journald(tmp_path) as receiver:
        receiver.start()
        sink = JournaldSink(receiver.path)
        sink.write(documents)
        sink.close()
        wait_until(lambda: len(receiver.entries()) == len(documents))
        entries = receiver.entries()
    assert [json.loads(entry["AUDITSENSE_DOCUMENT"]) for entry in entries] == documents
    assert [entry["MESSAGE"] for entry in entries] == [compact_text(document) for document in documents]
    assert [entry["PRIORITY"] for entry in entries] == ["2", "3", "4", "5", "6", "5"]
    first = entries[0]
    assert bytes(first["PROCESS_NAME"]) == NASTY.encode()  # numbers, because it is not printable
    assert (first["PROCESS_PID"], first["PROCESS_PARENT_PID"]) == ("4352", "1")
    assert first["RULE_ID"] == "auditsense.sink.failing"
    assert first["EVENT_DATASET"] == "auditsense.sink"
    assert first["_TRANSPORT"] == "journal"


def test_run_under_systemd_writes_fields_to_the_journal(tmp_path: Path) -> None:
    """As in the unit: standard output is a stream that JOURNAL_STREAM names, and no sink is configured."""
    log, config = tmp_path / "audit.log", tmp_path / "empty.toml"
    for path in (log, config):
        path.touch(mode=0o644)
    with journald(tmp_path) as receiver, (tmp_path / "stream").open("wb") as stream:
        receiver.start()
        status = os.fstat(stream.fileno())
        mounts = (
            "mount -t tmpfs none /run/systemd && mkdir /run/systemd/journal && "
            f'mount --bind {Path(receiver.path).parent} /run/systemd/journal && exec "$0" "$@"'
        )
        with subprocess.Popen(
            [
                *("unshare", "-m", "--propagation", "private", "sh", "-ec", mounts),
                *(str(Path(sys.executable).with_name("auditsense")), "run", "--source", f"log:{log}"),
                *("-c", str(config), "--status-socket", "off"),
            ],
            env={**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"},
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
        ) as sensor:
            try:
                assert sensor.stderr is not None
                line = sensor.stderr.readline()
                assert "watching" in line, line
                with log.open("ab") as file:
                    file.write(TEXT)
                wait_until(lambda: receiver.entries("RULE_ID=pspy"))
            finally:
                sensor.terminate()
        entries = receiver.entries("RULE_ID=pspy")
    assert json.loads(entries[0]["AUDITSENSE_DOCUMENT"])["rule"]["id"] == "pspy"
    assert (tmp_path / "stream").read_bytes() == b""


def test_documents_wait_for_missing_journald(tmp_path: Path, fault: Recorder) -> None:
    with journald(tmp_path) as receiver, started(JournaldSink(receiver.path), "journald") as process:
        send(process, alert(0))
        wait_until(lambda: polled(process).problem)
        assert process.problem == (f"cannot reach journald at {receiver.path}: No such file or directory")
        receiver.start()
        send(process, alert(1))
        wait_until(lambda: polled(process).counts.written == 2)
        assert not process.problem
        receiver.stop()
        send(process, alert(2))
        wait_until(lambda: polled(process).problem)
        receiver.start()
        wait_until(lambda: polled(process).counts.written == 3)
        wait_until(lambda: len(receiver.entries()) == 3)
        entries = receiver.entries()
    assert numbers([json.loads(entry["AUDITSENSE_DOCUMENT"]) for entry in entries]) == [0, 1, 2]
    fault(
        "journald is missing, and goes away later",
        how="a sink before journald is started, and after it was stopped; then it is started again",
        did="kept the documents, retried at least every 5 s, and wrote them",
        lost=NOTHING,
        reported="“cannot reach journald at PATH: …”",
        host=NO_HOST,
    )


# --- syslog --------------------------------------------------------------------------


@as_root
def test_journald_dev_log_stores_message_as_one_text(tmp_path: Path) -> None:
    with journald(tmp_path) as receiver:
        receiver.start()
        dev_log = str(Path(receiver.path).with_name("dev-log"))
        wait_until(lambda: Path(dev_log).exists())
        sink = SyslogSink(SyslogSettings("local", dev_log))
        sink.write([alert(0)])
        sink.close()
        wait_until(lambda: receiver.entries("_TRANSPORT=syslog"))
        (entry,) = receiver.entries("_TRANSPORT=syslog")
    assert (entry["PRIORITY"], entry["SYSLOG_FACILITY"]) == ("5", "10")
    assert "SYSLOG_IDENTIFIER" not in entry
    assert entry["MESSAGE"].startswith("1 2026-09-21T14:13:20.123Z here auditsense ")


@pytest.fixture
def rsyslogd(tmp_path: Path) -> Iterator[Rsyslogd]:
    daemon = Rsyslogd(debian(*PACKAGES), tmp_path)
    try:
        yield daemon
    finally:
        daemon.stop()


def receiver_of(rsyslogd: Rsyslogd, transport: str, **options: Any) -> SyslogSettings:  # noqa: ANN401 - any field
    if transport == "local":
        return SyslogSettings("local", rsyslogd.path, **options)
    return SyslogSettings(transport, "127.0.0.1", getattr(rsyslogd, transport), **options)


@pytest.mark.parametrize("transport", ["local", "udp", "tcp"])
def test_rsyslogd_parses_every_part_of_a_message(rsyslogd: Rsyslogd, transport: str) -> None:
    rsyslogd.start()
    documents = [alert(0, "critical", NASTY), alert(1, "high"), alert(2, "none"), alert(3, text="z" * 5000)]
    sink = SyslogSink(receiver_of(rsyslogd, transport, most=32_000, facility="local3"))
    sink.write(documents)
    sink.close()
    wait_until(lambda: len(rsyslogd.received()) == len(documents))
    received = rsyslogd.received()
    assert [json.loads(message["msg"]) for message in received] == documents
    assert [message["pri"] for message in received] == [str(19 * 8 + level) for level in (2, 3, 6, 5)]
    assert {message["hostname"] for message in received} == {"here"}
    assert {message["app-name"] for message in received} == {"auditsense"}
    assert {message["msgid"] for message in received} == {"auditsense.sink"}
    assert {message["protocol-version"] for message in received} == {"1"}
    assert 'process.name="two\\\\nlines \\"quoted\\" \\]\\\\ ü \\\\x1b[2J"' in received[0]["structured-data"]
    if transport != "local":  # rsyslog replaces the time of local messages
        assert received[0]["timereported"] == "2026-09-21T14:13:20.123Z"


def test_tcp_resumes_after_daemon_restart(rsyslogd: Rsyslogd, fault: Recorder) -> None:
    with started(SyslogSink(receiver_of(rsyslogd, "tcp")), "syslog") as process:
        send(process, alert(0))
        wait_until(lambda: polled(process).problem)
        assert process.problem == (f"cannot reach syslog:tcp://127.0.0.1:{rsyslogd.tcp}: Connection refused")
        rsyslogd.start()
        wait_until(lambda: polled(process).counts.written == 1)
        wait_until(lambda: len(rsyslogd.received()) == 1)
        rsyslogd.stop()
        send(process, alert(1))
        wait_until(lambda: polled(process).problem)
        rsyslogd.start()
        send(process, alert(2))
        wait_until(lambda: len(rsyslogd.received()) == 3)
        received = rsyslogd.received()
    assert numbers([json.loads(message["msg"]) for message in received]) == [0, 1, 2]
    fault(
        "a syslog daemon is missing, and goes away later",
        how="rsyslogd by TCP, not started yet, then stopped, then started again",
        did="kept the documents, reconnected, and sent them",
        lost=NOTHING,
        reported="“cannot reach syslog:tcp://…: Connection refused”",
        host=NO_HOST,
    )


def frames(data: bytes) -> list[bytes]:
    """Parse RFC 6587's octet counting; an incomplete frame is an error."""
    parsed = []
    while data:
        length, _, data = data.partition(b" ")
        assert len(data) >= int(length)
        parsed.append(data[: int(length)])
        data = data[int(length) :]
    return parsed


def test_stalled_tcp_peer_gets_each_frame_once(monkeypatch: pytest.MonkeyPatch, fault: Recorder) -> None:
    monkeypatch.setattr(syslog, "TIMEOUT_S", 0.1)  # of a connected socket
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with started(SyslogSink(SyslogSettings("tcp", "127.0.0.1", port, most=60_000)), "syslog") as process:
            for n in range(400):
                send(process, alert(n, text="x" * 8_000))
            peer, _ = server.accept()
            wait_until(lambda: polled(process).problem)
            assert process.problem == f"syslog:tcp://127.0.0.1:{port} accepts nothing"
            time.sleep(0.5)
            received = b""
            peer.settimeout(0.05)
            deadline = time.monotonic() + LIMIT_S
            while polled(process).counts.written < 400:
                with contextlib.suppress(TimeoutError):  # counts arrive a little later
                    received += peer.recv(1 << 16)
                assert time.monotonic() < deadline
            peer.settimeout(LIMIT_S)
            assert not process.problem
        with peer:
            while chunk := peer.recv(1 << 16):
                received += chunk
    documents = [json.loads(frame.partition(b"] ")[2]) for frame in frames(received)]
    assert numbers(documents) == list(range(400))
    fault(
        "a syslog daemon stops reading",
        how="a TCP peer that reads nothing until 8 MB wait, then everything",
        did="did not block; resumed in the middle of the message, on the same connection",
        lost=NOTHING,
        reported="“syslog:tcp://… accepts nothing”",
        host=NO_HOST,
    )


def test_udp_reports_closed_port_with_next_message() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    sink = SyslogSink(SyslogSettings("udp", "127.0.0.1", port))
    sink.write([alert(0)])
    time.sleep(0.1)
    with pytest.raises(SinkError, match=r"^cannot reach syslog:udp://.*: Connection refused$"):
        sink.write([alert(1)])


@pytest.mark.parametrize("form", list(Format))
@given(text=st.text(max_size=3000), most=st.integers(480, 4000))
def test_message_fits_and_parses(text: str, most: int, form: Format) -> None:
    encoded = encode_message(alert(0, text=text), 10, form, most)
    assert len(encoded) <= most
    head, _, rest = encoded.decode().partition(" [auditsense@32473")
    assert head.startswith("<85>1 2026-09-21T14:13:20.123Z here auditsense ")
    assert len(head.split(" ")) == 6
    assert rest[0] == " "
    assert encoded.decode().isprintable()
