"""The status socket of a sensor, from both ends; on the real kernel: live/test_status.py."""

from __future__ import annotations

import argparse
import io
import json
import os
import socket
import stat
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import AuditSenseError, Sensor, UsageError
from auditsense.cli import main
from auditsense.cli.status import Screen
from auditsense.config.settings import status_settings
from auditsense.detections import except_for, with_exceptions
from auditsense.detections.loader import shipped_detections
from auditsense.kernel.self_test import SelfTest
from auditsense.status.client import NotRunningError, ask
from auditsense.status.config import DEFAULT_SOCKET, StatusSettings
from auditsense.status.server import StatusServer, StatusSocketError, StatusSocketTakenError, discard
from auditsense.status.snapshot import Snapshot, StatusContext
from auditsense.status.table import lines, span, table_rows
from auditsense.testing import FakeSource, burst
from tests.support.faults import NO_HOST, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


UNPRIVILEGED = 65534


@contextmanager
def answering(path: Path, answer: bytes = b'{"version":1}\n') -> Iterator[StatusServer]:
    """Answer at a path, in a thread in place of the sensor's loop."""
    with StatusServer(path, lambda: answer) as control:
        done = threading.Event()

        def loop() -> None:
            while not done.is_set():
                control.serve()
                time.sleep(0.002)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield control
        finally:
            done.set()
            thread.join()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control"


# --- the socket ------------------------------------------------------------------------


def test_status_socket_is_private_and_removed(path: Path) -> None:
    with StatusServer(path, bytes):
        assert stat.filemode(path.lstat().st_mode) == "srw-------"
        assert stat.filemode(path.parent.lstat().st_mode) == "drwx------"
    assert not path.parent.exists()


