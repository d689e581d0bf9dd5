"""The spool: what is acknowledged is on the disk, whatever ends, fills up or breaks."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.cli.output import _confinement, _seal
from auditsense.kernel import seccomp
from auditsense.sinks import SinkError, spool_store
from auditsense.sinks.acknowledged import AcknowledgedSinkProcess
from auditsense.sinks.config import SpoolSettings
from auditsense.sinks.spool import SpoolSink, document_id
from auditsense.sinks.spool_store import (
    FILE,
    MAX_DAMAGED,
    SpoolDamagedError,
    SpoolError,
    SpoolFullError,
    SpoolStore,
    SpoolUnusableError,
    set_aside,
)
from auditsense.sinks.worker import resume_mark
from tests.support.faults import NO_HOST, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LIMIT_S = 300.0
SIZE = 64 << 20


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.01)


def line(n: int, size: int = 200) -> bytes:
    """Return a document with an id as one line."""
    return json.dumps({"event": {"id": f"id-{n}"}, "n": n, "x": "x" * size}).encode() + b"\n"


def lines(first: int, count: int, size: int = 200) -> bytes:
    return b"".join(line(n, size) for n in range(first, first + count))


def spooled(folder: Path) -> list[int]:
    """Return the numbers of the documents in a spool, in order; every one must be whole."""
    store = SpoolStore(folder)
    try:
        documents = store.oldest(1 << 30, 1 << 40)
    finally:
        store.close()
    for document in documents:
        assert document.line + b"\n" == line(int(json.loads(document.line)["n"]), _size_of(document.line))
    return [int(json.loads(document.line)["n"]) for document in documents]


def _size_of(text: bytes) -> int:
    return len(json.loads(text)["x"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def process(folder: Path) -> Iterator[AcknowledgedSinkProcess]:
    sink = AcknowledgedSinkProcess(SpoolSink(folder, size=SIZE), "spool:x")
    sink.start()
    try:
        yield sink
    finally:
        sink.close()
        assert sink.counts.pending == 0


def polled(process: AcknowledgedSinkProcess) -> AcknowledgedSinkProcess:
    process.poll()
    return process


def start_confined(process: AcknowledgedSinkProcess, sink: SpoolSink, folder: Path) -> None:
    """Start the process of a spool as `run` does."""
    settings = SpoolSettings(folder)
    files = _seal(settings, sink, brokered=False)
    process.start(
        _confinement(settings, None, 0, files, brokered=False), keep=[files.fileno()] if files else []
    )
    if files is not None:
        files.close()


def worker_of(keeper: int) -> int:
    """Return the pid of a keeper's worker; 0 while there is none."""
    children = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
    return int(children[0]) if children else 0


def running_worker_of(keeper: Callable[[], int]) -> int:
    """Wait for a worker. Returns its pid, which is never 0: that would signal all of this test run."""
    found: list[int] = []

    def is_found() -> bool:
        found[:] = [worker_of(keeper())]
        return found[0] > 0

    wait_until(is_found)
    return found[0]


# --- the store ------------------------------------------------------------------------------------


