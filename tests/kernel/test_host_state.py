"""State of the kernel's audit before and after: remaining changes, changes by others, the description."""

from __future__ import annotations

import os
from typing import Any

import pytest

from auditsense.errors import AuditSenseError
from auditsense.kernel import guardian, host_state
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step
from auditsense.kernel.rules import auditctl
from auditsense.testing import FakeKernel

PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
OTHER = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k other", machine="x86_64")
WAIT = ChangeSetting(StatusField.BACKLOG_WAIT_TIME, 15000, 0)
STEPS: tuple[Step, ...] = (WAIT, BecomeOwner(), AddRule(PROC))
DEAD = 2**22 + 1  # beyond the largest pid


def look(**changes: Any) -> host_state.AuditState:  # noqa: ANN401 - those of FakeKernel
    with Commands(FakeKernel(**changes)) as commands:
        return host_state.read_state(commands)


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({"backlog_wait_time": 0}, ["backlog_wait_time is still 0, it was 15000"]),
        ({"backlog_wait_time": 7}, []),
        ({"pid": 42}, ["process 42 still owns the audit socket"]),
        ({"pid": 43}, []),
        (
            {"rules": [OTHER.to_bytes(), PROC.to_bytes()]},
            ["the audit rule of this step is still there: add audit rule: -w /proc -p r -k audit_proc"],
        ),
        ({"rules": [OTHER.to_bytes()]}, []),
    ],
)
def test_step_remains_until_undone(changes: dict[str, Any], lines: list[str]) -> None:
    assert host_state.remaining_changes(look(**changes), STEPS, 42) == lines


def test_unchanged_setting_does_not_remain() -> None:
    same = ChangeSetting(StatusField.BACKLOG_WAIT_TIME, 0, 0)
    assert host_state.remaining_changes(look(backlog_wait_time=0), (same,), 42) == []


def test_nothing_remains_of_no_steps() -> None:
    assert (
        host_state.remaining_changes(look(backlog_wait_time=0, pid=42, rules=[PROC.to_bytes()]), (), 42) == []
    )


@pytest.mark.parametrize(
    ("first", "then", "lines"),
    [
        ({}, {}, []),
        ({"rate_limit": 1}, {"rate_limit": 5}, ["rate_limit is 5, it was 1"]),
        ({"enabled": 0}, {"enabled": 1}, ["enabled is 1, it was 0"]),
        ({"pid": 0}, {"pid": 1}, ["process 1 owns the audit socket now"]),
        ({"pid": 1}, {"pid": 0}, ["no process owns the audit socket now"]),
        ({"pid": DEAD}, {"pid": 0}, []),
        ({"pid": 0}, {"pid": DEAD}, []),
        ({"pid": DEAD}, {"pid": 1}, ["process 1 owns the audit socket now"]),
        ({"pid": 1}, {"pid": 1}, []),
        ({"rules": []}, {"rules": [PROC.to_bytes(), OTHER.to_bytes()]}, ["audit rules added: 2"]),
        ({"rules": [PROC.to_bytes(), OTHER.to_bytes()]}, {"rules": []}, ["audit rules removed: 2"]),
        (
            {"rules": [PROC.to_bytes()]},
            {"rules": [OTHER.to_bytes()]},
            ["audit rules added: 1", "audit rules removed: 1"],
        ),
        (
            {"rules": [PROC.to_bytes(), OTHER.to_bytes()]},
            {"rules": [OTHER.to_bytes(), PROC.to_bytes()]},
            ["the audit rules are in another order"],
        ),
    ],
)
def test_changes_by_others_are_listed(first: dict[str, Any], then: dict[str, Any], lines: list[str]) -> None:
    assert host_state.changed_by_others(look(**first), look(**then)) == lines


def test_description_lists_changes_by_others() -> None:
    assert host_state.describe(None, look()) == "the host is as it was"
    assert host_state.describe(look(), look()) == "the host is as it was"
    assert host_state.describe(look(), look(rate_limit=5, failure=2)) == (
        "the host is as it was, except for changes by other processes: "
        "failure is 2, it was 1; rate_limit is 5, it was 0"
    )


