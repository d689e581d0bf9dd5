"""The shipped detection and the same thing in EQL complete the same sequences on every log of the tests.

AUDITSENSE_ELASTIC_RULES adds the rule as Elastic publishes it.
"""

from __future__ import annotations

import functools
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import Detector
from auditsense.detections import define, load_detections, shipped_detections
from auditsense.detections.event_table import EventMapping
from auditsense.replay.replay import LIMITS, ORDER
from auditsense.testing import burst
from tests.cli.test_cli import TEXT
from tests.core.test_cases import log_line, matches_of, read_cases, record_case

if TYPE_CHECKING:
    from auditsense import Detection, Document

_FILE = "discovery_pspy_process_monitoring_detected.toml"
_OPEN = """
  auditd.data.syscall == "openat" and file.path == "/proc" and
  auditd.data.a0 in ("ffffffffffffff9c", "ffffff9c") and auditd.data.a2 in ("80000", "88000")
"""
_SEQUENCE = f"""
sequence by host.id, process.pid with maxspan=5s
  [file where {_OPEN}] with runs=10
"""


def _windows() -> dict[str, bytes]:
    """Return the log of each case of tests/cases/windows.txt."""
    logs: dict[str, bytes] = {}
    for case in read_cases("windows.txt"):
        matches, _, _, _ = matches_of(case)
        lines = [
            log_line(kind or "PROCTITLE", text, match.node)
            for serial, match in enumerate(matches, start=1)
            for kind, (_, text) in (
                (kind, pair)
                for (kind, _), pair in zip(match.records(serial), match.records(serial), strict=True)
            )
        ]
        logs[f"windows.txt: {case}"] = b"".join(lines)
    return logs


_LOGS: dict[str, bytes] = {
    "log of the command line's tests": TEXT,
    "two bursts": b"".join(event.text for pid in (7, 8) for event in burst(25, pid=pid)),
    **_windows(),
}


@pytest.fixture(params=["our own EQL", "Elastic's rule"])
def rule(request: pytest.FixtureRequest) -> Detection:
    """The detection in EQL."""
    if request.param == "our own EQL":
        return define("pspy-eql", "The Same In EQL", eql=_SEQUENCE)
    folder = os.environ.get("AUDITSENSE_ELASTIC_RULES")
    found = sorted(Path(folder).rglob(_FILE)) if folder else []
    if not found:
        pytest.skip(f"AUDITSENSE_ELASTIC_RULES names no folder with {_FILE}")
    (detection,) = load_detections(found[0])
    return detection


def _sequences(detection: Detection, log: bytes, mapping: EventMapping) -> list[list[str]]:
    """Return the event ids of each completed sequence."""
    documents: list[Document]
    with Detector([detection], sequences=True, limits=LIMITS, order=ORDER, mapping=mapping) as detector:
        documents = detector.feed_text(log) + detector.finish()
    return [document["auditsense"]["events"] for document in documents]


@functools.cache
def _shipped_sequences(log: str, mapping: EventMapping) -> list[list[str]]:
    return _sequences(shipped_detections()[0], _LOGS[log], mapping)


@pytest.mark.parametrize("mapping", EventMapping)
@pytest.mark.parametrize("log", _LOGS)
def test_same_sequences(rule: Detection, log: str, mapping: EventMapping) -> None:
    assert _sequences(rule, _LOGS[log], mapping) == _shipped_sequences(log, mapping)


def test_logs_complete_sequences() -> None:
    """Equality of nothing with nothing would prove nothing."""
    counts = [len(_shipped_sequences(log, EventMapping.NATIVE)) for log in _LOGS]
    assert sum(count > 0 for count in counts) > 10


def test_same_events() -> None:
    """One event at a time, on all cases of tests/cases/records.txt: what a record must look like.

    In the native mapping a relative path has a second value, so this holds for the fields that the
    integration fills.
    """
    shipped = shipped_detections()[0]
    ours = replace(shipped, window=replace(shipped.window, matches=1))
    same = define("pspy-eql", "The Same In EQL", eql=f"file where {_OPEN}")
    logs = {str(case): record_case(case).log for case in read_cases("records.txt")}
    strict = EventMapping.AUDITD_MANAGER
    differing = [
        name
        for name, log in logs.items()
        if log is not None and _sequences(same, log, strict) != _sequences(ours, log, strict)
    ]
    assert differing == []
