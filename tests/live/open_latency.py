"""Sleep of another process in an open of /proc while a sensor is busy or stopped."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.live.workloads import OTHER_UID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LIMIT_S = 600.0

# The time in which the process could have run and another one did is not counted: that is a busy machine.
# The kernel's own count of it is read through a descriptor that was opened before, so no open is made for it.
_PROBE = f"""
import contextlib, os, select, sys, time
count_of = None
with contextlib.suppress(OSError):
    count_of = os.open("/proc/self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
def runnable():
    return 0 if count_of is None else int(os.pread(count_of, 100, 0).split()[1]) / 1e9
os.setgroups([]); os.setresgid({OTHER_UID}, {OTHER_UID}, {OTHER_UID})
os.setresuid({OTHER_UID}, {OTHER_UID}, {OTHER_UID})
longest, count = 0.0, 0
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.001)[0]:
    kept, begun = runnable(), time.perf_counter()
    descriptor = os.open("/proc", os.O_RDONLY | os.O_CLOEXEC)
    took = time.perf_counter() - begun
    longest = max(longest, took - (runnable() - kept))
    os.close(descriptor)
    count += 1
print(longest, count)
"""


@contextmanager
def probing() -> Iterator[Callable[[], tuple[float, int]]]:
    """Open /proc as the loads do, for as long as the block lasts.

    Call what is given for the seconds of the longest open, and how many there were; it ends the probe.
    """
    pipe = subprocess.PIPE
    command = [sys.executable, "-I", "-S", "-c", _PROBE]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

        def ended() -> tuple[float, int]:
            longest, count = process.communicate("\n", timeout=LIMIT_S)[0].split()
            return float(longest), int(count)

        try:
            yield ended
        finally:
            process.kill()
