"""Multicast next to another owner of the audit socket, which misses no record; see conftest.py."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.live.workloads import OWN_RULE, Scanner, done, of_process, running
from tests.support.faults import AS_BEFORE, NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live.restore_host import HostState


# A stand-in for auditd: owns the audit socket with settings that make no process wait, reads everything,
# and restores everything. Prints the number of SYSCALL records of the loads' user.
OWNER = """
import os, select, socket, struct, sys
def ask(sock, kind, payload, flags=5):
    sock.send(struct.pack("=IHHII", 16 + len(payload), kind, flags, 1, 0) + payload)
    while True:
        answer = sock.recv(65536)
        if struct.unpack_from("=I", answer, 8) == (1,):
            return answer
def change(sock, place, bit, value):
    words = [0] * 11
    words[0], words[place] = 1 << bit, value
    assert struct.unpack_from("=i", ask(sock, 1001, struct.pack("=11I", *words)), 16) == (0,)
data, control = (socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) for _ in range(2))
data.setsockopt(socket.SOL_SOCKET, 33, 32 << 20)
before = struct.unpack_from("=11I", ask(control, 1000, b"", 1), 16)
change(control, 9, 5, 0)
change(control, 5, 4, 8192)
change(data, 3, 2, os.getpid())
change(control, 1, 0, 1)
print("ready", flush=True)
seen, ended = 0, False
while True:
    ready = select.select([data] if ended else [data, sys.stdin], [], [], 0.3 if ended else None)[0]
    if ended and not ready:
        break
    ended = ended or sys.stdin in ready
    if data in ready:
        record = data.recv(16384)
        seen += record[4:6] == b"\\x14\\x05" and b" uid=65534 " in record
print(seen, flush=True)
change(control, 1, 0, before[1])
change(data, 3, 2, 0)
change(control, 5, 4, before[5])
change(control, 9, 5, before[9])
"""


class Owner:
    """That stand-in; `seen` is set when it has ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen = -1

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.seen = int(self.process.stdout.read())
        assert self.process.wait(300) == 0


@contextmanager
def owner() -> Iterator[Owner]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-I", "-S", "-c", OWNER]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        one = Owner(process)
        yield one
        if one.seen < 0:
            one.end()


@pytest.mark.parametrize("source", ["multicast", "auto"])
def test_multicast_alerts_and_owner_misses_no_record(
    host_state: Callable[[], HostState], scanner: Scanner, source: str, fault: Recorder
) -> None:
    with owner() as other:
        before = host_state()
        with running("run", "--source", source, "--format", "jsonl") as sensor:
            assert f"process {other.process.pid} (python" in sensor.stderr or source == "multicast"
            assert "watching; source multicast" in sensor.stderr
            during = host_state()
            assert (during.pid, during.backlog_limit, during.backlog_wait_time, during.enabled) == (
                *(before.pid, before.backlog_limit, before.backlog_wait_time, before.enabled),
            )
            assert len(during.rules) == len(before.rules) + 1
            pid = scanner.scan(500)
            time.sleep(0.5)
            assert sensor.end() == 0
            states = [one["auditsense"]["state"] for one in of_process(sensor.documents(), pid)]
            assert states == ["alert", "closed"]
            assert " 500 matches, 1 alert; lost: kernel 0, serials 0, incomplete 0;" in sensor.stderr
        assert host_state() == before
        other.end()
    assert other.seen == 500
    fault(
        "another program owns the audit socket and the source is not fixed",
        how="an owner with other settings, 500 opens, `--source auto` or `multicast`; live",
        did="listened by multicast, changed no setting, added its rule only; found the scanner",
        lost="nothing, of neither its events nor the owner's 500",
        reported="that the source is multicast, with `auto` also who owns the socket",
        host=AS_BEFORE,
    )


def test_rule_of_owner_stays(host_state: Callable[[], HostState], scanner: Scanner, fault: Recorder) -> None:
    with running("run", "--source", "netlink") as other:  # an owner whose rule is the one that is wanted
        before = host_state()
        with running("run", "--source", "multicast", "--format", "jsonl") as sensor:
            assert host_state() == before
            pid = scanner.scan(10)
            time.sleep(0.5)
            assert sensor.end() == 0
            assert len(of_process(sensor.documents(), pid)) == 1
        assert host_state() == before
        assert other.end() == 0
    fault(
        "the owner of the socket already has its audit rule",
        how="a sensor by multicast and one that owns the socket, both with the same rule; live",
        did="changed nothing, found the scanner, left the owner's rule there when it ended",
        lost=NOTHING,
        reported="the alert",
        host=AS_BEFORE,
    )


def test_multicast_without_owner_is_refused_while_audit_is_off(
    host_state: Callable[[], HostState], fault: Recorder
) -> None:
    before = host_state()
    ended = done("run", "--source", "multicast", "--audit-rule", OWN_RULE)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert ended.stderr.startswith("auditsense: error: audit is off (enabled 0) and no process owns")
    assert host_state() == before
    fault(
        "multicast is asked for while audit is off and has no owner",
        how="`--source multicast` with enabled 0 and no owner; live",
        did="did not start, exit code 3",
        lost="everything: it did not run",
        reported="one line: audit is off and no process owns the socket",
        host=AS_BEFORE,
    )


def test_own_writes_make_no_events(scanner: Scanner, fault: Recorder) -> None:
    # Root's writes and reads of /proc are not what is watched here; the output of events is what could loop.
    with owner(), running("run", "--source", "multicast", "--format", "jsonl", "-o", "events") as sensor:
        pid = scanner.scan(3)
        time.sleep(1.0)
        assert sensor.end() == 0
        events = sensor.documents()
    assert len(of_process(events, pid)) == 3
    assert of_process(events, sensor.pid) == []
    fault(
        "its own writes could be events to write",
        how="`--source multicast -o events`, three opens by a scanner; live",
        did="wrote these three only",
        lost=NOTHING,
        reported="three events",
        host=AS_BEFORE,
    )
