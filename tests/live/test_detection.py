"""The main job on the kernel of this machine: ten opens of /proc in, one alert out; see conftest.py."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

import pytest

import auditsense
from tests.live.workloads import (
    EVENT_ID,
    EXACT_RULE,
    OTHER_UID,
    OWN_RULE,
    PSPY,
    Listener,
    Scanner,
    batch_loads,
    command,
    done,
    of_process,
    running,
    start_unprivileged,
    watched,
)

MANY = 200_000
SEEN_LIMIT_S = 300.0
TICK_S = 0.01  # the kernel's stamps are those of its last tick


LOSSES = (
    "incomplete",
    "evicted",
    "late",
    "duplicate",
    "serials_missing",
    "truncated",
    "malformed",
    "foreign",
    "keyless",
    "unknown_arch",
    "stale",
    "keys_evicted",
)


def assert_nothing_lost(sensor: auditsense.Sensor) -> None:
    counted = sensor.stats().as_dict()
    lost = {name: counted[name] for name in LOSSES} | {"kernel": sensor.losses.kernel_lost}
    assert lost == dict.fromkeys(lost, 0)


# --- the window ----------------------------------------------------------------


# Of opens, the microseconds from one to the next, and the alerts.
WINDOWS = ((9, 500_000, 0), (10, 500_000, 1), (10, 570_000, 0))


def test_ten_opens_in_five_seconds_give_one_alert_and_fewer_or_slower_ones_none(scanner: Scanner) -> None:
    with auditsense.Sensor(PSPY, audit_rules=[OWN_RULE]) as sensor:
        loads = [scanner.start(opens, period_us=period_us) for opens, period_us, _ in WINDOWS]
        documents = watched(sensor, *loads)
        assert [len(of_process(documents, load.pid)) for load in loads] == [alerts for *_, alerts in WINDOWS]
        assert [document["auditsense"]["state"] for document in documents] == ["alert"]
        assert sensor.stats().matches == sum(opens for opens, *_ in WINDOWS)
        assert_nothing_lost(sensor)


def test_alert_names_process_user_and_ten_events(each_scanner: Scanner) -> None:
    with Listener() as listener, auditsense.Sensor(PSPY, audit_rules=[OWN_RULE]) as sensor:
        started = time.time()
        load = each_scanner.start(10, period_us=20_000)
        documents = watched(sensor, load)
        ended = time.time()
        assert_nothing_lost(sensor)
        ids = listener.ids(load.pid)
    (alert,) = documents
    assert alert["event"]["kind"] == "alert"
    assert alert["rule"]["id"] == "pspy"
    process = alert["process"]
    assert process["pid"] == load.pid
    assert process["parent"]["pid"] == os.getpid()
    assert process["executable"] == each_scanner.exe
    assert process["name"] == each_scanner.comm
    assert alert["user"]["id"] == str(OTHER_UID)
    assert alert["file"]["path"] == "/proc"
    assert alert["auditd"]["data"]["a0"] == ("ffffffffffffff9c" if each_scanner.compiled else "ffffff9c")
    assert alert["auditd"]["data"]["a2"] == "80000"
    assert alert["auditsense"]["count"] == 10
    assert alert["auditsense"]["lost"] == 0
    assert alert["auditsense"]["events"] == ids
    assert len(ids) == 10
    assert all(EVENT_ID.fullmatch(event) for event in ids)
    moments = [float(event.partition(":")[0]) for event in ids]
    assert moments == sorted(moments)
    assert started - TICK_S <= moments[0] <= moments[-1] <= ended
    assert datetime.fromisoformat(alert["@timestamp"]).timestamp() == pytest.approx(moments[-1], abs=1e-3)


def test_alert_precedes_the_end_of_the_scan(scanner: Scanner) -> None:
    with running("run") as sensor:
        load = scanner.start(50_000, period_us=20_000)
        try:
            deadline = time.monotonic() + SEEN_LIMIT_S
            while not sensor.documents() and time.monotonic() < deadline:
                time.sleep(0.01)
            assert load.poll() is None
            (alert,) = sensor.documents()
            assert (alert["process"]["pid"], alert["auditsense"]["state"]) == (load.pid, "alert")
        finally:
            load.kill()
            load.communicate()


def test_two_scanners_at_once_give_two_alerts(scanner: Scanner) -> None:
    with Listener() as listener, auditsense.Sensor(PSPY, audit_rules=[OWN_RULE]) as sensor:
        loads = [scanner.start(10, period_us=30_000) for _ in range(2)]
        documents = watched(sensor, *loads)
        events = {document["process"]["pid"]: document["auditsense"]["events"] for document in documents}
        assert len(documents) == 2
        assert events == {load.pid: listener.ids(load.pid) for load in loads}


def test_burst_is_one_alert_and_one_closing_document(scanner: Scanner) -> None:
    with auditsense.Sensor(PSPY, audit_rules=[OWN_RULE]) as sensor:
        documents = watched(sensor, scanner.start(1000))
        told = [(one["auditsense"]["state"], one["auditsense"]["count"]) for one in documents]
        assert told == [("alert", 10), ("closed", 1000)]


# --- what must not alert -------------------------------------------------------

LISTING = """
import os
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
for _ in range(20):
    os.listdir("/proc")
