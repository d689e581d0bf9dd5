"""SIGKILL of the sensor: the guardian or the next start restores the host; see conftest.py.

The guardian keeps the sensor's standard error, as does whatever else the sensor may start: when that has
ended, no process of ours is left.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.kernel.undo_journal_file import DEFAULT_FOLDER
from tests.live.workloads import ACCOUNT, OWN_RULE, Scanner, done, finish
from tests.support.faults import AS_BEFORE, NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live.restore_host import HostState


OTHER_RULE = "-a always,exit -F arch=b64 -S chdir -F uid=65534 -k another_program"
LATER_RULE = "-a always,exit -F arch=b64 -S fchdir -F uid=65534 -k later_program"
MOMENTS = 20
LIMIT_S = 300.0
PAUSE_S = 0.01

PREPARED = """
import auditsense.cli.run
from auditsense.cli import main
from auditsense.kernel.commands import Commands
Commands().status()
print("ready", flush=True)
raise SystemExit(main())
"""


STARTED: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def none_left() -> Iterator[None]:
    """End what a failed test has left running, before the host is compared."""
    yield
    while STARTED:
        with STARTED.pop() as process:
            process.kill()


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start a sensor; what takes long has been done when this returns, and nothing is changed yet."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", PREPARED, "run", "--audit-rule", OWN_RULE, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    STARTED.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def until_watching(process: subprocess.Popen[str]) -> str:
    """Read standard error until the sensor watches; return its lines."""
    assert process.stderr is not None
    stderr = ""
    while "watching" not in stderr:
        line = process.stderr.readline()
        assert line, stderr
        stderr += line
    return stderr


def kill(process: subprocess.Popen[str]) -> str:
    """Kill it; return standard error until every process that holds it has ended."""
    process.kill()
    return process.communicate(timeout=LIMIT_S)[1]


def guardian_of(pid: int) -> int:
    """Return the pid of a sensor's guardian, which names itself some time after the fork."""
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        guardians = [int(child) for child in children if name_of(int(child)) == "audit-guardian"]
        if guardians:
            return guardians[0]
        time.sleep(0.01)
    raise AssertionError(f"process {pid} has no guardian")


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").rstrip("\n")
    except OSError:
        return ""


# --- the sensor ------------------------------------------------------------------


def killed_while_starting(moment: float) -> str:
    process = start()
    time.sleep(moment * 0.08)
    return kill(process)


def killed_under_load(moment: float, scanner: Scanner) -> str:
    process = start()
    until_watching(process)
    load = scanner.start(30_000)
    time.sleep(moment * 0.3)
    stderr = kill(process)
    finish(load)
    return stderr


def killed_while_stopping(moment: float, scanner: Scanner) -> str:
    process = start()
    until_watching(process)
    scanner.scan(1000)
    process.send_signal(signal.SIGTERM)
    time.sleep(moment * 0.06)
    return kill(process)


