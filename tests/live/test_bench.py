"""Small runs of the live parts of `auditsense bench`; see conftest.py."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from auditsense.bench import audit_lock, c_helpers, calls, interpreter, live

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WAIT_S = 120.0


def test_live_part_fills_every_row_and_restores_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if c_helpers.compiler() is None:
        pytest.skip("there is no C compiler for the loads")
    monkeypatch.setattr(audit_lock, "LOCK", str(tmp_path / "lock"))  # this test holds the real one
    before = audit_lock.audit_state()
    plan = live.LivePlan(opens=20_000, pairs=1, trials=3, starts=1)
    rows = {row.key: row for row in live.live(plan, print)}
    assert audit_lock.audit_state() == before
    assert {"live_cpu_1", "live_cpu_2", "live_cpu_lean", "memory_run", "start_to_record"} <= {*rows}
    for key in ("latency_found_idle", "latency_found_flood"):
        assert rows[key].value == 1
    for producers in (1, 2):  # opens that were not counted were reported as lost
        row = rows[f"live_lost_{producers}"]
        assert row.value is not None
        assert 0 <= row.details["opens_not_counted"] <= row.value


SMALL = tuple(calls.Call(call.name, call.words, max(1, call.count // 50)) for call in calls.CALLED)
UNPRIVILEGED = "-a always,exit -F arch=b64 -S openat -F inode=1 -F uid=65534 -k proc_root"


def test_calls_are_measured_in_every_stage_and_host_is_restored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if c_helpers.compiler() is None:
        pytest.skip("there is no C compiler for the calls")
    monkeypatch.setattr(audit_lock, "LOCK", str(tmp_path / "lock"))  # this test holds the real one
    before = audit_lock.audit_state()
    rules = {calls.WITHOUT_RULES: (), "ours": (UNPRIVILEGED,)}
    report = calls.measure(calls.CallsPlan(rules, rounds=1, calls=SMALL), print)
    assert audit_lock.audit_state() == before
    assert [stage.name for stage in report.stages] == [calls.BEFORE, *rules, calls.AFTER]
    for stage in report.stages:
        assert [*stage.ns] == [call.name for call in SMALL]
        assert min(stage.ns.values()) > 0
    assert report.stages[1].records == 0
    assert report.stages[2].records is not None
    assert report.stages[2].records >= 4  # one open of /proc, at least SYSCALL, CWD, PATH and EOE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_host_is_restored_when_the_measurement_is_ended(number: signal.Signals, tmp_path: Path) -> None:
    if c_helpers.compiler() is None:
        pytest.skip("there is no C compiler for the calls")
    before = audit_lock.audit_state()
    own_lock = f"from auditsense.bench import audit_lock; audit_lock.LOCK = {str(tmp_path / 'lock')!r}\n"
    main = "from auditsense.cli import main; raise SystemExit(main())"
    words = ("bench", "calls", "--rounds", "3", "--audit-rule", UNPRIVILEGED)
    with subprocess.Popen(
        interpreter.python(own_lock + main, *words),
        stderr=subprocess.DEVNULL,
        env=interpreter.environment(),
    ) as process:
        try:
            wait_until(lambda: audit_lock.audit_state() != before)
        finally:
            process.send_signal(number)
    wait_until(lambda: audit_lock.audit_state() == before)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "not within the limit of a watchdog"
        time.sleep(0.02)