class Kernel(FakeKernel):
    """A kernel that accepts one command client after another."""

    def close(self) -> None:
        """Stay open for the next client."""


# --- what the guardian does with it ------------------------------------------------------------


def restore(
    kernel: FakeKernel, steps: tuple[Step, ...] = STEPS, before: host_state.AuditState | None = None
) -> tuple[int, list[str]]:
    """Return the exit code, and whether `done` was called."""
    called: list[str] = []
    sensor = guardian._Sensor(42, steps, before)
    return guardian._restore(sensor, lambda: Commands(kernel), lambda: called.append("done")), called


def test_guardian_restores_and_reports(capfd: pytest.CaptureFixture[str]) -> None:
    kernel = Kernel(backlog_wait_time=0, rules=[PROC.to_bytes()])
    assert restore(kernel) == (0, ["done"])
    assert (kernel.backlog_wait_time, kernel.rules) == (15000, [])
    assert capfd.readouterr().err == "auditsense: the sensor (42) died; the host is as it was\n"


def test_guardian_without_steps_removes_the_file(capfd: pytest.CaptureFixture[str]) -> None:
    assert restore(Kernel(backlog_wait_time=0), ()) == (0, ["done"])
    assert capfd.readouterr().err == ""


def test_guardian_keeps_the_file_of_remaining_changes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(guardian, "undo_all", lambda *_: {})
    assert restore(Kernel(backlog_wait_time=0, pid=42)) == (1, [])
    assert capfd.readouterr().err == (
        "auditsense: error: the sensor (42) died; the host is not as it was: "
        "backlog_wait_time is still 0, it was 15000; process 42 still owns the audit socket\n"
    )


def test_guardian_tries_five_times_and_lists_failures(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tries: list[int] = []
    pauses: list[float] = []

    def fails(*_: object) -> dict[Step, Exception]:
        tries.append(1)
        return {WAIT: AuditSenseError("no")}

    monkeypatch.setattr(guardian, "undo_all", fails)
    monkeypatch.setattr("auditsense.kernel.guardian.time.sleep", pauses.append)
    assert restore(Kernel()) == (1, [])
    assert (len(tries), len(pauses)) == (5, 4)
    assert capfd.readouterr().err == (
        "auditsense: error: not restored: set backlog_wait_time: 15000 -> 0 jiffies (no)\n"
    )


def test_guardian_reports_failed_comparison(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refused(_: Commands) -> host_state.AuditState:
        raise AuditSenseError("refused")

    monkeypatch.setattr(host_state, "read_state", refused)
    assert restore(Kernel(backlog_wait_time=0)) == (0, ["done"])
    assert capfd.readouterr().err == (
        "auditsense: the sensor (42) died; "
        "all steps are undone, but the host could not be compared: refused\n"
    )


def piped(*chunks: bytes) -> int:
    reading, writing = os.pipe()
    for chunk in chunks:
        os.write(writing, chunk)
    os.close(writing)
    return reading


@pytest.mark.parametrize("journal", [b"", b"\n", b"no journal\n", b"\x00\n\n"])
def test_guardian_without_journal_keeps_first_steps(journal: bytes) -> None:
    reading = piped(journal)
    assert guardian._last_journal(reading, STEPS) == STEPS
    os.close(reading)


def test_guardian_that_cannot_be_replaced_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: guardian.Guardian) -> None:
        raise AuditSenseError("no process")

    monkeypatch.setattr(guardian.Guardian, "start", fails)
    stopped = guardian.Guardian()
    stopped.pid, stopped._pipe = 4711, os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    pipe = stopped._pipe
    with pytest.raises(AuditSenseError, match="no process"):
        stopped._replace()
    assert (stopped.pid, stopped._pipe, stopped._replaced) == (4711, pipe, [])
    os.close(pipe)


def test_closed_guardian_has_no_pid() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    ended = guardian.Guardian()
    ended.pid = child
    ended.close()
    assert ended.pid == 0
    assert not ended.alive()
