"""Sinks apart: nobody waits for one, each document is counted once, and its process ends as it should."""

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
from auditsense.detect.ecs import SINK_DATASET
from auditsense.sinks import SinkError
from auditsense.sinks import fanout as several
from auditsense.sinks.fanout import SinkSet
from auditsense.sinks.fields import look_up
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


def wait_until(what: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.01)


def tended(apart: SinkProcess) -> SinkProcess:
    apart.poll()
    return apart


def more(said: list[Document], sinks: SinkSet) -> list[Document]:
    said += sinks.poll()
    return said


def line(n: int, size: int = 0) -> bytes:
    return json.dumps(fake_document(n=n, x="x" * size)).encode() + b"\n"


def numbers(path: Path) -> list[int]:
    """Return what is in a file; every line of it must be a document."""
    data = path.read_bytes()
    assert data == b"" or data.endswith(b"\n")
    return [json.loads(one)["n"] for one in data.splitlines() if b'"n"' in one]


def read_into(path: Path, reading: int) -> subprocess.Popen[bytes]:
    """Begin to read a pipe, to its end."""
    with path.open("wb") as file:
        reader = subprocess.Popen(["cat"], stdin=reading, stdout=file)
    os.close(reading)
    return reader


class Plan:
    """A sink that does as it was told, and writes to a file what it took. For the process of a sink."""

    def __init__(self, path: Path, *refusals: SinkError | None, slow_s: float = 0.0) -> None:
        self.path = path
        self.refusals = list(refusals)
        self.slow_s = slow_s

    def write(self, documents: Sequence[Document]) -> None:
        refusal = self.refusals.pop(0) if self.refusals else None
        time.sleep(self.slow_s)
        took = documents if refusal is None else documents[: refusal.written]
        with self.path.open("ab") as file:
            file.write(b"".join(line(look_up(one, "n")) for one in took if "n" in one))
        if refusal is not None:
            raise refusal

    def fileno(self) -> int:
        return -1

    def reopen(self) -> None:
        with self.path.open("ab") as file:
            file.write(line(-1))

    def close(self) -> None:
        pass


class Away:
    """A sink that is away for as long as a file is not there."""

    def __init__(self, there: Path, path: Path) -> None:
        self.there = there
        self.plan = Plan(path)

    def write(self, documents: Sequence[Document]) -> None:
        if not self.there.exists():
            raise SinkError("nobody is there")
        self.plan.write(documents)

    def fileno(self) -> int:
        return -1

    def reopen(self) -> None:
        pass

    def close(self) -> None:
        pass


@contextlib.contextmanager
def started(sink: Any, name: str = "one", **options: int) -> Iterator[SinkProcess]:  # noqa: ANN401 - any sink
    apart = SinkProcess(sink, name, **options)
    apart.start()
    try:
        yield apart
    finally:
        apart.close()
        assert apart.pid == 0
        assert apart.counts.pending == 0


# --- what it is given gets there ----------------------------------------------------------


def test_everything_gets_there_in_order_before_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with started(FileSink(path)) as apart:
        for n in range(0, 20_000, 100):
            apart.send(b"".join(line(n + i) for i in range(100)), 100)
    assert numbers(path) == list(range(20_000))
    assert (apart.counts.written, apart.counts.dropped, apart.counts.failed) == (20_000, 0, 0)
    assert not apart.problem
    assert not apart.stopped


def test_a_sink_that_looks_into_documents_gets_documents(tmp_path: Path) -> None:
    with started(Plan(tmp_path / "out")) as apart:
        apart.send(line(1, 300_000) + line(2), 2)
    assert numbers(tmp_path / "out") == [1, 2]


def test_it_is_opened_again_after_what_it_was_given_before(tmp_path: Path) -> None:
    with started(Plan(tmp_path / "out")) as apart:
        apart.send(line(1), 1)
        apart.reopen()
        apart.send(line(2), 1)
    assert numbers(tmp_path / "out") == [1, -1, 2]


