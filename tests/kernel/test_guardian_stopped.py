"""Reports of the guardian, and a stopped guardian; see tests/support/guarded_sensor.py."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.guarded_sensor import LIMIT_S, Sensor, status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.faults import Recorder


@pytest.fixture
def sensor(tmp_path: Path) -> Iterator[Sensor]:
    with Sensor(tmp_path / "result") as started:
        yield started


# --- reports -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("", "the host is as it was\n"),
        ("rate_limit=5", "as it was, except for changes by other processes: rate_limit is 5,"),
        ("failure=2", "changes by other processes: failure is 2, it was 1"),
        ("backlog_limit=100", "changes by other processes: backlog_limit is 100, it was 64"),
        ("rules=[RULE.to_bytes(), OTHER.to_bytes()]", "changes by other processes: audit rules added: 1"),
        ("pid=1", "changes by other processes: process 1 owns the audit socket now"),
    ],
)
def test_guardian_compares_host_before_reporting(sensor: Sensor, change: str, words: str) -> None:
    assert sensor.do(f"changes.update({change})") == "None"
    assert sensor.do("setattr(guardian, '_before', read_state(Commands(FakeKernel())))") == "None"
    sensor.start()
    sensor.do("guardian.write(STEPS)")
    assert words in sensor.die()


def test_guardian_waits_for_kernel_to_notice_death(sensor: Sensor) -> None:
    sensor.do("refusals.append(3)")
    sensor.start()
    sensor.do("guardian.write(STEPS)")
    assert sensor.die().endswith("the host is as it was\n")
    assert sensor.result.text == "as before: True"


def test_guardian_reports_socket_that_stays_owned(sensor: Sensor, fault: Recorder) -> None:
    sensor.do("refusals.append(10**9)")
    sensor.do("setattr(undo, '_DYING_S', 0.05)")
    sensor.start()
    sensor.do("guardian.write(STEPS)")
    stderr = sensor.die()
    assert "error: not restored: become the owner of the audit socket" in stderr
    assert "as it was" not in stderr
    assert not sensor.result.text
    fault(
        "the kernel does not release the socket of a dead sensor",
        how="EACCES to the guardian, again and again; a kernel in memory",
        did="the guardian tried five times, kept the journal for the next start",
        lost="what was not read yet",
        reported="“not restored: become the owner of the audit socket”; not that the host is as it was",
        host="as before but for the owner of the socket",
    )


# --- when it is stopped -----------------------------------------------------------


def stop(sensor: Sensor) -> int:
    pid = sensor.start()
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + LIMIT_S
    while status(pid)["State"][0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return pid


FORBID = "setattr(os, 'kill', lambda pid, number: (_ for _ in ()).throw(PermissionError(1, 'no')))"


def test_stopped_guardian_is_resumed_on_close(sensor: Sensor) -> None:
    pid = stop(sensor)
    assert sensor.do("guardian.close()") == "None"
    assert not Path(f"/proc/{pid}").exists()
    assert sensor.result.text == "as before: nothing asked"


def test_stopped_guardian_is_resumed_by_watch(sensor: Sensor) -> None:
    pid = stop(sensor)
    assert sensor.do("(guardian.watch(), *guardian.incident)") == "(True, 'was stopped', 'it was continued')"
    assert sensor.do("guardian.pid") == str(pid)
    assert sensor.do("guardian.watch()") == "False"
    sensor.do("guardian.write(STEPS)")
    assert "the host is as it was" in sensor.die()


def test_guardian_that_cannot_be_resumed_is_replaced(sensor: Sensor) -> None:
    first = stop(sensor)
    sensor.do("guardian.write(STEPS)")
    sensor.do(FORBID)
    answer = sensor.do("(guardian.watch(), *guardian.incident)")
    assert answer == "(True, 'was stopped', 'another one was started')"
    assert int(sensor.do("guardian.pid")) != first
    assert sensor.do("guardian.watch()") == "False"
    sensor.process.kill()
    deadline = time.monotonic() + LIMIT_S
    while not sensor.result.text:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(first, signal.SIGCONT)  # it has nothing to undo any more
    stderr = sensor.process.communicate(timeout=LIMIT_S)[1]
    assert stderr.count("died") == 1


def test_guardian_that_does_not_exit_is_left_after_limit(sensor: Sensor) -> None:
    pid = stop(sensor)
    sensor.do("setattr(guardian, '_end_s', 0.2)")
    sensor.do(FORBID)
    answer = sensor.do("guardian.close()")
    os.kill(pid, signal.SIGCONT)
    assert answer == (
        f"AuditSenseError: the guardian ({pid}) did not end within 0.2 s: "
        "it was stopped or frozen; it is left"
    )


def test_unread_pipe_does_not_block_sensor(sensor: Sensor, fault: Recorder) -> None:
    pid = stop(sensor)
    sensor.do(FORBID)
    sensor.do("setattr(sys.modules[Guardian.__module__], '_WRITE_S', 0.1)")
    answer = ""
    for _ in range(1000):  # until the pipe is full
        answer = sensor.do("guardian.write(STEPS)")
        if answer != "None":
            break
    assert answer.startswith(f"AuditSenseError: the guardian ({pid}) does not read its pipe")
    assert sensor.do("guardian.write(())") == "None"
    os.kill(pid, signal.SIGKILL)
    fault(
        "the guardian is stopped and cannot be continued",
        how="SIGSTOP to it, SIGCONT refused; journal lines until the pipe is full",
        did="waited two seconds at most, changed nothing more; while it runs, another guardian is started",
        lost="everything, when it comes before the takeover: it did not run",
        reported="“the guardian … does not read its pipe”",
        host="as before",
    )
