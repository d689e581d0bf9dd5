"""Our examples of each construct: rules in Elastic's format, with cases and the alerts expected from them."""

from __future__ import annotations

from pathlib import Path

import pytest

from auditsense.detections.event_table import EventMapping
from auditsense.detections.loader import load_detections
from auditsense.replay.cases import Case, read_cases, run_case

_DATA = Path(__file__).parents[2] / "data" / "eql"
_RULES = sorted(_DATA.glob("*.toml"))
_CASES = [
    pytest.param(path, case, mapping, id=f"{path.stem}: {case.name} ({mapping})")
    for path in _RULES
    for case in read_cases(path.with_suffix(".json"))
    for mapping in EventMapping
]


@pytest.mark.parametrize(("path", "case", "mapping"), _CASES)
def test_example(path: Path, case: Case, mapping: EventMapping) -> None:
    (detection,) = load_detections(path)
    assert run_case(detection, case, mapping) == case.expect[mapping]