@settings(max_examples=20, deadline=None)
@given(
    batches=st.lists(st.integers(1, 5), max_size=6),
    refusals=st.lists(st.none() | st.tuples(st.integers(0, 5), st.booleans()), max_size=4),
)
def test_with_any_errors_each_document_is_written_once_or_counted(
    batches: list[int], refusals: list[tuple[int, bool] | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("plan") / "out"
    path.touch()
    planned = [
        None if one is None else SinkError("no", written=0 if one[1] else min(one[0], 1), refused=one[1])
        for one in refusals
    ]
    total = sum(batches)
    with started(Plan(path, *planned)) as apart:
        n = 0
        for count in batches:
            apart.send(b"".join(line(n + i) for i in range(count)), count)
            n += count
    found = numbers(path)
    assert found == sorted(set(found))
    assert apart.counts.written == len(found)
    assert apart.counts.failed == total - len(found)
    assert apart.counts.dropped == 0


# --- nobody waits ------------------------------------------------------------------------


def test_a_sink_that_takes_nothing_is_not_waited_for_and_what_is_dropped_is_counted(
    tmp_path: Path, fault: Recorder
) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, 1031, 4096)  # F_SETPIPE_SZ
    with os.fdopen(writing, "w") as stream, started(StreamSink(stream), queue_bytes=1 << 20) as apart:
        for n in range(10_000):
            apart.send(line(n, 1000), 1)
            assert apart.queued_bytes <= 1 << 20
        assert apart.counts.dropped > 1000
        dropped = apart.counts.dropped
        assert apart.counts.max_queued_bytes <= 1 << 20
        stream.close()
        reader = read_into(tmp_path / "read", reading)
        wait_until(lambda: not tended(apart).queued_bytes)
        apart.send(line(10_000), 1)
        apart.close()
        reader.wait(LIMIT_S)
    found = numbers(tmp_path / "read")
    assert len(found) == 10_001 - dropped == apart.counts.written
    assert found[:-1] == list(range(len(found) - 1))  # the oldest were kept
    assert found[-1] == 10_000
    fault(
        "a sink takes nothing for a while",
        how="a pipe that nobody reads, 10 MB of documents for a queue of 1 MiB, then all of it is read",
        did="did not wait; kept what the queue had room for, and went on when it was read",
        lost="documents that found the queue full",
        reported="how many, exactly",
        host=NO_HOST,
    )


def test_a_sink_that_stands_still_to_the_end_is_ended_and_the_rest_counted_as_failed() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, started(StreamSink(stream)) as apart:
        stream.close()
        apart.send(b"".join(line(n, 1000) for n in range(1000)), 1000)
    assert apart.counts.failed == 1000 - apart.counts.written > 0
    os.close(reading)


def test_a_sink_that_is_away_gets_everything_when_it_is_back(tmp_path: Path) -> None:
    there, path = tmp_path / "there", tmp_path / "out"
    with started(Away(there, path)) as apart:
        apart.send(line(1) + line(2), 2)
        wait_until(lambda: tended(apart).problem)
        assert apart.problem == "nobody is there"
        apart.send(line(3), 1)
        there.touch()
        wait_until(lambda: tended(apart).counts.written == 3)
        assert not apart.problem
    assert numbers(path) == [1, 2, 3]


def test_a_sink_that_is_away_to_the_end_does_not_keep_the_sensor(tmp_path: Path) -> None:
    with started(Away(tmp_path / "there", tmp_path / "out")) as apart:
        apart.send(line(1) + line(2), 2)
    assert apart.counts.failed == 2
    assert apart.problem == "nobody is there"


# --- its process ----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_what_is_sent_to_all_does_not_end_it(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "out"
    with started(FileSink(path)) as apart:
        os.kill(apart.pid, number)
        apart.send(line(1), 1)
    assert numbers(path) == [1]


def test_it_keeps_no_descriptor_but_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out"
    secret = (tmp_path / "secret").open("w")
    with secret, started(FileSink(tmp_path / "first"), "first"), started(FileSink(path), "second") as apart:
        apart.send(line(1), 1)
        wait_until(lambda: tended(apart).counts.written)
        folder = Path(f"/proc/{apart.pid}/fd")
        found = {int(one.name): str(one.readlink()) for one in folder.iterdir()}
        assert Path(f"/proc/{apart.pid}/comm").read_text() == "sink-second\n"
    others = [target for number, target in found.items() if number > 2]
    assert sorted(target.partition(":")[0] for target in others) == [str(path), "pipe", "pipe"]
    assert found[0] == found[1] == "/dev/null"


def test_one_that_was_killed_is_over_and_what_it_had_is_counted(tmp_path: Path, fault: Recorder) -> None:
    with started(FileSink(tmp_path / "out")) as apart:
        apart.send(line(1), 1)
        wait_until(lambda: tended(apart).counts.written)
        os.kill(apart.pid, signal.SIGKILL)
        wait_until(lambda: tended(apart).stopped)
        assert apart.problem == "its process was ended"
        apart.send(line(2) + line(3), 2)
    assert (apart.counts.submitted, apart.counts.written, apart.counts.failed) == (3, 1, 2)
    fault(
        "somebody kills the process of a sink",
        how="SIGKILL to it, then two documents",
        did="went on with its other sinks; without one it ends",
        lost="the documents for that sink from then on",
        reported="“its process was ended”, and how many documents failed",
        host=NO_HOST,
    )


GOOD = b'{"written": 0, "failed": 0, "problem": "", "stopped": false}\n'
NO_REPORTS = {
    "text": b"x\n",
    "another object": b'{"a":1}\n',
    "a list": b"[1]\n",
    "a number": b"7\n",
    "null": b"null\n",
    "nothing": b"\n",
    "binary": bytes(range(256)) + b"\n",
    "no text": b"\xff\xfe\n",
    "one field more": b'{"written": 0, "failed": 0, "problem": "", "stopped": false, "pid": 1}\n',
    "one field less": b'{"written": 0, "failed": 0, "problem": ""}\n',
    "a field of another kind": b'{"written": "0", "failed": 0, "problem": "", "stopped": false}\n',
    "a truth for a number": b'{"written": true, "failed": 0, "problem": "", "stopped": false}\n',
    "a number for a text": b'{"written": 0, "failed": 0, "problem": 1, "stopped": false}\n',
    "less than nothing": b'{"written": -1, "failed": 0, "problem": "", "stopped": false}\n',
    "more than was given": b'{"written": 99, "failed": 0, "problem": "", "stopped": false}\n',
    "a fraction": b'{"written": 1e400, "failed": 0, "problem": "", "stopped": false}\n',
    "a huge number": b'{"written": ' + b"9" * 5000 + b', "failed": 0, "problem": "", "stopped": false}\n',
    "a number of 64 bits": GOOD.replace(b"0", b"%d" % (1 << 63), 1),
    "deep nesting": b"[" * 2000 + b"\n",
    "very deep nesting": b"[" * 60_000 + b"\n",
    "a long line": b" " * 60_000 + GOOD,
    "no line end": b"x" * 60_000,
    "a bad one between good ones": GOOD + b"x\n" + GOOD,
}


class Saying(Plan):
    """A sink whose process writes to the pipe of its reports, which is the highest descriptor it has."""

    said = b""
    pause = True

    def write(self, documents: Sequence[Document]) -> None:  # noqa: ARG002 - of every sink
        open_now = [int(one.name) for one in Path("/proc/self/fd").iterdir() if one.exists()]
        report = max(open_now)
        os.set_blocking(report, True)
        while True:
            os.write(report, self.said)
            if self.pause:
                signal.pause()


@pytest.mark.parametrize("said", NO_REPORTS.values(), ids=NO_REPORTS)
def test_any_bytes_from_a_sink_end_that_sink_only(said: bytes, tmp_path: Path, fault: Recorder) -> None:
    bad = Saying(tmp_path / "bad")
    bad.said = said
    with started(bad, "bad") as refused, started(FileSink(tmp_path / "good"), "good") as good:
        sinks = SinkSet([refused, good], HOST)
        sinks.send([fake_document(n=1)])
        notices: list[Document] = []
        wait_until(lambda: more(notices, sinks) and refused.stopped)
        assert refused.problem == "its process sent an invalid report"
        sinks.send([fake_document(n=2)])
        wait_until(lambda: tended(good).counts.pending == 0)
        assert "sink bad stopped" in notices[0]["message"]
        wait_until(lambda: tended(refused).pid == 0)
    assert numbers(tmp_path / "good") == [1, 2]
    counts = refused.counts
    assert counts.written == 0
    assert counts.failed == counts.submitted
    fault(
        "the process of a sink writes something else than its reports",
        how="text, other JSON, binary, half and endless lines, deep nesting, huge numbers, false counts",
        did="ended that sink and its process; the other sink got everything",
        lost="the documents for that sink, counted as failed",
        reported="“sink … stopped: its process sent an invalid report”",
        host=NO_HOST,
    )


@pytest.mark.parametrize("said", [GOOD, b"x" * 100], ids=["reports", "bytes"])
def test_sink_that_floods_its_reports_keeps_nobody(said: bytes, tmp_path: Path, fault: Recorder) -> None:
    flood = Saying(tmp_path / "flood")
    flood.said = said * 100
    flood.pause = False
    with started(flood, "flood") as flooding:
        flooding.send(line(1), 1)
        for _ in range(200):
            flooding.poll()  # it returns, each time
        assert len(flooding._unread) < 1 << 18
        if flooding.pid:  # it was not refused meanwhile
            os.kill(flooding.pid, signal.SIGKILL)
        wait_until(lambda: tended(flooding).stopped)
    assert flooding.counts.failed == 1
    fault(
        "the process of a sink floods the sensor with reports",
        how="reports, and bytes without a line end, as fast as it can",
        did="read a bounded part of them at each turn, and went on",
        lost="the documents for that sink",
        reported="the sink is over, and why",
        host=NO_HOST,
    )


def test_stopped_sink_keeps_nobody(tmp_path: Path, fault: Recorder) -> None:
    """A sink under SIGSTOP takes nothing; what does not fit is dropped, and the end does not wait for it."""
    with (
        started(FileSink(tmp_path / "stopped"), "stopped", queue_bytes=1 << 16) as stopped,
        started(FileSink(tmp_path / "good"), "good") as good,
    ):
        os.kill(stopped.pid, signal.SIGSTOP)
        sinks = SinkSet([stopped, good], HOST)
        for n in range(4000):
            sinks.send([fake_document(n=n, x="x" * 900)])
        assert stopped.counts.dropped > 0
        wait_until(lambda: tended(good).counts.pending == 0)
    assert numbers(tmp_path / "good") == list(range(4000))
    assert stopped.pid == 0
    assert stopped.counts.failed + stopped.counts.dropped == 4000
    fault(
        "somebody stops the process of a sink (SIGSTOP)",
        how="SIGSTOP, then 4,000 documents, then the end",
        did="gave the other sink everything, dropped what found no room, and killed the process at the end",
        lost="the documents for that sink",
        reported="“sink … drops documents”, and the counts",
        host=NO_HOST,
    )


def test_sink_that_may_not_be_killed_does_not_end_the_sensor(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process of a file stays root's when the sensor becomes another user, which may not kill it."""
    apart = SinkProcess(FileSink(tmp_path / "out"), "one")
    apart.start()
    pid = apart.pid
    os.kill(pid, signal.SIGSTOP)
    apart.send(line(1), 1)
    kill = os.kill

    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("auditsense.sinks.subprocess_sink._STALL_S", 0.1)
    monkeypatch.setattr(os, "kill", refused)
    apart.close()
    monkeypatch.undo()
    assert apart.counts.failed == 1
    kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[0] == pid


SENSOR = """
import os, sys, time
from pathlib import Path
from auditsense.sinks.subprocess_sink import SinkProcess
from auditsense.sinks.file import FileSink
from auditsense.sinks.stream import StreamSink
held = os.fdopen(int(sys.argv[2]), "w")
parts = [SinkProcess(FileSink(Path(sys.argv[1])), "file"), SinkProcess(StreamSink(held), "stuck")]
for one in parts:
    one.start()
held.close()
print(*[one.pid for one in parts], flush=True)
n = 0
while True:
    lines = b"".join(b'{"n":%d,"x":"%s"}\\n' % (n + i, b"x" * 900) for i in range(50))
    n += 50
    for one in parts:
        one.send(lines, 50)
    time.sleep(0.001)
"""


def test_when_the_sensor_is_killed_its_sinks_write_what_they_have_and_end(
    tmp_path: Path, fault: Recorder
) -> None:
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
    for pid in pids:  # of the second one nobody reads a byte
        wait_until(lambda pid=pid: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]
    os.close(reading)
    found = numbers(path)
    assert found == list(range(len(found)))
    fault(
        "the sensor is killed while its sinks write",
        how="SIGKILL, with a file and with a pipe that nobody reads",
        did="both processes ended, the second after some seconds; the file has whole lines, none missing",
        lost="what waited in the sensor's own queue, and in the pipe that nobody read",
        reported=NOTHING,
        host=NO_HOST,
    )


# --- several --------------------------------------------------------------------------------


def documents(first: int, count: int, size: int = 0) -> list[Document]:
    return [fake_document(n=n, x="x" * size) for n in range(first, first + count)]


def test_while_one_is_blocked_the_other_gets_everything_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Recorder
) -> None:
    monkeypatch.setattr(several, "_RECOVERY_S", 0.2)
    path = tmp_path / "out"
    reading, writing = os.pipe()
    said: list[Document] = []
    with (
        os.fdopen(writing, "w") as stream,
        started(StreamSink(stream), "blocked", queue_bytes=1 << 20) as blocked,
        started(FileSink(path), "file:out") as other,
    ):
        stream.close()
        sinks = SinkSet([blocked, other], HOST)
        for n in range(0, 5000, 10):
            sinks.send(documents(n, 10, 1000))
            said += sinks.poll()
        reader = read_into(tmp_path / "read", reading)
        deadline = time.monotonic() + LIMIT_S
        while len(said) < 2 and time.monotonic() < deadline:
            said += sinks.poll()
            time.sleep(sinks.timeout_s() / 10)
        sinks.send(documents(5000, 1))
        sinks.close()
        reader.wait(LIMIT_S)
    assert numbers(path) == list(range(5001))
    assert [one["rule"]["id"] for one in said] == ["auditsense.sink.dropping", "auditsense.sink.recovered"]
    assert all(one["event"]["dataset"] == SINK_DATASET for one in said)
    dropped = said[1]["auditsense"]["sink"]["dropped"]
    assert said[1]["message"] == (f"sink blocked recovered; {dropped} documents were dropped and 0 failed")
    # The one that dropped says so itself, where documents are missing.
    rest = [json.loads(one) for one in (tmp_path / "read").read_text().splitlines()]
    assert [one.get("message") for one in rest[-2:]] == [said[1]["message"], None]
    assert len([one for one in rest if "n" in one]) == 5001 - (dropped - 1)  # one was what was said of it
    assert sinks.lossy()
    assert sinks.summary() == (
        f"blocked: {len(rest)} documents written, {dropped} dropped; file:out: 5003 documents written"
    )
    fault(
        "one of two sinks is blocked",
        how="a pipe that nobody reads beside a file, 5,000 documents, then it is read",
        did="the file got everything; the other one what its queue had room for, and everything again later",
        lost="documents of that sink alone",
        reported="a document when it begins and one when it is over, to both; how many, exactly",
        host=NO_HOST,
    )


def test_a_sink_that_fails_is_said_to_all_of_them_once_and_again_when_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(several, "_RECOVERY_S", 0.2)
    said: list[Document] = []
    there = tmp_path / "there"
    away = Away(there, tmp_path / "away")
    with started(away, "away") as one, started(FileSink(tmp_path / "out"), "file") as other:
        sinks = SinkSet([one, other], HOST)
        sinks.send(documents(0, 1))
        wait_until(lambda: more(said, sinks))
        for _ in range(20):
            said += sinks.poll()
        there.write_text("")
        away.plan.path = tmp_path / "away"
        wait_until(lambda: len(more(said, sinks)) > 1)
        assert not sinks.lossy()
    assert [doc["message"] for doc in said] == [
        "sink away fails: nobody is there; documents wait in its queue",
        "sink away recovered; 0 documents were dropped and 0 failed",
    ]
    assert [doc["auditsense"]["severity"] for doc in said] == ["medium", "low"]
    kept = [json.loads(one).get("message") for one in (tmp_path / "out").read_text().splitlines()]
    assert kept == [None, *(doc["message"] for doc in said)]


def test_one_that_is_needed_ends_it_with_its_own_words() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream, started(StreamSink(stream), "stdout") as apart:
        sinks = SinkSet([apart], HOST, required=frozenset({"stdout"}))
        sinks.send(documents(0, 1))
        with pytest.raises(SinkError, match=r"^standard output was closed by its reader$"):
            wait_until(sinks.poll)


def test_when_none_is_left_it_ends(tmp_path: Path) -> None:
    with started(FileSink(tmp_path / "a"), "a") as one, started(FileSink(tmp_path / "b"), "b") as other:
        sinks = SinkSet([one, other], HOST)
        os.kill(one.pid, signal.SIGKILL)
        said: list[Document] = []
        wait_until(lambda: more(said, sinks))
        assert said[0]["message"] == "sink a stopped: its process was ended; no more documents are sent to it"
        os.kill(other.pid, signal.SIGKILL)
        with pytest.raises(SinkError) as none_left:
            wait_until(lambda: sinks.poll() and False)
    assert str(none_left.value) == "no sink is left; a: its process was ended; b: its process was ended"


def test_asked_to_reopen_all_of_them_do(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with started(FileSink(path)) as apart:
        sinks = SinkSet([apart], HOST)
        sinks.send(documents(0, 1))
        wait_until(lambda: sinks.poll() or apart.counts.written)
        path.rename(tmp_path / "out.1")
        sinks.request_reopen()
        sinks.poll()
        sinks.send(documents(1, 1))
    assert numbers(tmp_path / "out.1") == [0]
    assert numbers(path) == [1]
