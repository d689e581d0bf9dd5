"""Several sinks of a sensor at once, on the kernel of this machine; see conftest.py.

The documents are read at their destination: in the file, from standard output, from a real rsyslogd, a real
journald, or a peer that starts to read on request.
"""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditsense.status.client import ask
from tests.live import workloads
from tests.live.workloads import (
    ACCOUNT,
    OTHER_UID,
    OWN_RULE,
    Command,
    Scanner,
    batch_loads,
    command,
    finish,
    of_process,
    running,
)
from tests.support.debian import debian
from tests.support.faults import AS_BEFORE, NOTHING, Recorder
from tests.support.log_daemons import NAMESPACE, PACKAGES, Rsyslogd, journald, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense import Document
    from tests.live.restore_host import HostState

FLOOD, PERIOD_US = 12_000, 200  # opens; events of 1 KB exceed the queue, a pipe and a socket
QUEUE = 4 << 20  # bytes, for the peer only; the default of 32 MiB takes too long
SMALL = [
    sys.executable,
    "-P",
    "-c",
    f"""
from auditsense.sinks.subprocess_sink import SinkProcess
init = SinkProcess.__init__
def small(self, sink, name, **more):
    init(self, sink, name, **({{**more, "queue_bytes": {QUEUE}}} if name.startswith("syslog:tcp") else more))
SinkProcess.__init__ = small
from auditsense.cli import main
raise SystemExit(main())
""",
]
MAX_MESSAGE = 60_000  # bytes; no message is cut


def alerts_of(documents: list[Document], pid: int) -> list[Document]:
    return [document for document in of_process(documents, pid) if document["event"]["kind"] == "alert"]


def lines_of(path: Path) -> list[Document]:
    """Return the documents of a file, whose lines must be complete."""
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def serials(documents: list[Document], pid: int) -> list[int]:
    """Return the serials of a process's events."""
    events = (document["auditsense"]["events"][0] for document in of_process(documents, pid))
    return [int(event.partition(":")[2]) for event in events]


def sink_notices(documents: list[Document]) -> list[str]:
    notices = (document for document in documents if document["event"]["dataset"] == "auditsense.sink")
    return [notice["rule"]["id"] for notice in notices]


