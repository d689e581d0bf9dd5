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


def test_the_plan_of_a_booted_machine_reads_in_the_order_it_is_done() -> None:
    assert lines(FakeKernel(), PROC) == [
        "set backlog_wait_time: 15000 -> 0 jiffies",
        "set backlog_limit: 64 -> 32768 records",
        "become the owner of the audit socket",
        "add audit rule: -w /proc -p r -k audit_proc",
        "set enabled: 0 -> 1",
    ]


def test_what_is_right_already_is_no_step() -> None:
    ready = FakeKernel(enabled=1, backlog_limit=32768, backlog_wait_time=0, rules=[PROC.to_bytes()])
    assert lines(ready, PROC, PROC) == ["become the owner of the audit socket"]


def test_a_higher_backlog_limit_stays() -> None:
    assert not [line for line in lines(FakeKernel(backlog_limit=40000)) if "limit" in line]


def test_an_unlimited_queue_gets_a_limit_and_is_unlimited_again() -> None:
    kernel = FakeKernel(backlog_limit=0)
    before = kernel.host_state()
    assert "set backlog_limit: 0 -> 32768 records" in lines(kernel)
    with taking(kernel):
        assert kernel.backlog_limit == 32768
    assert kernel.host_state() == before


@pytest.mark.parametrize("limit", [0, -1, 2**32])
def test_a_backlog_limit_out_of_range_changes_nothing(limit: int) -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    with pytest.raises(UsageError):
        taking(kernel, limit=limit).__enter__()
    assert kernel.host_state() == before


# --- taking over and putting back ----------------------------------------------


def test_the_commands_come_in_the_order_that_never_makes_a_process_wait() -> None:
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


def test_a_takeover_can_be_used_again_but_not_twice_at_once() -> None:
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


def test_a_rule_that_was_there_before_stays_afterwards() -> None:
    kernel = FakeKernel(rules=[PROC.to_bytes()])
    before = kernel.host_state()
    with taking(kernel):
        assert len(kernel.rules) == 2
    assert kernel.host_state() == before


def test_a_rule_that_somebody_adds_while_we_look_is_theirs() -> None:
    kernel = FakeKernel()
    theirs = FakeKernel(rules=[PROC.to_bytes()]).rules
    kernel.after[4] = lambda: kernel.rules.extend(theirs)  # right after our "list"
    with taking(kernel, PROC) as held:
        assert not [line for line in held.changes() if "rule" in line]
    assert kernel.rules == theirs


def test_what_others_changed_meanwhile_is_left_to_them() -> None:
    kernel = FakeKernel()
    with taking(kernel):
        kernel.backlog_limit = 20000
        kernel.backlog_wait_time = 100
        kernel.rules.clear()  # auditctl -D
        kernel.pid = 1
        kernel.alive.add(1)
    assert (kernel.backlog_limit, kernel.backlog_wait_time, kernel.pid) == (20000, 100, 1)
    assert (kernel.rules, kernel.enabled) == ([], 0)


def test_a_host_that_was_locked_meanwhile_gives_up_the_socket_and_names_the_rest() -> None:
    kernel = FakeKernel()
    held = taking(kernel)
    held.__enter__()
    kernel.enabled = 2
    with pytest.raises(KernelCommandError, match=r"audit_proc.*locked.*backlog_limit") as caught:
        held.__exit__(None, None, None)
    assert kernel.pid == 0
    assert "enabled" not in str(caught.value)  # the lock is theirs


def test_a_forked_child_puts_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_host_that_must_not_be_touched_is_only_looked_at(
    kernel: FakeKernel, error: type[AuditSenseError], sentence: str
) -> None:
    before = kernel.host_state()
    with pytest.raises(error, match=sentence):
        taking(kernel).__enter__()
    assert kernel.host_state() == before
    assert kernel.log == ["get"]


def test_a_dead_owner_is_no_obstacle() -> None:
    with subprocess.Popen([sys.executable, "-P", "-c", ""]) as gone:
        gone.wait()
    kernel = FakeKernel(pid=gone.pid)
    with taking(kernel):
        assert kernel.pid == os.getpid()
    assert kernel.pid == 0


def test_an_owner_that_comes_in_between_wins_and_the_rest_is_put_back() -> None:
    kernel = FakeKernel()
    before = kernel.host_state()

    def taken() -> None:
        raise SocketTakenError("process 1 (init) owns the audit socket")

    with pytest.raises(SocketTakenError, match="init"):
        Takeover(Commands(kernel), taken, [PROC]).__enter__()
    assert kernel.host_state() == before
