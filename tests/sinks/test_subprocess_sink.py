"""Sink processes: they never block the sensor, count each document once, and end properly."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditsense import Host
from auditsense.detect.compact_line import look_up
from auditsense.detect.ecs import SINK_DATASET
from auditsense.sinks import SinkError
from auditsense.sinks import fanout as several
from auditsense.sinks.fanout import SinkSet
from auditsense.sinks.file import FileSink
from auditsense.sinks.stream import StreamSink
from auditsense.sinks.subprocess_sink import SinkProcess
from tests.support.faults import NO_HOST, NOTHING, Recorder
from tests.support.outputs import fake_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense import Document

HOST = Host("0123456789abcdef0123456789abcdef", "here")
LIMIT_S = 300.0


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def polled(process: SinkProcess) -> SinkProcess:
    process.poll()
    return process


def poll_into(notices: list[Document], sinks: SinkSet) -> list[Document]:
    notices += sinks.poll()
    return notices


def line(n: int, size: int = 0) -> bytes:
    return json.dumps(fake_document(n=n, x="x" * size)).encode() + b"\n"


def numbers(path: Path) -> list[int]:
    """Return the numbers in a file; every line must be a document."""
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(line)["n"] for line in data.splitlines() if b'"n"' in line]


def read_into(path: Path, reading: int) -> subprocess.Popen[bytes]:
    """Start to read a pipe to its end."""
    with path.open("wb") as file:
        reader = subprocess.Popen(["cat"], stdin=reading, stdout=file)
    os.close(reading)
    return reader


class PlannedSink:
    """Sink with planned errors that writes accepted documents to a file."""

    def __init__(self, path: Path, *refusals: SinkError | None, slow_s: float = 0.0) -> None:
        self.path = path
        self.refusals = list(refusals)
        self.slow_s = slow_s

    def write(self, documents: Sequence[Document]) -> None:
        refusal = self.refusals.pop(0) if self.refusals else None
        time.sleep(self.slow_s)
        accepted = documents if refusal is None else documents[: refusal.written]
        with self.path.open("ab") as file:
            file.write(b"".join(line(look_up(document, "n")) for document in accepted if "n" in document))
        if refusal is not None:
            raise refusal

    def fileno(self) -> int:
        return -1

    def reopen(self) -> None:
        with self.path.open("ab") as file:
            file.write(line(-1))

    def close(self) -> None:
        pass


class FailingSink:
    """Sink that fails until a file exists."""

    def __init__(self, there: Path, path: Path) -> None:
        self.there = there
        self.plan = PlannedSink(path)

    def write(self, documents: Sequence[Document]) -> None:
        if not self.there.exists():
            raise SinkError("out of order")
        self.plan.write(documents)

    def fileno(self) -> int:
        return -1

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextlib.contextmanager
def started(sink: Any, name: str = "one", **options: int) -> Iterator[SinkProcess]:  # noqa: ANN401 - any sink
    process = SinkProcess(sink, name, **options)
    process.start()
    try:
        yield process
    finally:
        process.close()
        assert process.pid == 0
        assert process.counts.pending == 0


# --- delivery ----------------------------------------------------------


def test_all_documents_arrive_in_order_before_close(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with started(FileSink(path)) as process:
        for n in range(0, 20_000, 100):
            process.send(b"".join(line(n + i) for i in range(100)), 100)
    assert numbers(path) == list(range(20_000))
    assert (process.counts.written, process.counts.dropped, process.counts.failed) == (20_000, 0, 0)
    assert not process.problem
    assert not process.stopped


def test_document_sink_gets_documents(tmp_path: Path) -> None:
    with started(PlannedSink(tmp_path / "out")) as process:
        process.send(line(1, 300_000) + line(2), 2)
    assert numbers(tmp_path / "out") == [1, 2]


def test_reopen_keeps_order_of_documents(tmp_path: Path) -> None:
    with started(PlannedSink(tmp_path / "out")) as process:
        process.send(line(1), 1)
        process.reopen()
        process.send(line(2), 1)
    assert numbers(tmp_path / "out") == [1, -1, 2]


@settings(max_examples=20, deadline=None)
@given(
    batches=st.lists(st.integers(1, 5), max_size=6),
    refusals=st.lists(st.none() | st.tuples(st.integers(0, 5), st.booleans()), max_size=4),
)
def test_document_is_written_once_or_counted_after_errors(
    batches: list[int], refusals: list[tuple[int, bool] | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("plan") / "out"
    path.touch()
    planned = [
        None if plan is None else SinkError("no", written=0 if plan[1] else min(plan[0], 1), refused=plan[1])
        for plan in refusals
    ]
    total = sum(batches)
    with started(PlannedSink(path, *planned)) as process:
        n = 0
        for count in batches:
            process.send(b"".join(line(n + i) for i in range(count)), count)
            n += count
    written = numbers(path)
    assert written == sorted(set(written))
    assert process.counts.written == len(written)
    assert process.counts.failed == total - len(written)
    assert process.counts.dropped == 0


# --- blocked destinations ------------------------------------------------------------------------


def test_blocked_sink_drops_and_counts_without_waiting(tmp_path: Path, fault: Recorder) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    with os.fdopen(writing, "w") as stream, started(StreamSink(stream), queue_bytes=1 << 20) as process:
        for n in range(10_000):
            process.send(line(n, 1000), 1)
            assert process.queued_bytes <= 1 << 20
        assert process.counts.dropped > 1000
        dropped = process.counts.dropped
        assert process.counts.max_queued_bytes <= 1 << 20
        stream.close()
        reader = read_into(tmp_path / "read", reading)
        wait_until(lambda: not polled(process).queued_bytes)
        process.send(line(10_000), 1)
        process.close()
        reader.wait(LIMIT_S)
    read = numbers(tmp_path / "read")
    assert len(read) == 10_001 - dropped == process.counts.written
    assert read[:-1] == list(range(len(read) - 1))  # the oldest were kept
    assert read[-1] == 10_000
    fault(
        "a sink accepts nothing for a while",
        how="an unread pipe, 10 MB of documents for a queue of 1 MiB, then everything is read",
        did="did not block; kept what fit into the queue, and resumed when the pipe was read",
        lost="documents that did not fit into the queue",
        reported="how many, exactly",
        host=NO_HOST,
    )


def test_sink_stalled_at_close_is_killed_and_counted() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, started(StreamSink(stream)) as process:
        stream.close()
        process.send(b"".join(line(n, 1000) for n in range(1000)), 1000)
    assert process.counts.failed == 1000 - process.counts.written > 0
    os.close(reading)


def test_failing_sink_gets_all_documents_after_recovery(tmp_path: Path) -> None:
    there, path = tmp_path / "there", tmp_path / "out"
    with started(FailingSink(there, path)) as process:
        process.send(line(1) + line(2), 2)
        wait_until(lambda: polled(process).problem)
        assert process.problem == "out of order"
        process.send(line(3), 1)
        there.touch()
        wait_until(lambda: polled(process).counts.written == 3)
        assert not process.problem
    assert numbers(path) == [1, 2, 3]


def test_failing_sink_does_not_delay_close(tmp_path: Path) -> None:
    with started(FailingSink(tmp_path / "there", tmp_path / "out")) as process:
        process.send(line(1) + line(2), 2)
    assert process.counts.failed == 2
    assert process.problem == "out of order"


# --- the child process ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_group_signal_does_not_end_sink(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "out"
    with started(FileSink(path)) as process:
        os.kill(process.pid, number)
        process.send(line(1), 1)
    assert numbers(path) == [1]


def test_sink_process_keeps_only_its_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "out"
    secret = (tmp_path / "secret").open("w")
    with secret, started(FileSink(tmp_path / "first"), "first"), started(FileSink(path), "second") as process:
        process.send(line(1), 1)
        wait_until(lambda: polled(process).counts.written)
        folder = Path(f"/proc/{process.pid}/fd")
        descriptors = {int(link.name): str(link.readlink()) for link in folder.iterdir()}
        assert Path(f"/proc/{process.pid}/comm").read_text() == "sink-second\n"
    others = [target for number, target in descriptors.items() if number > 2]
    assert sorted(target.partition(":")[0] for target in others) == [str(path), "pipe", "pipe"]
    assert descriptors[0] == descriptors[1] == "/dev/null"


def test_killed_sink_stops_and_its_documents_are_counted(tmp_path: Path, fault: Recorder) -> None:
    with started(FileSink(tmp_path / "out")) as process:
        process.send(line(1), 1)
        wait_until(lambda: polled(process).counts.written)
        os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: polled(process).stopped)
        assert process.problem == "its process was ended"
        process.send(line(2) + line(3), 2)
    assert (process.counts.submitted, process.counts.written, process.counts.failed) == (3, 1, 2)
    fault(
        "the process of a sink is killed",
        how="SIGKILL to it, then two documents",
        did="continued with its other sinks; without any, it ends",
        lost="the documents for that sink from then on",
        reported="“its process was ended”, and how many documents failed",
        host=NO_HOST,
    )


GOOD = b'{"written": 0, "failed": 0, "problem": "", "stopped": false, "generation": 0}\n'
INVALID_REPORTS = {
    "text": b"x\n",
    "another object": b'{"a":1}\n',
    "a list": b"[1]\n",
    "a number": b"7\n",
    "null": b"null\n",
    "nothing": b"\n",
    "binary": bytes(range(256)) + b"\n",
    "invalid UTF-8": b"\xff\xfe\n",
    "one field more": GOOD.replace(b"}", b', "pid": 1}'),
    "one field less": GOOD.replace(b', "stopped": false', b""),
    "a field of another type": GOOD.replace(b"0", b'"0"', 1),
    "a boolean for a number": GOOD.replace(b"0", b"true", 1),
    "a number for a text": GOOD.replace(b'""', b"1"),
    "a negative number": GOOD.replace(b"0", b"-1", 1),
    "more than submitted": GOOD.replace(b"0", b"99", 1),
    "a fraction": GOOD.replace(b"0", b"1e400", 1),
    "a huge number": GOOD.replace(b"0", b"9" * 5000, 1),
    "a number of 64 bits": GOOD.replace(b"0", b"%d" % (1 << 63), 1),
    "deep nesting": b"[" * 2000 + b"\n",
    "very deep nesting": b"[" * 60_000 + b"\n",
    "a long line": b" " * 60_000 + GOOD,
    "no line end": b"x" * 60_000,
    "an invalid report between valid ones": GOOD + b"x\n" + GOOD,
    "a generation of a process that is not restarted": GOOD.replace(b"0}", b"1}"),
}


class BadReports(PlannedSink):
    """Sink that writes to the pipe of its reports, which is its highest descriptor."""

    reports = b""
    pause = True

    def write(self, documents: Sequence[Document]) -> None:  # noqa: ARG002 - interface of a sink
        open_now = [int(link.name) for link in Path("/proc/self/fd").iterdir() if link.exists()]
        report = max(open_now)
        os.set_blocking(report, True)
        while True:
            os.write(report, self.reports)
            if self.pause:
                signal.pause()


@pytest.mark.parametrize("reports", INVALID_REPORTS.values(), ids=INVALID_REPORTS)
def test_invalid_report_stops_only_that_sink(reports: bytes, tmp_path: Path, fault: Recorder) -> None:
    bad = BadReports(tmp_path / "bad")
    bad.reports = reports
    with started(bad, "bad") as refused, started(FileSink(tmp_path / "good"), "good") as good:
        sinks = SinkSet([refused, good], HOST)
        sinks.send([fake_document(n=1)])
        notices: list[Document] = []
        wait_until(lambda: poll_into(notices, sinks) and refused.stopped)
        assert refused.problem == "its process sent an invalid report"
        sinks.send([fake_document(n=2)])
        wait_until(lambda: polled(good).counts.pending == 0)
        assert "sink bad stopped" in notices[0]["message"]
        wait_until(lambda: polled(refused).pid == 0)
    assert numbers(tmp_path / "good") == [1, 2]
    counts = refused.counts
    assert counts.written == 0
    assert counts.failed == counts.submitted
    fault(
        "the process of a sink sends invalid reports",
        how="text, other JSON, binary, half and endless lines, deep nesting, huge numbers, false counts",
        did="ended that sink and its process; the other sink got everything",
        lost="the documents of that sink, counted as failed",
        reported="“sink … stopped: its process sent an invalid report”",
        host=NO_HOST,
    )


@pytest.mark.parametrize("reports", [GOOD, b"x" * 100], ids=["reports", "bytes"])
def test_flood_of_reports_does_not_block_sensor(reports: bytes, tmp_path: Path, fault: Recorder) -> None:
    flood = BadReports(tmp_path / "flood")
    flood.reports = reports * 100
    flood.pause = False
    with started(flood, "flood") as flooding:
        flooding.send(line(1), 1)
        for _ in range(200):
            flooding.poll()  # returns each time
        assert len(flooding._unread) < 1 << 18
        if flooding.pid:  # it was not rejected yet
            os.kill(flooding.pid, signal.SIGKILL)
        wait_until(lambda: polled(flooding).stopped)
    assert flooding.counts.failed == 1
    fault(
        "the process of a sink floods the sensor with reports",
        how="reports, and bytes without a line end, as fast as it can",
        did="read a bounded part of them per poll, and continued",
        lost="the documents for that sink",
        reported="that the sink stopped, and why",
        host=NO_HOST,
    )


def test_stopped_sink_process_blocks_no_other_sink(tmp_path: Path, fault: Recorder) -> None:
    """A sink under SIGSTOP reads nothing; documents that do not fit are dropped, and close does not wait."""
    with (
        started(FileSink(tmp_path / "stopped"), "stopped", queue_bytes=1 << 16) as stopped,
        started(FileSink(tmp_path / "good"), "good") as good,
    ):
        os.kill(stopped.pid, signal.SIGSTOP)
        sinks = SinkSet([stopped, good], HOST)
        for n in range(4000):
            sinks.send([fake_document(n=n, x="x" * 900)])
        assert stopped.counts.dropped > 0
        wait_until(lambda: polled(good).counts.pending == 0)
    assert numbers(tmp_path / "good") == list(range(4000))
    assert stopped.pid == 0
    assert stopped.counts.failed + stopped.counts.dropped == 4000
    fault(
        "the process of a sink is stopped (SIGSTOP)",
        how="SIGSTOP, then 4,000 documents, then the end",
        did="gave the other sink everything, dropped what did not fit, and killed the process at the end",
        lost="the documents for that sink",
        reported="“sink … drops documents”, and the counts",
        host=NO_HOST,
    )


def test_sink_that_may_not_be_killed_does_not_end_sensor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process of a file sink stays root when the sensor drops root, and may not be killed then."""
    process = SinkProcess(FileSink(tmp_path / "out"), "one")
    process.start()
    pid = process.pid
    os.kill(pid, signal.SIGSTOP)
    process.send(line(1), 1)
    kill = os.kill

    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("auditsense.sinks.subprocess_sink._STALL_S", 0.1)
    monkeypatch.setattr(os, "kill", refused)
    process.close()
    monkeypatch.undo()
    assert process.counts.failed == 1
    kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[0] == pid


