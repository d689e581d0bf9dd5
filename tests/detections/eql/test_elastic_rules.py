"""Elastic's own rules, where AUDITSENSE_ELASTIC_RULES names a folder with a copy of them.

None is part of this project. For each rule, events are made that complete it, and events that just miss it;
a model that knows nothing of the compiler and the core decides what the sensor must count.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from auditsense.detections.elastic import INDEX, detection_of_rule, is_elastic
from auditsense.detections.event_table import EventMapping
from auditsense.errors import DetectionError
from tests.support.eql_counts import apart, model_counts, sensor_counts
from tests.support.eql_witness import variations, witnesses

if TYPE_CHECKING:
    from auditsense.detections.model import Detection
    from tests.support.audit_events import AuditEvent

_VARIABLE = "AUDITSENSE_ELASTIC_RULES"
_WITNESSES = 2  # of each rule


@pytest.fixture(scope="module")
def rules() -> dict[str, Detection]:
    """Every rule in EQL for the audit stream, deprecated ones too, by the name of its file."""
    folder = os.environ.get(_VARIABLE)
    if not folder:
        pytest.skip(f"{_VARIABLE} names no folder with Elastic's rules")
    loaded: dict[str, Detection] = {}
    for path in sorted(Path(folder).rglob("*.toml")):
        document = tomllib.loads(path.read_text())
        if not is_elastic(document) or document["rule"]["type"] != "eql":
            continue
        if INDEX.replace("default", "*") in document["rule"].get("index", ()):
            loaded[path.stem] = detection_of_rule(document, str(path))
    return loaded


@pytest.fixture(scope="module")
def cases(rules: dict[str, Detection]) -> list[list[AuditEvent]]:
    """Cases of all rules, each with its own processes."""
    found: list[list[AuditEvent]] = []
    for detection in rules.values():
        assert detection.query is not None
        for seed in range(_WITNESSES):
            random = Random(seed)  # noqa: S311 - the same cases each time
            events = witnesses(detection.query, random, 5000)
            if events is not None:
                found += [events, *variations(events, random)]
    return apart(found)


def test_all_rules_parse(rules: dict[str, Detection]) -> None:
    assert len(rules) >= 110


def test_every_rule_has_a_witness(rules: dict[str, Detection]) -> None:
    """The model is no judge if the events that should complete a rule do not."""
    missed: list[str] = []
    for name, detection in rules.items():
        assert detection.query is not None
        randoms = [Random(seed) for seed in range(_WITNESSES)]  # noqa: S311 - as in cases
        found = [witnesses(detection.query, random, 5000) for random in randoms]
        complete = [events for events in found if events]
        if not any(model_counts([detection], events, EventMapping.NATIVE) for events in complete):
            missed.append(name)
    assert missed == []


@pytest.mark.parametrize("mapping", EventMapping)
def test_sensor_counts_what_the_model_counts(
    rules: dict[str, Detection], cases: list[list[AuditEvent]], mapping: EventMapping
) -> None:
    """All rules at once, on every case: those that a case is made for, and all the others."""
    loaded = [*rules.values()]
    names = {detection.id: name for name, detection in rules.items()}
    differing: list[str] = []
    for number, (case, counted) in enumerate(zip(cases, sensor_counts(loaded, cases, mapping), strict=True)):
        expected = model_counts(loaded, case, mapping)
        differing += [
            f"case {number}: {names[rule]}: {counted[rule]}, expected {expected[rule]}"
            for rule in sorted({*counted, *expected})
            if counted[rule] != expected[rule]
        ]
    assert differing == []


def test_refused_rules_have_a_reason() -> None:
    """Every file of the folder loads, or is refused with a message that names the file."""
    folder = os.environ.get(_VARIABLE)
    if not folder:
        pytest.skip(f"{_VARIABLE} names no folder with Elastic's rules")
    for path in sorted(Path(folder).rglob("*.toml")):
        document = tomllib.loads(path.read_text())
        if is_elastic(document):
            problem = _problem(document, str(path))
            assert problem == "" or problem.startswith(f"{path}: ")


def _problem(document: dict[str, Any], where: str) -> str:
    try:
        detection_of_rule(document, where)
    except DetectionError as error:
        return str(error)
    return ""
