"""Exceptions of detections: readable cases, errors and counts."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from auditsense import Detection, DetectionError, Detector, Host, shipped_detections
from auditsense.cli import main
from auditsense.detections import (
    DetectionException,
    define,
    except_for,
    exists,
    known_harmless,
    load_exceptions,
    with_exceptions,
)
from auditsense.detections.compiler import compile_all
from auditsense.detections.emit_c import as_c
from auditsense.detections.exceptions import exception_from, expiry_ms
from auditsense.detections.loader import parse
from auditsense.testing import burst, open_event

if TYPE_CHECKING:
    from collections.abc import Sequence

HOST = Host("0123456789abcdef0123456789abcdef", "here")
CASES = Path(__file__).parents[1] / "cases" / "exceptions.txt"
USUAL = {"pid": "92", "uid": "0", "tty": "pts0", "comm": '"init"', "exe": '"/init"'}


def opens(*exceptions: DetectionException) -> Detection:
    """Return a detection of every openat with these exceptions."""
    detection = define("opens", "A process opens a file", match={"auditd.data.syscall": "openat"})
    return replace(detection, exceptions=exceptions)


# --- readable cases ------------------------------------------------------------------------


class Step(NamedTuple):
    """One event of a case: its line, its SYSCALL record, and whether it is excepted."""

    line: int
    record: bytes
    excepted: bool


class Case(NamedTuple):
    """A title, the exceptions, and events in order."""

    title: str
    exceptions: list[DetectionException]
    steps: list[Step]


def record(description: str, serial: int) -> bytes:
    values = dict(USUAL)
    for name, equals, value in re.findall(r'(\w+)(=?)("[^"]*"|\S*)', description):
        if equals:
            values[name] = value
        else:
            del values[name]
    fields = " ".join(f"{name}={value}" for name, value in values.items())
    return f"type=SYSCALL msg=audit(1.000:{serial}): arch=c000003e syscall=257 {fields}\n".encode()


def read_cases() -> list[Case]:
    cases: list[Case] = []
    for number, line in enumerate(CASES.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("### "):
            cases.append(Case(line.removeprefix("### "), [], []))
        elif line.startswith("exception "):
            match = tomllib.loads(f"match = {{ {line.removeprefix('exception ')} }}")
            table = {**match, "comment": f"line {number}"}
            cases[-1].exceptions.append(exception_from(table, f"line {number}", detection="opens"))
        elif line.startswith("until "):
            last = cases[-1].exceptions.pop()
            cases[-1].exceptions.append(replace(last, expires_ms=int(line.removeprefix("until "))))
        elif line and not line.startswith("#"):
            given, _, expected = line.rpartition(" -> ")
            assert expected in {"excepted", "match"}, f"line {number}"
            cases[-1].steps.append(Step(number, record(given, number), expected == "excepted"))
    return cases


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case.title)
def test_exception_cases(case: Case) -> None:
    assert case.steps
    for step in case.steps:
        with Detector([opens(*case.exceptions)], host=HOST, sequences=True) as detector:
            documents = detector.feed_text(step.record) + detector.finish()
            assert len(documents) == int(not step.excepted), f"{CASES.name}:{step.line}"
            assert detector.stats().excepted == int(step.excepted)


# --- before counting -----------------------------------------------------------------------


def except_when(**match: object) -> list[Detection]:
    """Return pspy alone, with an exception."""
    pspy = [detection for detection in shipped_detections() if detection.id == "pspy"]
    return [*with_exceptions(pspy, [except_for("pspy", match=dict(match), comment="known", origin="test")])]


def test_excepted_event_does_not_count() -> None:
    events = burst(10)
    with Detector(except_when(**{"process.name": "agent"}), host=HOST) as detector:
        text = b"".join(event.text for event in [*events[:9], open_event(comm="agent", serial=900_000)])
        assert detector.feed_text(text) + detector.finish() == []
        stats = detector.stats()
        assert (stats.matches, stats.excepted) == (9, 1)


def test_exceptions_have_event_counts() -> None:
    first = except_for("pspy", match={"process.name": "one"}, comment="the first")
    second = except_for("pspy", match={"process.name": ("one", "two")}, comment="the second")
    detections = with_exceptions(shipped_detections(), [first, second])
    with Detector(detections, host=HOST) as detector:
        for serial, comm in enumerate(("one", "two", "three", "two"), 1):
            detector.feed_text(open_event(comm=comm, serial=serial).text)
        detector.finish()
        assert detector.exceptions() == [(first, 1), (second, 2)]


def test_exception_counts_survive_change_of_host() -> None:
    with Detector(except_when(**{"process.name": "agent"}), host=HOST) as detector:
        for host in (HOST, Host("other", "other"), HOST):
            detector.set_host(host)
            detector.feed_text(open_event(comm="agent").text)
            detector.flush()
        assert [count for _, count in detector.exceptions()] == [3]
        assert detector.stats().excepted == 3


def test_lean_detector_awaits_title_of_exception() -> None:
    with Detector(except_when(**{"process.title": "agent"}), host=HOST, lean=True) as detector:
        assert 1327 not in detector.unsent
    with Detector(except_when(**{"process.name": "agent"}), host=HOST, lean=True) as detector:
        assert 1327 in detector.unsent


def test_title_is_compared_with_blanks() -> None:
    with Detector(except_when(**{"process.title": "sh -c a b"}), host=HOST) as detector:
        detector.feed_text(open_event(title="sh\0-c\0a b").text)
        detector.finish()
        assert detector.stats().excepted == 1


# --- from files and from code --------------------------------------------------------------

MINIMAL = """
id = "mine"
name = "Mine"
version = 1
severity = "high"
risk_score = 73
audit_rule = "-w /etc/shadow -p r -k shadow"
[match]
"file.path" = "/etc/shadow"
[window]
by = ["process.pid"]
matches = 3
within = "2s"
[[exception]]
comment = "the backup"
expires = 2027-01-31
[exception.match]
"process.executable" = "/usr/bin/backup"
"""


def test_detection_file_may_contain_exceptions() -> None:
    (exception,) = parse(MINIMAL, "mine.toml").exceptions
    assert (exception.detection, exception.comment, exception.origin) == ("mine", "the backup", "mine.toml")
    assert exception.expires_ms == int(datetime(2027, 1, 31, tzinfo=UTC).timestamp() * 1000)
    assert exception.match[0].values == ("/usr/bin/backup",)


def replaced(old: str, new: str) -> str:
    assert MINIMAL.count(old) == 1
    return MINIMAL.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (replaced('comment = "the backup"\n', ""), "exception 1: comment is missing"),
        (replaced('"the backup"', '" "'), "exception 1: comment must state why this is harmless"),
        (
            replaced("[exception.match]", "[exception.macth]"),
            "exception 1: unknown key macth; did you mean match?",
        ),
        (
            replaced('"process.executable"', '"process.executabel"'),
            "exception 1: unknown field 'process.executabel'; did you mean process.executable?",
        ),
        (replaced("expires", "expire"), "exception 1: unknown key expire; did you mean expires?"),
        (replaced("2027-01-31", '"soon"'), "exception 1: expires must be a date or a time, as 2027-01-31"),
        (replaced("2027-01-31", "3"), "exception 1: expires must be a date or a time"),
        (
            replaced("2027-01-31", "2027-01-31T08:00:00"),
            "exception 1: expires needs its zone, as in 2027-01-31T08:00:00Z",
        ),
        (replaced("2027-01-31", "1969-12-31"), "exception 1: expires must be after 1970"),
        (replaced('"process.executable" = "/usr/bin/backup"\n', ""), "without a condition takes everything"),
        (
            replaced('"process.executable"', '"auditd.data.syscall"'),
            "auditd.data.syscall cannot be in an exception",
        ),
        (
            replaced('= "/usr/bin/backup"', '= { cidr = "10.0.0.0/8" }'),
            "no comparison cidr; no field that the sensor keeps holds a network address",
        ),
        (replaced('= "/usr/bin/backup"', '= { one_of = ["x"] }'), "no comparison one_of; use is with a list"),
        (
            replaced('= "/usr/bin/backup"', '= { exists = "yes" }'),
            "exists: expected true or false",
        ),
        (replaced('= "/usr/bin/backup"', "= { number = 1 }"), "process.executable is not a number"),
        ("exception = 3\n" + MINIMAL.partition("[[exception]]")[0], "exception must be a list"),
        ("exception = [3]\n" + MINIMAL.partition("[[exception]]")[0], "exception 1: expected a table"),
        (replaced("expires", 'detection = "mine"\nexpires'), "exception 1: unknown key detection"),
    ],
)
def test_exception_error_names_file_and_key(text: str, message: str) -> None:
    with pytest.raises(DetectionError) as refused:
        parse(text, "mine.toml")
    assert str(refused.value).startswith("mine.toml:")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (date(2027, 1, 31), datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31T08:00:00+02:00", datetime(2027, 1, 31, 6, tzinfo=UTC)),
        (datetime(2027, 1, 31, 8, 0, 0, 1000, tzinfo=UTC), datetime(2027, 1, 31, 8, 0, 0, 1000, tzinfo=UTC)),
    ],
)
def test_expiry_date_is_its_first_moment(given: object, expected: datetime) -> None:
    assert expiry_ms("here", given) == round(expected.timestamp() * 1000)


def test_exception_of_unknown_detection_names_its_place(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[exception]]\ndetection = "psyp"\ncomment = "x"\nmatch = { "user.id" = "0" }\n', encoding="utf-8"
    )
    exceptions = load_exceptions(file)
    with pytest.raises(
        DetectionError, match="'psyp', and there is no such detection; did you mean pspy"
    ) as no:
        with_exceptions(shipped_detections(), exceptions)
    assert str(no.value).startswith(str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "exception is missing"),
        ("[[exceptions]]\n", "unknown key exceptions; did you mean exception"),
        ('[[exception]]\ncomment = "x"\nmatch = { "user.id" = "0" }\n', "exception 1: detection is missing"),
        ("[[exception]]\n[other]\n", "unknown key other"),
        ("[[", "invalid"),
    ],
)
def test_exception_file_contains_nothing_else(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.toml"
    extra = 'detection = "pspy"\ncomment = "x"\nmatch = { "user.id" = "0" }\n'
    file.write_text(text.replace("[other]", extra + "[other]"), encoding="utf-8")
    with pytest.raises(DetectionError, match=message):
        load_exceptions(file)


def test_define_takes_exceptions_like_a_file() -> None:
    detection = define(
        "mine",
        "Mine",
        match={"file.path": "/etc/shadow"},
        exceptions=[
            {
                "match": {"process.executable": ("/a", "/b"), "auditd.data.tty": exists(there=False)},
                "comment": "x",
            }
        ],
    )
    (exception,) = detection.exceptions
    assert [(c.comparison, c.negated) for c in exception.match] == [("is", False), ("exists", True)]
    with pytest.raises(DetectionError, match="exception of 'pspy': comment must state"):
        except_for("pspy", match={"user.id": "0"}, comment="")


# --- the known harmless --------------------------------------------------------------------


def agent(exe: str = "/usr/share/packetbeat/bin/packetbeat", **ids: int) -> bytes:
    """Return the events of a known program, with other values."""
    events = [open_event(ms=1000 + n, serial=1 + n, comm="packetbeat", exe=exe) for n in range(10)]
    text = b"".join(event.text for event in events)
    for name, value in ({"uid": 0, "euid": 0, "auid": 4294967295} | ids).items():
        text = re.sub(rb"\b%s=\d+" % name.encode(), f"{name}={value}".encode(), text)
    return text


def alerts_of(text: bytes, detections: Sequence[Detection]) -> int:
    with Detector(detections, host=HOST) as detector:
        return len(detector.feed_text(text) + detector.finish())


def test_known_harmless_is_off_by_default() -> None:
    assert alerts_of(agent(), shipped_detections()) == 1
    assert alerts_of(agent(), with_exceptions(shipped_detections(), known_harmless())) == 0


@pytest.mark.parametrize(
    "forged",
    [
        {"exe": "/home/me/packetbeat"},
        {"exe": "/usr/share/packetbeat/bin/packetbeat (deleted)"},
        {"uid": 1000},
        {"euid": 1000},
        {"auid": 1000},
    ],
    ids=str,
)
def test_impostors_of_known_programs_are_detected(forged: dict[str, Any]) -> None:
    assert alerts_of(agent(**forged), with_exceptions(shipped_detections(), known_harmless())) == 1


def test_known_harmless_entries_require_path_and_root() -> None:
    exceptions = known_harmless()
    assert exceptions
    for exception in exceptions:
        compared = {condition.field: condition for condition in exception.match}
        assert {"process.executable", "user.id", "user.effective.id"} <= compared.keys()
        assert all(
            str(path).startswith(("/usr/", "/opt/", "/bin/"))
            for path in compared["process.executable"].values
        )
        assert compared["user.id"].values == ("0",)


def test_known_harmless_collectors_require_no_login() -> None:
    """Nothing but a service is excepted from Elastic's rule; who runs a monitor by hand may have a login."""
    for exception in known_harmless():
        if exception.detection == "pspy":
            assert "user.audit.id" in {condition.field for condition in exception.match}


