"""Takeover of the kernel of this machine, and its restoration; see conftest.py.

Rules that are active while audit is on name the user 65534, so that they match no one else.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from auditsense.errors import KernelCommandError, SocketTakenError
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.kernel.rules import auditctl
from auditsense.kernel.takeover import Takeover
from auditsense.kernel.transport import NetlinkTransport
from auditsense.sources import audit_socket

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.live.restore_host import HostState

PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
OPENAT_RULE = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k auditsense_test")
CHDIR_RULE = auditctl.parse("-a always,exit -F arch=b64 -S chdir -F uid=65534 -k auditsense_two")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
FORCED_BYTES = 128 << 20


@contextmanager
def taken_over() -> Iterator[tuple[Takeover, Commands, socket.socket]]:
    with (
        audit_socket.open_data_socket() as data,
        Commands() as commands,
        Takeover(commands, lambda: void(audit_socket.register(data)), [OPENAT_RULE, CHDIR_RULE]) as held,
    ):
        yield held, commands, data


def void(_early: list[bytes]) -> None:
    """Drop what came before the kernel's consent: these tests read no records."""


def python(script: str, *before: str) -> subprocess.CompletedProcess[str]:
    """Run a script with this interpreter, to the end."""
    command = [*before, sys.executable, "-P", "-c", script]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300, check=False)


OWNER = """
import sys
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.kernel.audit_status import StatusField
from auditsense.sources import audit_socket
with audit_socket.open_data_socket(1 << 20) as data:
    audit_socket.register(data)
    print("ready", flush=True)
    sys.stdin.read()
    Commands().set(StatusField.PID, 0)
"""


@contextmanager
def other_owner() -> Iterator[subprocess.Popen[str]]:
    """Let another process own the audit socket, until the block ends or it is killed."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-P", "-c", OWNER], env=ENVIRONMENT, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()


# --- commands ------------------------------------------------------------------


def test_rules_survive_the_round_trip_through_the_kernel() -> None:
    with Commands() as commands:
        there = commands.rules()
        for rule in (PROC, OPENAT_RULE):  # audit is off: nothing is recorded
            commands.add_rule(rule)
            assert any(rule.same_as(other) for other in commands.rules())
            with pytest.raises(KernelCommandError) as caught:
                commands.add_rule(rule)
            assert caught.value.errno == errno.EEXIST
        commands.add_rule(CHDIR_RULE, prepend=True)
        assert commands.rules()[0].same_as(CHDIR_RULE)
        for rule in (PROC, OPENAT_RULE, CHDIR_RULE):
            commands.delete_rule(rule)
            with pytest.raises(KernelCommandError) as caught:
                commands.delete_rule(rule)
            assert caught.value.errno == errno.ENOENT
        assert commands.rules() == there


def test_late_answer_does_not_count_for_the_next_request() -> None:
    transport = NetlinkTransport(timeout_s=0)
    with Commands(transport) as commands:
        with pytest.raises(KernelCommandError, match="did not answer within 0 s"):
            commands.status()
        transport._timeout_s = 2
        assert all(rule.fields for rule in commands.rules())
        assert commands.status().pid == 0


def test_the_client_works_inside_a_running_event_loop() -> None:
    script = """
import asyncio
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
async def main():
    with Commands() as commands:
        print(commands.status().failure)
asyncio.run(main())
"""
    assert python(script).stdout in {"0\n", "1\n"}


# --- taking over ---------------------------------------------------------------


def test_takeover_makes_and_reverts_the_planned_changes(
    host_state: Callable[[], HostState],
) -> None:
    before = host_state()
    with taken_over() as (held, _commands, _data):
        during = host_state()
        assert (during.enabled, during.pid, during.failure) == (1, os.getpid(), before.failure)
        assert during.backlog_wait_time == 0
        assert during.backlog_limit == max(before.backlog_limit, DEFAULT_BACKLOG_LIMIT)
        assert len(during.rules) == len(before.rules) + 2
        assert len([line for line in held.changes() if "add audit rule" in line]) == 2
    assert host_state() == before


def test_a_rule_that_existed_stays(host_state: Callable[[], HostState]) -> None:
    with Commands() as commands:
        commands.add_rule(OPENAT_RULE)
        before = host_state()
        with taken_over() as (held, _commands, _data):
            assert len([line for line in held.changes() if "add audit rule" in line]) == 1
        assert host_state() == before
        commands.delete_rule(OPENAT_RULE)


def test_exception_propagates_and_host_is_restored(
    host_state: Callable[[], HostState],
) -> None:
    before = host_state()
    with pytest.raises(ZeroDivisionError), taken_over():
        _ = 1 / 0
    assert host_state() == before


def test_a_second_takeover_names_the_owner_and_changes_nothing(
    host_state: Callable[[], HostState],
) -> None:
    with other_owner() as owner:
        before = host_state()
        with pytest.raises(SocketTakenError, match=rf"process {owner.pid} \(python"), taken_over():
            pytest.fail("taken over although owned")
        assert host_state() == before
        with (
            audit_socket.open_data_socket() as data,
            pytest.raises(SocketTakenError, match=rf"process {owner.pid} \(python"),
        ):
            audit_socket.register(data)
        with Commands() as commands, pytest.raises(KernelCommandError) as caught:
            commands.set(StatusField.PID, 0)  # another process owns the socket
        assert caught.value.errno == errno.EACCES


def test_a_dead_owner_is_no_obstacle(host_state: Callable[[], HostState]) -> None:
    with other_owner() as owner:
        owner.kill()
        owner.wait()
        assert host_state().pid == owner.pid  # the kernel has not noticed yet
        with taken_over():
            assert host_state().pid == os.getpid()
    assert host_state().pid == 0


def test_ctrl_c_at_any_time_leaves_the_host_as_it_was(host_state: Callable[[], HostState]) -> None:
    script = """
