"""`auditsense test-alert` next to a sensor, on the kernel of this machine; see conftest.py."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.live.workloads import ACCOUNT, EXACT_RULE, command, done, of_process, running

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("output", ["alerts", "sequences"])
def test_alert_of_another_user_is_reported_with_its_sinks(output: str, tmp_path: Path) -> None:
    file = tmp_path / "alerts.jsonl"
    with running("run", "-o", output, "--sink", "stdout", "--sink", f"file:{file}") as sensor:
        for _ in range(2):  # the second is another process: not suppressed
            test = done("test-alert", "--user", ACCOUNT)
            assert test.returncode == 0, test.stderr
            assert re.search(r"^sink       stdout \(file \S+.*\): written$", test.stdout, re.MULTILINE)
            assert f"sink       file:{file}: written\n" in test.stdout
            assert re.search(r"^latency    \d{1,6} ms after", test.stdout, re.MULTILINE)
            match = re.search(r"^process    (\d+) test-alert \(", test.stdout, re.MULTILINE)
            assert match is not None
            ids = [document["event"]["id"] for document in of_process(sensor.documents(), int(match[1]))]
            assert any(f"event.id {identity}\n" in test.stdout for identity in ids)


def test_rule_that_does_not_see_root_is_named() -> None:
    with running("run"):
        test = done("test-alert", "--timeout", "500ms")
    assert (test.returncode, test.stdout) == (1, "")
    assert "the audit rule may not see the user of the test (-a always,exit" in test.stderr
    assert "try --user NAME" in test.stderr


def test_alert_of_root_is_reported_for_the_shipped_rule() -> None:
    with command("run", "--audit-rule", EXACT_RULE) as sensor:
        sensor.wait_until_ready()
        test = done("test-alert")
        assert test.returncode == 0, test.stderr
