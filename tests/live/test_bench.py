"""A small run of the live part of `auditsense bench`; see conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.bench import audit_lock, c_helpers, live

if TYPE_CHECKING:
    from pathlib import Path


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
        assert row.details["opens_not_counted"] <= row.value
