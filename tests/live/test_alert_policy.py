"""Alerts name who did it, on the kernel of this machine; see conftest.py.

``AUDITSENSE_REPEAT=20`` repeats the attack so often, with the scanner at its real pace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import auditsense
from tests.live.workloads import OTHER_UID, OWN_RULE, Scanner, of_process, python_scanner, watched
from tests.support.faults import AS_BEFORE, NOTHING, Recorder

REPEAT = int(os.environ.get("AUDITSENSE_REPEAT", "1"))
PERIOD_US = 5_000 if REPEAT == 1 else 50_000
THROWAWAYS = 120
OPENS = 600

_BURN = """
import os, sys
for _ in range(int(sys.argv[1])):
    if os.fork() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        for _ in range(12):
            os.close(os.open("/proc", os.O_RDONLY | os.O_CLOEXEC))
        os._exit(0)
    os.wait()
os.execv(sys.argv[2], sys.argv[2:])
"""
_EXEC = """
import os, sys
for _ in range(12):
    os.close(os.open("/proc", os.O_RDONLY | os.O_CLOEXEC))
os.execv(sys.argv[1], sys.argv[1:])
"""


def python(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", code, *words], stdout=subprocess.PIPE, text=True
    )


def program(scanner: Scanner) -> str:
    return str(Path(scanner.command[0]).resolve())


def test_burned_limit_still_names_scanner(scanner: Scanner, fault: Recorder) -> None:
    """An unprivileged user burns the limit of alerts; the scanner is named all the same, every time."""
    for same_program in [False, True] * max(1, REPEAT // 2):
        chosen = python_scanner() if same_program else scanner
        words = [program(chosen), *chosen.command[1:], *chosen.numbers(OPENS, PERIOD_US)]
        with auditsense.Sensor(audit_rules=[OWN_RULE]) as sensor:
            burn = python(_BURN, str(THROWAWAYS), *words)
            documents = watched(sensor, burn)
        alerts = [one for one in of_process(documents, burn.pid) if one["auditsense"]["state"] == "alert"]
        assert [one["process"]["executable"] for one in alerts] == [chosen.exe]
        assert [one["user"]["id"] for one in alerts] == [str(OTHER_UID)]
        named = {one["process"]["pid"] for one in documents if one["event"]["kind"] == "alert"}
        assert 1 < len(named) < THROWAWAYS  # the limit was burned
        (withheld,) = [one for one in documents if one["rule"]["id"] == "auditsense.withheld"]
        assert withheld["auditsense"]["withheld"]["count"] == THROWAWAYS + 1 - len(named)
    fault(
        "an unprivileged user burns the limit of alerts, and scans",
        how="120 processes of 12 opens each as 65534, then a scanner of the same user; default policy; live",
        did="sent 20 alerts for the throwaway processes, and one for the scanner while it ran",
        lost=NOTHING,
        reported="the scanner's process, program and user in an alert; the others in a document of who waits",
        host=AS_BEFORE,
    )


def test_scanner_after_exec_is_named_with_its_own_count(scanner: Scanner, fault: Recorder) -> None:
    """Root's Python opens /proc 12 times, then becomes a scanner of another user."""
    rule = f"-a always,exit -F dir=/proc -F perm=r -F ppid={os.getpid()} -k audit_proc"
    with auditsense.Sensor(audit_rules=[rule]) as sensor:
        words = [program(scanner), *scanner.command[1:], *scanner.numbers(2000, 0)]
        process = python(_EXEC, *words)
        documents = of_process(watched(sensor, process), process.pid)
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for one in documents:
        who = (one["process"]["executable"], one["user"]["id"])
        found.setdefault(who, []).append((one["auditsense"]["state"], one["auditsense"]["count"]))
    own_python = str(Path(sys.executable).resolve())
    assert found[own_python, "0"] == [("alert", 10), ("closed", 12)]
    mine = found[scanner.exe, str(OTHER_UID)]
    assert [state for state, _ in mine] == ["alert", "closed"]
    assert mine[-1][1] == 2000
    fault(
        "a scanner is started by exec from a harmless program",
        how="Python as root opens /proc 12 times, then execs a scanner that becomes 65534; live",
        did="began another burst with the other program and user",
        lost=NOTHING,
        reported="an alert for each, with its matches: 12 and 2,000",
        host=AS_BEFORE,
    )