# --- the command line ----------------------------------------------------------------------


def harmless_for(detection: str) -> list[DetectionException]:
    return [exception for exception in known_harmless() if exception.detection == detection]


def log_of(tmp_path: Path) -> str:
    log = tmp_path / "audit.log"
    log.write_bytes(agent())
    return str(log)


def test_replay_counts_events_per_exception(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "-o", "count", "--only", "pspy", "--known-harmless", log_of(tmp_path)]) == 0
    counted = json.loads(capsys.readouterr().out)
    assert (counted["alerts"], counted["matches"], counted["excepted"]) == (0, 0, 10)
    assert counted["excepted_by"][0]["events"] == 10
    assert main(["replay", "-o", "count", log_of(tmp_path)]) == 0
    assert "excepted_by" not in json.loads(capsys.readouterr().out)


def test_show_lists_active_and_expired_exceptions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    rows = [
        f'[[exception]]\ndetection = "pspy"\ncomment = "{year}"\nexpires = {year}-01-01\n'
        'match = { "user.id" = "7" }\n'
        for year in (2001, 9999)
    ]
    file.write_text("".join(rows), encoding="utf-8")
    assert main(["detections", "show", "pspy", "--exceptions", str(file)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(exception["comment"], exception["state"]) for exception in shown["exceptions"]] == [
        ("2001", "expired"),
        ("9999", "in force"),
    ]
    assert {exception["state"] for exception in shown["known_harmless"]} == {
        "not asked for (--known-harmless)"
    }
    assert (shown["alerts"]["max_alerts"], shown["limits"]["key_slots"]) == (100, 16384)
    assert main(["detections", "show", "pspy", "--known-harmless"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["exceptions"]) == len(shown["known_harmless"]) == len(harmless_for("pspy"))


def test_show_uses_the_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "auditsense.toml"
    file.write_text(
        '[alerts]\nby = ["user.id"]\nmax_alerts = 7\n[detections]\nknown_harmless = true\n', encoding="utf-8"
    )
    assert main(["detections", "show", "pspy", "-c", str(file)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["alerts"]["by"], shown["alerts"]["max_alerts"]) == (["user.id"], 7)
    assert len(shown["exceptions"]) == len(harmless_for("pspy"))
    file.write_text('[alerts]\nby = ["user.idd"]\n', encoding="utf-8")
    assert main(["detections", "show", "pspy", "-c", str(file)]) == 2
    assert "alerts.by: unknown field 'user.idd'; did you mean user.id?" in capsys.readouterr().err


# --- for C ---------------------------------------------------------------------------------


def test_compiled_header_has_exceptions() -> None:
    lasting = except_for("opens", match={"process.name": "a", "auditd.data.tty": exists()}, comment="x")
    passing = except_for("opens", match={"user.id": "7"}, comment="x", expires="2027-01-01")
    header = as_c(compile_all([opens(lasting, passing)], merge_ms=0), ["opens"])
    rows = header.partition("as_detection_exceptions[] = {\n")[2].partition("};")[0].splitlines()
    assert [row.strip() for row in rows] == [
        "{.until_ms = UINT64_MAX, .start = 0},",
        f"{{.until_ms = UINT64_C({passing.expires_ms:#x}), .start = 2}},",
    ]
    assert ".op = AS_OP_PRESENT" in header
    assert "table.exceptions = as_detection_exceptions;" in header
    assert "table.exception_count = 2;" in header


# --- hostile names -------------------------------------------------------------------------


def like_exception(pattern: str) -> DetectionException:
    given = {"comment": "x", "match": {"process.executable": {"like": pattern}}}
    return exception_from(given, "x", detection="opens")


def excepted(exe: str, *exceptions: DetectionException) -> int:
    """Return how many of one event the exceptions take."""
    with Detector([opens(*exceptions)], host=HOST, sequences=True) as detector:
        detector.feed_text(open_event(exe=exe).text)
        detector.finish()
        return detector.stats().excepted


NEAR = "/ab" + "".join(f"b{n}" for n in range(50)) + "a" * 3800  # all that a pattern has, but never in a row
NEARLY = [like_exception("*" + "a" * 45 + "*" + "a" * 45 + f"b{n}*") for n in range(50)]


def test_pattern_budget_per_event_limits_exceptions() -> None:
    assert excepted(NEAR + "z", like_exception("/ab*a?z")) == 1
    assert excepted(NEAR + "z", *NEARLY) == 0
    assert excepted(NEAR + "z", *NEARLY, like_exception("/ab*a?z")) == 0
    assert excepted(NEAR + "z", *NEARLY[:2], like_exception("/ab*a?z")) == 1
    given = {
        "comment": "x",
        "match": {"process.executable": {"not_like": "*" + "a" * 44 + "*" + "a" * 44 + "b9*"}},
    }
    negated = exception_from(given, "x", detection="opens")
    assert excepted(NEAR + "z", negated) == 1
    assert excepted(NEAR + "z", *NEARLY, negated) == 0


def test_exhausted_pattern_keeps_other_exceptions() -> None:
    other = exception_from({"comment": "x", "match": {"process.name": "pspy64"}}, "x", detection="opens")
    assert excepted(NEAR, *NEARLY, other) == 1
    assert excepted("/usr/" + "a" * 100, *NEARLY, like_exception("/usr/*")) == 1
