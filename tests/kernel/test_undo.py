"""Undo of a step: by owner of the socket, and only while the setting is as it was set."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from auditsense.errors import KernelCommandError
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step
from auditsense.kernel.rules import auditctl
from auditsense.kernel.undo import is_alive, undo, undo_all
from auditsense.testing import FakeKernel

if TYPE_CHECKING:
    from pathlib import Path

    from auditsense.kernel.audit_status import AuditStatus

PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
WAIT = ChangeSetting(StatusField.BACKLOG_WAIT_TIME, 15000, 0)
LIMIT = ChangeSetting(StatusField.BACKLOG_LIMIT, 64, 8192)
DEAD = 2**22 + 1  # beyond the largest pid


@pytest.mark.parametrize(
    ("stat", "alive"),
    [
        ("7 (python3) S 1 7 7 0 -1 4194560 0 0", True),
        ("7 (python3) T 1 7 7 0 -1 4194560 0 0", True),
        ("7 (python3) R 1 7 7 0 -1 4194564 0 0", False),  # PF_EXITING
        ("7 (python3) D 1 7 7 0 -1 4 0 0", False),
        ("7 (python3) Z 1 7 7 0 -1 4194560 0 0", False),
        ("7 (python3) X 1 7 7 0 -1 4194560 0 0", False),
        ("7 (a) Z 1 7 7 0 -1 4 0 (b) S 1 7 7 0 -1 4194560 0 0", True),  # a name may hold anything
    ],
)
def test_exiting_process_is_not_alive(tmp_path: Path, stat: str, *, alive: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(stat)
    assert is_alive(7, tmp_path) is alive


def test_unused_pid_is_not_alive(tmp_path: Path) -> None:
    assert not is_alive(7, tmp_path)


def test_this_process_is_alive() -> None:
    assert is_alive(os.getpid())


# --- undoing a step ---------------------------------------------------------------------------


class Answers:
    """Commands of a kernel whose socket belongs to a process, perhaps an exiting one."""

    def __init__(
        self, pid: int, refusals: int = 0, number: int = errno.EACCES, heir: int | None = None
    ) -> None:
        self.pid, self.refusals, self.number, self.heir = pid, refusals, number, heir
        self.asked = 0

    def status(self) -> AuditStatus:
        return replace(Commands(FakeKernel()).status(), pid=self.pid)

    def set(self, field: StatusField, value: int) -> None:
        assert (field, value) == (StatusField.PID, 0)
        self.asked += 1
        if self.asked <= self.refusals:
            if self.heir is not None:
                self.pid = self.heir
            raise KernelCommandError("refused", self.number)
        self.pid = 0


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the clock by one that advances with pauses only; return the pauses."""
    pauses: list[float] = []
    monkeypatch.setattr("auditsense.kernel.undo.time.sleep", pauses.append)
    monkeypatch.setattr("auditsense.kernel.undo.time.monotonic", lambda: 5 + sum(pauses))
    return pauses


def release(answers: Answers) -> bool:
    return undo(answers, BecomeOwner(), DEAD)  # type: ignore[arg-type]


def test_socket_of_dead_owner_is_released_after_wait(pauses: list[float]) -> None:
    answers = Answers(DEAD, refusals=3)
    assert release(answers)
    assert (answers.asked, answers.pid, len(pauses)) == (4, 0, 3)


def test_socket_of_living_owner_is_left(pauses: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditsense.kernel.undo.is_alive", lambda _: True)
    answers = Answers(DEAD, refusals=1)
    assert not release(answers)
    assert (answers.asked, pauses) == (1, [])


def test_socket_of_another_owner_is_left(pauses: list[float]) -> None:
    assert not release(Answers(DEAD + 1))
    answers = Answers(DEAD, refusals=9, heir=DEAD + 1)
    assert release(answers)  # its own ownership is over
    assert (answers.asked, len(pauses)) == (1, 1)


def test_other_refusal_is_an_error_at_once(pauses: list[float]) -> None:
    with pytest.raises(KernelCommandError):
        release(Answers(DEAD, refusals=1, number=errno.EPERM))
    assert pauses == []


def test_unnoticed_death_is_an_error_after_limit(pauses: list[float]) -> None:
    answers = Answers(DEAD, refusals=10**9)
    with pytest.raises(KernelCommandError):
        release(answers)
    assert 10 <= sum(pauses) <= 10.1


def test_only_steps_in_effect_are_undone() -> None:
    kernel = FakeKernel(backlog_wait_time=0, rules=[PROC.to_bytes()])
    with Commands(kernel) as commands:
        for step in (WAIT, AddRule(PROC)):
            assert undo(commands, step, DEAD)
            assert not undo(commands, step, DEAD)
    assert (kernel.backlog_wait_time, kernel.rules) == (15000, [])


def test_steps_are_undone_in_reverse_and_all_are_tried() -> None:
    kernel = FakeKernel(backlog_wait_time=0, backlog_limit=8192, rules=[PROC.to_bytes()])
    tried: list[object] = []

    class Failing(Commands):
        def set(self, field: StatusField, value: int) -> None:
            tried.append(field)
            if field is StatusField.BACKLOG_LIMIT:
                raise KernelCommandError("no", errno.EPERM)
            super().set(field, value)

    undone: list[Step] = []
    with Failing(kernel) as commands:
        failures = undo_all(commands, [WAIT, LIMIT, AddRule(PROC), AddRule(PROC)], DEAD, undone)
        assert [(step, str(failure)) for step, failure in failures.items()] == [(LIMIT, "no")]
        assert undone == [WAIT, AddRule(PROC)]
        assert undo_all(commands, [WAIT], DEAD) == {}
    assert tried == [StatusField.BACKLOG_LIMIT, StatusField.BACKLOG_WAIT_TIME]
