"""Detections in code: equal to those of a file, with errors that state the remedy."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import DetectionError, Detector, EventReader, Host, Sensor, UsageError, shipped_detections
from auditsense.detections import define, is_not, like, number, unlike
from auditsense.detections.loader import parse
from auditsense.detections.model import Comparison, Condition, Window
from auditsense.testing import FakeClock, FakeSource, burst, call_event

if TYPE_CHECKING:
    from auditsense import Detection

MINE: dict[str, Any] = {"id": "mine", "name": "Mine", "match": {"file.path": "/etc/shadow"}}


def test_define_equals_the_detection_of_a_file() -> None:
    text = """
        id = "mine"
        name = "Mine"
        version = 2
        severity = "high"
        risk_score = 73
        audit_rule = "-w /etc/shadow -p r -k shadow"
        tags = ["one"]
        [match]
        "auditd.data.syscall" = ["open", "openat"]
        "file.path" = "/etc/shadow"
        "process.name" = { not_like = ["ssh*", "login"] }
        "process.executable" = { is_not = ["/usr/sbin/cron"], like = ["/usr/*"] }
        "auditd.data.a2" = { number = [0], mask = 3 }
        [window]
        by = ["user.id"]
        matches = 3
        within = "2s"
    """
    detection = define(
        "mine",
        "Mine",
        version=2,
        severity="high",
        audit_rule="-w /etc/shadow -p r -k shadow",
        tags=["one"],
        match={
            "auditd.data.syscall": ("open", "openat"),
            "file.path": "/etc/shadow",
            "process.name": unlike("ssh*", "login"),
            "process.executable": is_not("/usr/sbin/cron") | like("/usr/*"),
            "auditd.data.a2": number(0, mask=3),
        },
        by=["user.id"],
        matches=3,
        within="2s",
    )
    assert detection == parse(text, "a file")


def test_one_match_is_the_default() -> None:
    with Detector([define(**MINE)]) as detector:
        documents = detector.feed(call_event("openat", path="/etc/shadow", pid=7).datagrams)
        assert detector.feed(call_event("openat", path="/etc/passwd", serial=4).datagrams) == []
    (alert,) = documents
    assert (alert["rule"]["id"], alert["process"]["pid"]) == ("mine", 7)
    assert (alert["event"]["risk_score"], alert["auditsense"]["severity"]) == (21, "low")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severity": "hihg"}, 'severity must be one of "low", "medium", "high", "critical", not "hihg"'),
        ({"matches": 0}, "window: matches must be 1 to 64, not 0"),
        ({"matches": True}, "window: matches must be a whole number"),
        (
            {"within": "5 s"},
            'window: within must be a time, such as 30, 30s, 5m or 500ms, not "5 s"',
        ),
        ({"within": -5}, "window: within must be a time"),
        ({"risk_score": 101}, "risk_score must be 0 to 100, not 101"),
        ({"by": "process.pid"}, "window: by must be a list"),
        ({"tags": "one"}, "tags must be a list"),
        (
            {"by": ["process.pdi"]},
            "unknown field 'process.pdi'; did you mean process.pid?",
        ),
        (
            {"match": {"file.pat": "x"}},
            "unknown field 'file.pat'; did you mean file.path?",
        ),
        (
            {"match": {"file.path": 5}},
            "match.file.path: expected a string or a list of them",
        ),
        (
            {"match": {"file.path": []}},
            "match.file.path: expected a string or a list of them",
        ),
        (
            {"match": {"file.path": like()}},
            "match.file.path.like: expected a string or a list of",
        ),
        (
            {"match": {"file.path": number(5)}},
            "file.path is not a number; compare it with is",
        ),
        (
            {"match": {"auditd.data.syscall": "opnat"}},
            "no architecture has a system call 'opnat'; did you mean openat?",
        ),
    ],
)
def test_wrong_values_raise_errors(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DetectionError) as wrong:
        define(**{**MINE, **change})
    assert str(wrong.value).startswith(f"detection 'mine': {message}")


# --- the dataclasses themselves ------------------------------------------------------------


def pspy() -> Detection:
    return shipped_detections()[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"window": Window(("host.id",), 0, 1000)}, "pspy: matches must be 1 to 64"),
        ({"window": Window(("host.id",), 65, 1000)}, "pspy: matches must be 1 to 64"),
        ({"window": Window(("host.id",), 1, 0)}, "pspy: within_ms must be 1 to 86400000"),
        (
            {"match": (Condition("file.path", Comparison.IS, "/proc"),)},  # type: ignore[arg-type]
            'file.path: values must be a tuple with one or more elements, such as ("/proc",)',
        ),
        ({"match": (Condition("file.path", Comparison.IS, ()),)}, "file.path: values must be a tuple"),
        (
            {"match": (Condition("process.pid", Comparison.NUMBER, ("7",)),)},
            "process.pid: number compares with whole numbers, not '7'",
        ),
        (
            {"match": (Condition("process.pid", Comparison.IS, (7,)),)},
            "process.pid: is compares with strings, not 7",
        ),
    ],
)
def test_values_no_file_can_contain_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DetectionError) as wrong:
        Detector([dataclasses.replace(pspy(), **change)])
    assert str(wrong.value).startswith(message)


# --- what tests of one's own need ------------------------------------------------------------


def test_fake_clock_advances() -> None:
    clock = FakeClock(1_000_000)
    before = clock.monotonic_s()
    clock.advance(1.5)
    assert (clock.wall_ms(), clock.monotonic_s() - before) == (1_001_500, 1.5)
    with pytest.raises(UsageError, match="expected 0 or more seconds"):
        clock.advance(-1)


def test_fake_source_filters_unneeded_records() -> None:
    source = FakeSource()
    with Sensor(source=source, lean=True) as sensor:
        source.send(*burst(10))
        assert len(sensor.poll()) == 1
        assert sensor.stats().datagrams == 20  # of fifty: the SYSCALL and the PATH records
    assert source.plan() == []


def test_missing_call_of_architecture_raises_error() -> None:
    assert " syscall=56 " in call_event("openat", arch="aarch64").lines[0]
    with pytest.raises(UsageError, match="aarch64 has no system call 'open'"):
        call_event("open", arch="aarch64")


def test_reprs_name_their_contents() -> None:
    detection = define("a", "A", match={"file.path": "/x"}, version=2)
    assert repr(detection) == "Detection('a', version=2)"
    host = Host("0123", "here")
    with Detector([detection], host=host) as detector, EventReader(host=host) as reader:
        assert repr(detector) == "<Detector of a in records of 'here'>"
        assert repr(reader) == "<EventReader of records of 'here'>"