SENSOR = """
import os, sys, time
from pathlib import Path
from auditsense.sinks.subprocess_sink import SinkProcess
from auditsense.sinks.file import FileSink
from auditsense.sinks.stream import StreamSink
held = os.fdopen(int(sys.argv[2]), "w")
sinks = [SinkProcess(FileSink(Path(sys.argv[1])), "file"), SinkProcess(StreamSink(held), "stuck")]
for sink in sinks:
    sink.start()
held.close()
print(*[sink.pid for sink in sinks], flush=True)
n = 0
while True:
    lines = b"".join(b'{"n":%d,"x":"%s"}\\n' % (n + i, b"x" * 900) for i in range(50))
    n += 50
    for sink in sinks:
        sink.send(lines, 50)
    time.sleep(0.001)
"""


def test_sinks_write_pending_documents_after_sensor_is_killed(tmp_path: Path, fault: Recorder) -> None:
    path = tmp_path / "out"
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", SENSOR, str(path), str(writing)],
        stdout=subprocess.PIPE,
        pass_fds=[writing],
    ) as sensor:
        os.close(writing)
        assert sensor.stdout is not None
        pids = [int(word) for word in sensor.stdout.readline().split()]
        wait_until(lambda: path.stat().st_size > 1 << 20)
        sensor.kill()
    for pid in pids:  # the pipe of the second one is unread
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
    os.close(reading)
    written = numbers(path)
    assert written == list(range(len(written)))
    fault(
        "the sensor is killed while its sinks write",
        how="SIGKILL, with a file and with an unread pipe",
        did="both processes ended, the second after some seconds; the file has complete lines, none missing",
        lost="documents in the sensor's queue, and in the unread pipe",
        reported=NOTHING,
        host=NO_HOST,
    )


