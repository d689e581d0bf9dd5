"""docs/performance.md matches the committed results, and invents none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]

if TYPE_CHECKING:
    import pytest

    from bench.goals import NOT_MEASURED, goals
    from bench.measure import all_steps
    from bench.write_docs import BUSY, PAGE, RESULTS, load, page
else:
    sys.path.insert(0, str(ROOT / "bench"))
    from goals import NOT_MEASURED, goals
    from measure import all_steps
    from write_docs import BUSY, PAGE, RESULTS, load, page


def test_committed_page_matches_committed_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(load(), load(BUSY))


def test_goals_without_results_are_not_measured() -> None:
    lines = list(goals({}))
    assert {line.goal.split()[0] for line in lines} == {*"123456"}
    assert all((line.measured, line.met) == (NOT_MEASURED, None) for line in lines)
    assert page({}, {}).count(f"| {NOT_MEASURED} |") == len(lines)


def test_results_are_small_and_name_their_command() -> None:
    for folder in (RESULTS, BUSY):
        for name, figures in load(folder).items():
            assert figures["command"], name
            assert figures["machine"]["kernel"], name
            assert (folder / f"{name}.json").stat().st_size < 100_000


def test_every_step_names_an_existing_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUDITSENSE_ELASTIC_RULES", "rules")
    scripts = [step.words[0] for step in all_steps("/") if step.words[0].endswith(".py")]
    assert len(scripts) > 15
    assert [script for script in scripts if not (ROOT / script).is_file()] == []


def test_page_names_every_bench() -> None:
    parts = {"measure.py", "write_docs.py", "goals.py", "plots.py", "ground.py", "conftest.py"}
    named = PAGE.read_text(encoding="utf-8")
    benches = {path.name for folder in ("bench", "bench/live") for path in (ROOT / folder).glob("*.py")}
    unnamed = {name for name in benches - parts if name not in named}
    assert {name for name in unnamed if not name.startswith(("bench_", "counts_"))} == set()
