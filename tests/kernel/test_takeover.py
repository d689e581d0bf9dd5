"""`Takeover` over `FakeKernel`: the order, and the host as before in every case."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditsense.errors import (
    AuditSenseError,
    BusyError,
    KernelCommandError,
    LockedError,
    SocketTakenError,
    UsageError,
)
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import plan
from auditsense.kernel.rules import auditctl
from auditsense.kernel.takeover import Takeover
from auditsense.testing import FakeKernel

if TYPE_CHECKING:
    from auditsense.kernel.rules.rule import AuditRule

PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
OPENAT = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k other", machine="x86_64")


def taking(kernel: FakeKernel, *rules: AuditRule, limit: int = 32768) -> Takeover:
    return Takeover(Commands(kernel), kernel.register, rules or (PROC, OPENAT), limit)


# --- the plan ------------------------------------------------------------------


def lines(kernel: FakeKernel, *rules: AuditRule, limit: int = 32768) -> list[str]:
    commands = Commands(kernel)
    return [str(step) for step in plan(commands.status(), commands.rules(), rules, limit)]


def test_plan_lists_steps_in_order() -> None:
    assert lines(FakeKernel(), PROC) == [
        "set backlog_wait_time: 15000 -> 0 jiffies",
        "set backlog_limit: 64 -> 32768 records",
        "become the owner of the audit socket",
        "add audit rule: -w /proc -p r -k audit_proc",
        "set enabled: 0 -> 1",
    ]


def test_correct_setting_is_no_step() -> None:
    ready = FakeKernel(enabled=1, backlog_limit=32768, backlog_wait_time=0, rules=[PROC.to_bytes()])
    assert lines(ready, PROC, PROC) == ["become the owner of the audit socket"]


def test_higher_backlog_limit_stays() -> None:
    assert not [line for line in lines(FakeKernel(backlog_limit=40000)) if "limit" in line]


def test_unlimited_queue_is_limited_and_restored() -> None:
    kernel = FakeKernel(backlog_limit=0)
    before = kernel.host_state()
    assert "set backlog_limit: 0 -> 32768 records" in lines(kernel)
    with taking(kernel):
        assert kernel.backlog_limit == 32768
    assert kernel.host_state() == before


@pytest.mark.parametrize("limit", [0, -1, 2**32])
def test_backlog_limit_out_of_range_changes_nothing(limit: int) -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    with pytest.raises(UsageError):
        taking(kernel, limit=limit).__enter__()
    assert kernel.host_state() == before


# --- taking over and restoring -------------------------------------------------


def test_wait_time_is_set_before_anything_is_recorded() -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    with taking(kernel, PROC) as held:
        assert kernel.log == [
            "get",
            "set backlog_wait_time=0",
            "set backlog_limit=32768",
            f"register {os.getpid()}",
            "list",
            "add",
            "set enabled=1",
        ]
        assert held.changes() == tuple(lines(FakeKernel(), PROC))
        assert (kernel.enabled, kernel.pid, len(kernel.rules)) == (1, os.getpid(), 1)
    assert held.changes() == ()
    assert kernel.host_state() == before


def test_takeover_is_reusable_but_not_nestable() -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    once = taking(kernel)
    for _ in range(2):
        with once:
            with pytest.raises(BusyError, match="in effect already"):
                once.__enter__()
            assert kernel.enabled == 1
        assert kernel.host_state() == before
    once.restore()  # nothing is left to do
    assert kernel.host_state() == before


def test_existing_rule_stays() -> None:
    kernel = FakeKernel(rules=[PROC.to_bytes()])
    before = kernel.host_state()
    with taking(kernel):
        assert len(kernel.rules) == 2
    assert kernel.host_state() == before


def test_rule_added_concurrently_stays() -> None:
    kernel = FakeKernel()
    theirs = FakeKernel(rules=[PROC.to_bytes()]).rules
    kernel.after[4] = lambda: kernel.rules.extend(theirs)  # right after our "list"
    with taking(kernel, PROC) as held:
        assert not [line for line in held.changes() if "rule" in line]
    assert kernel.rules == theirs


def test_changes_by_others_stay() -> None:
    kernel = FakeKernel()
    with taking(kernel):
        kernel.backlog_limit = 20000
        kernel.backlog_wait_time = 100
        kernel.rules.clear()  # auditctl -D
        kernel.pid = 1
        kernel.alive.add(1)
    assert (kernel.backlog_limit, kernel.backlog_wait_time, kernel.pid) == (20000, 100, 1)
    assert (kernel.rules, kernel.enabled) == ([], 0)


def test_locked_host_releases_socket_and_names_the_rest() -> None:
    kernel = FakeKernel()
    held = taking(kernel)
    held.__enter__()
    kernel.enabled = 2
    with pytest.raises(KernelCommandError, match=r"audit_proc.*locked.*backlog_limit") as caught:
        held.__exit__(None, None, None)
    assert kernel.pid == 0
    assert "enabled" not in str(caught.value)  # the lock is theirs


def test_forked_child_restores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel()
    with taking(kernel) as held:
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: 1)
            held.restore()
        assert kernel.enabled == 1


# --- refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kernel", "error", "sentence"),
    [
        (FakeKernel(enabled=2), LockedError, "locked"),
        (FakeKernel(failure=2), LockedError, "panic"),
        (FakeKernel(pid=1, alive=[1]), SocketTakenError, "process 1 (.*) owns"),
        (FakeKernel(pid=os.getpid()), SocketTakenError, str(os.getpid())),
        (FakeKernel(status_bytes=32), KernelCommandError, "older"),
    ],
    ids=["locked", "panic", "owned", "owned by us", "old"],
)
def test_refused_host_is_only_read(kernel: FakeKernel, error: type[AuditSenseError], sentence: str) -> None:
    before = kernel.host_state()
    with pytest.raises(error, match=sentence):
        taking(kernel).__enter__()
    assert kernel.host_state() == before
    assert kernel.log == ["get"]


def test_dead_owner_is_no_obstacle() -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", ""]) as gone:
        gone.wait()
    kernel = FakeKernel(pid=gone.pid)
    with taking(kernel):
        assert kernel.pid == os.getpid()
    assert kernel.pid == 0


def test_concurrent_owner_wins_and_rest_is_restored() -> None:
    kernel = FakeKernel()
    before = kernel.host_state()

    def taken() -> None:
        raise SocketTakenError("process 1 (init) owns the audit socket")

    with pytest.raises(SocketTakenError, match="init"):
        Takeover(Commands(kernel), taken, [PROC]).__enter__()
    assert kernel.host_state() == before
