"""A second sensor on one host, on the kernel of this machine; see conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.kernel.undo_journal_file import DEFAULT_FOLDER
from tests.live.workloads import ACCOUNT, OWN_RULE, command, done, running

if TYPE_CHECKING:
    from pathlib import Path

NETLINK = ["--source", "netlink"]
MULTICAST = ["--source", "multicast"]
OFF = ["--status-socket", "off"]


@pytest.mark.parametrize("options", [[], OFF, ["--user", ACCOUNT]])
@pytest.mark.parametrize("second", [[], NETLINK, ["--dry-run"]])
def test_second_run_names_the_first(options: list[str], second: list[str]) -> None:
    with running("run", *options) as first:
        refused = done("run", "--audit-rule", OWN_RULE, "--duration", "1", *second)
        assert (refused.returncode, refused.stdout) == (5, "")
        assert f"another auditsense runs on this host, process {first.pid} (" in refused.stderr
        assert first.end() == 0
    assert not DEFAULT_FOLDER.exists()
    assert done("run", "--audit-rule", OWN_RULE, "--duration", "0.1", *OFF).returncode == 0
    assert not DEFAULT_FOLDER.exists()


def test_multicast_next_to_the_first_is_allowed_and_counts_as_running() -> None:
    with running("run", *NETLINK) as first, running("run", *MULTICAST) as second:
        assert first.end() == 0
        refused = done("run", "--audit-rule", OWN_RULE, "--duration", "1")
        assert refused.returncode == 5
        assert f"process {second.pid} (" in refused.stderr
        assert second.end() == 0
    assert not DEFAULT_FOLDER.exists()


def test_run_next_to_a_sensor_that_reads_a_log_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit.log").touch()
    log = ["--source", f"log:{tmp_path}/audit.log"]
    with command("run", *log) as first:
        first.wait_until_ready()
        refused = done("run", "--audit-rule", OWN_RULE, "--duration", "1")
        assert refused.returncode == 5
        assert f"process {first.pid} (" in refused.stderr
        assert done("run", *log, "--duration", "0.1").returncode == 0
    assert not DEFAULT_FOLDER.exists()


def test_changes_of_the_host_are_printed_and_their_end_too() -> None:
    with running("run") as sensor:
        assert sensor.end() == 0
        changes = [line for line in sensor.stderr.splitlines() if "changed on this host: " in line]
        assert any("added the audit rule -a always,exit " in change for change in changes)
        assert f"; reverted the {len(changes)} changes; the host is as it was" in sensor.stderr
