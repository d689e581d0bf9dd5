"""The model that judges the sensor: our own examples, for which the results are known."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from auditsense.detections.eql.parser import parse
from tests.support.audit_events import AuditEvent, fields_of
from tests.support.eql_model import count, matches
from tests.support.eql_witness import witnesses

_DATA = Path(__file__).parents[2] / "data" / "eql"
_OPEN = AuditEvent(call="openat", paths=(("/etc/hosts", "NORMAL"),))


def _counted(query: str, *events: AuditEvent) -> int:
    return count(parse(query), [(event.ms, fields_of(event, {}, native=True)) for event in events])


@pytest.mark.parametrize("path", sorted(_DATA.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_has_a_witness(path: Path) -> None:
    query = parse(tomllib.loads(path.read_text())["rule"]["query"])
    random = Random(0)  # noqa: S311 - the same events each time
    events = witnesses(query, random, 5000)
    assert events is not None
    assert any(matches(step, fields_of(event, {}, native=True)) for step in query.steps for event in events)


def test_repeated_item_slides() -> None:
    """Eleven equal events contain two runs of ten."""
    events = [replace(_OPEN, ms=_OPEN.ms + n) for n in range(11)]
    query = "sequence by process.pid with maxspan=5s [file where true] with runs=10"
    assert _counted(query, *events) == 2
    assert _counted(query, *events[:9]) == 0


def test_span_is_inclusive_from_the_first_event() -> None:
    query = "sequence by process.pid with maxspan=5s [file where true] with runs=3"
    times = (0, 2500, 5000)
    assert _counted(query, *(replace(_OPEN, ms=_OPEN.ms + ms) for ms in times)) == 1
    assert _counted(query, *(replace(_OPEN, ms=_OPEN.ms + ms) for ms in (0, 2500, 5001))) == 0


def test_event_counts_for_one_item_of_a_sample() -> None:
    query = "sample by process.pid [file where true] [any where true]"
    assert _counted(query, _OPEN) == 0
    assert _counted(query, _OPEN, replace(_OPEN, serial=5101)) == 1