@given(
    batches=st.lists(st.lists(st.integers(0, 30), max_size=8), max_size=6),
    removals=st.lists(st.integers(0, 4), max_size=6),
)
def test_store_is_a_queue_that_ignores_a_known_id(
    batches: list[list[int]], removals: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Compare with a list: append leaves out ids that wait, oldest returns the front, remove cuts it."""
    folder = tmp_path_factory.mktemp("spool")
    folder.chmod(0o700)
    store = SpoolStore(folder, size=SIZE)
    model: list[int] = []
    for step, batch in enumerate(batches):
        known = store.append([(f"id-{n}", line(n).rstrip()) for n in batch])
        new = [n for place, n in enumerate(batch) if n not in model and n not in batch[:place]]
        model += new
        assert known == len(batch) - len(new)
        count = removals[step] if step < len(removals) else 0
        front = store.oldest(count, 1 << 30)
        assert [document.id for document in front] == [f"id-{n}" for n in model[:count]]
        store.remove(front, delivered=len(front))
        del model[:count]
    assert store.state().documents == len(model)
    store.close()


def test_oldest_is_bounded_by_bytes_and_returns_one_at_least(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    store = SpoolStore(folder, size=SIZE)
    store.append([(str(n), b"x" * 1000) for n in range(10)])
    assert len(store.oldest(10, 1)) == 1
    assert len(store.oldest(10, 3000)) == 3
    assert len(store.oldest(2, 1 << 20)) == 2
    store.close()


def test_files_are_private(folder: Path) -> None:
    sink = SpoolSink(folder)
    sink.write_lines(line(1))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in folder.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    sink.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b'{"event":{"id":"a"}}', "a"),
        (b'{"event":{"id":""}}', None),
        (b'{"event":{"id":7}}', None),
        (b'{"event":[]}', None),
        (b"[1]", None),
        (b"7", None),
        (b"not JSON", None),
        (b"[" * 100_000, None),
        (b'{"event":{"id":"' + b"x" * 200 + b'"}}', None),
    ],
)
def test_document_without_usable_id_gets_a_digest(text: bytes, expected: str | None) -> None:
    name = document_id(text)
    assert name == expected if expected else len(name) == 32


# --- bounds ---------------------------------------------------------------------------------------


def test_full_spool_refuses_and_counts_and_recovers(folder: Path, fault: Recorder) -> None:
    sink = AcknowledgedSinkProcess(SpoolSink(folder, size=1 << 20), "spool:x")
    sink.start()
    for first in range(0, 3000, 100):
        sink.send(lines(first, 100, 900), 100)
    wait_until(lambda: polled(sink).counts.pending == 0)
    assert sink.counts.failed > 1000
    assert sink.problem == (
        f"the spool {folder} is full; documents are refused until auditsense ship has delivered some"
    )
    kept = spooled(folder)
    assert len(kept) == sink.counts.written
    store = SpoolStore(folder)
    assert store.state().used_bytes <= 1 << 20
    store.remove(store.oldest(1 << 20, 1 << 30))
    store.close()
    failed = sink.counts.failed
    sink.send(lines(5000, 10), 10)
    wait_until(lambda: polled(sink).counts.pending == 0)
    assert not sink.problem
    sink.close()
    assert spooled(folder) == list(range(5000, 5010))
    assert sink.counts.failed == failed
    fault(
        "the spool is full",
        how="3,000 documents for a spool of 1 MiB, then everything in it is removed",
        did="kept the oldest, refused the others, and accepted documents again as soon as there was space",
        lost="the refused documents",
        reported="“the spool … is full”, and how many documents failed, exactly",
        host=NO_HOST,
    )


def test_full_spool_keeps_the_documents_before_the_one_that_did_not_fit(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    store = SpoolStore(folder, size=1 << 20)
    with pytest.raises(SpoolFullError) as full:
        store.append([(str(n), b"x" * 10_000) for n in range(200)])
    assert 50 < full.value.appended < 110
    assert store.state().documents == full.value.appended
    store.close()


def test_database_larger_than_the_size_is_kept(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    store = SpoolStore(folder, size=SIZE)
    store.append([(str(n), b"x" * 10_000) for n in range(500)])
    store.close()
    store = SpoolStore(folder, size=1 << 20)
    with pytest.raises(SpoolFullError):
        store.append([(f"n{n}", b"x" * 10_000) for n in range(500)])
    assert store.state().documents >= 500
    store.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
@pytest.mark.parametrize("confined", [False, True])
def test_full_disk_keeps_documents_waiting(tmp_path: Path, fault: Recorder, *, confined: bool) -> None:
    """A full disk is no full spool: the documents wait in the sensor, and are written when there is space."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2M,mode=700", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    spool = SpoolSink(disk / "spool", size=SIZE)
    sink = AcknowledgedSinkProcess(spool, "spool:x")
    try:
        if confined:
            start_confined(sink, spool, disk / "spool")
        else:
            sink.start()
        sink.send(line(0), 1)
        wait_until(lambda: polled(sink).counts.written == 1)
        ballast = disk / "ballast"
        descriptor = os.open(ballast, os.O_CREAT | os.O_WRONLY)
        with suppress(OSError):
            while True:
                os.write(descriptor, bytes(4096))
        os.close(descriptor)
        for first in range(1, 1001, 100):
            sink.send(lines(first, 100), 100)
        wait_until(lambda: polled(sink).problem)
        assert "no space left on the device" in sink.problem
        assert sink.counts.failed == 0
        ballast.unlink()
        wait_until(lambda: polled(sink).counts.pending == 0)
        sink.close()
        assert spooled(disk / "spool") == list(range(1001))
    finally:
        sink.close()
        subprocess.run(["umount", disk], check=True)
    fault(
        "the disk of the spool is full",
        how="a file system of 2 MiB, filled up, then 1,000 documents, then space again",
        did="held the documents, tried again, and committed all of them",
        lost="nothing, while they fit into the queue",
        reported="“no space left on the device”; documents wait in its queue",
        host=NO_HOST,
    )


# --- versions and damage --------------------------------------------------------------------------


def test_newer_version_is_refused(folder: Path) -> None:
    SpoolSink(folder).write_lines(line(1))
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SinkError, match=r"has version 99, and this auditsense knows \d; use the newer") as no:
        SpoolSink(folder).write_lines(line(2))
    assert no.value.final


