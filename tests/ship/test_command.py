"""The command `ship`: its lock, its signals, its exit codes, and what it drops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import cli
from auditsense.ship import pace, shipper
from auditsense.ship.config import ShipSettings, open_destination
from auditsense.ship.shipper import Shipper
from auditsense.sinks.spool_store import SpoolStore
from tests.ship.test_shipper import document, fill, refused, state
from tests.support import unit_limits
from tests.support.receiver import Reply, free_port, receiving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = Path(sys.executable).with_name("auditsense")
LIMIT_S = 300.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "spool"
    path.mkdir(mode=0o700)
    return path


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


def started(folder: Path, url: str) -> subprocess.Popen[str]:
    """Start the command, and wait until it delivers."""
    command = [str(PROGRAM), "ship", "--spool", str(folder), "--to", url]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("auditsense: delivers ")
    return process


def test_signal_ends_it_after_the_current_request(folder: Path) -> None:
    fill(folder, 3)
    with receiving() as receiver:
        process = started(folder, f"otlp+http://127.0.0.1:{receiver.port}")
        wait_until(lambda: receiver.requests)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, out) == (0, "")
    assert (
        err == "auditsense: 3 documents delivered, 0 of them known to the receiver; 0 set apart; 0 failures\n"
    )


def test_new_documents_are_delivered_while_it_runs(folder: Path) -> None:
    with receiving() as receiver:
        process = started(folder, f"otlp+http://127.0.0.1:{receiver.port}")
        fill(folder, 2)
        wait_until(lambda: receiver.ids() == ["id-0", "id-1"])
        process.terminate()
        process.communicate(timeout=LIMIT_S)


def test_it_works_within_the_limits_of_its_unit(folder: Path) -> None:
    if unit_limits.ANALYZE is None:
        pytest.skip("systemd-analyze, which knows the sets of system calls, is not installed")
    fill(folder, 2)
    limited = (
        "import os, sys; from tests.support.unit_limits import UnitLimits; "
        "UnitLimits.of('auditsense-ship.service').apply(); os.execv(sys.argv[1], sys.argv[1:])"
    )
    with receiving() as receiver:
        url = f"otlp+http://localhost:{receiver.port}"
        ended = subprocess.run(
            [
                *(sys.executable, "-P", "-c", limited, str(PROGRAM)),
                *("ship", "--spool", str(folder), "--to", url, "--until-empty"),
            ],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
        )
        assert (ended.returncode, receiver.ids()) == (0, ["id-0", "id-1"]), ended.stderr


def test_second_one_is_refused(folder: Path) -> None:
    url = f"otlp+http://127.0.0.1:{free_port()}"
    process = started(folder, url)
    second = subprocess.run(
        [PROGRAM, "ship", "--spool", folder, "--to", url], capture_output=True, text=True, check=False
    )
    process.terminate()
    process.communicate(timeout=LIMIT_S)
    assert second.returncode == 5
    assert f"another auditsense ship delivers {folder}; stop it first" in second.stderr


WRONG = [
    ([], 2, "the destination is missing; name it with --to"),
    (["--to", "otlp+http://user:word@x"], 2, "an address must not contain a password"),
    (["--to", "ftp://x"], 2, "there is no destination ftp://"),
    (["--to", "otlp+http://x", "--batch", "0"], 2, "must be a number from 1 to 1000, not 0"),
    (["--to", "otlp+http://x", "--status", "--list-refused"], 2, "--list-refused"),
]


@pytest.mark.parametrize(("words", "code", "message"), WRONG)
def test_wrong_usage_has_a_remedy(
    words: list[str], code: int, message: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = cli.main(["ship", "--spool", str(folder), *words])
    except SystemExit as exit_:
        found = int(str(exit_.code))
    assert found == code
    err = capsys.readouterr().err
    assert message in err
    assert "word@" not in err


def test_missing_folder_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["ship", "--spool", str(tmp_path / "no"), "--to", "otlp+http://x"]) == 2
    assert "cannot open the spool" in capsys.readouterr().err


def test_refused_documents_are_listed_and_sent_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(folder, 2)
    store = SpoolStore(folder)
    store.refuse([(store.oldest(1, 1 << 20)[0], "too old")])
    store.close()
    assert cli.main(["ship", "--spool", str(folder), "--list-refused"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line) == {"id": "id-0", "reason": "too old", "document": document(0).decode()}
    assert cli.main(["ship", "--spool", str(folder), "--status"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == 1
    assert cli.main(["ship", "--spool", str(folder), "--retry-refused"]) == 0
    assert refused(folder) == {}
    assert state(folder).documents == 2


@pytest.fixture
def foreign_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as above:
        Path(above).chmod(0o711)
        path = Path(above) / "spool"
        path.mkdir(mode=0o700)
        yield path


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_ship_runs_as_owner_of_spool_and_drops_privileges(foreign_folder: Path) -> None:
    fill(foreign_folder, 1)
    for path in (foreign_folder, *foreign_folder.iterdir()):
        os.chown(path, 65534, 65534)
    with receiving() as receiver:
        process = started(foreign_folder, f"otlp+http://127.0.0.1:{receiver.port}")
        wait_until(lambda: receiver.ids() == ["id-0"])
        status = Path(f"/proc/{process.pid}/status").read_text()
        process.terminate()
        process.communicate(timeout=LIMIT_S)
    assert "Uid:\t65534\t65534\t65534\t65534\n" in status
    assert "CapEff:\t0000000000000000\n" in status
    assert "Seccomp:\t2\n" in status


def test_rate_is_limited_after_an_outage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver gets the backlog slowly at first, whatever the usual limit is."""
    monkeypatch.setattr(shipper, "OUTAGE_S", 0.0)
    monkeypatch.setattr(pace, "_FIRST_S", 0.01)
    fill(folder, 30)
    waits: list[float] = []
    with receiving(Reply(503), Reply()) as receiver:
        destination = open_destination(ShipSettings(f"otlp+http://127.0.0.1:{receiver.port}"))
        running = Shipper(folder, destination, lambda _: None, batch=10, rate=1_000_000)
        monkeypatch.setattr(running._cap, "sent", _recording(running, waits))
        thread = threading.Thread(target=running.run, kwargs={"until_empty": True})
        thread.start()
        thread.join()
    assert len(receiver.ids()) == 40  # the first ten came twice: they were not acknowledged
    assert waits[1:] == [pytest.approx(0.1, abs=0.02)] * 2


def _recording(running: Shipper, waits: list[float]) -> Callable[[int, float], None]:
    original = running._cap.sent

    def sent(count: int, now_s: float) -> None:
        original(count, now_s)
        waits.append(running._cap.wait_s(now_s))

    return sent