import itertools
from auditsense.kernel.rules import auditctl
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.kernel.takeover import Takeover
from auditsense.sources import audit_socket
rule = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k auditsense_test")
with audit_socket.open_data_socket(1 << 20) as data, Commands() as commands:
    commands.status()
    print("ready", flush=True)
    for _ in itertools.count():
        with Takeover(commands, lambda: audit_socket.register(data), [rule]):
            pass
"""
    before = host_state()
    for _ in range(12):
        with subprocess.Popen(
            [sys.executable, "-P", "-c", script],
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(random.uniform(0, 0.05))  # noqa: S311  (any moment will do)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=300) == -signal.SIGINT
        assert host_state() == before


def test_guardian_restores_after_sigkill(
    host_state: Callable[[], HostState],
    guardian: Callable[[], AbstractContextManager[subprocess.Popen[str]]],
) -> None:
    script = """
import os, signal
from auditsense.kernel.rules import auditctl
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.kernel.takeover import Takeover
from auditsense.sources import audit_socket
rule = auditctl.parse("-a always,exit -F arch=b64 -S openat -F uid=65534 -k auditsense_test")
data = audit_socket.open_data_socket(1 << 20)
with Takeover(Commands(), lambda: audit_socket.register(data), [rule]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    before = host_state()
    with guardian() as process:
        assert python(script).returncode == -signal.SIGKILL
        left = host_state()
        assert (left.enabled, len(left.rules)) == (1, len(before.rules) + 1)
    assert process.returncode == 0
    assert host_state() == before


# --- the data socket -----------------------------------------------------------


def test_the_data_socket_is_large_non_blocking_and_counts(
    host_state: Callable[[], HostState],
) -> None:
    with audit_socket.open_data_socket() as data:
        assert audit_socket.granted_buffer_bytes(data) == 2 * FORCED_BYTES
        assert not data.getblocking()
        assert not os.get_inheritable(data.fileno())
        assert data.getpeername() == (0, 0)
        assert (audit_socket.socket_drops(data), audit_socket.queued_bytes(data)) == (0, 0)
        assert audit_socket.register(data) == []
        assert host_state().pid == os.getpid()
        with pytest.raises(SocketTakenError, match="another socket of this process"):
            audit_socket.register(data)  # the kernel refuses even the owner itself
        with Commands() as commands:
            commands.set(StatusField.PID, 0)


def test_pending_records_are_counted_and_follow_the_reply() -> None:
    with taken_over() as (_held, commands, data):
        # Another process changes a setting: that alone makes records.
        limit = commands.status().backlog_limit
        script = f"""
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.kernel.audit_status import StatusField
Commands().set(StatusField.BACKLOG_LIMIT, {limit})
"""
        assert python(script).returncode == 0
        deadline = time.monotonic() + 300
        while not audit_socket.queued_bytes(data) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert audit_socket.queued_bytes(data) > 0
        assert audit_socket.socket_drops(data) == 0


# --- where there is no access --------------------------------------------------

DROP = """
import os
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.sources import audit_socket
Commands().status()
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
"""
ASK = """
from auditsense.errors import NoKernelAuditError
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.sources import audit_socket
try:
    Commands().status()
except NoKernelAuditError as problem:
    print(problem)
try:
    audit_socket.register(audit_socket.open_data_socket(1 << 20))
except NoKernelAuditError as problem:
    print(problem)
"""


@pytest.mark.parametrize(
    ("before", "sentence"),
    [
        (["unshare", "-U"], "inside a user namespace"),
        (["unshare", "-p", "--fork"], "inside a pid namespace"),
        ([], "not root"),
    ],
    ids=["user namespace", "pid namespace", "user 65534"],
)
def test_the_reason_for_having_no_access_is_named(before: list[str], sentence: str) -> None:
    if before and subprocess.run([*before, "true"], check=False).returncode:
        pytest.skip(f"{' '.join(before)} is not allowed here")
    # The interpreter may lie where only root can read: what is needed is imported
    # first, root's rights are dropped afterwards.
    done = python(ASK if before else DROP + ASK, *before)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert [line for line in lines if line.startswith(sentence)] == lines
