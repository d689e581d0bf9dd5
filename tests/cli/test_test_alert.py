"""`auditsense test-alert` against status documents; with a real sensor: tests/live/test_alert_test.py."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from auditsense.cli import main, test_alert
from auditsense.cli.test_alert import _reason, _standard_output

if TYPE_CHECKING:
    from pathlib import Path

SINK = {"name": "stdout", "given": 0, "written": 0, "dropped": 0, "failed": 0}
STATUS: dict[str, Any] = {
    "version": 1,
    "pid": os.getpid(),
    "output": "alerts",
    "source": {"name": "netlink"},
    "kernel": {"enabled": 1},
    "audit_rules": ["-w /proc/ -p r -k audit_proc"],
    "detection_counts": [{"id": "pspy", "sequences": 0, "alerts": 0}],
    "last_alert": None,
    "counters": {"records": 0, "matches": 0, "excepted": 0},
    "alerts": {"withheld": 0},
    "exceptions": [],
    "sinks": [SINK],
}
PID = 4242
Run = Callable[..., tuple[int, str, str]]
"""Runs the command next to a sensor with these answers; returns exit code and output."""


def changed(**changes: object) -> dict[str, Any]:
    """Return the status with other values, by dotted names with "__" for the dot."""
    status = deepcopy(STATUS)
    for name, value in changes.items():
        *parents, last = name.split("__")
        place = status
        for parent in parents:
            place = place[parent]
        place[last] = value
    return status


def alerted(pid: int = PID, **changes: object) -> dict[str, Any]:
    process = {"pid": pid, "name": "test-alert", "executable": "/usr/bin/python3"}
    alert = {"time": 100.003, "event_id": "0123abcd", "rule_id": "pspy", "process": process}
    counts = [{"id": "pspy", "sequences": 3, "alerts": 1}]
    return changed(last_alert=alert, detection_counts=counts, sinks=[{**SINK, "written": 1}], **changes)


@pytest.fixture
def sensor(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs the command next to a sensor with these answers, the last one for good."""

    def run(*answers: dict[str, Any], options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        left = [*answers]
        monkeypatch.setattr(test_alert, "ask", lambda _: left.pop(0) if len(left) > 1 else left[0])
        monkeypatch.setattr(test_alert, "_provoke", lambda _: (PID, 100.0))
        monkeypatch.setattr(test_alert, "_SINKS_S", 0.1)
        monkeypatch.setattr(test_alert, "_standard_output", lambda _: "the journal")
        code = main(["test-alert", "--timeout", "200ms", *options])
        return (code, *capfd.readouterr())

    return run


def test_alert_is_reported_with_latency_and_sinks(sensor: Run) -> None:
    code, out, err = sensor(STATUS, STATUS, alerted())
    assert (code, err) == (0, "auditsense: opening /proc 12 times, as a process spy does\n")
    assert out.splitlines() == [
        "alert      pspy, event.id 0123abcd",
        "process    4242 test-alert (/usr/bin/python3), 12 opens of /proc",
        "latency    3 ms after the open that completed it",
        "sink       stdout (the journal): written",
    ]


def test_alert_of_another_process_does_not_count(sensor: Run) -> None:
    code, out, err = sensor(STATUS, alerted(7))
    assert (code, out) == (1, "")
    assert "no alert came within 0.2 s" in err


def test_sink_that_does_not_write_is_a_failure(sensor: Run) -> None:
    last = alerted()
    last["sinks"] = [{**SINK, "failed": 1, "problem": "disk full"}]
    code, out, err = sensor(STATUS, last)
    assert code == 1
    assert "sink       stdout (the journal): failed (disk full)\n" in out
    assert "not every sink has written the alert" in err


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (changed(output="events"), "prints events (-o events), not alerts"),
        (
            changed(detection_counts=[{"id": "mine", "sequences": 0, "alerts": 0}]),
            "not have the detection pspy",
        ),
        ({"version": 1}, "older version; restart it"),
    ],
)
def test_sensor_that_cannot_alert_is_an_error(status: dict[str, Any], expected: str, sensor: Run) -> None:
    code, out, err = sensor(status)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert expected in err


def test_without_a_sensor_the_remedy_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["test-alert", "--status-socket", str(tmp_path / "control")]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "start one: auditsense run in another terminal" in err
    assert main(["test-alert", "--status-socket", "off"]) == 2


OWN_USER = ["-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k audit_proc"]
EXCEPTION = {"detection": "pspy", "comment": "ours", "origin": "quiet.toml", "events": 12}


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (changed(pid=1), "was restarted"),
        (changed(kernel__enabled=0), "audit is off"),
        (changed(counters__excepted=12, exceptions=[EXCEPTION]), '("ours", quiet.toml); try --user NAME'),
        (changed(alerts__withheld=1), "the limit of alerts"),
        (changed(counters__matches=12), "process 4242 matched without an alert"),
        (changed(audit_rules=OWN_USER), "may not see the user of the test"),
        (changed(source__name="log:/x", kernel=None), "auditd may lack the audit rule"),
        (STATUS, "auditsense doctor diagnoses this host"),
    ],
)
def test_missing_alert_has_a_reason(after: dict[str, Any], expected: str) -> None:
    assert expected in _reason(STATUS, after, PID)


def test_standard_output_is_named(tmp_path: Path) -> None:
    to = tmp_path / "out"
    with to.open("wb") as file, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as process:
        assert _standard_output(process.pid) == f"file {to}"
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert _standard_output(process.pid) == "a pipe"
    assert _standard_output(process.pid) == ""


@pytest.mark.parametrize("inode", [0, 1])
def test_standard_output_that_is_the_journal_is_named(inode: int) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        status = os.fstat(theirs.fileno())
        stream = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + inode}"}
        with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=theirs.fileno(), env=stream) as process:
            assert process.stdin is not None
            process.stdin.write(b"ready")
            process.stdin.flush()
            assert ours.recv(5) == b"ready"  # its environment is in place
            destination = _standard_output(process.pid)
            assert destination.startswith("the journal") == (inode == 0)


def test_provoked_process_reports_its_completing_open() -> None:
    before_s = time.time()
    pid, moment_s = test_alert._provoke(None)
    assert pid > 0
    assert before_s < moment_s < time.time()
