"""Many small cases of our own rules: what each sentence about the language means, one rule for each.

Each number was written by hand. Where the events can be described, the second reading of EQL
(tests/support/eql_reading.py) had the same result when the cases were made. `auditsense detections test` runs
them as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from auditsense.detections import expression
from auditsense.detections.event_table import EventMapping
from auditsense.detections.expression import Operator, QueryKind
from auditsense.detections.loader import load_detections
from auditsense.replay.cases import CaseRunner, read_cases

_RULES: Final = sorted((Path(__file__).parents[2] / "data" / "eql" / "cases").glob("*.toml"))
# What they are about always has the same result.
_NEVER_FOUND: Final = {"absent-false", "category-case", "exit-order", "optional-unknown"}
_NEVER_MISSED: Final = {"constants-of-host"}


@pytest.mark.parametrize("path", _RULES, ids=lambda path: path.stem)
def test_cases_of_a_rule(path: Path) -> None:
    (detection,) = load_detections(path)
    cases = read_cases(path.with_suffix(".json"))
    differing = []
    for mapping in EventMapping:
        runner = CaseRunner(detection, mapping)
        for case in cases:
            found, expected = runner.run(case), case.expect[mapping]
            if found != expected:
                differing.append(f"{case.name} ({mapping}): {found}, expected {expected}")
    assert differing == []


@pytest.mark.parametrize("path", _RULES, ids=lambda path: path.stem)
def test_cases_can_tell_a_rule_from_its_opposite(path: Path) -> None:
    counts = [case.expect[EventMapping.NATIVE] for case in read_cases(path.with_suffix(".json"))]
    assert len(counts) == len({case.name for case in read_cases(path.with_suffix(".json"))})
    assert any(counts) or path.stem in _NEVER_FOUND
    assert 0 in counts or len(set(counts)) > 1 or path.stem in _NEVER_MISSED


def test_rules_use_the_whole_language() -> None:
    queries = [load_detections(path)[0].query for path in _RULES]
    used: set[object] = set()
    for query in queries:
        assert query is not None
        used |= {query.kind, query.until is not None, query.limit is not None}
        used |= {("key", key.optional) for step in query.all_steps for key in (*query.by, *step.by)}
        used |= {("runs", step.runs > 1) for step in query.steps}
        for step in query.all_steps:
            used |= {(test.operator, test.fold_case) for test in expression.tests_of(step.where)}
            used |= {("length", test.length_operator) for test in expression.tests_of(step.where)}
    texts = {Operator.EQUAL, Operator.WILDCARD, Operator.REGEX}
    others = {Operator.PRESENT, Operator.NETWORK, Operator.LENGTH}
    order = {Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST}
    assert used >= {*QueryKind, True, False}
    assert used >= {(operator, fold) for operator in texts for fold in (False, True)}
    assert used >= {(operator, False) for operator in others | order}
    assert used >= {("key", True), ("key", False), ("runs", True), ("runs", False)}
    assert used >= {("length", Operator.EQUAL), ("length", Operator.AT_LEAST), ("length", Operator.GREATER)}