# --- several sinks --------------------------------------------------------------------------------


def documents(first: int, count: int, size: int = 0) -> list[Document]:
    return [fake_document(n=n, x="x" * size) for n in range(first, first + count)]


def test_blocked_sink_is_reported_to_all_sinks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Recorder
) -> None:
    monkeypatch.setattr(several, "_RECOVERY_S", 0.2)
    path = tmp_path / "out"
    reading, writing = os.pipe()
    notices: list[Document] = []
    with (
        os.fdopen(writing, "w") as stream,
        started(StreamSink(stream), "blocked", queue_bytes=1 << 20) as blocked,
        started(FileSink(path), "file:out") as other,
    ):
        stream.close()
        sinks = SinkSet([blocked, other], HOST)
        for n in range(0, 5000, 10):
            sinks.send(documents(n, 10, 1000))
            notices += sinks.poll()
        reader = read_into(tmp_path / "read", reading)
        deadline = time.monotonic() + LIMIT_S
        while len(notices) < 2 and time.monotonic() < deadline:
            notices += sinks.poll()
            time.sleep(sinks.timeout_s() / 10)
        sinks.send(documents(5000, 1))
        sinks.close()
        reader.wait(LIMIT_S)
    assert numbers(path) == list(range(5001))
    assert [notice["rule"]["id"] for notice in notices] == [
        "auditsense.sink.dropping",
        "auditsense.sink.recovered",
    ]
    assert all(notice["event"]["dataset"] == SINK_DATASET for notice in notices)
    dropped = notices[1]["auditsense"]["sink"]["dropped"]
    assert notices[1]["message"] == (f"sink blocked recovered; {dropped} documents were dropped and 0 failed")
    # The sink that dropped has the notice where documents are missing.
    read = [json.loads(line) for line in (tmp_path / "read").read_text().splitlines()]
    assert [document.get("message") for document in read[-2:]] == [notices[1]["message"], None]
    assert len([document for document in read if "n" in document]) == 5001 - (dropped - 1)  # one was a notice
    assert sinks.lossy()
    assert sinks.summary() == (
        f"blocked: {len(read)} documents written, {dropped} dropped; file:out: 5003 documents written"
    )
    fault(
        "one of two sinks is blocked",
        how="an unread pipe and a file, 5,000 documents, then the pipe is read",
        did="the file got everything; the other sink what fit into its queue, and everything again later",
        lost="documents of that sink only",
        reported="a document at the start and at the end, to both; how many, exactly",
        host=NO_HOST,
    )


