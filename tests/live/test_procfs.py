"""A sensor whose /proc is not the host's refuses to start; with the host's /proc it sees; see conftest.py."""

from __future__ import annotations

import json
import re
import shutil
import time
from typing import TYPE_CHECKING

import pytest

from tests.live.workloads import EXACT_RULE, Scanner, audit_rule, command, done, finish, of_process
from tests.support.faults import AS_BEFORE, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.restore_host import HostState


pytestmark = pytest.mark.skipif(shutil.which("unshare") is None, reason="there is no unshare")


def within(script: str) -> tuple[str, ...]:
    """Return the words that run a command in another mount namespace, prepared by *script*."""
    return ("unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh")


OWN_PROC = within("mount -t proc proc /proc")
NO_PROC = within("mount -t tmpfs tmpfs /proc")
HOSTS_PROC = within("mount -t tmpfs tmpfs /mnt && mkdir /mnt/proc && mount --bind /proc /mnt/proc")
OVER_OWN = within(
    "mount -t tmpfs tmpfs /mnt && mkdir /mnt/proc && mount --bind /proc /mnt/proc && "
    "mount -t proc proc /proc && mount --bind /mnt/proc /proc"
)
NOT_THE_HOSTS = "would see nothing of the host|the processes of the host cannot be seen here"
EVERY_PROC = "-a always,exit -F arch=b64 -S openat -F inode=1 -F perm=r -F uid=0 -k audit_proc"


@pytest.mark.parametrize("before", [OWN_PROC, NO_PROC], ids=["another procfs", "no procfs"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--duration", "1"],
        ["run", "--duration", "1", "--audit-rule", "-w /proc/sys -p r -k audit_proc"],
        ["run", "--dry-run"],
        ["record", "--duration", "1", "--to", "/tmp/auditsense-never-written"],  # noqa: S108
        ["rules", "install"],
        ["rules", "check"],
    ],
    ids=" ".join,
)
def test_another_proc_is_refused(
    host_state: Callable[[], HostState], arguments: list[str], before: tuple[str, ...], fault: Recorder
) -> None:
    untouched = host_state()
    ended = done(*arguments, before=before)
    assert ended.returncode == 3, ended.stderr
    assert re.search(NOT_THE_HOSTS, ended.stderr)
    assert "-v /proc:/proc" in ended.stderr
    assert host_state() == untouched
    fault(
        "its /proc is not the host's",
        how="`unshare -m`, another procfs or none over /proc, the host's pids; six commands; live",
        did="changed nothing, ended with 3",
        lost="everything: it did not run",
        reported="“the audit rule … would see nothing of the host”, and how to run it so that it does",
        host=AS_BEFORE,
    )


def test_another_proc_is_refused_to_a_listener(host_state: Callable[[], HostState]) -> None:
    with audit_rule(EXACT_RULE), command("run", "--source", "netlink", "--self-test", "0") as owner:
        owner.wait_until_ready()
        untouched = host_state()
        ended = done("run", "--source", "multicast", "--duration", "1", before=OWN_PROC)
        assert (ended.returncode, host_state()) == (3, untouched)
    assert re.search(NOT_THE_HOSTS, ended.stderr)


@pytest.mark.parametrize("before", [HOSTS_PROC, OVER_OWN], ids=["as it was", "bound over another"])
def test_the_hosts_proc_in_another_mount_namespace_is_watched(
    scanner: Scanner, before: tuple[str, ...]
) -> None:
    with command(
        "run", "--source", "netlink", "--format", "jsonl", "--self-test", "1", before=before
    ) as sensor:
        sensor.wait_until_ready()
        load = scanner.start(12)
        finish(load)
        deadline = time.monotonic() + 300
        while not of_process(sensor.documents(), load.pid):
            assert time.monotonic() < deadline, sensor.stderr
            time.sleep(0.05)
        assert sensor.end() == 0
        assert not [one for one in sensor.documents() if one["event"]["dataset"] == "auditsense.self_test"]


def test_rule_on_every_procfs_does_not_help_behind_another_one() -> None:
    """It would report the scans of the host, but no process could be looked up."""
    ended = done("run", "--source", "netlink", "--audit-rule", EVERY_PROC, "--duration", "1", before=OWN_PROC)
    assert ended.returncode == 3, ended.stderr
    assert "the processes of the host cannot be seen here" in ended.stderr


def test_doctor_calls_another_proc_an_error() -> None:
    with command("run", "--source", "netlink", "--self-test", "0") as sensor:
        sensor.wait_until_ready()
        report = json.loads(done("doctor", "--json", "--self-test", before=OWN_PROC).stdout)
        assert sensor.end() == 0
    levels = {one["id"]: one["level"] for one in report["findings"]}
    assert levels["proc-mount"] == "error"
    assert levels.get("self-test") != "ok"
    assert report["exit_code"] == 1
