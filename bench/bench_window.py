"""Cost of counting a match.

Isolates the window stage: every event matches, and no window completes, because the rule requires 64 matches
within a millisecond. The difference to bench_match.py is the window; with 10,000 processes, a window that is
not in the cache.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from auditsense.bench.inputs import InputShape

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.core.ring import Stats
    from auditsense.core.rule_table import RuleTable

EVENTS = 200_000


@pytest.mark.parametrize("pids", [1, 10_000])
def test_a_match_that_completes_nothing(feed: Callable[..., Stats], rules: RuleTable, pids: int) -> None:
    never = replace(rules, rules=tuple(replace(rule, count=64, span_ms=1) for rule in rules.rules))
    stats = feed(InputShape(EVENTS, pids=pids, per_ms=20), table=never)
    assert (stats.matches, stats.sequences) == (EVENTS, 0)
