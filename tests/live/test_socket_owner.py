"""The audit socket's owner before a live test, in separate runs of pytest; see owner_policy.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.other_owner import other_owner
from tests.support.processes import alive

TESTS = Path(__file__).parents[1]
LIMIT_S = 600.0
QUIET = "def test_quiet() -> None:\n    pass\n"
LEAVING = """
import os, pathlib, subprocess, sys
from tests.live.other_owner import OWNER
from tests.support import processes

processes.ENDS_BY_ITSELF_S = processes.ENDS_WHEN_ASKED_S = 0.3

def test_leaving():
    stubborn = "import signal\\nfor n in (1, 2, 15): signal.signal(n, signal.SIG_IGN)\\n" + OWNER
    left = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", stubborn, "LEFT"],
        stdin=os.pipe()[0], stdout=subprocess.PIPE, text=True, start_new_session=True,
    )
    assert left.stdout.readline() == "ready\\n"
    pathlib.Path(__file__).with_name("pid").write_text(str(left.pid))
    left.returncode = 0  # no warning: to this run it has ended

def test_quiet():
    pass
"""


def ran(folder: Path, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run live tests of this text in a copy of what the live tests share."""
    for path in [*TESTS.glob("*.py"), *(TESTS / "live").glob("*.py"), *(TESTS / "support").glob("*.py")]:
        if not path.name.startswith("test_"):
            target = folder / "tests" / path.relative_to(TESTS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    (folder / "tests" / "live" / "test_sample.py").write_text(text)
    (folder / "src").symlink_to(TESTS.parent / "src")  # the schemas are found from the tests
    inherited = {name: value for name, value in os.environ.items() if name != "CI"}
    return subprocess.run(
        [
            sys.executable,
            "-I",
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-q",
            "-ra",
            "--import-mode=importlib",
            "--override-ini=pythonpath=.",
            "tests",
        ],
        cwd=folder,
        env={**inherited, "AUDITSENSE_LIVE_LOCK": str(folder / "lock"), **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.mark.parametrize("in_ci", [True, False])
def test_another_owner_fails_ci_and_skips_elsewhere(tmp_path: Path, *, in_ci: bool) -> None:
    with other_owner() as owner:
        found = ran(tmp_path, QUIET, **({"CI": "true"} if in_ci else {}))
        assert alive(owner.pid)
    assert found.returncode == int(in_ci), found.stdout
    assert f"process {owner.pid} ({sys.executable} -I -S -c" in found.stdout
    assert "owns the audit socket" in found.stdout
    assert ("1 error" if in_ci else "1 skipped") in found.stdout


def test_leftover_owner_is_ended_and_fails_its_test(tmp_path: Path) -> None:
    found = ran(tmp_path, LEAVING)
    pid = int((tmp_path / "tests" / "live" / "pid").read_text())
    assert not alive(pid)
    assert found.returncode == 1
    assert f"this test left process {pid}" in found.stdout
    assert "LEFT); ended" in found.stdout
    assert "ERROR tests/live/test_sample.py::test_leaving" in found.stdout
    assert re.search("2 passed.* 1 error", found.stdout)