def test_database_of_another_program_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    with sqlite3.connect(folder / FILE) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(SpoolUnusableError, match="a database of another program; name another folder"):
        SpoolStore(folder, size=SIZE)
    with sqlite3.connect(folder / FILE) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("theirs",)]


def test_failed_migration_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    SpoolSink(folder).write_lines(line(1))
    monkeypatch.setattr(spool_store, "VERSION", spool_store.VERSION + 1)
    broken = (*spool_store._MIGRATIONS, "CREATE TABLE more (x); CREATE nonsense")
    monkeypatch.setattr(spool_store, "_MIGRATIONS", broken)
    with pytest.raises(SpoolError, match="syntax error"):
        SpoolStore(folder, size=SIZE)
    monkeypatch.undo()
    assert spooled(folder) == [1]


def _overwrite(path: Path, at: int, count: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(hashlib.shake_128(b"damage").digest(count))


def test_damaged_spool_is_set_aside_and_its_documents_saved(folder: Path, fault: Recorder) -> None:
    """Pages in the middle are overwritten: what comes before them is saved, and documents are accepted."""
    sink = SpoolSink(folder)
    sink.write_lines(lines(0, 2000))
    sink.close()
    path = folder / FILE
    _overwrite(path, path.stat().st_size // 2, 64 << 10)
    process = AcknowledgedSinkProcess(SpoolSink(folder), "spool:x")
    process.start()
    process.send(lines(5000, 5), 5)
    wait_until(lambda: polled(process).counts.written == 5)
    assert process.recent_problem.startswith(f"the spool {folder} is damaged: ")
    assert f"it was renamed to {FILE}.damaged-001, and " in process.recent_problem
    process.close()
    after = spooled(folder)
    assert after[-5:] == list(range(5000, 5005))
    assert len(after) > 5
    assert set(after[:-5]) <= set(range(2000))
    fault(
        "the spool is damaged",
        how="64 KiB in the middle of its database are overwritten, then it is opened",
        did="renamed the database, began another one with the readable documents, and continued to write",
        lost="documents in and after the damaged pages; the renamed file still has them",
        reported="“the spool … is damaged: …; it was renamed to …, and N documents of it were saved”",
        host=NO_HOST,
    )


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 10_000, b"SQLite format 3\0" + bytes(100)])
def test_file_that_is_no_database_does_not_stop_the_spool(folder: Path, content: bytes) -> None:
    folder.mkdir(mode=0o700)
    (folder / FILE).write_bytes(content)
    sink = SpoolSink(folder)
    try:
        sink.write_lines(line(1))
    except SinkError as error:
        assert not error.final  # noqa: PT017 - some of these contents are an empty database
        sink.write_lines(line(1))
    sink.close()
    assert spooled(folder) == [1]


