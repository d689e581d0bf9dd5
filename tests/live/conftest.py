"""Live tests: against the kernel of this machine, one at a time, everything put back.

Every test in this folder runs inside the fixture `live`: it is skipped, with the
reason, where the kernel's audit cannot be used; otherwise it holds the lock that
keeps live tests apart, a guardian process restores the host whatever happens to
pytest, a watchdog ends a test that hangs, and the host has to be afterwards as it
was before, or the test fails.
"""

from __future__ import annotations

import faulthandler
import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import pytest

HERE = Path(__file__).parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.live.guardian import HostState, Kernel
else:  # beside this file, whatever pytest's import mode
    sys.path.insert(0, str(HERE))
    from guardian import HostState, Kernel

LOCK = Path("/run/lock/auditsense-live.lock")
LOCK_WAIT_S = 300.0
TEST_LIMIT_S = 50.0
CAP_AUDIT_CONTROL = 30
LOCKED = PANIC = 2


def why_not() -> str | None:
    """Return why the kernel's audit cannot be used here; None when it can be."""
    capabilities = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if "CapEff" in line
    )
    if not int(capabilities.split()[1], 16) >> CAP_AUDIT_CONTROL & 1:
        return "CAP_AUDIT_CONTROL is missing"
    try:
        state = host_state()
    except OSError as problem:
        return f"the kernel's audit does not answer: {problem}"
    if state.enabled == LOCKED:
        return "the audit configuration is locked"
    if state.failure == PANIC:
        return "the kernel would panic on loss"
    if state.pid:
        return f"process {state.pid} owns the audit socket"
    return None


def host_state() -> HostState:
    """Return settings and raw rules of the machine, for comparisons."""
    with Kernel() as kernel:
        return kernel.state()


@contextmanager
def exclusive() -> Iterator[IO[bytes]]:
    """Hold the lock of the live tests; yield the locked file."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("ab") as file:
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    pytest.fail(f"{LOCK} is held by somebody else for {LOCK_WAIT_S:g} s")
                time.sleep(0.1)
        yield file


@contextmanager
def guardian(*keep_open: int) -> Iterator[subprocess.Popen[str]]:
    """Run the guardian beside the block; at the end wait until it has put back."""
    command = [sys.executable, "-I", "-S", str(HERE / "guardian.py")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=keep_open,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            process.stdin.close()
            process.wait(timeout=30)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.live)


@pytest.fixture(autouse=True)
def live() -> Iterator[None]:
    """Skip, or guard; see the head of this file."""
    if os.geteuid() != 0:  # the lock file is root's
        pytest.skip("no live kernel audit: not root")
    with exclusive() as lock:
        reason = why_not()
        if reason is not None:
            pytest.skip(f"no live kernel audit: {reason}")
        before = host_state()
        with guardian(lock.fileno()):
            # Ends the whole process, which is when the guardian has its moment.
            faulthandler.dump_traceback_later(TEST_LIMIT_S, exit=True)
            try:
                yield
            finally:
                faulthandler.cancel_dump_traceback_later()
            after = host_state()
        assert after == before
        assert host_state() == before


@pytest.fixture(name="host_state")
def host_state_fixture() -> Callable[[], HostState]:
    """Give a test the function `host_state`."""
    return host_state


@pytest.fixture(name="guardian")
def guardian_fixture() -> Callable[[], object]:
    """Give a test the context manager `guardian`, to test that itself."""
    return guardian
