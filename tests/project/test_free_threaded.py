"""Python without a GIL: the package is built for it, does not bring one back, and holds what it promises.

AUDITSENSE_FREE_THREADED names the interpreter; CONTRIBUTING.md lists what has to be installed.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PYTHON = os.environ.get("AUDITSENSE_FREE_THREADED", "")

pytestmark = pytest.mark.skipif(
    not PYTHON, reason="AUDITSENSE_FREE_THREADED names no free-threaded interpreter (CONTRIBUTING.md)"
)

# Everything is loaded late, so it is loaded by eight threads at once here.
USED_BY_EIGHT = """
import sys, threading
import auditsense
from auditsense import _ffi

def use():
    barrier.wait()
    with auditsense.Detector() as alerts, auditsense.EventReader() as events:
        calls = [event.syscall for event in events.feed_text(text)]
        found.append((alerts.feed_text(text) + alerts.finish(), calls))

with open(sys.argv[1], "rb") as file:
    text = file.read()
barrier, found = threading.Barrier(8), []
threads = [threading.Thread(target=use) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 8 and all(one == found[0] for one in found), found
assert found[0][0] and found[0][1]
assert sys._is_gil_enabled() is False
print(_ffi.__file__)
"""


def run(*arguments: str | Path, package: Path | None = None) -> str:
    """Run the interpreter without PYTHON_GIL, and return its output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHON_GIL"}
    environment["PATH"] = f"{Path(PYTHON).parent}:{environment['PATH']}"  # meson and ninja of its environment
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    done = subprocess.run(
        [PYTHON, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the package from this checkout as anybody would, without a flag; returns its folder."""
    assert run("-c", "import sys; print(sys._is_gil_enabled())") == "False\n", f"{PYTHON} has a GIL"
    folder = tmp_path_factory.mktemp("free_threaded")
    run("-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--target", folder, ROOT)
    return folder


def test_package_does_not_enable_the_gil(package: Path, tmp_path: Path) -> None:
    from auditsense.testing import burst  # noqa: PLC0415 - where it is not skipped

    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(event.text for event in burst(12)))
    core = Path(run("-Werror", "-c", USED_BY_EIGHT, log, package=package).strip())
    assert core.is_relative_to(package)
    assert ".abi3." not in core.name


@pytest.mark.parametrize(
    "path",
    [
        *("core/test_ring.py", "sensor/test_embedding.py", "project/test_isolation.py"),
        *("detect/test_events.py", "detect/test_rows.py", "detect/test_rule_migration.py"),
    ],
)
def test_tests_pass_without_a_gil(package: Path, path: str) -> None:
    options = ("-q", "-p", "no:cacheprovider", "-m", "not live")
    output = run("-m", "pytest", *options, f"tests/{path}", package=package)
    assert " passed" in output