"""


@pytest.mark.parametrize(
    ("program", "times", "opens"),
    [
        (["ls", "/proc"], 12, 12),
        (["ps"], 12, 12),
        (["ps", "aux"], 12, 12),
        (["top", "-b", "-n", "3", "-d", "0.1"], 4, 12),
        ([sys.executable, "-I", "-S", "-c", LISTING], 1, 20),
    ],
    ids=["ls", "ps", "ps aux", "top", "listdir in Python"],
)
def test_everyday_programs_give_no_alert(program: list[str], times: int, opens: int) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    with auditsense.Sensor(PSPY, audit_rules=[OWN_RULE]) as sensor:
        documents = watched(sensor, *[start(program) for _ in range(times)])
        assert documents == []
        assert sensor.stats().matches == 0
        assert sensor.stats().events >= opens  # they were seen


def start(program: list[str]) -> subprocess.Popen[str]:
    # This interpreter may lie where only root can read, so it has to give root up itself.
    return (
        subprocess.Popen(program, text=True) if program[0] == sys.executable else start_unprivileged(*program)
    )


# --- the sensor itself ---------------------------------------------------------


def open_proc(times: int) -> None:
    """Open /proc in the way that counts."""
    for _ in range(times):
        os.close(os.open("/proc", os.O_RDONLY | os.O_CLOEXEC))


@pytest.mark.parametrize(
    "rule",
    [EXACT_RULE, f"-a always,exit -F dir=/proc -F perm=r -F pid={os.getpid()} -k audit_proc"],
    ids=["the exact rule", "a rule for this process"],
)
def test_the_sensor_s_own_reads_of_proc_are_never_seen(rule: str, scanner: Scanner) -> None:
    with auditsense.Sensor(audit_rules=[rule], view=auditsense.View.EVENTS) as sensor:
        open_proc(20)
        thread = threading.Thread(target=open_proc, args=(20,))
        thread.start()
        thread.join()
        load = scanner.start(12)
        documents = watched(sensor, load)
    assert of_process(documents, os.getpid()) == []
    assert bool(of_process(documents, load.pid)) == (rule == EXACT_RULE)


# --- the command line ----------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "rule", "key"),
    [([], "-F inode=1", "auditsense"), (["--only", "pspy"], EXACT_RULE, "audit_proc")],
    ids=["all detections", "pspy alone"],
)
def test_default_rules_see_the_scanner(scanner: Scanner, chosen: list[str], rule: str, key: str) -> None:
    with command("run", *chosen) as sensor:
        sensor.wait_until_ready()
        pid = scanner.scan(10, period_us=20_000)
        assert sensor.end() == 0
        (alert,) = of_process(sensor.documents(), pid)
        assert (alert["process"]["executable"], alert["tags"][0]) == (scanner.exe, key)
        assert rule in sensor.stderr
        assert "Traceback" not in sensor.stderr


def test_every_event_can_be_had(each_scanner: Scanner) -> None:
    with Listener() as listener, running("run", "-o", "events") as sensor:
        pid = each_scanner.scan(12, period_us=5_000)
        assert sensor.end() == 0
        events = of_process(sensor.documents(), pid)
        assert [event["auditsense"]["events"] for event in events] == [[one] for one in listener.ids(pid)]
    assert len(events) == 12
    for event in events:
        assert event["event"]["dataset"] == "auditd_manager.auditd"
        assert event["event"]["outcome"] == "success"
        assert event["auditd"]["data"]["syscall"] == "openat"
        assert event["auditd"]["data"]["a2"] == "80000"
        assert event["file"]["path"] == "/proc"
        assert event["tags"] == ["audit_proc"]
        assert event["process"]["executable"] == each_scanner.exe


def test_every_sequence_can_be_had(scanner: Scanner) -> None:
    with Listener() as listener, running("run", "-o", "sequences") as sensor:
        pid = scanner.scan(12, period_us=5_000)
        assert sensor.end() == 0
        sequences = of_process(sensor.documents(), pid)
        ids = listener.ids(pid)
    assert [one["auditsense"]["state"] for one in sequences] == ["sequence"] * 3
    assert [one["auditsense"]["events"] for one in sequences] == [ids[n : n + 10] for n in range(3)]


def test_capture_gives_the_live_alert(scanner: Scanner, tmp_path: Path) -> None:
    capture = tmp_path / "capture"
    with Listener() as listener, running("record", "--to", str(capture)) as recorder:
        pid = scanner.scan(10, period_us=20_000)
        assert recorder.end() == 0
        with auditsense.Detector() as detector:
            live = of_process(detector.feed(listener.datagrams()), pid)
    assert stat.S_IMODE(capture.stat().st_mode) == 0o600
    replayed = done("replay", str(capture))
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert of_process([json.loads(line) for line in replayed.stdout.splitlines()], pid) == live
    assert [alert["auditsense"]["count"] for alert in live] == [10]
    assert done("replay", "--fail-on-alert", str(capture)).returncode == 10


# --- bursts --------------------------------------------------------------------


@pytest.mark.parametrize("producers", [1, 2])
def test_of_200_000_opens_every_one_is_counted(compiled: Scanner | None, producers: int) -> None:
    if compiled is None:
        pytest.skip("there is no C compiler for scanner.c")
    with (
        auditsense.Sensor(PSPY, audit_rules=[OWN_RULE]) as sensor,
        batch_loads(compiled, MANY, producers=producers) as loads,
    ):
        documents = watched(sensor, loads)
        stats = sensor.stats()
        missing = MANY - stats.matches
        assert missing <= sensor.losses.kernel_lost + stats.serials_missing, "a loss was not reported"
        assert_nothing_lost(sensor)
        assert missing == 0
        assert stats.sequences == MANY - 9 * producers
    counts = {load.pid: {"alert": 10, "closed": MANY // producers} for load in loads.processes}
    for document in documents:
        told = document["auditsense"]
        assert counts[document["process"]["pid"]].pop(told["state"]) == told["count"]
    assert list(counts.values()) == [{}] * producers


def test_demonstration_shows_one_alert_and_restores_host() -> None:
    """scripts/run.sh sets up a checkout and calls this script."""
    script = Path(__file__).parents[2] / "scripts" / "show_alert.sh"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    ended = subprocess.run(
        [script], env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert sum(" low pspy: " in line for line in ended.stdout.splitlines()) == 1
    assert "the host is as it was" in ended.stderr
    assert "it works" in ended.stderr
