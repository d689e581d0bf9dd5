"""What `run` says at its end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auditsense.cli.summary import none_completed
from auditsense.core.ring import Ring, Stats
from auditsense.core.rule_table import RuleTable


def counted(matches: int, sequences: int, limited: int) -> Stats:
    with Ring(RuleTable()) as ring:
        return replace(ring.stats(), matches=matches, sequences=sequences, limited=limited)


@pytest.mark.parametrize(
    ("matches", "sequences", "limited", "self_tests"),
    [(70, 0, 0, 0), (2, 1, 0, 1)],  # one match and one sequence are the self-test's
)
def test_matches_that_completed_no_detection_are_explained(
    matches: int, sequences: int, limited: int, self_tests: int
) -> None:
    assert none_completed(counted(matches, sequences, limited), self_tests)


@pytest.mark.parametrize(
    ("matches", "sequences", "limited", "self_tests"),
    [(0, 0, 0, 0), (70, 1, 0, 0), (70, 0, 1, 0), (1, 1, 0, 1)],
)
def test_no_matches_and_completed_ones_are_not(
    matches: int, sequences: int, limited: int, self_tests: int
) -> None:
    assert not none_completed(counted(matches, sequences, limited), self_tests)
