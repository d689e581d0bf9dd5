"""Changes of the kernel's audit by other programs are noticed; see conftest.py.

Rules that hide something do so for the user 65534 only. What would lock the host or make it panic is
tested over a kernel in memory (tests/kernel/test_tamper.py).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from auditsense.kernel.rules import auditctl
from tests.live.restore_host import ADD_RULE, DEL_RULE, HostState, Kernel
from tests.live.workloads import OWN_RULE, Command, Scanner, of_process, running
from tests.support.faults import AS_BEFORE, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense import Document
    from auditsense.kernel.rules.rule import AuditRule

NOTICED_S = 300.0  # it looks every second at the settings, every two at the rules
OURS = auditctl.parse(OWN_RULE)
CHALLENGER = """
import os, socket, struct
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
kernel.send(struct.pack("=IHHII11I", 60, 1001, 5, 1, 0, 4, 0, 0, os.getpid(), *[0] * 7))
print(struct.unpack_from("=i", kernel.recv(8192), 16)[0])
"""


def tampering(documents: list[Document]) -> list[tuple[str, str]]:
    return [
        (one["rule"]["id"].removeprefix("auditsense.tamper."), one["auditsense"]["repaired"])
        for one in documents
        if one["event"]["dataset"] == "auditsense.tamper"
    ]


def self_tests(sensor: Command) -> list[Document]:
    return [one for one in sensor.documents() if one["event"]["dataset"] == "auditsense.self_test"]


def noticed(sensor: Command, name: str, earlier: int) -> tuple[str, float]:
    """Wait for one finding more than *earlier*; return its repair and the seconds until it came."""
    began = time.monotonic()
    while len(found := tampering(sensor.documents())) <= earlier:
        assert time.monotonic() - began < NOTICED_S, f"{name} was not noticed: {sensor.stderr}"
        time.sleep(0.05)
    assert found[earlier][0] == name, found
    return found[earlier][1], time.monotonic() - began


def ahead(line: str) -> AuditRule:
    return replace(auditctl.parse(line), prepend=True)


SETTINGS = [
    ("wait-time", "backlog_wait_time", 15000),
    ("backlog-limit", "backlog_limit", 64),
    ("rate-limit", "rate_limit", 1_000_000),
    ("disabled", "enabled", 0),
]
RULES = [
    ("rule-hidden", ahead("-a never,exit -F arch=b64 -S openat -F uid=65534")),
    ("key-stolen", ahead("-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k another")),
    ("task-never", auditctl.parse("-a never,task -F uid=65534")),
    ("exclude", auditctl.parse("-a always,exclude -F msgtype=PATH -F uid=65534")),
]


@pytest.mark.parametrize("policy", ["report", "repair"])
def test_changed_setting_is_reported_and_repaired_on_request(policy: str, fault: Recorder) -> None:
    with running("run", "--source", "netlink", "--format", "jsonl", "--on-tamper", policy) as sensor:
        with Kernel() as kernel:
            as_set = kernel.state()
            for earlier, (name, setting, value) in enumerate(SETTINGS):
                kernel.set(setting, value)
                repaired, _ = noticed(sensor, name, earlier)
                now = getattr(kernel.state(), setting)
                if policy == "repair" and name != "rate-limit":
                    assert repaired.startswith("repaired: set ")
                    assert now == getattr(as_set, setting)
                else:
                    assert (repaired, now) == ("", value)
                    kernel.set(setting, getattr(as_set, setting))
            assert kernel.state() == as_set
        assert sensor.end() == 0
        assert len(tampering(sensor.documents())) == len(SETTINGS)
        assert "Audit Was Switched Off (critical): " in sensor.stderr
    fault(
        "another program changes audit's settings",
        how="wait time, limit, rate limit and enabled, one after the other, with either policy; live",
        did="noticed each; with `repair` set back all but the rate limit, otherwise nothing",
        lost="not counted here: no load ran",
        reported="a document for each, and the repair; audit switched off on standard error as well",
        host=AS_BEFORE,
    )


@pytest.mark.parametrize("policy", ["report", "repair"])
def test_removed_rule_is_noticed_and_repaired(scanner: Scanner, policy: str, fault: Recorder) -> None:
    with running("run", "--source", "netlink", "--format", "jsonl", "--on-tamper", policy) as sensor:
        with Kernel() as kernel:
            kernel.ask(DEL_RULE, OURS.to_bytes())
            repaired, _ = noticed(sensor, "rule-gone", 0)
            assert bool(repaired) == (policy == "repair")
        pid = scanner.scan(10)
        time.sleep(0.5)
        assert sensor.end() == 0
        assert len(of_process(sensor.documents(), pid)) == bool(repaired)
    fault(
        "another program removes the sensor's audit rule",
        how="the rule deleted, then a scanner, with either policy; live",
        did="noticed it; with `repair` added the rule again and found the scanner",
        lost="with `report` all that the rule would have reported; with `repair` not the scanner",
        reported="a document, and whether it was repaired",
        host=AS_BEFORE,
    )


def test_rule_that_hides_events_is_reported(fault: Recorder) -> None:
    with (
        running("run", "--source", "netlink", "--format", "jsonl", "--on-tamper", "repair") as sensor,
        Kernel() as kernel,
    ):
        for earlier, (name, rule) in enumerate(RULES):
            kernel.ask(ADD_RULE, rule.to_bytes())
            try:
                repaired, _ = noticed(sensor, name, earlier)
                assert repaired == ""  # a foreign rule is never touched
            finally:
                kernel.ask(DEL_RULE, replace(rule, prepend=False).to_bytes())
        assert sensor.end() == 0
    fault(
        "another program adds a rule that hides the sensor's events",
        how="`never` and another key before ours, `never` for new tasks, an exclude, for one user; live",
        did="noticed each; touched none, even with `repair`",
        lost="not counted here: no load ran",
        reported="a document for each, of a separate kind",
        host=AS_BEFORE,
    )


def test_challenger_of_socket_is_reported_and_refused(
    host_state: Callable[[], HostState], fault: Recorder
) -> None:
    with running("run", "--source", "netlink", "--format", "jsonl") as sensor:
        refused = subprocess.run(
            [sys.executable, "-I", "-S", "-c", CHALLENGER],
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        assert refused.stdout == "-17\n"  # EEXIST
        noticed(sensor, "challenge", 0)
        assert host_state().pid == sensor.pid
        assert sensor.end() == 0
    fault(
        "another program asks for the audit socket",
        how="a second process sets itself as the owner; live",
        did="stayed the owner; the other one got EEXIST",
        lost="not counted here: no load ran",
        reported="a document",
        host=AS_BEFORE,
    )


def test_self_test_fails_when_new_processes_are_hidden(
    fault: Recorder,
) -> None:
    # The rule sees only root, so the helper of the self-test has to stay root.
    rule = "-a always,exit -F dir=/proc -F perm=r -F uid=0 -k audit_proc"
    with running(
        *("run", "--source", "netlink", "--format", "jsonl", "--self-test", "1", "--user", "root"),
        *("--audit-rule", rule),
    ) as sensor:
        time.sleep(2.5)
        assert self_tests(sensor) == []
        hide = auditctl.parse("-a never,exit -F dir=/proc -F uid=0")
        with Kernel() as kernel:
            kernel.ask(ADD_RULE, replace(hide, prepend=True).to_bytes())
            try:
                deadline = time.monotonic() + NOTICED_S
                while "Does Not See Its Own Test" not in sensor.stderr and time.monotonic() < deadline:
                    time.sleep(0.05)
            finally:
                with contextlib.suppress(OSError):
                    kernel.ask(DEL_RULE, hide.to_bytes())
        assert "Does Not See Its Own Test (high): no record came" in sensor.stderr
        assert sensor.end() == 0
        assert self_tests(sensor)
    fault(
        "the kernel no longer reports what the rules say",
        how="a `never` rule for root before ours, the self-test every second; live",
        did="its self-test, which had passed until then, failed with the next one",
        lost="all that the rule hides, its own test too",
        reported="a document, and “no record came” on standard error",
        host=AS_BEFORE,
    )
