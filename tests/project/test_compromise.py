"""Attacks from within each part of a sensor are refused, with Landlock and without."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts import write_compromise_table
from tests.support import compromise

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become each part's user")


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """Attack every part once."""
    ended = subprocess.run(
        [sys.executable, "-P", "-m", "tests.support.compromise"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    results: dict[str, Any] = json.loads(ended.stdout)
    return results


def test_attempts_succeed_where_nothing_is_confined(found: dict[str, Any]) -> None:
    """The attempts can tell: most of them succeed for root."""
    outcomes = found["root"]["root"]
    assert "failed" not in outcomes
    refused = [name for name, outcome in outcomes.items() if outcome in compromise.REFUSED]
    assert len(outcomes) > 60
    assert len(refused) <= 12, refused  # what a container or this kernel refuses anyone


@pytest.mark.parametrize("part", compromise.STATES)
@pytest.mark.parametrize("kind", ["landlock", "without", "unit"])
def test_every_attempt_is_refused(found: dict[str, Any], part: str, kind: str) -> None:
    if kind == "landlock" and found["version"] < 6:
        pytest.skip("this kernel has no complete Landlock")
    if kind not in found:
        pytest.skip("systemd-analyze, which knows the sets of system calls, is not installed")
    succeeded = compromise.succeeded(found, kind, part)
    assert succeeded == compromise.POSSIBLE[part][kind != "landlock"]


def test_unit_alone_refuses_what_is_stated(found: dict[str, Any]) -> None:
    if "unit" not in found:
        pytest.skip("systemd-analyze, which knows the sets of system calls, is not installed")
    outcomes = found["root"]["root"]
    here = {name for name, outcome in outcomes.items() if outcome not in {*compromise.REFUSED, "ENOENT"}}
    assert compromise.succeeded(found, "unit", compromise.UNIT_ALONE) == compromise.UNIT_ALLOWS & here


def test_security_md_has_the_table() -> None:
    assert write_compromise_table.text() in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
