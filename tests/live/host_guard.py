"""Using the kernel of this machine one at a time, and putting it back: for live tests and benchmarks."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from tests.live.restore_host import HostState, Kernel

if TYPE_CHECKING:
    from collections.abc import Iterator


HERE = Path(__file__).parent
LOCK = Path(os.environ.get("AUDITSENSE_LIVE_LOCK", "/run/lock/auditsense-live.lock"))
"""The variable is for tests that start live tests, while they hold the lock themselves."""
LOCK_WAIT_S = 1800.0  # several runs on one machine, each with its turn
RESTORE_LIMIT_S = 300.0
CAP_AUDIT_CONTROL = 30
LOCKED = PANIC = 2


def why_not() -> str | None:
    """Return why the kernel's audit cannot be used here; None when it can be."""
    unusable = why_unusable()
    if unusable is not None:
        return unusable
    owner = host_state().pid
    return f"process {owner} owns the audit socket" if owner else None


def why_unusable() -> str | None:
    """Return why the kernel's audit cannot be used here, regardless of its owner; None when it can be."""
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
    return None


def host_state() -> HostState:
    """Return settings and raw rules of the machine, for comparisons."""
    with Kernel() as kernel:
        return kernel.state()


def release() -> None:
    """Make the kernel forget an owner of the audit socket that has ended, or that is this process."""
    with Kernel() as kernel:
        if kernel.state().pid == os.getpid():
            kernel.set("pid", 0)
        else:
            kernel.release_dead_owner()


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
                    raise TimeoutError(f"{LOCK} is held by another process for {LOCK_WAIT_S:g} s") from None
                time.sleep(0.1)
        yield file


@contextmanager
def guardian(*keep_open: int) -> Iterator[subprocess.Popen[str]]:
    """Run the guardian during the block; at the end wait until it has restored the host.

    The descriptors stay open in it: a lock among them is held until it is done.
    """
    command = [sys.executable, "-I", "-S", str(HERE / "restore_host.py")]
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
            process.wait(timeout=RESTORE_LIMIT_S)
