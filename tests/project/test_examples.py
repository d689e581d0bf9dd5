"""The programs of docs/embedding.md run, and the page has them unchanged."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditsense import Detector, Sensor
from auditsense.testing import FakeSource, burst, call_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "embedding.md"
PLACE = re.compile(r"<!-- examples/(\S+) -->\n(?:\n```python\n.*?\n```\n)?", re.DOTALL)
LOG = b"".join(event.text for event in burst(12))


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def printed(capsys: pytest.CaptureFixture[str]) -> list[Any]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_page_has_every_example_unchanged(pytestconfig: pytest.Config) -> None:
    page = PAGE.read_text(encoding="utf-8")

    def filled(place: re.Match[str]) -> str:
        text = (EXAMPLES / place[1]).read_text(encoding="utf-8")
        return f"<!-- examples/{place[1]} -->\n\n```python\n{text}```\n"

    if pytestconfig.getoption("--write-docs"):
        PAGE.write_text(PLACE.sub(filled, page), encoding="utf-8")
        page = PAGE.read_text(encoding="utf-8")
    assert PLACE.sub(filled, page) == page, "pytest tests/project/test_examples.py --write-docs writes it"
    assert sorted(place[1] for place in PLACE.finditer(page)) == sorted(
        path.name for path in EXAMPLES.glob("*.py")
    )


def test_asyncio_agent(capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource()
    source.send(*burst(12))
    sensor = Sensor(source=source)
    threading.Timer(0.3, sensor.stop).start()
    asyncio.run(example("asyncio_agent").main(sensor))
    assert [document["auditsense"]["state"] for document in printed(capsys)] == ["alert", "closed"]
    assert source.left == 1


def test_selectors_agent(capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource()
    source.send(*burst(12))
    ours, theirs = socket.socketpair()
    with ours, theirs:
        timer = threading.Timer(0.2, theirs.send, [b"end"])
        timer.start()
        example("selectors_agent").serve(Sensor(source=source), ours)
        timer.join()
    assert [document["auditsense"]["state"] for document in printed(capsys)] == ["alert", "closed"]
    assert source.left == 1


def test_alerts_and_events_agent(capsys: pytest.CaptureFixture[str]) -> None:
    source = FakeSource()
    source.send(*burst(12), call_event("unlink", serial=15, pid=7))
    agent = example("alerts_and_events").Agent(source)
    threading.Timer(0.2, agent.sensor.stop).start()
    agent.run()
    assert [(line["alert"]["auditsense"]["state"], line["calls"]) for line in printed(capsys)] == [
        ("alert", {"openat": 12}),
        ("closed", {"openat": 12}),
    ]
    assert agent.calls[7, "unlink"] == 1


class AuditSocket:
    """An agent's socket with datagrams of the kernel and of another process."""

    def __init__(self, datagrams: list[bytes]) -> None:
        self.waiting = [(datagram, (0, 1)) for datagram in datagrams]
        self.waiting[3:3] = [(b"of another process", (4711, 1))]

    def recvfrom(self, _size: int) -> tuple[bytes, tuple[int, int]]:
        if not self.waiting:
            raise BlockingIOError
        return self.waiting.pop(0)


def test_own_socket_agent() -> None:
    agent = example("own_socket_agent")
    audit = AuditSocket([datagram for event in burst(10) for datagram in event.datagrams])
    with Detector() as detector:
        datagrams: Iterator[bytes] = agent.received(audit)
        documents = agent.step(detector, datagrams)
        assert detector.stats().datagrams == 50
    # The burst is of a past day, so it is over when the time is now.
    assert [document["auditsense"]["state"] for document in documents] == ["alert"]


def run(name: str, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-E", "-s", EXAMPLES / name, *arguments],
        input=given,
        capture_output=True,
        check=True,
        timeout=300,
    )


def test_pipeline() -> None:
    ended = run("pipeline.py", given=LOG + b"no record\n")
    assert [json.loads(line)["auditsense"]["state"] for line in ended.stdout.splitlines()] == [
        "alert",
        "closed",
    ]
    assert ended.stderr == b"48 records, 1 other lines\n"


def test_pipeline_alerts_before_its_input_ends() -> None:
    command = [sys.executable, "-E", "-s", str(EXAMPLES / "pipeline.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        os.write(process.stdin.fileno(), LOG)
        assert b'"alert"' in process.stdout.readline()
        process.communicate(timeout=300)


def test_every_event(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(LOG)
    lines = run("events.py", str(log)).stdout.splitlines()
    assert len(lines) == 12
    assert lines[0] == b"2026-11-24T04:05:14.674+00:00 4352 /usr/local/bin/pspy64 openat /proc"


def test_rows_of_every_event(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(LOG)
    assert run("rows.py", str(log)).stdout == b"12 /usr/local/bin/pspy64 /proc\n"


def test_own_detection_and_its_tests() -> None:
    assert example("own_detection").SHADOW.window.matches == 3
    command = [
        sys.executable,
        "-E",
        "-s",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "test_own_detection.py",
    ]
    ended = subprocess.run(command, cwd=EXAMPLES, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stdout
    assert "6 passed" in ended.stdout