def children(pid: int) -> dict[str, int]:
    """Return the processes of a sensor's sinks by name."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    named = {Path(f"/proc/{child}/comm").read_text(encoding="ascii").strip(): int(child) for child in pids}
    return {name: child for name, child in named.items() if name.startswith("sink-")}


def summary(sensor: Command) -> dict[str, dict[str, int]]:
    """Return the counts of sinks in the last line of an ended sensor."""
    last = sensor.stderr.splitlines()[-1]
    matches = re.findall(r"; ((?:stdout|file|syslog|journald)\S*): ([^;(]*)", last)
    return {
        name: {word: int(number) for number, word in re.findall(r"(\d+) (?:documents )?(\w+)", counts)}
        for name, counts in matches
    }


def kernel_lost(sensor: Command) -> int:
    match = re.search(r"lost: kernel (\d+), serials (\d+), incomplete (\d+)", sensor.stderr)
    assert match is not None, sensor.stderr
    return sum(int(count) for count in match.groups())


class Peer:
    """A syslog peer over TCP that starts to read on request, and then reads everything."""

    def __init__(self) -> None:
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen()
        self.word = f"syslog:tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._received: list[bytes] = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def read(self) -> None:
        """Start to read."""
        self._thread.start()

    def _read(self) -> None:
        connection, _ = self._server.accept()
        with connection:
            while chunk := connection.recv(1 << 20):
                self._received.append(chunk)

    def documents(self) -> list[Document]:
        """Return the documents until the end of the connection; frames must be complete (RFC 6587)."""
        self._thread.join(300)
        assert not self._thread.is_alive()
        data, at, documents = b"".join(self._received), 0, []
        while at < len(data):
            space = data.index(b" ", at)
            end = space + 1 + int(data[at:space])
            assert end <= len(data)
            documents.append(json.loads(data[space + 1 : end].partition(b'"] ')[2]))
            at = end
        return documents

    def close(self) -> None:
        """Refuse further connections."""
        self._server.close()


@pytest.fixture
def peer() -> Iterator[Peer]:
    stalled = Peer()
    try:
        yield stalled
    finally:
        stalled.close()


@pytest.fixture
def rsyslogd(tmp_path: Path) -> Iterator[Rsyslogd]:
    folder = tmp_path / "rsyslog"
    folder.mkdir()
    daemon = Rsyslogd(debian(*PACKAGES), folder)
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.stop()


def received(rsyslogd: Rsyslogd) -> list[Document]:
    return [json.loads(message["msg"]) for message in rsyslogd.received()]


# --- all sinks work ----------------------------------------------------------


def test_alert_reaches_each_sink_once(scanner: Scanner, rsyslogd: Rsyslogd, tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    words = ["stdout", f"file:{file}", f"syslog:{rsyslogd.path}", f"syslog:tcp://127.0.0.1:{rsyslogd.tcp}"]
    with running("run", *(part for word in words for part in ("--sink", word))) as sensor:
        assert set(children(sensor.pid)) == {"sink-stdout", "sink-file", "sink-syslog"}
        pid = scanner.scan(10)
        wait_until(lambda: alerts_of(sensor.documents(), pid))
        assert sensor.end() == 0
        (alert,) = alerts_of(sensor.documents(), pid)
        printed = sensor.documents()
        assert summary(sensor) == {word: {"written": len(printed)} for word in words}
        assert kernel_lost(sensor) == 0
    assert lines_of(file) == printed
    wait_until(lambda: len(rsyslogd.received()) == 2 * len(printed))
    assert sorted(received(rsyslogd), key=str) == sorted(2 * printed, key=str)
    assert alerts_of(received(rsyslogd), pid) == [alert, alert]


# --- one sink fails ---------------------------------------------------------------------


def test_stalled_sink_affects_no_other_sink_and_no_record(
    compiled: Scanner | None,
    peer: Peer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: Recorder,
) -> None:
    if compiled is None:
        pytest.skip("there is no C compiler for scanner.c")
    monkeypatch.setattr(workloads, "AUDITSENSE", SMALL)
    file, control = tmp_path / "events.jsonl", tmp_path / "control"
    sinks = ("--sink", "stdout", "--sink", f"file:{file}", "--sink", f"{peer.word},most={MAX_MESSAGE}")
    with (
        running("run", "-o", "events", "--status-socket", str(control), *sinks) as sensor,
        batch_loads(compiled, FLOOD, period_us=PERIOD_US) as loads,
    ):
        loads.run()
        pid = loads.processes[0].pid
        wait_until(lambda: ask(control)["counters"]["matches"] >= FLOOD)
        wait_until(lambda: f"sink {peer.word} drops documents" in sensor.stderr)
        assert ask(control)["sinks"][-1]["most_queued_bytes"] <= QUEUE
        peer.read()
        wait_until(lambda: f"sink {peer.word} recovered" in sensor.stderr, 40)
        assert sensor.end() == 0
        lost, messages = kernel_lost(sensor), sensor.stderr
        printed, counts = sensor.documents(), summary(sensor)
    arrived = peer.documents()
    assert lines_of(file) == printed
    slow = counts[peer.word]
    assert slow.keys() == {"written", "dropped"}
    assert slow["written"] == len(arrived)
    assert slow["written"] + slow["dropped"] == len(printed)
    assert counts["stdout"] == counts[f"file:{file}"] == {"written": len(printed)}
    assert f"recovered; {slow['dropped']} documents were dropped and 0 failed" in messages
    # In order, none twice, including the notices about the sink itself.
    rest = iter([json.dumps(document) for document in printed])
    assert all(json.dumps(document) in rest for document in arrived)
    # A longer flood is preceded by "failing".
    assert sink_notices(printed)[-2:] == ["auditsense.sink.dropping", "auditsense.sink.recovered"]
    assert sink_notices(arrived)[-1] == "auditsense.sink.recovered"
    assert len(set(serials(printed, pid))) == len(serials(printed, pid)) == FLOOD
    assert lost == 0
    fault(
        "one of several sinks stalls in a flood",
        how=f"`run -o events` with standard output, a file and a TCP peer that reads nothing; {FLOOD:,} "
        "opens, a queue of 4 MiB; then the peer reads; live",
        did="the others got every event; the queue of the stalled sink filled up to its limit; it "
        "resumed where it was",
        lost="documents of that sink that did not fit into its queue; elsewhere, nothing",
        reported="that it drops, that it recovered and how many it missed: in every sink",
        host=AS_BEFORE,
    )


def test_full_disk_delays_documents_until_space_is_free(
    scanner: Scanner, tmp_path: Path, fault: Recorder
) -> None:
    with small_disk(tmp_path / "disk") as disk:
        file = disk / "events.jsonl"
        with running("run", "-o", "events", "--sink", f"file:{file}", "--sink", "stdout") as sensor:
            pid = scanner.scan(500, period_us=500)
            wait_until(lambda: len(serials(sensor.documents(), pid)) == 500)
            wait_until(lambda: f"sink file:{file} fails" in sensor.stderr)
            assert f"cannot write to {file}: No space left on device; documents wait" in sensor.stderr
            assert 0 < len(serials(lines_of(file), pid)) < 500
            subprocess.run(["mount", "-o", "remount,size=16m", disk], check=True)
            wait_until(lambda: "recovered; 0 documents were dropped and 0 failed" in sensor.stderr)
            assert sensor.end() == 0
            assert lines_of(file) == sensor.documents()
            assert kernel_lost(sensor) == 0
            assert not {"dropped", "failed"} & {
                word for counts in summary(sensor).values() for word in counts
            }
    fault(
        "the disk of a file sink is full while the sensor watches",
        how="a file on a file system of 256 KiB, and standard output; 500 events; then it is enlarged; live",
        did="standard output had every event; the file's events waited, and were written when space was free",
        lost=NOTHING,
        reported="“sink file:PATH fails: … No space left on device; documents wait in its queue”; later that "
        "it recovered",
        host=AS_BEFORE,
    )


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a file system of 256 KiB."""
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "none", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_missing_journald_delays_only_its_documents(scanner: Scanner, tmp_path: Path) -> None:
    with journald(tmp_path) as receiver:
        folder = Path(receiver.path).parent
        assert folder.name.endswith(NAMESPACE)
        folder.mkdir(parents=True)
        # At the path of journald's socket, for the sensor only.
        mounts = f'mount -t tmpfs none /run/systemd && mkdir /run/systemd/journal && mount --bind {folder} \
/run/systemd/journal && exec "$0" "$@"'
        before = ("unshare", "-m", "--propagation", "private", "sh", "-ec", mounts)
        arguments = ("run", "--sink", "journald", "--sink", "stdout", "--audit-rule", OWN_RULE)
        Path("/run/systemd").mkdir(exist_ok=True)
        with command(*arguments, before=before) as sensor:
            sensor.wait_until_ready()
            pid = scanner.scan(10)
            wait_until(lambda: alerts_of(sensor.documents(), pid))
            wait_until(lambda: "sink journald fails: cannot reach journald" in sensor.stderr)
            receiver.start()
            wait_until(receiver.entries)
            wait_until(lambda: "sink journald recovered; 0 documents were dropped" in sensor.stderr)
            assert sensor.end() == 0
            printed = sensor.documents()
            assert summary(sensor)["journald"] == {"written": len(printed)}
        wait_until(lambda: len(receiver.entries()) == len(printed))
        entries = receiver.entries()
    assert [json.loads(entry["AUDITSENSE_DOCUMENT"]) for entry in entries] == printed


