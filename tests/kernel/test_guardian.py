"""The guardian when the sensor dies, and until then; see tests/support/guarded_sensor.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.guarded_sensor import CAP_AUDIT_CONTROL, LIMIT_S, SENSOR, Result, Sensor, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.faults import Recorder


GONE = "AuditSenseError: the guardian is gone; start auditsense again"


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Sensor]:
    with Sensor(tmp_path / "result") as started:
        yield started


# --- what it is ------------------------------------------------------------------


def test_guardian_has_its_own_name_and_session(sensor: Sensor) -> None:
    pid = sensor.start()
    assert status(pid)["Name"] == "audit-guardian"
    assert os.getsid(pid) == os.getpgid(pid) == pid


def test_guardian_inherits_only_pipe_and_stderr(sensor: Sensor) -> None:
    opened = "[os.open('/etc/passwd', os.O_RDONLY) for _ in range(5)] + [os.dup2(1, 900)]"
    sensor.do(opened)
    pid = sensor.start()
    held = {int(path.name): str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()}
    assert held.pop(0) == held.pop(1) == "/dev/null"
    assert held.pop(2) == str(Path(f"/proc/{sensor.process.pid}/fd/2").readlink())
    ((place, pipe),) = held.items()
    assert place > 2
    assert pipe == str(Path(f"/proc/{sensor.process.pid}/fd/{sensor.do('guardian._pipe')}").readlink())
    assert sensor.do("os.get_inheritable(guardian._pipe)") == "False"


def test_guardian_keeps_only_audit_control(sensor: Sensor) -> None:
    fields = status(sensor.start())
    own = int(status(os.getpid())["CapPrm"], 16)
    assert int(fields["CapEff"], 16) == int(fields["CapPrm"], 16) == own & 1 << CAP_AUDIT_CONTROL
    assert int(fields["CapInh"], 16) == int(fields["CapAmb"], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert int(fields["CapBnd"], 16) == 1 << CAP_AUDIT_CONTROL


def test_guardian_survives_group_signals(sensor: Sensor) -> None:
    pid = sensor.start()
    sensor.do("guardian.write(STEPS)")
    sent = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGPIPE)
    ignored = int(status(pid)["SigIgn"], 16)
    for number in sent:
        assert ignored >> (number - 1) & 1
        os.kill(pid, number)
    assert int(status(pid)["SigBlk"], 16) == int(status(sensor.process.pid)["SigBlk"], 16) == 0
    assert sensor.do("guardian.alive()") == "True"
    assert "the host is as it was" in sensor.die()


# --- what it does ----------------------------------------------------------------


def test_guardian_does_nothing_without_a_death(sensor: Sensor) -> None:
    pid = sensor.start()
    for steps in ("STEPS[:1]", "STEPS", "STEPS[:2]", "()"):
        assert sensor.do(f"guardian.write({steps})") == "None"
        assert sensor.do("guardian.alive()") == "True"
        assert not sensor.result.text
    assert sensor.do("guardian.close()") == "None"
    assert sensor.do("guardian.pid") == "0"
    assert not Path(f"/proc/{pid}").exists()
    assert sensor.result.text == "as before: nothing asked"
    assert sensor.do("guardian.write(STEPS)") == "None"
    assert sensor.do("guardian.watch()") == "False"
    assert sensor.die() == ""


def test_guardian_restores_host_after_sigkill(sensor: Sensor) -> None:
    sensor.start()
    sensor.do("guardian.write(STEPS)")
    assert sensor.die() == f"auditsense: the sensor ({sensor.process.pid}) died; the host is as it was\n"
    assert sensor.result.text == "as before: True"


def test_guardian_is_silent_without_steps(sensor: Sensor) -> None:
    sensor.start()
    assert sensor.die() == ""
    assert sensor.result.text == "as before: nothing asked"


def test_close_undoes_remaining_steps(sensor: Sensor) -> None:
    sensor.start()
    sensor.do("guardian.write(STEPS)")
    assert sensor.do("guardian.close()") == "None"
    assert sensor.result.text == "as before: True"


def test_last_complete_journal_line_counts(sensor: Sensor) -> None:
    sensor.start()
    sensor.do("guardian.write(STEPS)")
    sensor.do("half(STEPS[:1])")
    assert "the host is as it was" in sensor.die()
    assert sensor.result.text == "as before: True"


def test_interrupted_line_does_not_affect_the_next(sensor: Sensor) -> None:
    sensor.start()
    sensor.do("half(STEPS[:1])")
    sensor.do("guardian.write(STEPS)")
    assert "the host is as it was" in sensor.die()
    assert sensor.result.text == "as before: True"


def test_failed_undo_is_reported_and_keeps_the_file(tmp_path: Path, fault: Recorder) -> None:
    with Sensor(tmp_path / "result", enabled=2) as sensor:
        sensor.start()
        sensor.do("guardian.write(STEPS)")
        lines = sensor.die().splitlines()
    assert len(lines) == 3  # the owner can be released, and ENABLED is not as it was set
    for line in lines:
        assert line.startswith("auditsense: error: not restored: ")
        assert "locked" in line
    assert not sensor.result.text
    fault(
        "the kernel refuses to restore",
        how="a locked configuration when the sensor dies, a kernel in memory",
        did="the guardian tried five times, kept the journal for the next start",
        lost="what was not read yet",
        reported="each step that is not restored, and why",
        host="locked: as the sensor left it",
    )


# --- when it dies itself ---------------------------------------------------------


def test_write_without_guardian_fails(sensor: Sensor, fault: Recorder) -> None:
    pid = sensor.start()
    os.kill(pid, signal.SIGKILL)
    until_gone(sensor)
    assert sensor.do("guardian.write(STEPS)") == GONE
    assert sensor.do("guardian.write(())") == "None"
    assert sensor.do("guardian.close()") == "None"
    fault(
        "the guardian dies before the takeover",
        how="SIGKILL to it, then a step",
        did="changed nothing more",
        lost="everything: it did not run",
        reported="“the guardian is gone; start auditsense again”",
        host="as before",
    )


def until_gone(sensor: Sensor) -> None:
    deadline = time.monotonic() + LIMIT_S
    while sensor.do("guardian.alive()") == "True":
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_replacement_guardian_knows_the_steps(sensor: Sensor) -> None:
    first = sensor.start()
    sensor.do("guardian.write(STEPS)")
    assert sensor.do("guardian.watch()") == "False"
    descriptors = sensor.do("len(os.listdir('/proc/self/fd'))")
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + LIMIT_S
    while sensor.do("guardian.watch()") == "False":
        assert time.monotonic() < deadline
    second = int(sensor.do("guardian.pid"))
    assert second != first
    assert sensor.do("guardian.watch()") == "False"
    assert sensor.do("len(os.listdir('/proc/self/fd'))") == descriptors
    assert "the host is as it was" in sensor.die()
    assert sensor.result.text == "as before: True"


def test_failed_replacement_is_tried_again(sensor: Sensor) -> None:
    pid = sensor.start()
    os.kill(pid, signal.SIGKILL)
    until_gone(sensor)
    assert sensor.do("setattr(Guardian, 'start', lambda self: 1 / 0)") == "None"
    assert sensor.do("guardian.watch()").startswith("ZeroDivisionError")
    assert sensor.do("guardian.write(STEPS)") == GONE
    assert sensor.do("guardian.watch()").startswith("ZeroDivisionError")
    assert sensor.do("guardian.close()") == "None"


def test_exit_is_noticed_with_sigchld_ignored(sensor: Sensor) -> None:
    sensor.do("signal.signal(signal.SIGCHLD, signal.SIG_IGN)")
    pid = sensor.start()
    assert sensor.do("guardian.alive()") == "True"
    os.kill(pid, signal.SIGKILL)
    until_gone(sensor)
    assert sensor.do("guardian.watch()") == "True"
    assert sensor.do("guardian.close()") == "None"


# --- where standard input or output is closed ------------------------------------

CLOSED = """
for descriptor in sys.argv[3]:
    os.close(int(descriptor))
guardian.start()
guardian.write(STEPS)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("closed", ["", "0", "1", "01", "2", "02", "12", "012"])
def test_closed_standard_descriptors_are_harmless(tmp_path: Path, closed: str, fault: Recorder) -> None:
    result = Result(tmp_path / "result")
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", SENSOR + CLOSED, str(result.path), "1", closed],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=writing,
    ) as process:
        os.close(writing)
        assert process.wait(LIMIT_S) == -signal.SIGKILL
    with os.fdopen(reading, "rb") as pipe:
        stderr = pipe.read()
    assert bool(stderr) == ("2" not in closed)
    deadline = time.monotonic() + LIMIT_S
    while not result.text:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert result.text == "as before: True"
    fault(
        "it is started with standard input or output closed",
        how="eight combinations, then SIGKILL",
        did="the guardian restored the host all the same",
        lost="what was not read yet",
        reported="the same, where there is a standard error",
        host="as before",
    )
