"""docs/status.md lists every field."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from auditsense import Sensor
from auditsense.cli import main
from auditsense.detections import except_for, with_exceptions
from auditsense.detections.loader import shipped_detections
from auditsense.kernel.self_test import SelfTest
from auditsense.status.snapshot import Snapshot, StatusContext
from auditsense.testing import FakeSource

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "src/auditsense/schema/status.json").read_text(encoding="utf-8")
)
PAGE = Path(__file__).parents[2] / "docs" / "status.md"


def test_status_page_lists_every_field() -> None:
    source = FakeSource()
    sensor = Sensor(source=source)
    with sensor:
        document = Snapshot(StatusContext(sensor, source, "", [], time.time)).document()
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    named = {name.partition(".")[0] for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert named == {*document}
    for row in rows:
        for name in re.findall(r"`(\w+)\.(\w+)`", row):
            assert name[1] in document[name[0]]


def test_schema_is_printed_and_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "status"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("full", [False, True])
def test_status_document_matches_schema(*, full: bool) -> None:
    source = FakeSource()
    quiet = [except_for("pspy", match={"process.pid": "7"}, comment="x")] if full else []
    sensor = Sensor(with_exceptions(shipped_detections(), quiet), source=source)
    counts = {"given": 1, "written": 1, "dropped": 0, "failed": 0, "queued_bytes": 0, "most_queued_bytes": 0}
    sinks: Any = [{"name": "stdout", **counts, "problem": "full"}] if full else []
    test = SelfTest(1) if full else None
    with sensor:
        watched = StatusContext(sensor, source, "", ["-w /proc/"], time.time, test, sinks=lambda: sinks)
        document = json.loads(Snapshot(watched).answer())
    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)] == []
    assert [*unknown(document, SCHEMA)] == []
    del document["counters"]["records"]
    assert [*Draft202012Validator(SCHEMA).iter_errors(document)]


def unknown(value: object, schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Yield the fields that the schema does not name."""
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for name, item in value.items():
            if name in known:
                yield from unknown(item, known[name], f"{path}.{name}")
            elif "additionalProperties" not in schema:
                yield f"{path}.{name}"
    elif isinstance(value, list):
        for item in value:
            yield from unknown(item, schema["items"], f"{path}[]")
