"""However the sensor ends, the host's audit is as it was before; see conftest.py."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import auditsense
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.rule import AuditRule
from tests.live.workloads import (
    EXACT_RULE,
    OWN_RULE,
    Scanner,
    audit_rule,
    command,
    done,
    of_process,
    running,
    watched,
)
from tests.support.faults import AS_BEFORE, NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.live.restore_host import HostState


OTHER_RULE = "-a always,exit -F arch=b64 -S chdir -F uid=65534 -k another_program"
ROUNDS = 20
LAST_WORD = "the host is as it was\n"


# --- ways to end ---------------------------------------------------------------


def test_run_with_duration_restores_host(host_state: Callable[[], HostState], scanner: Scanner) -> None:
    before = host_state()
    with running("run", "--duration", "1.5") as sensor:
        during = host_state()
        pid = scanner.scan()
        assert sensor.wait() == 0
        assert [one["auditsense"]["state"] for one in of_process(sensor.documents(), pid)] == ["alert"]
        assert sensor.stderr.endswith(LAST_WORD)
    assert (during.enabled, during.backlog_wait_time, during.pid) == (1, 0, sensor.pid)
    assert len(during.rules) == len(before.rules) + 1
    assert host_state() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("what", ["run", "record"])
def test_signal_restores_host(
    host_state: Callable[[], HostState], number: signal.Signals, what: str, tmp_path: Path, fault: Recorder
) -> None:
    before = host_state()
    with running(what, *(["--to", str(tmp_path / "capture")] if what == "record" else [])) as sensor:
        assert host_state().pid == sensor.pid
        assert sensor.end(number) == 0
        assert sensor.stderr.endswith(LAST_WORD)
        assert "Traceback" not in sensor.stderr
    assert host_state() == before
    fault(
        "a signal ends it",
        how="SIGINT, SIGTERM and SIGHUP to `run` and `record`; live",
        did="restored the host, ended with 0",
        lost=NOTHING,
        reported="a summary, “the host is as it was”",
        host=AS_BEFORE,
    )


def test_second_signal_does_not_interrupt_restoring(
    host_state: Callable[[], HostState], fault: Recorder
) -> None:
    before = host_state()
    for _ in range(5):
        with running("run") as sensor:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
                sensor.process.send_signal(number)
                time.sleep(random.uniform(0, 0.01))  # noqa: S311  (any moment will do)
            # A late one may meet a process that has put everything back and unhooked its handlers.
            assert sensor.wait() in {0, 130, -signal.SIGINT, -signal.SIGTERM}
        assert host_state() == before
    fault(
        "a second and a third signal while it restores the host",
        how="SIGINT, SIGTERM, SIGINT within some ms, five times; live",
        did="finished restoring the host",
        lost=NOTHING,
        reported="nothing more than after one",
        host=AS_BEFORE,
    )


PREPARED = """
import sys
import auditsense.cli.run
from auditsense.cli import main
from auditsense.kernel.commands import Commands
Commands().status()
print("ready", flush=True)
raise SystemExit(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_during_start_restores_host(
    host_state: Callable[[], HostState], number: signal.Signals, fault: Recorder
) -> None:
    before = host_state()
    taken = 0
    for turn in range(ROUNDS):
        with subprocess.Popen(
            [sys.executable, "-P", "-c", PREPARED, "run", "--audit-rule", OWN_RULE],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "ready\n"
            stderr = ""
            try:
                if turn == ROUNDS - 1:  # late enough to end a whole run
                    while "watching" not in stderr:
                        stderr += process.stderr.readline()
                        assert process.poll() is None
                else:
                    time.sleep(turn * 0.002 + random.uniform(0, 0.002))  # noqa: S311
                process.send_signal(number)
                process.wait(timeout=300)
                stderr += process.stderr.read()
            finally:
                process.kill()  # nothing, where it has ended
        assert host_state() == before
        taken += "watching" in stderr
        assert process.returncode in {0, 130, -number}
        if "watching" in stderr:
            assert process.returncode == 0
            assert stderr.endswith(LAST_WORD)
    assert taken
    fault(
        "a signal while it starts",
        how="SIGINT and SIGTERM, 20 moments each; live",
        did="restored everything changed until then",
        lost=NOTHING,
        reported="nothing, or a summary when it had begun",
        host=AS_BEFORE,
    )


def test_exception_in_block_restores_host(host_state: Callable[[], HostState], fault: Recorder) -> None:
    before = host_state()
    with suppress(ZeroDivisionError), auditsense.Sensor(audit_rules=[OWN_RULE]):
        assert host_state() != before
        _ = 1 / 0
    assert host_state() == before
    fault(
        "the embedding program fails",
        how="an exception inside `with Sensor()`; live",
        did="restored the host, passed the exception on",
        lost="what was not read yet",
        reported="the exception",
        host=AS_BEFORE,
    )


def test_exception_while_iterating_restores_host(
    host_state: Callable[[], HostState], scanner: Scanner
) -> None:
    before = host_state()
    alerts = 0
    with suppress(ZeroDivisionError), auditsense.Sensor(audit_rules=[OWN_RULE]) as sensor:
        scanner.scan()
        for _alert in sensor:
            alerts += 1
            _ = 1 / 0
    assert alerts == 1
    assert host_state() == before


def test_defect_of_sensor_restores_host(
    host_state: Callable[[], HostState], scanner: Scanner, monkeypatch: pytest.MonkeyPatch, fault: Recorder
) -> None:
    before = host_state()

    def defect() -> None:
        raise ZeroDivisionError

    raised = False
    with suppress(ZeroDivisionError), auditsense.Sensor(audit_rules=[OWN_RULE]) as sensor:
        scanner.scan()
        monkeypatch.setattr(sensor.reader, "drain", defect)
        raised = True
        list(sensor)
        raised = False
    assert raised
    assert host_state() == before
    fault(
        "a defect of the sensor itself",
        how="an exception in the middle of its loop; live",
        did="restored the host, passed the exception on",
        lost="what was not read yet",
        reported="the exception",
        host=AS_BEFORE,
    )


def test_leaving_a_loop_early_leaves_the_host_as_before(
    host_state: Callable[[], HostState], scanner: Scanner
) -> None:
    before = host_state()
    with auditsense.Sensor(audit_rules=[OWN_RULE]) as sensor:
        scanner.scan()
        assert next(iter(sensor))["auditsense"]["state"] == "alert"
    assert host_state() == before


def test_one_sensor_after_the_other_is_possible(
    host_state: Callable[[], HostState], scanner: Scanner
) -> None:
    before = host_state()
    for _ in range(5):
        with auditsense.Sensor(audit_rules=[OWN_RULE]) as sensor:
            assert len(watched(sensor, scanner.start())) == 1
        assert host_state() == before


def test_closed_output_restores_host(
    host_state: Callable[[], HostState], scanner: Scanner, fault: Recorder
) -> None:
    before = host_state()
    reading, writing = os.pipe()
    with command("run", "--audit-rule", OWN_RULE, stdout=writing) as sensor:
        os.close(writing)
        sensor.wait_until_ready()
        os.close(reading)
        scanner.scan()
        assert sensor.wait() == 1
        assert sensor.messages()[1:] == ["auditsense: error: standard output was closed by its reader"]
    assert host_state() == before
    fault(
        "the reader of standard output goes away",
        how="the pipe is closed while it runs; live",
        did="restored the host, ended with 1",
        lost="the alert that could not be written",
        reported="“standard output was closed by its reader”",
        host=AS_BEFORE,
    )


def test_output_on_full_disk_restores_host(
    host_state: Callable[[], HostState], scanner: Scanner, fault: Recorder
) -> None:
    before = host_state()
    with open("/dev/full", "wb") as full, command("run", "--audit-rule", OWN_RULE, stdout=full) as sensor:  # noqa: PTH123
        sensor.wait_until_ready()
        scanner.scan()
        assert sensor.wait() == 1
        assert sensor.messages()[1:] == [
            "auditsense: error: cannot write to standard output: No space left on device"
        ]
    assert host_state() == before
    fault(
        "standard output is on a full disk",
        how="/dev/full as output; live",
        did="restored the host, ended with 1",
        lost="the alert that could not be written",
        reported="“cannot write to standard output: No space left on device”",
        host=AS_BEFORE,
    )


# --- a full disk for the capture -----------------------------------------------


def on_small_disk(folder: Path, kilobytes: int, full: int) -> tuple[str, ...]:
    """Return the words before a command that make *folder* a separate disk, *full* kB of it used."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("cannot create a mount namespace here, as in a chroot")
    script = f"mount -t tmpfs -o size={kilobytes}k small {folder} && head -c {full}k /dev/zero >{folder}/used"
    return ("unshare", "-m", "sh", "-c", f'{script}; exec "$@"', "sh")


@pytest.mark.parametrize("opens", [1000, 100_000])
def test_full_disk_ends_capture_and_restores_host(
    host_state: Callable[[], HostState], scanner: Scanner, tmp_path: Path, opens: int, fault: Recorder
) -> None:
    # By syscall, not by folder: in another mount namespace a rule on a folder sees nothing.
    rule = "-a always,exit -S openat -F uid=65534 -k audit_proc"
    before = host_state()
    disk = on_small_disk(tmp_path, 64, 0)
    with command("record", "--to", f"{tmp_path}/capture", "--audit-rule", rule, before=disk) as recorder:
        recorder.wait_until_ready()
        scanner.scan(opens)
        assert recorder.wait() == 1
        assert recorder.stderr.splitlines()[1:] == [
            f"auditsense: error: cannot write to {tmp_path}/capture: No space left on device"
        ]
    assert host_state() == before
    fault(
        "the disk of a capture fills up",
        how="a tmpfs of 64 KB, 1,000 and 100,000 opens; live",
        did="restored the host, ended with 1",
        lost="what came after the last whole write",
        reported="“cannot write to FILE: No space left on device”",
        host=AS_BEFORE,
    )


def test_capture_on_full_disk_is_not_begun(
    host_state: Callable[[], HostState], tmp_path: Path, fault: Recorder
) -> None:
    before = host_state()
    ended = done("record", "--to", f"{tmp_path}/capture", before=on_small_disk(tmp_path, 4, 4))
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1:] == [
        f"auditsense: error: {tmp_path}/capture: No space left on device"
    ]
    assert "Traceback" not in ended.stderr
    assert host_state() == before
    fault(
        "the disk of a capture is full",
        how="a tmpfs without a free page; live",
        did="changed nothing, ended with 2",
        lost=NOTHING,
        reported="“FILE: No space left on device”",
        host=AS_BEFORE,
    )


# --- what others did -----------------------------------------------------------


def test_earlier_rule_of_another_program_stays(
    host_state: Callable[[], HostState], scanner: Scanner, fault: Recorder
) -> None:
    with audit_rule(OTHER_RULE):
        before = host_state()
        with running("run") as sensor:
            assert len(host_state().rules) == len(before.rules) + 1
            pid = scanner.scan()
            assert sensor.end() == 0
            assert len(of_process(sensor.documents(), pid)) == 1
        assert host_state() == before
    fault(
        "audit rules of another program",
        how="another rule exists while it runs; live",
        did="left it alone",
        lost=NOTHING,
        reported=NOTHING,
        host=AS_BEFORE,
    )


def test_earlier_identical_rule_stays(
    host_state: Callable[[], HostState], scanner: Scanner, fault: Recorder
) -> None:
    with audit_rule(OWN_RULE):
        before = host_state()
        with running("run") as sensor:
            assert host_state().rules == before.rules
            pid = scanner.scan()
            assert sensor.end() == 0
            assert len(of_process(sensor.documents(), pid)) == 1
        assert host_state() == before
    fault(
        "its audit rule exists already",
        how="another program has added the same rule; live",
        did="used it and left it",
        lost=NOTHING,
        reported=NOTHING,
        host=AS_BEFORE,
    )


def test_later_rule_of_another_program_stays(host_state: Callable[[], HostState], fault: Recorder) -> None:
    before = host_state()
    with running("run") as sensor, audit_rule(OTHER_RULE):
        assert sensor.end() == 0
        after = host_state()
    (left,) = set(after.rules) - set(before.rules)
    assert AuditRule.from_bytes(left).same_as(auditctl.parse(OTHER_RULE))
    fault(
        "another program adds an audit rule while it runs",
        how="a rule added while it runs; live",
        did="left it alone",
        lost=NOTHING,
        reported="a summary",
        host="as before, and their rule",
    )


def test_second_sensor_is_refused_and_first_continues(
    host_state: Callable[[], HostState], scanner: Scanner, tmp_path: Path, fault: Recorder
) -> None:
    with running("run") as first:
        during = host_state()
        for arguments in (
            ["run", "--source", "netlink"],
            ["run"],
            ["record", "--to", str(tmp_path / "capture")],
        ):
            second = done(*arguments)
            assert (second.returncode, second.stdout) == (5, "")
            (line,) = second.stderr.splitlines()
            assert f"process {first.pid} (" in line
        assert not (tmp_path / "capture").exists()
        assert host_state() == during
        pid = scanner.scan()
        assert first.end() == 0
        (alert,) = of_process(first.documents(), pid)
        assert alert["auditsense"]["lost"] == 0
    fault(
        "a second sensor is started",
        how="`run`, `run --source netlink` and `record` next to a running sensor; live",
        did="the second was refused (5), the first continued",
        lost=NOTHING,
        reported="who owns the socket",
        host="as the first had it, then as before",
    )


# --- the rule on its own -------------------------------------------------------


def test_the_rule_can_be_installed_checked_listed_and_removed(host_state: Callable[[], HostState]) -> None:
    before = host_state()
    if before.enabled or before.rules:
        pytest.skip("audit is in use here: the exact rule may be there, or be recorded by")
    assert done("rules", "check").returncode == 1
    assert done("rules", "install").returncode == 0
    try:
        installed = host_state()
        assert len(installed.rules) == len(before.rules) + 1
        assert done("rules", "check").returncode == 0
        listed = done("rules", "list")
        assert auditctl.parse(EXACT_RULE) in [auditctl.parse(line) for line in listed.stdout.splitlines()]
        again = done("rules", "install")
        assert (again.returncode, len(again.stderr.splitlines())) == (0, 1)
        assert host_state() == installed
    finally:
        removed = done("rules", "remove")
    assert removed.returncode == 0
    assert host_state() == before
    assert done("rules", "check").returncode == 1
    assert done("rules", "remove").returncode == 0
    assert done("rules", "print").stdout == EXACT_RULE + "\n"
    assert host_state() == before


def test_a_sensor_leaves_the_installed_rule_in_force(
    host_state: Callable[[], HostState], scanner: Scanner
) -> None:
    with audit_rule(EXACT_RULE):
        before = host_state()
        with command("run") as sensor:
            sensor.wait_until_ready()
            pid = scanner.scan()
            assert sensor.end() == 0
            assert len(of_process(sensor.documents(), pid)) == 1
        assert host_state() == before
        assert done("rules", "check").returncode == 0