def test_failure_and_recovery_are_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "_RECOVERY_S", 0.2)
    notices: list[Document] = []
    there = tmp_path / "there"
    away = FailingSink(there, tmp_path / "away")
    with started(away, "away") as first, started(FileSink(tmp_path / "out"), "file") as other:
        sinks = SinkSet([first, other], HOST)
        sinks.send(documents(0, 1))
        wait_until(lambda: poll_into(notices, sinks))
        for _ in range(20):
            notices += sinks.poll()
        there.write_text("")
        away.plan.path = tmp_path / "away"
        wait_until(lambda: len(poll_into(notices, sinks)) > 1)
        assert not sinks.lossy()
    assert [notice["message"] for notice in notices] == [
        "sink away fails: out of order; documents wait in its queue",
        "sink away recovered; 0 documents were dropped and 0 failed",
    ]
    assert [notice["auditsense"]["severity"] for notice in notices] == ["medium", "low"]
    written = [json.loads(line).get("message") for line in (tmp_path / "out").read_text().splitlines()]
    assert written == [None, *(notice["message"] for notice in notices)]


def test_end_of_required_sink_is_an_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, started(StreamSink(stream), "stdout") as process:
        sinks = SinkSet([process], HOST, required=frozenset({"stdout"}))
        sinks.send(documents(0, 1))
        with pytest.raises(SinkError, match=r"^standard output was closed by its reader$"):
            wait_until(sinks.poll)


def test_end_of_last_sink_is_an_error(tmp_path: Path) -> None:
    with started(FileSink(tmp_path / "a"), "a") as first, started(FileSink(tmp_path / "b"), "b") as other:
        sinks = SinkSet([first, other], HOST)
        os.kill(first.pid, signal.SIGKILL)
        notices: list[Document] = []
        wait_until(lambda: poll_into(notices, sinks))
        assert (
            notices[0]["message"] == "sink a stopped: its process was ended; no more documents are sent to it"
        )
        os.kill(other.pid, signal.SIGKILL)
        with pytest.raises(SinkError) as none_left:
            wait_until(lambda: sinks.poll() and False)
    assert str(none_left.value) == "no sink is left; a: its process was ended; b: its process was ended"


def test_requested_reopen_reaches_all_sinks(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with started(FileSink(path)) as process:
        sinks = SinkSet([process], HOST)
        sinks.send(documents(0, 1))
        wait_until(lambda: sinks.poll() or process.counts.written)
        path.rename(tmp_path / "out.1")
        sinks.request_reopen()
        sinks.poll()
        sinks.send(documents(1, 1))
    assert numbers(tmp_path / "out.1") == [0]
    assert numbers(path) == [1]
