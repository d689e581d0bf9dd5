"""SIGHUP to a running sensor: the new configuration is active, and no event is lost or counted twice."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.workloads import (
    ACCOUNT,
    AUDITSENSE,
    OWN_RULE,
    Command,
    Scanner,
    batch_loads,
    counted,
    done,
    finish,
    of_process,
    running,
    witnessing,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


LIMIT_S = 300.0
OPENS = 60_000
OTHERS = 5
"""Events before a witness listens: the kernel's reports of its settings."""
OTHER = """
id = "other"
name = "Other"
version = 1
severity = "low"
risk_score = 1
audit_rule = "-w /proc/ -p r -k audit_proc"
[match]
"auditd.data.syscall" = "reboot"
[window]
by = ["process.pid"]
matches = 1
within = "1s"
"""


QUIET = """[[exception]]
detection = "pspy"
comment = "ours"
match = { "user.id" = "65534" }
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that only root may write, and everybody read."""
    with tempfile.TemporaryDirectory(prefix="auditsense-reload-", dir="/run") as name:
        found = Path(name)
        found.chmod(0o755)
        shipped = Path(__file__).parents[2] / "src/auditsense/detections/pspy.toml"
        write(found / "pspy.toml", shipped.read_text(encoding="utf-8"))
        write(found / "other.toml", OTHER)
        yield found


def write(file: Path, text: str) -> Path:
    """Put a whole new file in its place, as an editor does."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.chmod(0o644)
    new.replace(file)
    return file


def configured(folder: Path, *names: str, more: str = "") -> Path:
    paths = ", ".join(f"'{folder / name}.toml'" for name in names)
    return write(folder / "auditsense.conf", f"[detections]\nshipped = false\npaths = [{paths}]\n{more}")


def reload(sensor: Command, message: str = "configuration reloaded") -> None:
    """Send SIGHUP, and wait for one more such message."""
    before = sensor.stderr.count(message)
    sensor.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + LIMIT_S
    while sensor.stderr.count(message) == before:
        assert sensor.process.poll() is None, sensor.stderr
        assert time.monotonic() < deadline, sensor.stderr
        time.sleep(0.01)


@pytest.mark.parametrize("user", [[], ["--user", ACCOUNT]], ids=["root", "another user"])
def test_reloads_under_a_load_that_saturates_lose_no_event(
    folder: Path, scanner: Scanner, witness_program: Path | None, user: list[str]
) -> None:
    if witness_program is None:
        pytest.skip("there is no C compiler for witness.c")
    file = configured(folder, "pspy")
    with (
        running("run", "-c", str(file), *user) as sensor,
        witnessing(witness_program) as witness,
        batch_loads(scanner, OPENS, producers=2) as loads,
        ThreadPoolExecutor(1) as pool,
    ):
        made = pool.submit(loads.run)
        for turn in range(8):
            configured(folder, *(["other", "pspy"] if turn % 2 == 0 else ["pspy"]))
            reload(sensor)
        made.result()
        reload(sensor)
        assert sensor.end() == 0
        others = OTHERS + witness.end(OPENS).others
        assert "Traceback" not in sensor.stderr
        for load in loads.processes:
            found = [one["auditsense"] for one in of_process(sensor.documents(), load.pid)]
            assert [one["state"] for one in found] == ["alert", "closed"]
        figures = counted(sensor)
        reported = figures["kernel"] + figures["serials"] + figures["incomplete"]
        assert OPENS - figures["matches"] <= reported, "a loss was not reported"
        assert figures["kernel"] == figures["incomplete"] == 0
        assert figures["matches"] + figures["serials"] == OPENS  # each event once
        assert 0 <= figures["events"] - figures["matches"] <= others
        if not figures["serials"]:
            assert sum(one["auditsense"]["count"] for one in sensor.documents() if "process" in one) >= OPENS


def test_open_window_survives_reload(folder: Path, scanner: Scanner) -> None:
    file = configured(folder, "pspy")
    with running("run", "-c", str(file)) as sensor:
        load = scanner.start(10, period_us=300_000)  # 2.7 s from the first to the last
        time.sleep(0.5)
        configured(folder, "other", "pspy")
        reload(sensor)
        assert load.poll() is None
        finish(load)
        assert sensor.end() == 0
        (alert,) = of_process(sensor.documents(), load.pid)
        assert alert["auditsense"]["count"] == 10


def until_events(file: Path, count: int) -> dict[str, Any]:
    """Wait until the sensor has read *count* events; return its status."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        status: dict[str, Any] = json.loads(done("status", "--json", "-c", str(file)).stdout)
        if status["counters"]["events"] >= count:
            return status
        assert time.monotonic() < deadline, status


def test_exception_applies_after_reload(folder: Path, scanner: Scanner) -> None:
    options = f"[status]\nsocket = '{folder / 'control'}'\n"
    file = configured(folder, "pspy", more=options)
    with running("run", "-c", str(file)) as sensor:
        before = scanner.scan()
        until_events(file, 10)  # what is read after the reload goes by the new configuration
        configured(folder, "pspy", more=options + QUIET)
        reload(sensor)
        after = scanner.scan(11)
        status = until_events(file, 21)
        assert status["exceptions"] == [
            {"detection": "pspy", "comment": "ours", "origin": f"{file}:6", "events": 11}
        ]
        assert sensor.end() == 0
        assert len(of_process(sensor.documents(), before)) == 1
        assert not of_process(sensor.documents(), after)
        assert "excepted from pspy: 11 events (ours)" in sensor.stderr


def test_invalid_configuration_is_reported_and_ignored(folder: Path, scanner: Scanner) -> None:
    file = configured(folder, "pspy")
    with running("run", "-c", str(file)) as sensor:
        write(file, "[alerts]\nmax_alert = 3\n[source]\nlean = 1\n")
        reload(sensor, "not reloaded")
        assert f"{file}:2: alerts.max_alert: there is no such key; did you mean max_alerts?" in sensor.stderr
        assert f"{file}:4: source.lean: must be true or false, not 1" in sensor.stderr
        configured(folder, "pspy", more="[source]\nname = 'multicast'\n")
        reload(sensor)
        assert "source.name: changed, needs a restart" in sensor.stderr
        pid = scanner.scan()
        assert sensor.end() == 0
        assert len(of_process(sensor.documents(), pid)) == 1


def test_reload_of_unreadable_file_keeps_the_previous_configuration(folder: Path) -> None:
    file = configured(folder, "pspy")
    file.chmod(0o600)
    with running("run", "-c", str(file), "--user", "root") as sensor:
        reload(sensor)  # root without capabilities still owns it
        assert sensor.end() == 0
    with running("run", "-c", str(file), "--user", ACCOUNT) as sensor:
        reload(sensor, "not reloaded")
        assert f"{file}: Permission denied" in sensor.stderr
        assert sensor.end() == 0


def test_closed_terminal_ends_a_configured_sensor(folder: Path) -> None:
    file = configured(folder, "pspy")
    out = folder / "out"
    ours, theirs = pty.openpty()
    with out.open("wb") as errors:
        process = subprocess.Popen(
            ["setsid", "--ctty", "--wait", *AUDITSENSE, "run", "-c", str(file), "--audit-rule", OWN_RULE],
            stdin=theirs,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    os.close(theirs)
    deadline = time.monotonic() + LIMIT_S
    while "watching" not in out.read_text():
        assert process.poll() is None, out.read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(ours)
    process.wait(LIMIT_S)
    assert "the host is as it was" in out.read_text()
    assert "reloaded" not in out.read_text()
