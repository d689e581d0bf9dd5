"""Findings of doctor on the kernel of this machine, in states made for the test; see conftest.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.kernel.undo_journal_file import DEFAULT_FOLDER
from tests.live.workloads import OWN_RULE, done, running

if TYPE_CHECKING:
    from collections.abc import Iterator


OURS = auditctl.parse(OWN_RULE)
THIEF = auditctl.parse("-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k another")
OWNER = """
import os, socket, struct, sys
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
kernel.send(struct.pack("=IHHII11I", 60, 1001, 5, 1, 0, 4, 0, 0, os.getpid(), *[0] * 7))
print(struct.unpack_from("=i", kernel.recv(8192), 16)[0], flush=True)
sys.stdin.read()
"""


def found(*more: str) -> dict[str, str]:
    """Return what doctor finds beyond ok, by id."""
    answer = done("doctor", "--json", *more)
    assert answer.stderr == ""
    report = json.loads(answer.stdout)
    assert answer.returncode == report["exit_code"]
    return {one["id"]: one["level"] for one in report["findings"] if one["level"] != "ok"}


def beyond(before: dict[str, str], *more: str) -> dict[str, str]:
    return {name: level for name, level in found(*more).items() if name not in before}


def self_test() -> tuple[str, str]:
    answer = json.loads(done("doctor", "--json", "--self-test").stdout)
    (one,) = (one for one in answer["findings"] if one["id"] == "self-test")
    return one["level"], one["found"]


@contextmanager
def another_owner() -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "0\n"
        try:
            yield
        finally:
            owner.communicate("")


def test_another_owner_of_the_socket() -> None:
    before = found()
    with another_owner():
        assert beyond(before) == {"socket-owner": "note", "audit-enabled": "warning"}  # it left audit off
    with Commands() as commands:
        if commands.status().pid:  # the kernel notices that it has ended when it would send something
            commands.set(StatusField.PID, 0)
    assert beyond(before) == {}


def test_a_healthy_sensor_and_its_rule_there_stolen_and_gone() -> None:
    before = found()
    with running("run") as sensor, Commands() as commands:
        assert beyond(before) == {}
        assert self_test() == ("ok", "a deliberate open of /proc was reported with the key audit_proc")
        commands.add_rule(THIEF, prepend=True)
        assert beyond(before) == {"key-stolen": "note"}  # no detection compares keys
        assert self_test() == ("ok", "a deliberate open of /proc was reported with the key another")
        commands.delete_rule(THIEF)
        commands.delete_rule(OURS)
        assert beyond(before) == {"audit-rule": "error"}
        commands.add_rule(OURS)
        assert beyond(before) == {}
        assert sensor.end() == 0


def test_processes_may_wait_while_audit_is_on() -> None:
    before = found()
    with running("run"), Commands() as commands:
        commands.set(StatusField.BACKLOG_WAIT_TIME, 15000)
        try:
            assert beyond(before) == {"backlog-wait-time": "warning"}
        finally:
            commands.set(StatusField.BACKLOG_WAIT_TIME, 0)


def test_changes_of_killed_sensor_and_guardian_are_reported() -> None:
    before = found()
    with running("run") as sensor:
        guardian = json.loads(done("status", "--json").stdout)["source"]["guardian"]
        os.kill(guardian, signal.SIGSTOP)
        sensor.process.kill()
        sensor.process.wait()
        os.kill(guardian, signal.SIGKILL)
        deadline = time.monotonic() + 300
        while Path(f"/proc/{guardian}").exists() and "Z" not in Path(f"/proc/{guardian}/stat").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        left = beyond(before)
        assert (left["stale-journal"], left["sensor"]) == ("warning", "note")
        assert done("run", "--duration", "0.1", "--audit-rule", OWN_RULE).returncode == 0
    assert not DEFAULT_FOLDER.exists()
    assert beyond(before) == {}
