"""Answers of a running sensor to queries, on the kernel of this machine; see conftest.py."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from typing import Any

import pytest

import auditsense.cli.status  # noqa: F401 - loaded before a child becomes a user who cannot read it
from auditsense.cli import main
from auditsense.status.config import DEFAULT_SOCKET
from tests.live.workloads import ACCOUNT, EXACT_RULE, OWN_RULE, Scanner, command, done, of_process, running

AS_ANOTHER_USER = [[], ["--user", ACCOUNT]]


def asked() -> dict[str, Any]:
    answer = done("status", "--json")
    assert answer.returncode == 0, answer.stderr
    document: dict[str, Any] = json.loads(answer.stdout)
    return document


def asked_when(events: int) -> dict[str, Any]:
    """Ask until *count* events are counted."""
    deadline = time.monotonic() + 300
    while (document := asked())["counters"]["matches"] < events:
        assert time.monotonic() < deadline, document
    return document


@pytest.mark.parametrize("user", AS_ANOTHER_USER, ids=["as root", "as another user"])
def test_sensor_under_load_reports_exact_numbers(scanner: Scanner, user: list[str]) -> None:
    with running("run", *user) as sensor:
        scanner.scan(1000)
        document = asked_when(1000)
        assert document["pid"] == document["kernel"]["pid"] == sensor.pid
        assert document["counters"]["matches"] == 1000
        assert document["counters"]["serials_missing"] == document["counters"]["incomplete"] == 0
        assert document["alerts"]["alerts"] == 1
        assert document["audit_rules"] == [OWN_RULE]
        assert document["source"]["name"] == "netlink"
        assert document["source"]["guardian"] > 0
        kernel = document["kernel"]
        assert (kernel["enabled"], kernel["backlog_limit"], kernel["backlog_wait_time"]) == (1, 32768, 0)
        assert f"process {sensor.pid}" in done("status").stdout
        assert sensor.end() == 0
    assert not DEFAULT_SOCKET.parent.exists()


def test_clients_that_hang_do_a_sensor_no_harm(scanner: Scanner) -> None:
    with running("run") as sensor:
        hanging = [socket.socket(socket.AF_UNIX) for _ in range(30)]
        for one in hanging:
            one.connect(bytes(DEFAULT_SOCKET))
        pid = scanner.scan(200)
        assert asked_when(200)["counters"]["matches"] == 200
        for one in hanging:
            one.close()
        assert sensor.end() == 0
        assert [one["auditsense"]["count"] for one in of_process(sensor.documents(), pid)][-1] == 200


def test_user_other_than_root_is_refused() -> None:
    with running("run") as sensor:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            code = 99
            try:
                os.setresuid(65534, 65534, 65534)
                sys.stderr = os.fdopen(writing, "w")
                code = main(["status"])
            finally:
                os._exit(code)
        os.close(writing)
        with os.fdopen(reading) as output:
            assert (
                output.read()
                == f"auditsense: error: not allowed to connect to {DEFAULT_SOCKET}: only root is; "
                "run this as root\n"
            )
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
        assert asked()["pid"] == sensor.pid


def test_status_watch_ends_by_signal_and_with_sensor() -> None:
    with running("run") as sensor, command("status", "--watch", "0.1", "--json") as watching:
        deadline = time.monotonic() + 300
        while watching.printed.count("\n") < 2:
            assert time.monotonic() < deadline, watching.stderr
            time.sleep(0.02)
        assert {one["pid"] for one in map(json.loads, watching.printed.splitlines())} == {sensor.pid}
        assert watching.end(signal.SIGINT) == 0
        assert watching.stderr == ""
        with command("status", "--watch", "0.1") as another:
            while "sensor " not in another.printed:
                assert time.monotonic() < deadline, another.stderr
                time.sleep(0.02)
            assert sensor.end() == 0
            assert another.wait() == 1
            assert f"no sensor answers at {DEFAULT_SOCKET}" in another.stderr


def test_a_killed_sensor_leaves_no_socket() -> None:
    with running("run", "--user", ACCOUNT) as sensor:
        assert DEFAULT_SOCKET.exists()
        sensor.process.kill()
        deadline = time.monotonic() + 300
        while DEFAULT_SOCKET.parent.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_none_is_made_where_none_is_wanted() -> None:
    with running("run", "--status-socket", "off"):
        assert not DEFAULT_SOCKET.exists()
        assert done("status").returncode == 1


def test_second_sensor_runs_without_status_socket() -> None:
    with running("run") as first, running("run", "--source", "multicast") as second:
        assert f"another sensor answers at {DEFAULT_SOCKET}" in second.stderr
        assert asked()["pid"] == first.pid
        assert second.end() == 0
        assert asked()["pid"] == first.pid


def test_self_tests_are_events_matches_and_sequences() -> None:
    with command("run", "--audit-rule", EXACT_RULE, "--self-test", "1s") as sensor:
        sensor.wait_until_ready()
        deadline = time.monotonic() + 300
        while True:
            status = asked()
            own = status["self_test"]["events"]
            counted = sum(counts["sequences"] for counts in status["detection_counts"])
            if own >= 2 and status["counters"]["sequences"] - own == counted:
                break
            assert time.monotonic() < deadline, status
            time.sleep(0.05)
        assert status["counters"]["matches"] >= own
        assert status["last_record"] is not None
