"""Refusals to run: one line of explanation, and an unchanged host; see conftest.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.live.other_owner import other_owner
from tests.live.workloads import EXACT_RULE, OWN_RULE, done
from tests.support.faults import AS_BEFORE, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.restore_host import HostState


# The interpreter may lie where only root can read: all that is needed is imported before.
NOT_ROOT = """
import locale, os, shutil, sys  # argparse asks for two of them late, when their files may be out of reach
import auditsense.cli.parser, auditsense.cli.record, auditsense.cli.rules, auditsense.cli.run
from auditsense.cli import main
from auditsense.detections.loader import shipped_detections
from auditsense.detect.host import this_host
from auditsense.kernel.commands import Commands
Commands().status()
shipped_detections(), this_host()
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
raise SystemExit(main())
"""
COMMANDS = [
    ["run", "--source", "netlink"],
    ["run", "--dry-run"],
    ["record", "--to", "/tmp/auditsense-never-written"],  # noqa: S108
    ["rules", "install"],
    ["rules", "list"],
]


def assert_refused(ended: subprocess.CompletedProcess[str], code: int, sentence: str) -> None:
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (code, "")
    assert line.startswith(f"auditsense: error: {sentence}")


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_error_names_missing_root(
    host_state: Callable[[], HostState], arguments: list[str], fault: Recorder
) -> None:
    before = host_state()
    ended = subprocess.run(
        [sys.executable, "-P", "-c", NOT_ROOT, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert_refused(ended, 3, "not root")
    assert host_state() == before
    fault(
        "it may not use the kernel's audit",
        how="five commands as user 65534; live",
        did="changed nothing, ended with 3",
        lost="everything: it did not run",
        reported="“not root …”",
        host=AS_BEFORE,
    )


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize(
    ("namespace", "sentence"),
    [(("-U",), "inside a user namespace"), (("-p", "--fork"), "inside a pid namespace (a container)")],
    ids=["user namespace", "pid namespace"],
)
def test_error_names_namespace(
    host_state: Callable[[], HostState],
    arguments: list[str],
    namespace: tuple[str, ...],
    sentence: str,
    fault: Recorder,
) -> None:
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    if subprocess.run(["unshare", *namespace, "true"], check=False).returncode:
        pytest.skip(f"unshare {' '.join(namespace)} is not allowed here")
    before = host_state()
    assert_refused(done(*arguments, before=("unshare", *namespace)), 3, sentence)
    assert host_state() == before
    fault(
        "it is started in a container",
        how="five commands in a user and in a pid namespace; live",
        did="changed nothing, ended with 3",
        lost="everything: it did not run",
        reported="which namespace it is",
        host=AS_BEFORE,
    )


@pytest.mark.parametrize("arguments", [COMMANDS[0], COMMANDS[2]], ids=" ".join)
def test_error_names_owner_of_socket(
    host_state: Callable[[], HostState], arguments: list[str], fault: Recorder
) -> None:
    with other_owner() as owner:
        before = host_state()
        assert before.pid == owner.pid
        assert_refused(done(*arguments), 5, f"process {owner.pid} (python")
        assert host_state() == before
    assert not os.path.exists("/tmp/auditsense-never-written")  # noqa: PTH110, S108
    fault(
        "another program owns the audit socket",
        how="a process registers first, as auditd does; live",
        did="changed nothing, ended with 5",
        lost="everything: it did not run",
        reported="the process and its name",
        host=AS_BEFORE,
    )


def test_dry_run_prints_plan_and_changes_nothing(host_state: Callable[[], HostState]) -> None:
    before = host_state()
    ended = done("run", "--dry-run", "--audit-rule", OWN_RULE, "--audit-rule", EXACT_RULE)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    wait, limit = before.backlog_wait_time, before.backlog_limit
    assert [f"set backlog_wait_time: {wait} -> 0 jiffies"] * bool(wait) == lines[: bool(wait)]
    assert f"set backlog_limit: {limit} -> 32768 records" in lines or limit >= 32768
    assert "become the owner of the audit socket" in lines
    assert len([line for line in lines if line.startswith("add audit rule: ")]) == 2
    assert lines[-1] == "set enabled: 0 -> 1" or before.enabled
    assert host_state() == before


def test_invalid_rule_changes_nothing(host_state: Callable[[], HostState], fault: Recorder) -> None:
    before = host_state()
    ended = done("run", "--audit-rule", "-w relative/path -p r")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert len(ended.stderr.splitlines()) == 1
    assert host_state() == before
    fault(
        "an invalid audit rule",
        how="`--audit-rule` with a relative path; live",
        did="changed nothing, ended with 2",
        lost="everything: it did not run",
        reported="what is wrong with the rule",
        host=AS_BEFORE,
    )
