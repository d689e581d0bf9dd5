"""The live part of `auditsense bench`, small; see conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.bench import audit_lock as turn
from auditsense.bench import c_helpers as programs
from auditsense.bench import live

if TYPE_CHECKING:
    from pathlib import Path


def test_the_live_part_gives_every_row_and_puts_the_host_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if programs.compiler() is None:
        pytest.skip("there is no C compiler for the loads")
    monkeypatch.setattr(turn, "LOCK", str(tmp_path / "lock"))  # ours is held for this test already
    before = turn.audit_state()
    plan = live.LivePlan(opens=20_000, pairs=1, trials=3, starts=1)
    rows = {row.key: row for row in live.live(plan, print)}
    assert turn.audit_state() == before
    assert {"live_cpu_1", "live_cpu_2", "live_cpu_lean", "memory_run", "start_to_record"} <= {*rows}
    for key in ("latency_found_idle", "latency_found_flood"):
        assert rows[key].value == 1
    for producers in (1, 2):  # what is not counted was lost, and that was said
        row = rows[f"live_lost_{producers}"]
        assert row.value is not None
        assert row.details["opens_not_counted"] <= row.value