# --- killed --------------------------------------------------------------------------


def test_sinks_write_pending_documents_after_sensor_is_killed(
    compiled: Scanner | None,
    rsyslogd: Rsyslogd,
    peer: Peer,
    tmp_path: Path,
    host_state: Callable[[], HostState],
) -> None:
    if compiled is None:
        pytest.skip("there is no C compiler for scanner.c")
    before = host_state()
    file = tmp_path / "events.jsonl"
    words = (f"file:{file}", f"syslog:{rsyslogd.path},most={MAX_MESSAGE}", f"{peer.word},most={MAX_MESSAGE}")
    sinks = [part for word in words for part in ("--sink", word)]
    with running("run", "-o", "events", *sinks) as sensor:
        started = list(Path(f"/proc/{sensor.pid}/task/{sensor.pid}/children").read_text().split())
        load = compiled.start(12_000, period_us=150)
        wait_until(lambda: file.stat().st_size > 1 << 20)
        sensor.process.kill()
        sensor.process.wait()
        finish(load)
        wait_until(lambda: "died; the host is as it was" in sensor.stderr)
        assert host_state() == before
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in started))
        assert "Traceback" not in sensor.stderr
    written = serials(lines_of(file), load.pid)
    assert written == sorted(set(written))
    wait_until(lambda: rsyslogd.received() and len(received(rsyslogd)) > 0)
    sent = serials(received(rsyslogd), load.pid)
    assert sent == written[: len(sent)] or written == sent[: len(written)]


# --- without privileges ----------------------------------------------------------------


def rights(pid: int) -> dict[str, Any]:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    return {
        "uid": {int(uid) for uid in status["Uid"]},
        "capabilities": int(status["CapPrm"][0], 16) | int(status["CapEff"][0], 16),
        "filtered": status["Seccomp"] == ["2"],
    }


def test_rotation_and_name_lookup_work_without_root(
    scanner: Scanner, rsyslogd: Rsyslogd, tmp_path: Path
) -> None:
    file = tmp_path / "private" / "events.jsonl"
    file.parent.mkdir(mode=0o700)
    words = (f"file:{file},size=8K,keep=99", f"syslog:tcp://localhost:{rsyslogd.tcp},most={MAX_MESSAGE}")
    sinks = [part for word in words for part in ("--sink", word)]
    with running("run", "-o", "events", "--user", ACCOUNT, *sinks) as sensor:
        assert rights(sensor.pid)["uid"] == {OTHER_UID}
        assert {name: rights(pid) for name, pid in children(sensor.pid).items()} == {
            "sink-file": {"uid": {OTHER_UID}, "capabilities": 0, "filtered": True},
            "sink-syslog": {"uid": {OTHER_UID}, "capabilities": 0, "filtered": True},
        }
        first = scanner.scan(30)
        wait_until(lambda: len(serials(received(rsyslogd), first)) == 30)
        sensor.process.send_signal(signal.SIGHUP)  # reopens the file, and looks up the address again
        second = scanner.scan(30)
        wait_until(lambda: len(serials(received(rsyslogd), second)) == 30)
        assert sensor.end() == 0, sensor.stderr
        assert not re.search("fails|drops documents|stopped", sensor.stderr)
    parts = sorted(file.parent.iterdir(), key=lambda path: -int(path.suffix[1:]) if path != file else 0)
    assert len(parts) > 2
    assert all(part.stat().st_size <= 8192 for part in parts)
    assert [document for part in parts for document in lines_of(part)] == received(rsyslogd)
