"""`Commands` over `FakeKernel`: messages sent, and errors for each refusal."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from auditsense.errors import (
    ClosedError,
    KernelCommandError,
    LockedError,
    NoKernelAuditError,
    UsageError,
)
from auditsense.kernel import access
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable

PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
OPENAT = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k other", machine="x86_64")


# --- settings ------------------------------------------------------------------


def test_status_has_the_kernels_values() -> None:
    kernel = FakeKernel(enabled=1, pid=1, backlog_limit=320, backlog_wait_time=0)
    status = Commands(kernel).status()
    assert (status.enabled, status.pid, status.backlog_limit) == (1, 1, 320)
    assert status.backlog_wait_time == 0
    assert kernel.log == ["get"]


def test_short_status_has_no_wait_time() -> None:
    assert Commands(FakeKernel(status_bytes=32)).status().backlog_wait_time is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (StatusField.ENABLED, 1),
        (StatusField.RATE_LIMIT, 100),
        (StatusField.BACKLOG_LIMIT, 2**32 - 1),
        (StatusField.BACKLOG_WAIT_TIME, 0),
    ],
)
def test_command_changes_one_setting_only(field: StatusField, value: int) -> None:
    kernel = FakeKernel()
    before = Commands(kernel).status()
    Commands(kernel).set(field, value)
    after = Commands(kernel).status()
    assert after.value_of(field) == value
    others = [other for other in StatusField if other != field]
    assert [after.value_of(o) for o in others] == [before.value_of(o) for o in others]
    assert kernel.log == ["get", f"set {field.name.lower()}={value}", "get"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        (StatusField.ENABLED, 2),  # locks the host until its next boot
        pytest.param(StatusField.PID, os.getpid(), id="own pid"),  # would register the control socket
        (StatusField.BACKLOG_LIMIT, -1),
        (StatusField.BACKLOG_LIMIT, 2**32),
        (0x02, 2),  # the failure mode: panic
        (0x40, 0),  # the reset of the lost counter
    ],
)
def test_forbidden_setting_sends_nothing(field: StatusField, value: int) -> None:
    kernel = FakeKernel()
    with pytest.raises(UsageError):
        Commands(kernel).set(field, value)
    assert kernel.log == []


def test_only_the_owner_can_release_the_socket() -> None:
    with pytest.raises(KernelCommandError) as caught:
        Commands(FakeKernel(pid=1, alive=[1])).set(StatusField.PID, 0)
    assert caught.value.errno == errno.EACCES
    own = FakeKernel(pid=os.getpid())
    Commands(own).set(StatusField.PID, 0)
    assert own.pid == 0


# --- rules ---------------------------------------------------------------------


def test_added_rule_is_listed_and_deletable() -> None:
    commands = Commands(FakeKernel())
    for rule in (PROC, OPENAT):
        commands.add_rule(rule)
    listed = commands.rules()
    assert [rule.same_as(other) for rule, other in zip((PROC, OPENAT), listed, strict=True)]
    commands.delete_rule(PROC)
    (left,) = commands.rules()
    assert left.same_as(OPENAT)


def test_prepend_puts_a_rule_in_front() -> None:
    commands = Commands(FakeKernel())
    commands.add_rule(OPENAT)
    commands.add_rule(PROC, prepend=True)
    assert commands.rules()[0].same_as(PROC)
    commands.delete_rule(PROC)  # the front is a place, no part of the rule


def test_errno_distinguishes_existing_and_missing_rules() -> None:
    commands = Commands(FakeKernel(rules=[PROC.to_bytes()]))
    with pytest.raises(KernelCommandError, match="audit_proc") as caught:
        commands.add_rule(PROC)
    assert caught.value.errno == errno.EEXIST
    with pytest.raises(KernelCommandError, match="65534") as caught:
        commands.delete_rule(OPENAT)
    assert caught.value.errno == errno.ENOENT


def test_unreadable_rule_is_left_out_of_the_list() -> None:
    strange = bytes(8) + b"\xff\xff\xff\xff" + bytes(1028)  # more fields than a rule can have
    (listed,) = Commands(FakeKernel(rules=[strange, PROC.to_bytes()])).rules()
    assert listed.same_as(PROC)


# --- refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        lambda commands: commands.set(StatusField.BACKLOG_LIMIT, 1),
        lambda commands: commands.add_rule(OPENAT),
        lambda commands: commands.delete_rule(PROC),
    ],
    ids=["set", "add", "delete"],
)
def test_locked_kernel_answers_and_refuses_changes(
    change: Callable[[Commands], None],
) -> None:
    commands = Commands(FakeKernel(enabled=2, rules=[PROC.to_bytes()]))
    assert commands.status().enabled == 2
    assert len(commands.rules()) == 1
    with pytest.raises(LockedError, match="locked until the next boot"):
        change(commands)


def test_eperm_without_lock_is_a_refused_command() -> None:
    kernel = FakeKernel()
    kernel.fail_at(0, errno.EPERM)
    with pytest.raises(KernelCommandError, match="set backlog_limit to 1: EPERM") as caught:
        Commands(kernel).set(StatusField.BACKLOG_LIMIT, 1)
    assert caught.value.errno == errno.EPERM


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EPROTONOSUPPORT, "built without CONFIG_AUDIT or booted with audit=0"),
        (errno.ECONNREFUSED, "inside a user namespace"),
        (errno.EPERM, "."),
    ],
)
def test_no_access_is_one_kind_of_error(number: int, sentence: str) -> None:
    kernel = FakeKernel()
    kernel.fail_at(0, number)
    with pytest.raises(NoKernelAuditError, match=sentence):
        Commands(kernel).status()


def test_missing_answer_names_command_and_timeout() -> None:
    kernel = FakeKernel()
    kernel.stay_silent_at(0)
    with pytest.raises(KernelCommandError, match=r"list .* did not answer within 2 s") as caught:
        Commands(kernel).rules()
    assert caught.value.errno is None


def test_closed_client_raises_and_closes_twice() -> None:
    with Commands(FakeKernel()) as commands:
        commands.status()
    commands.close()
    with pytest.raises(ClosedError):
        commands.status()


def test_closed_client_opens_no_socket() -> None:
    commands = Commands()
    commands.close()
    with pytest.raises(ClosedError):
        commands.status()


# --- the reason behind EPERM ---------------------------------------------------


def fake_proc(tmp_path: Path, capabilities: int) -> Path:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/status").write_text(f"Name:\tx\nCapEff:\t{capabilities:016x}\n")
    return tmp_path


def test_missing_capability_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proc = fake_proc(tmp_path, 0)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert str(access.explain(errno.EPERM, proc)).startswith("not root")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert str(access.explain(errno.EPERM, proc)).startswith("root without CAP_AUDIT_CONTROL")


def test_pid_namespace_is_named_before_capability(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, 0)
    (proc / "self/ns/pid").touch()  # another inode than the first namespace's
    assert "pid namespace" in str(access.explain(errno.EPERM, proc))


def test_unexplained_eperm_points_at_security_modules(tmp_path: Path) -> None:
    proc = fake_proc(tmp_path, 1 << access.CAP_AUDIT_CONTROL)
    assert "security module" in str(access.explain(errno.EPERM, proc))


def test_filter_of_a_container_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("socket.socket", refuse)
    with pytest.raises(NoKernelAuditError, match="--cap-add=AUDIT_WRITE"):
        Commands().status()


def test_unreadable_proc_is_unknown(tmp_path: Path) -> None:
    assert access.has_capability(30, tmp_path) is None
    assert access.in_other_namespace("pid", tmp_path) is None
    assert access.explain(errno.EINVAL, tmp_path) is None


def test_process_has_a_name_while_it_lives() -> None:
    assert access.process_name(os.getpid()) == Path("/proc/self/comm").read_text().rstrip()
    with subprocess.Popen([sys.executable, "-P", "-c", ""]) as gone:
        gone.wait()
    assert access.process_name(gone.pid) is None


# --- what the import costs -----------------------------------------------------


def test_pyroute2_is_imported_late_and_in_part() -> None:
    script = """
import sys
import auditsense.kernel.commands
from auditsense.kernel import netlink_message
assert not any(name.startswith("pyroute2") for name in sys.modules)
netlink_message.encode(1000, 1, 1, b"")
assert "asyncio" not in sys.modules
assert not any(name.startswith("pyroute2") for name in sys.modules)
import pyroute2
assert pyroute2.IPRoute
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-P", "-c", script], check=True, env=environment)
