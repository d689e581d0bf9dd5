"""docs/performance.md matches the committed results, and invents none."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]

if TYPE_CHECKING:
    from bench.goals import NOT_MEASURED, goals
    from bench.write_docs import BUSY, PAGE, RESULTS, load, page
else:
    sys.path.insert(0, str(ROOT / "bench"))
    from goals import NOT_MEASURED, goals
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