def test_sensor_killed_at_any_moment_leaves_host_as_before(
    host_state: Callable[[], HostState], scanner: Scanner, fault: Recorder
) -> None:
    before = host_state()
    restored = 0
    for turn in range(MOMENTS):
        moment = (turn // 3 + random.random()) / (MOMENTS / 3)  # noqa: S311  (spread over each phase)
        if turn % 3 == 0:
            stderr = killed_while_starting(moment)
        elif turn % 3 == 1:
            stderr = killed_under_load(moment, scanner)
        else:
            stderr = killed_while_stopping(moment, scanner)
        assert host_state() == before, f"turn {turn}: {stderr}"
        assert not DEFAULT_FOLDER.exists(), f"turn {turn}: {stderr}"
        assert "Traceback" not in stderr
        restored += "died; the host is as it was" in stderr
    assert restored >= MOMENTS // 3  # each of those under load, at least
    fault(
        "the sensor is killed",
        how="SIGKILL at 20 random moments of start, run under load and stop; live",
        did="its guardian restored the host, 20 of 20, and ended",
        lost="what was not read yet",
        reported="“the sensor (PID) died; the host is as it was”",
        host=AS_BEFORE + "; no /run/auditsense, no process",
    )


def test_next_start_restores_after_both_were_killed(
    host_state: Callable[[], HostState], fault: Recorder
) -> None:
    before = host_state()
    process = start()
    until_watching(process)
    during = host_state()
    watcher = guardian_of(process.pid)
    process.send_signal(signal.SIGSTOP)  # so that it cannot start another one in between
    os.kill(watcher, signal.SIGKILL)
    assert "died" not in kill(process)
    left = host_state()
    assert (left.enabled, left.rules) == (during.enabled, during.rules)
    assert DEFAULT_FOLDER.exists()
    ended = done("run", "--duration", "1", "--audit-rule", OWN_RULE)
    assert ended.returncode == 0
    first, *_ = ended.stderr.splitlines()
    assert first.startswith("auditsense: an earlier sensor was killed; restored what it had changed: ")
    for words in ("set enabled: 0 -> 1", "add audit rule: ", "set backlog_wait_time: "):
        assert words in first or words.startswith("set enabled") <= bool(before.enabled)
    assert host_state() == before
    assert not DEFAULT_FOLDER.exists()
    fault(
        "the sensor and its guardian are killed together",
        how="SIGSTOP to the sensor, SIGKILL to both; then `auditsense run --duration 1`; live",
        did="the next start found the journal below /run/auditsense and undid every step first",
        lost="everything until then",
        reported="“an earlier sensor was killed; restored what it had changed: …”, each step",
        host="changed until the next start, then " + AS_BEFORE,
    )


def test_unreaped_sensor_counts_as_dead(
    host_state: Callable[[], HostState],
) -> None:
    before = host_state()
    process = start()
    until_watching(process)
    process.send_signal(signal.SIGSTOP)
    os.kill(guardian_of(process.pid), signal.SIGKILL)
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    ended = done("run", "--source", "netlink", "--duration", "1", "--audit-rule", OWN_RULE)
    assert "an earlier sensor was killed" in ended.stderr
    assert ended.returncode == 0
    process.communicate(timeout=LIMIT_S)
    assert host_state() == before


def test_rules_of_other_programs_stay(host_state: Callable[[], HostState], fault: Recorder) -> None:
    others = [auditctl.parse(OTHER_RULE), auditctl.parse(LATER_RULE)]
    before = host_state()
    with Commands() as commands:
        commands.add_rule(others[0])
        with_other = host_state().rules
        process = start()
        until_watching(process)
        commands.add_rule(others[1])
        with_both = host_state().rules
        assert "died; the host is as it was" in kill(process)
        after = host_state()
        for rule in others:
            commands.delete_rule(rule)
    assert after.rules[: len(with_other)] == with_other
    assert after.rules[len(with_other) :] == with_both[len(with_other) + 1 :]
    assert len(after.rules) == len(with_other) + 1
    assert host_state() == before
    fault(
        "the sensor is killed while other programs have rules",
        how="one rule added before the start, one later; SIGKILL; live",
        did="its guardian removed the sensor's rule",
        lost="what was not read yet",
        reported="“the sensor (PID) died; the host is as it was”",
        host="their rules, byte for byte, in their order",
    )


REPEAT = int(os.environ.get("AUDITSENSE_REPEAT", "40"))
BATCH = 40  # ends with time to spare before the watchdog of a test does


@pytest.mark.parametrize("first", range(0, REPEAT, BATCH))
def test_sensor_killed_while_ending_releases_socket(
    host_state: Callable[[], HostState], first: int, fault: Recorder
) -> None:
    before = host_state()
    for turn in range(first, min(first + BATCH, REPEAT)):
        process = start()
        until_watching(process)
        process.send_signal(signal.SIGINT)
        time.sleep(random.random() * 0.03)  # noqa: S311 - spread over its end
        stderr = kill(process)
        assert host_state() == before, f"turn {turn}: {stderr}"
        assert not DEFAULT_FOLDER.exists(), f"turn {turn}: {stderr}"
        assert "error" not in stderr, f"turn {turn}: {stderr}"
    fault(
        "the sensor is killed while it ends",
        how="SIGINT, then SIGKILL 0 to 30 ms later, 40 times (600 on request); live",
        did="its guardian waited until the kernel saw the death, undid what was left, asked the kernel",
        lost="what was not read yet",
        reported="“the sensor (PID) died; the host is as it was”, where something was left to undo",
        host=AS_BEFORE + "; no owner of the socket, no /run/auditsense",
    )


# --- the guardian ----------------------------------------------------------------

EMBEDDING = f"""
import sys, time
from auditsense.sources.unicast import Unicast
with Unicast([{OWN_RULE!r}], guarded=True) as source:
    print(source.guardian.pid, flush=True)
    while True:
        if source.guardian.watch():
            print(source.guardian.pid, flush=True)
        time.sleep(0.05)
"""


def test_killed_guardian_is_replaced(host_state: Callable[[], HostState], fault: Recorder) -> None:
    before = host_state()
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-P", "-c", EMBEDDING], stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        first = int(process.stdout.readline())
        during = host_state()
        os.kill(first, signal.SIGKILL)
        second = int(process.stdout.readline())
        assert second != first
        assert name_of(first) == ""
        assert host_state() == during
        assert f"the sensor ({process.pid}) died; the host is as it was" in kill(process)
    assert host_state() == before
    assert not DEFAULT_FOLDER.exists()
    fault(
        "the guardian is killed",
        how="SIGKILL to it, later to the sensor; live",
        did="started another guardian with the same journal, which restored the host",
        lost=NOTHING,
        reported="the new one's pid; “the sensor (PID) died; the host is as it was”",
        host=AS_BEFORE,
    )


@pytest.mark.parametrize("user", [[], ["--user", ACCOUNT], ["--user", "root"]], ids=" ".join)
def test_stopped_guardian_does_not_delay_sensor(
    host_state: Callable[[], HostState], fault: Recorder, user: list[str]
) -> None:
    before = host_state()
    process = start(*user)
    until_watching(process)
    os.kill(guardian_of(process.pid), signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    stderr = process.communicate(timeout=LIMIT_S)[1]
    assert (process.returncode, stderr.splitlines()[-1].endswith("the host is as it was")) == (0, True), (
        stderr
    )
    assert host_state() == before
    assert not DEFAULT_FOLDER.exists()
    fault(
        "the guardian is stopped",
        how="SIGSTOP to it, SIGINT to the sensor; live",
        did="restored the host itself, continued the guardian, ended with 0",
        lost=NOTHING,
        reported=NOTHING,
        host=AS_BEFORE,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_process_group_restores_host(
    host_state: Callable[[], HostState], number: signal.Signals
) -> None:
    before = host_state()
    process = start()
    until_watching(process)
    os.kill(guardian_of(process.pid), number)
    process.send_signal(number)
    stderr = process.communicate(timeout=LIMIT_S)[1]
    assert process.returncode == 0
    assert stderr.endswith("the host is as it was\n")
    assert "died" not in stderr
    assert host_state() == before


def test_surviving_guardian_does_not_hinder_next_sensor(
    host_state: Callable[[], HostState],
) -> None:
    before = host_state()
    for _ in range(3):
        process = start()
        until_watching(process)
        process.kill()
        process.wait(LIMIT_S)
        # The guardian may be at work at this very moment.
        deadline = time.monotonic() + LIMIT_S
        ended = done("run", "--duration", "0.2", "--audit-rule", OWN_RULE)
        while ended.returncode and time.monotonic() < deadline:
            time.sleep(PAUSE_S)
            ended = done("run", "--duration", "0.2", "--audit-rule", OWN_RULE)
        assert ended.returncode == 0, ended.stderr
        process.communicate(timeout=LIMIT_S)
        assert host_state() == before
        assert not DEFAULT_FOLDER.exists()
