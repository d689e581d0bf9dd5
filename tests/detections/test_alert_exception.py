"""`auditsense detections except`: exceptions made from alerts."""

from __future__ import annotations

import io
import json
import sys
import tomllib
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import Detector, Document, shipped_detections
from auditsense.cli import main
from auditsense.detections import load_exceptions, with_exceptions
from auditsense.detections.alert_exception import exception_toml
from auditsense.errors import InputError
from auditsense.testing import open_event

if TYPE_CHECKING:
    from pathlib import Path

    from auditsense.testing import EventRecords

Except = Callable[..., tuple[int, str, str]]
"""Runs the command on a file; returns exit code and output."""
COLLECTOR = "/usr/local/bin/node_exporter"


def scan(**options: Any) -> tuple[EventRecords, ...]:  # noqa: ANN401 - those of open_event
    """Return ten opens of /proc by one process."""
    first_ms = 1_795_493_114_674
    return tuple(open_event(ms=first_ms + n, serial=3 + n, **options) for n in range(10))


def alert_of(events: tuple[EventRecords, ...]) -> Document:
    """Return the alert of the default detection."""
    with Detector() as detector:
        (alert, *_) = detector.feed(data for event in events for data in event.datagrams)
    return alert


@pytest.fixture
def alert() -> Document:
    return alert_of(scan(exe=COLLECTOR, comm="node_exporter", uid=998))


@pytest.fixture
def except_alert(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Except:
    """Give a function that writes a file and runs the command on it: exit code and output."""

    def run(content: object, *options: str) -> tuple[int, str, str]:
        file = tmp_path / "alert.json"
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        code = main(["detections", "except", str(file), *options])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def test_exception_names_program_user_and_login(alert: Document, except_alert: Except) -> None:
    code, out, err = except_alert(alert)
    assert (code, err) == (0, "")
    assert tomllib.loads(out) == {
        "exception": [
            {
                "detection": "pspy",
                "comment": f"Program {COLLECTOR} of user 998, from alert {alert['event']['id']}.",
                "match": {
                    "process.executable": COLLECTOR,
                    "user.id": "998",
                    "user.audit.id": str(alert["user"]["audit"]["id"]).replace("unset", "4294967295"),
                },
            }
        ]
    }


@pytest.mark.parametrize(
    ("other", "alerts"),
    [
        ({}, 0),
        ({"pid": 77, "comm": "renamed"}, 0),
        ({"uid": 0}, 1),
        ({"exe": "/opt/node_exporter"}, 1),
        ({"exe": COLLECTOR.upper()}, 1),
    ],
)
def test_exception_takes_that_program_user_and_login_only(
    alert: Document,
    except_alert: Except,
    *,
    other: dict[str, Any],
    alerts: int,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    quiet, log = tmp_path / "quiet.toml", tmp_path / "audit.log"
    quiet.write_text(except_alert(alert)[1])
    quiet.chmod(0o644)
    events = scan(**{"exe": COLLECTOR, "comm": "node_exporter", "uid": 998, **other})
    log.write_bytes(b"".join(event.text for event in events))
    assert main(["replay", "--exceptions", str(quiet), "-o", "count", str(log)]) == 0
    assert json.loads(capfd.readouterr().out)["alerts"] == alerts


@pytest.mark.parametrize("exe", ['/opt/a b/ü\u202e"x\\', "/opt/*", "/opt/\U0001f600\x7f\n"])
def test_hostile_path_is_compared_exactly(exe: str, tmp_path: Path, except_alert: Except) -> None:
    events = scan(exe=exe)
    code, out, _ = except_alert(alert_of(events))
    assert code == 0
    assert all(line.isprintable() for line in out.splitlines())
    quiet = tmp_path / "quiet.toml"
    quiet.write_text(out, encoding="utf-8")
    quiet.chmod(0o644)
    detections = with_exceptions(shipped_detections(), load_exceptions(quiet))
    for path, alerts in ((exe, 0), (f"{exe}x", 1)):
        with Detector(detections) as detector:
            sent = scan(exe=path)
            assert len(detector.feed(data for event in sent for data in event.datagrams)) == alerts


def test_process_without_executable_is_named(except_alert: Except) -> None:
    code, out, _ = except_alert(alert_of(scan(exe=None, comm="kworker")))
    (exception,) = tomllib.loads(out)["exception"]
    assert code == 0
    assert exception["match"]["process.name"] == "kworker"
    assert exception["match"]["process.executable"] == {"exists": False}


def test_comment_is_taken_as_given(alert: Document, except_alert: Except) -> None:
    code, out, _ = except_alert(alert, "--comment", 'It "scrapes".\n')
    assert code == 0
    assert tomllib.loads(out)["exception"][0]["comment"] == 'It "scrapes".'


def test_alerts_of_one_program_give_one_exception(alert: Document, except_alert: Except) -> None:
    other = alert_of(scan(exe="/usr/bin/htop"))
    lines = b"\n".join(json.dumps(one).encode() for one in (alert, other, alert)) + b"\n"
    code, out, err = except_alert(lines)
    assert (code, err) == (0, "")
    paths = [entry["match"]["process.executable"] for entry in tomllib.loads(out)["exception"]]
    assert paths == [COLLECTOR, "/usr/bin/htop"]


def test_exception_for_an_interpreter_is_warned_of(except_alert: Except) -> None:
    code, out, err = except_alert(alert_of(scan(exe="/usr/bin/python3.11")))
    assert (code, out.count("[[exception]]")) == (0, 1)
    assert "warning: /usr/bin/python3.11 is an interpreter" in err


def test_alert_is_read_from_standard_input(
    alert: Document, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stdin = SimpleNamespace(buffer=io.BytesIO(json.dumps(alert).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["detections", "except", "-"]) == 0
    assert capfd.readouterr().out.startswith("[[exception]]\ndetection = ")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\x7fELF\x02\xff\x00", "not JSON"),
        (b"Nov 30 pspy alert", "alert.json:1: not JSON"),
        (b'{"a":1}\n{"b"', "alert.json:2: not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"7", "not an alert: expected a JSON object"),
        (b"[]", "not an alert: expected a JSON object"),
        (b"{}", "it has no event.dataset"),
        (b'{"event":{"dataset":"auditsense.loss"},"rule":{"id":"x"}}', "event.dataset is 'auditsense.loss'"),
        (b'{"event":{"dataset":["x"]},"rule":7}', "event.dataset is ['x']"),
        (b'{"event":{"dataset":"auditsense.alert"},"rule":{"id":["x"]}}', "rule.id is ['x']"),
        (b'{"event":{"dataset":"auditsense.alert"},"rule":{"id":"x"}}', "neither process.executable"),
    ],
)
def test_input_that_is_no_alert_is_one_line(content: bytes, expected: str, except_alert: Except) -> None:
    code, out, err = except_alert(content)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("auditsense: error: ")
    assert expected in err


def test_missing_file_and_empty_comment_are_refused(
    alert: Document, except_alert: Except, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["detections", "except", str(tmp_path / "none.json")]) == 2
    assert capfd.readouterr().err.endswith("none.json: No such file or directory\n")
    assert except_alert(alert, "--comment", " ")[0] == 2


@pytest.mark.parametrize("executable", ["/opt/\\xff", "/opt/\udcff"])
def test_path_with_bytes_that_are_no_text_is_refused(alert: Document, executable: str) -> None:
    document = json.loads(json.dumps(alert))
    document["process"]["executable"] = executable
    with pytest.raises(InputError, match="bytes that an exception cannot compare"):
        exception_toml(document)