def test_number_of_damaged_databases_is_bounded(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for _ in range(MAX_DAMAGED + 3):
        (folder / FILE).write_bytes(b"no database" * 500)
        with pytest.raises(SpoolDamagedError):
            SpoolStore(folder, size=SIZE)
        set_aside(folder)
    names = sorted(path.name for path in folder.glob("*damaged*"))
    assert [name for name in names if name[-1].isdigit()] == [
        f"{FILE}.damaged-{n:03d}" for n in range(4, 4 + MAX_DAMAGED)
    ]


def test_reader_notices_that_the_database_was_replaced(folder: Path) -> None:
    SpoolSink(folder).write_lines(line(1))
    store = SpoolStore(folder)
    assert not store.is_replaced()
    set_aside(folder)
    assert store.is_replaced()
    store.close()


def test_folder_that_others_may_write_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)
    with pytest.raises(SinkError, match="other users may write to it; run chmod 700"):
        SpoolSink(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the owner of a folder")
def test_folder_of_another_user_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    with pytest.raises(SinkError, match="it belongs to user 65534; run as that user"):
        SpoolSink(folder).write_lines(line(1))


# --- processes that are killed --------------------------------------------------------------------


def test_killed_worker_loses_nothing(folder: Path, process: AcknowledgedSinkProcess, fault: Recorder) -> None:
    """The worker is killed at random moments while documents arrive: each is in the spool once."""
    moments = random.Random(1).sample(range(1000), 6)  # noqa: S311 - moments are no secrets
    for turn in range(1000):
        process.send(lines(20 * turn, 20), 20)
        if turn in moments:
            os.kill(running_worker_of(lambda: polled(process).pid), signal.SIGKILL)
    wait_until(lambda: polled(process).counts.pending == 0)
    process.close()
    assert (process.counts.written, process.counts.failed, process.counts.dropped) == (20_000, 0, 0)
    assert sorted(spooled(folder)) == list(range(20_000))
    fault(
        "the process of a spool is killed",
        how="SIGKILL at random moments while 20,000 documents arrive",
        did="held the documents, started another process, and sent them again",
        lost="nothing; each document is in the spool once",
        reported="“its process was ended by SIGKILL; another one was started”",
        host=NO_HOST,
    )


def test_killed_worker_is_reported(process: AcknowledgedSinkProcess) -> None:
    os.kill(running_worker_of(lambda: process.pid), signal.SIGKILL)
    wait_until(lambda: polled(process).recent_problem)
    assert process.recent_problem == "its process was ended by SIGKILL; another one was started"
    process.send(line(1), 1)
    wait_until(lambda: polled(process).counts.written == 1)
    assert not process.problem


def test_worker_replaces_its_keeper(folder: Path, process: AcknowledgedSinkProcess) -> None:
    """Keeper and worker are killed in turn, again and again: the one that is left starts the other."""
    process.send(line(1), 1)
    wait_until(lambda: polled(process).counts.written == 1)
    keeper, sent = process.pid, 2
    for _ in range(3):
        worker = running_worker_of(lambda keeper=keeper: keeper)  # type: ignore[misc]
        os.kill(keeper, signal.SIGKILL)
        process.send(lines(sent, 100), 100)
        sent += 100
        keeper, ended = worker, running_worker_of(lambda worker=worker: worker)  # type: ignore[misc]
        os.kill(ended, signal.SIGKILL)
        process.send(lines(sent, 100), 100)
        sent += 100
        wait_until(lambda pair=(keeper, ended): worker_of(pair[0]) not in {0, pair[1]})  # type: ignore[misc]
    wait_until(lambda: polled(process).counts.pending == 0)
    assert "another one was started" in process.recent_problem
    process.close()
    assert (process.counts.failed, process.counts.dropped) == (0, 0)
    assert sorted(spooled(folder)) == list(range(1, sent))  # what is sent again can come later
    wait_until(lambda: not Path(f"/proc/{keeper}").exists())


def test_end_of_keeper_and_worker_stops_the_sink(process: AcknowledgedSinkProcess) -> None:
    worker = running_worker_of(lambda: process.pid)
    os.kill(process.pid, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: polled(process).stopped)
    process.send(line(1), 1)
    assert process.counts.failed == 1


def test_stopped_worker_is_killed_at_close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditsense.sinks.subprocess_sink._STALL_S", 0.3)
    process = AcknowledgedSinkProcess(SpoolSink(folder), "spool:x")
    process.start()
    worker = running_worker_of(lambda: process.pid)
    os.kill(worker, signal.SIGSTOP)
    process.send(line(1), 1)
    process.close()
    assert process.counts.failed == 1
    wait_until(lambda: not Path(f"/proc/{worker}").exists())


SENSOR = """
import sys, time
from pathlib import Path
from auditsense.sinks.acknowledged import AcknowledgedSinkProcess
from auditsense.sinks.spool import SpoolSink
from tests.sinks.test_spool import lines
sink = AcknowledgedSinkProcess(SpoolSink(Path(sys.argv[1])), "spool:x")
sink.start()
print(sink.pid, flush=True)
n = 0
while True:
    sink.send(lines(n, 20), 20)
    n += 20
    time.sleep(0.002)
"""


@pytest.mark.parametrize("kill_worker", [False, True])
def test_documents_in_the_pipe_are_saved_after_the_sensor_is_killed(
    folder: Path, *, kill_worker: bool
) -> None:
    """Also when the worker is killed at the same time: its successor finds the pipe within a document."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, '.')\n{SENSOR}", folder],
        stdout=subprocess.PIPE,
    ) as sensor:
        assert sensor.stdout is not None
        keeper = int(sensor.stdout.readline())
        wait_until(lambda: worker_of(keeper) and (folder / FILE).exists())
        time.sleep(0.5)
        if kill_worker:
            os.kill(running_worker_of(lambda: keeper), signal.SIGKILL)
        sensor.kill()
    wait_until(lambda: not Path(f"/proc/{keeper}").exists())
    kept = spooled(folder)
    assert kept[0] == 0
    assert len(kept) > 100
    gaps = [n for n, following in itertools.pairwise(kept) if following != n + 1]
    assert len(gaps) <= (1 if kill_worker else 0)  # what the killed worker had read, if both are killed


@given(title=st.text(max_size=40), cut=st.integers(1, 500))
def test_rest_of_a_document_is_never_an_object(title: str, cut: int) -> None:
    """A restarted worker relies on it: the pipe may begin within a document."""
    text = json.dumps({"event": {"id": "a"}, "process": {"title": title + '{"a":1}'}})
    rest = text[min(cut, len(text) - 1) :]
    try:
        value = json.loads(rest)
    except ValueError:
        return
    assert not isinstance(value, dict)


def test_mark_of_a_sink_cannot_be_guessed() -> None:
    assert resume_mark("abc", 3) == b"!resume abc 3\n"
    sinks = [AcknowledgedSinkProcess.__new__(AcknowledgedSinkProcess) for _ in range(2)]
    for sink in sinks:
        sink.__init__(None, "x")  # type: ignore[misc]
    assert sinks[0]._token != sinks[1]._token


# --- confinement ----------------------------------------------------------------------------------


def test_confined_process_commits_and_is_restarted(tmp_path: Path) -> None:
    """With the list of system calls and without capabilities, as `run` starts it."""
    settings = SpoolSettings(tmp_path / "spool")
    spool = SpoolSink(settings.path)
    sink = AcknowledgedSinkProcess(spool, "spool:x")
    start_confined(sink, spool, settings.path)
    sink.send(line(1), 1)
    wait_until(lambda: polled(sink).counts.written == 1)
    worker = running_worker_of(lambda: sink.pid)
    status = Path(f"/proc/{worker}/status").read_text()
    assert "CapEff:\t0000000000000000\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status or seccomp.prepare() is None
    os.kill(worker, signal.SIGKILL)
    sink.send(line(2), 1)
    wait_until(lambda: polled(sink).counts.written == 2)
    sink.close()
    assert spooled(settings.path) == [1, 2]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_process_runs_as_the_owner_of_the_folder() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as above:
        Path(above).chmod(0o711)
        settings = SpoolSettings(Path(above) / "spool")
        settings.path.mkdir(mode=0o700)
        os.chown(settings.path, 65534, 65534)
        spool = SpoolSink(settings.path)
        sink = AcknowledgedSinkProcess(spool, "spool:x")
        start_confined(sink, spool, settings.path)
        sink.send(line(1), 1)
        wait_until(lambda: polled(sink).counts.written == 1)
        assert Path(f"/proc/{worker_of(sink.pid)}").stat().st_uid == 65534
        sink.close()
        assert {path.stat().st_uid for path in settings.path.iterdir()} == {65534}


def test_older_version_is_migrated_with_its_documents(folder: Path) -> None:
    """A spool of version 1, which had no table of refused documents."""
    folder.mkdir(mode=0o700)
    with sqlite3.connect(folder / FILE) as connection:
        connection.executescript(spool_store._MIGRATIONS[0])
        connection.execute("INSERT INTO documents (id, document) VALUES ('id-1', ?)", (line(1).rstrip(),))
        connection.execute(f"PRAGMA application_id = {spool_store.APPLICATION_ID}")
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    assert spooled(folder) == [1]
    store = SpoolStore(folder, size=SIZE)
    store.refuse([(store.oldest(1, 1 << 20)[0], "no")])
    assert [reason for _, reason in store.refused()] == ["no"]
    assert store._connection.execute("PRAGMA user_version").fetchone() == (spool_store.VERSION,)
    store.close()