def test_existing_folder_is_kept(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with StatusServer(path, bytes):
        pass
    assert [*path.parent.iterdir()] == []


def test_client_gets_one_answer(path: Path) -> None:
    with answering(path) as control:
        assert ask(path) == {"version": 1}
        assert ask(path) == {"version": 1}
    assert (control.answered, control.refused) == (2, 0)


def test_socket_of_killed_sensor_is_replaced(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(bytes(path))
    with answering(path):
        assert ask(path) == {"version": 1}
    assert not path.exists()


def test_second_sensor_leaves_first_socket(path: Path) -> None:
    with answering(path):
        with pytest.raises(StatusSocketTakenError, match="another sensor answers"), StatusServer(path, bytes):
            pass
        assert ask(path) == {"version": 1}


def test_replaced_socket_is_not_removed(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    with StatusServer(path, bytes):
        path.unlink()
        path.write_text("theirs")
    assert path.read_text() == "theirs"


def test_discard_removes_only_dead_socket(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    discard(path)  # there is none
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(bytes(path))
    discard(path)
    assert not path.exists()
    with answering(path):
        discard(path)
        assert path.exists()
    path.write_text("a file")
    discard(path)
    assert path.exists()


def test_other_file_is_not_replaced(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_text("precious")
    with pytest.raises(StatusSocketError, match="is not a socket; remove it"), StatusServer(path, bytes):
        pass
    assert path.read_text() == "precious"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777])
def test_folder_writable_by_others_is_refused(path: Path, mode: int) -> None:
    path.parent.mkdir()
    path.parent.chmod(mode)
    with pytest.raises(StatusSocketError, match="others may write"), StatusServer(path, bytes):
        pass
    assert not path.exists()


def chown(path: Path) -> None:
    os.chown(path, UNPRIVILEGED, UNPRIVILEGED, follow_symlinks=False)


def make_sticky_and_theirs(path: Path) -> None:
    path.chmod(0o1777)
    chown(path)


SPOILED_ABOVE: dict[str, Callable[[Path], None]] = {
    "all may write it": lambda above: above.chmod(0o777),
    "its group may write it": lambda above: above.chmod(0o770),
    "it is another user's": chown,
    "it is another user's, with the sticky bit": make_sticky_and_theirs,
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("how", SPOILED_ABOVE)
@pytest.mark.parametrize("higher", [0, 1])
@pytest.mark.parametrize("made", [False, True])
def test_replaceable_parent_folder_is_refused(
    how: str, higher: int, tmp_path: Path, fault: Recorder, *, made: bool
) -> None:
    path = tmp_path / "a" / "b" / "run" / "control"
    path.parents[1].mkdir(parents=True)
    if made:
        path.parent.mkdir(mode=0o700)
    SPOILED_ABOVE[how](path.parents[1 + higher])
    with pytest.raises(StatusSocketError, match="may change it; choose a folder that is root's alone"):
        StatusServer(path, bytes).__enter__()
    assert not path.exists()
    fault(
        "a folder above that of the status socket belongs to another user",
        how="one and two folders above; of all, of a group, of another user, with and without the sticky bit",
        did="made no socket there, and did not start",
        lost="nothing",
        reported="the folder that others may change",
        host=NO_HOST,
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a link away")
def test_parent_symlink_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with StatusServer(tmp_path / "link" / "run" / "control", bytes):
        pass
    chown(tmp_path / "link")
    with pytest.raises(StatusSocketError, match="a symbolic link that user 65534 may change"):
        StatusServer(tmp_path / "link" / "run" / "control", bytes).__enter__()


def test_sticky_parent_folder_is_accepted(tmp_path: Path) -> None:
    """Files in /tmp stay their owner's."""
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    with StatusServer(tmp_path / "tmp" / "run" / "control", bytes) as control:
        assert control.path.exists()
    assert not control.path.parent.exists()


@pytest.mark.parametrize("folder", ["missing/deeper", "file"])
def test_missing_folder_is_reported(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StatusSocketError, match="cannot create the status socket"):
        StatusServer(tmp_path / folder / "control", bytes).__enter__()


def test_clients_that_never_read_block_nothing(path: Path) -> None:
    long = json.dumps({"version": 1, "long": "x" * 50_000}).encode()
    with answering(path, long) as control, ExitStack() as hanging:
        for _ in range(40):
            hanging.enter_context(socket.socket(socket.AF_UNIX)).connect(bytes(path))
        assert ask(path)["version"] == 1
    assert control.answered == 41


def test_answer_too_large_for_client_is_dropped(path: Path) -> None:
    with answering(path, b'{"version":1,"long":"' + b"x" * 4_000_000) as control:
        with pytest.raises(AuditSenseError, match="unexpected answer at"):
            ask(path)
        assert control.refused == 1


def test_vanished_client_is_survived(path: Path) -> None:
    with StatusServer(path, lambda: b'{"version":1}\n') as control:
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(bytes(path))
        control.serve()
        assert control.refused == 1


def test_answers_per_turn_are_limited(path: Path) -> None:
    with StatusServer(path, lambda: b"{}\n") as control:
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(7)]
        for client in waiting:
            client.connect(bytes(path))
        control.serve()
        assert control.answered == 4
        control.serve()
        assert control.answered == 7
        for client in waiting:
            client.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("open_to_all", [False, True], ids=["as it is made", "even when it were open to all"])
def test_other_user_gets_no_answer(open_to_all: bool) -> None:  # noqa: FBT001 - a case's column
    # A separate folder: those of pytest are root's alone, and the test is about ours.
    with TemporaryDirectory(dir="/tmp") as folder, answering(Path(folder) / "run" / "control") as control:
        path = control.path
        Path(folder).chmod(0o755)
        if open_to_all:
            path.parent.chmod(0o755)
            path.chmod(0o666)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.setresuid(65534, 65534, 65534)
            try:
                os.write(writing, repr(ask(path)).encode())
            except AuditSenseError as problem:
                os.write(writing, str(problem).encode())
            os._exit(0)
        os.waitpid(child, 0)
        status = os.read(reading, 4096).decode()
        os.close(reading)
        os.close(writing)
    assert ("unexpected answer at" if open_to_all else "only root is") in status
    assert (control.answered, control.refused) == (0, int(open_to_all))


# --- the asking side ---------------------------------------------------------------------


def test_missing_sensor_is_one_line_and_exit_code(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--status-socket", str(path)]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err == f"auditsense: error: no sensor answers at {path}; auditsense doctor diagnoses this host\n"


def test_silent_sensor_times_out(path: Path) -> None:
    with StatusServer(path, bytes), pytest.raises(AuditSenseError, match="did not answer within"):
        ask(path, timeout_s=0.05)


@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\n", b"[]\n", b"\x00\xff", b'{"version":"x"}\n', b"[" * 9000]
)
def test_unexpected_answer_is_reported(path: Path, answer: bytes) -> None:
    with answering(path, answer), pytest.raises(AuditSenseError, match="unexpected answer at"):
        ask(path)


def test_folder_instead_of_socket_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError):
        ask(tmp_path)


@pytest.mark.parametrize("given", ["", "relative", "/" + "x" * 107, "/a\0b"])
def test_impossible_socket_path_is_refused(given: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="must be an absolute path of at most 107 bytes, or off"):
        StatusSettings.of(given)
    try:
        code: object = main(["status", "--status-socket", given])
    except SystemExit as end:  # of the parser, for an empty value
        code = end.code
    assert code == 2
    assert capfd.readouterr().err.count("\n") == 1


def test_status_settings_from_plain_values() -> None:
    assert StatusSettings.of() == StatusSettings(DEFAULT_SOCKET)
    assert StatusSettings.of("off") == StatusSettings(None)
    assert StatusSettings.of("/run/other") == StatusSettings(Path("/run/other"))


# --- what a sensor says --------------------------------------------------------------------


def test_status_document_needs_no_request(path: Path) -> None:
    source = FakeSource()
    sensor = Sensor(source=source)
    clock = iter(range(100, 1000))
    snapshot = Snapshot(StatusContext(sensor, source, "because", ["-w /proc/"], lambda: float(next(clock))))
    with pytest.raises(AuditSenseError, match="not open"):
        snapshot.answer()
    with StatusServer(path, snapshot.answer) as control:
        sensor.add_reader(control.fileno(), control.serve)
        with sensor:
            source.send(*burst(10))
            sensor.poll()
            asked: list[dict[str, object]] = []
            thread = threading.Thread(target=lambda: asked.append(ask(path)))
            thread.start()
            while thread.is_alive():
                sensor.wait(1)
            (status,) = asked
    assert status["counters"] == {**status["counters"], "events": 10, "matches": 20, "sequences": 1}  # type: ignore[dict-item]
    assert status["alerts"] == {
        "alerts": 1,
        "suppressed": 0,
        "updates": 0,
        "closed": 0,
        "withheld": 0,
        "delayed": 0,
    }
    assert status["source"] == {"name": "fake", "why": "because", "owner": True, "guardian": 0}
    assert status["windows"] == {"used": 2, "limit": 16384, "evicted": 0}
    assert (status["uptime_s"], status["detections"], status["kernel"]) == (
        1.0,
        [detection.name for detection in shipped_detections()],
        None,
    )


def test_busy_sensor_answers(path: Path) -> None:
    source = FakeSource()
    sensor = Sensor(source=source)
    with StatusServer(path, lambda: b'{"version":1}\n') as control:
        sensor.add_reader(control.fileno(), control.serve)
        with sensor, socket.socket(socket.AF_UNIX) as client:
            client.connect(bytes(path))
            client.setblocking(False)  # noqa: FBT003 - the standard library's own
            deadline = time.monotonic() + 300
            while not control.answered:
                source.send(*burst(1))
                sensor.poll()  # without ever waiting
                assert time.monotonic() < deadline
            assert client.recv(100) == b'{"version":1}\n'


def test_reader_may_be_added_while_open(path: Path) -> None:
    sensor = Sensor(source=FakeSource())
    with sensor, StatusServer(path, lambda: b"{}\n") as control, socket.socket(socket.AF_UNIX) as client:
        sensor.add_reader(control.fileno(), control.serve)
        client.connect(bytes(path))
        sensor.wait(5)
        assert control.answered == 1


def test_wait_ignores_other_readers(path: Path) -> None:
    sensor = Sensor(source=FakeSource())
    with StatusServer(path, lambda: b"{}\n") as control:
        sensor.add_reader(control.fileno(), control.serve)
        with sensor, socket.socket(socket.AF_UNIX) as client:
            client.connect(bytes(path))
            assert not sensor.wait(5)
            assert control.answered == 1


DOCUMENT: dict[str, Any] = {
    "version": 1,
    "auditsense": "0.1.0",
    "pid": 7,
    "now": 1000.0,
    "uptime_s": 61.0,
    "source": {"name": "netlink", "why": "", "owner": True, "guardian": 8},
    "audit_rules": ["-w /proc/ -p r -k audit_proc"],
    "detections": ["Pspy"],
    "detection_counts": [
        {"id": "quiet", "sequences": 0, "alerts": 0},
        {"id": "other", "sequences": 1, "alerts": 1},
        {"id": "pspy", "sequences": 4, "alerts": 2},
    ],
    "last_record": 997.0,
    "last_alert": {
        "time": 870.0,
        "event_id": "0" * 32,
        "rule_id": "pspy",
        "process": {"pid": 9, "name": "x", "executable": "/x"},
    },
    "kernel": {
        "enabled": 1,
        "failure": 1,
        "pid": 7,
        "rate_limit": 0,
        "backlog_limit": 8192,
        "lost": 0,
        "backlog": 3,
        "backlog_wait_time": 0,
        "backlog_wait_time_actual": 0,
    },
    "counters": {"records": 50, "events": 60, "matches": 40, "sequences": 8},
    "alerts": {"alerts": 1, "suppressed": 0},
    "windows": {"used": 1, "limit": 16384, "evicted": 0},
    "events": {"open": 0, "limit": 4096, "evicted": 0},
    "losses": {"known": 2, "by_cause": {"kernel_lost": 2}},
    "self_test": {"passed": 3, "failed": 0, "events": 3},
    "process": {"cpu_s": 1.25, "memory_peak_bytes": 30 << 20, "memory_core_bytes": 1},
    "sinks": [{"name": "stdout", "written": 1}],
    "exceptions": [{"detection": "pspy", "comment": "ours", "origin": "quiet.toml", "events": 3}],
}


def table(now: dict[str, Any], before: dict[str, Any] | None = None, *, details: bool = True) -> str:
    return "\n".join(lines(table_rows(now, before, details=details)))


def screen(color: str, *, watches: bool = False) -> Screen:
    return Screen(argparse.Namespace(color=color, verbosity=1), watches=watches)


def test_table_lists_unknown_architectures() -> None:
    document = {**DOCUMENT, "unknown_arches": [{"arch": "0xdeadbeef", "records": 12}]}
    assert "no call table  architecture 0xdeadbeef: 12 events" in table(document)


def test_status_is_printed_as_table() -> None:
    assert table(DOCUMENT).splitlines() == [
        "sensor       auditsense 0.1.0, process 7, up 1 min 1 s",
        "last alert   2 min 10 s ago: pspy, x[9]",
        "detections   pspy: 4 sequences, 2 alerts",
        "             other: 1 sequence, 1 alert",
        "             1 more with no sequences",
        "alerts       1 alert",
        "lost         2: kernel_lost 2",
        "last record  3 s ago",
        "records      50",
        "events       57",
        "matches      37",
        "sequences    5",
        "self-tests   3 passed, 0 failed, 3 events not counted above",
        "source       netlink, guardian 8",
        "audit rule   -w /proc/ -p r -k audit_proc",
        "kernel       audit on, failure printk, owner process 7, lost 0",
        "backlog      3 of 8192, wait time 0 jiffies",
        "windows      1 of 16384, 0 evicted",
        "open events  0 of 4096, 0 evicted",
        "sink         stdout: 1 written",
        "excepted     3 from pspy: ours (quiet.toml)",
        "process      CPU 1.25 s, memory 30 MiB at most",
    ]


def test_tables_of_the_core_are_shown_on_request_or_in_trouble() -> None:
    rows = table(DOCUMENT, details=False).splitlines()
    assert [row.split("  ")[0] for row in rows] == [
        *("sensor", "last alert", "detections", "", "", "alerts", "lost", "last record"),
        *("records", "events", "self-tests", "source", "audit rule", "kernel"),
        *("sink", "excepted", "process"),
    ]
    evicted = {**DOCUMENT, "windows": {"used": 1, "limit": 9, "evicted": 1}}
    assert "windows      1 of 9, 1 evicted" in table(evicted, details=False)


def test_alerts_row_lists_what_happened() -> None:
    counts = {"alerts": 2, "suppressed": 0, "updates": 1, "closed": 1, "withheld": 3}
    assert "2 alerts, 1 update, 1 closed, 3 withheld" in table({**DOCUMENT, "alerts": counts})


def test_table_of_earlier_version_leaves_out_unknown_rows() -> None:
    new = ("now", "last_record", "last_alert", "detection_counts")
    document = {name: value for name, value in DOCUMENT.items() if name not in new}
    document["self_test"] = {"passed": 3, "failed": 0}
    rows = table(document).splitlines()
    assert "detections   Pspy" in rows
    assert "events       60" in rows
    assert "self-tests   3 passed, 0 failed" in rows
    assert not any(row.startswith("last") for row in rows)


def test_table_of_fresh_sensor() -> None:
    counts = [{"id": "pspy", "sequences": 0, "alerts": 0}, {"id": "b", "sequences": 0, "alerts": 0}]
    rows = table(
        {**DOCUMENT, "last_record": None, "last_alert": None, "detection_counts": counts}
    ).splitlines()
    assert rows[1:4] == [
        "last alert   none yet",
        "detections   pspy: 0 sequences, 0 alerts",
        "             1 more with no sequences",
    ]
    assert "last record  none yet" in rows
    assert "detections   none" in table({**DOCUMENT, "detection_counts": []})


def test_table_lists_ten_detections_at_most() -> None:
    counts = [{"id": f"rule{number}", "sequences": number, "alerts": 0} for number in range(40)]
    rows = table({**DOCUMENT, "detection_counts": counts}).splitlines()
    assert sum("rule" in row and "sequences" in row for row in rows) == 10
    assert "             30 more with fewer sequences" in rows


def test_table_has_rates_with_earlier_document() -> None:
    later = {**DOCUMENT, "uptime_s": 63.0, "counters": {**DOCUMENT["counters"], "records": 150}}
    assert "records      150  (50.0/s)" in table(later, DOCUMENT)
    assert "records      50\n" in table(DOCUMENT, DOCUMENT)  # no time between them: no rate


def test_bar_of_a_rate_is_relative_to_its_peak() -> None:
    def shares(second: float, records: int, before: dict[str, Any]) -> tuple[dict[str, Any], float | None]:
        now = {**DOCUMENT, "uptime_s": second, "counters": {**DOCUMENT["counters"], "records": records}}
        return now, next(row.share for row in table_rows(now, before, peaks) if row.name == "records")

    peaks: dict[str, float] = {}
    now, first = shares(62.0, 150, DOCUMENT)
    now, half = shares(63.0, 200, now)
    _, none = shares(64.0, 200, now)
    assert (first, half, none) == (1.0, 0.5, 0.0)


@pytest.mark.parametrize(
    ("change", "name", "role"),
    [
        ({}, "backlog", ""),
        ({"kernel": {**DOCUMENT["kernel"], "backlog": 5000}}, "backlog", "warning"),
        ({"kernel": {**DOCUMENT["kernel"], "backlog": 8000}}, "backlog", "error"),
        ({"kernel": {**DOCUMENT["kernel"], "backlog_limit": 0}}, "backlog", ""),
        ({"kernel": {**DOCUMENT["kernel"], "enabled": 0}}, "kernel", "error"),
        ({}, "lost", "warning"),
        ({"self_test": {"passed": 3, "failed": 1}}, "self-tests", "error"),
        ({"windows": {"used": 1, "limit": 9, "evicted": 1}}, "windows", "warning"),
        ({"sinks": [{"name": "stdout", "dropped": 1}]}, "sink", "warning"),
        ({"now": 900.0}, "last alert", "medium"),
        ({}, "last alert", ""),
    ],
)
def test_row_is_colored_by_its_meaning(change: dict[str, Any], name: str, role: str) -> None:
    assert (
        next(row.role for row in table_rows({**DOCUMENT, **change}, details=True) if row.name == name) == role
    )


@pytest.mark.parametrize(
    ("encoding", "drawn"), [("utf-8", "█" * 10 + "░" * 10), ("ascii", "#" * 10 + "." * 10)]
)
def test_bar_fits_the_encoding(encoding: str, drawn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
    text = screen("never", watches=True).text({**DOCUMENT, "windows": {"used": 1, "limit": 2, "evicted": 0}})
    assert f"windows      {drawn}  1 of 2, 0 evicted" in text
    assert "backlog      " + drawn[0] + drawn[-1] * 19 in text  # 3 of 8192 is not nothing


def test_table_is_colored_and_escaped() -> None:
    document = {**DOCUMENT, "detections": [], "audit_rules": ["\x1b[31mred"]}
    assert "\x1b[33m2: kernel_lost 2\x1b[0m" in screen("always").text(document)
    assert "\\x1b[31mred" in screen("always").text(document)
    assert "\x1b" not in screen("never").text(document)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3661, "1 h 1 min"), (90_000, "1 d 1 h")],
)
def test_span_has_two_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_self_tests_are_counted() -> None:
    source, test = FakeSource(), SelfTest(1)
    sensor = Sensor(source=source)
    test.passed = 4
    with sensor:
        status = Snapshot(StatusContext(sensor, source, "", [], time.time, test)).document()
    assert status["self_test"] == {"passed": 4, "failed": 0, "events": 0}


def test_exceptions_are_counted() -> None:
    source = FakeSource()
    quiet = [except_for("pspy", match={"process.pid": str(pid)}, comment="x" * 900) for pid in range(3, 100)]
    sensor = Sensor(with_exceptions(shipped_detections(), quiet), source=source)
    with sensor:
        source.send(*burst(4, pid=90), *burst(5, pid=91, serial=90))
        sensor.poll()
        snapshot = Snapshot(StatusContext(sensor, source, "", [], time.time))
        status = snapshot.document()["exceptions"]
        assert [entry["events"] for entry in status] == [5, 4] + [0] * 48
        assert status[0] == {"detection": "pspy", "comment": "x" * 200, "origin": "code", "events": 5}
        assert len(snapshot.answer()) < 100_000  # fits into any socket's buffer


# --- where to ask ---------------------------------------------------------------------------


def configured(folder: Path, text: str) -> str:
    file = folder / "auditsense.toml"
    file.write_text(text)
    file.chmod(0o644)
    return str(file)


@pytest.mark.parametrize("command", ["status", "doctor"])
def test_status_socket_is_read_from_configuration(
    command: str, path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    wrong_elsewhere = "[alerts]\nmax_alert = 3\n"
    file = configured(tmp_path, f"[status]\nsocket = '{path}'\n{wrong_elsewhere}")
    running = {**DOCUMENT, "pid": 7777, "started": 0.0}
    with answering(path, json.dumps(running).encode()):
        main([command, "-c", file])
    assert "process 7777" in capfd.readouterr().out


def test_status_socket_flag_reads_no_file(path: Path, tmp_path: Path) -> None:
    with answering(path, json.dumps(DOCUMENT).encode()):
        missing = str(tmp_path / "missing.toml")
        assert main(["status", "-c", missing, "--status-socket", str(path)]) == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[status]\nsocket = 1\n", "{file}:2: status.socket: must be a string"),
        (
            "[status]\nsocket = 'run'\n",
            "{file}:2: status.socket: the status socket 'run' must be an absolute",
        ),
        ("[status\n", "{file}:1: "),
        ("[status]\nsocket = 'off'\n", "there is no status socket: it is off"),
    ],
)
def test_configuration_without_status_socket(
    tmp_path: Path, text: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    file = configured(tmp_path, text)
    assert main(["status", "-c", file]) == 2
    out, err = capfd.readouterr()
    assert err.startswith(f"auditsense: error: {message.format(file=file)}")
    assert (out, err.count("\n")) == ("", 1)
    assert main(["doctor", "-c", file]) in {0, 1}  # it looks at the rest all the same


def test_default_status_socket_without_configuration(tmp_path: Path) -> None:
    assert status_settings(None, None, tmp_path) == StatusSettings()
    configured(tmp_path, "[status]\nsocket = '/run/elsewhere'\n")
    assert status_settings(None, None, tmp_path) == StatusSettings(Path("/run/elsewhere"))


def test_watch_continues_until_sigint(
    path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    turns = iter(range(2))

    def interrupted(_: float) -> None:
        if next(turns, None) is None:
            raise KeyboardInterrupt

    with answering(path, json.dumps(DOCUMENT).encode()):
        monkeypatch.setattr("auditsense.cli.status.time", SimpleNamespace(sleep=interrupted))
        assert main(["status", "--watch", "--json", "--status-socket", str(path)]) == 0
        out, err = capfd.readouterr()
        assert [json.loads(line) for line in out.splitlines()] == [DOCUMENT] * 3
        turns = iter(range(1))
        assert main(["status", "--watch", "5", "--status-socket", str(path)]) == 0
        assert capfd.readouterr().out.count("sensor ") == 2
    assert "\x1b" not in out
    assert err == ""


@pytest.mark.parametrize(
    "answer",
    [
        b'{"version":1}\n',
        b'{"version":1,"uptime_s":"x"}\n',
        b'{"version":1,"uptime_s":1,"counters":[]}\n',
        b'{"version":1,"uptime_s":1,"counters":{},"kernel":{}}\n',
        b'{"version":1,"uptime_s":1e999}\n',
        b'{"version":1,"uptime_s":1,"source":7}\n',
    ],
)
def test_incomplete_answer_is_one_line(answer: bytes, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with answering(path, answer):
        assert main(["status", "--status-socket", str(path)]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("auditsense: error: ")
    assert err.count("\n") == 1
