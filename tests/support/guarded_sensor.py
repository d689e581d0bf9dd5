"""A process that has a guardian and evaluates what a test sends it.

The kernel is a `FakeKernel` in the guardian.
It ends with its standard error, the only descriptor that the guardian inherits.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Self

SENSOR = """
import errno, mmap, os, signal, sys
from auditsense.errors import KernelCommandError
from auditsense.kernel import undo
from auditsense.kernel.host_state import read_state
from auditsense.kernel.rules import auditctl
from auditsense.kernel.commands import Commands
from auditsense.kernel.guardian import Guardian
from auditsense.kernel.undo_journal import Entry, encode
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting
from auditsense.kernel.audit_status import StatusField
from auditsense.testing import FakeKernel

RULE = auditctl.parse("-w /proc/ -p r -k audit_proc")
STEPS = (
    ChangeSetting(StatusField.BACKLOG_WAIT_TIME, 15000, 0),
    ChangeSetting(StatusField.BACKLOG_LIMIT, 64, 8192),
    BecomeOwner(),
    AddRule(RULE),
    ChangeSetting(StatusField.ENABLED, 0, 1),
)
BEFORE = FakeKernel().host_state()
owner, enabled, kernels = os.getpid(), int(sys.argv[2]), []
with open(sys.argv[1], "r+b") as file:
    result = mmap.mmap(file.fileno(), 0)  # the confined guardian can write here, but open no file

OTHER = auditctl.parse("-w /etc/ -p wa -k etc")
changes, refusals, created = {}, [], []

def commands():
    if not created:
        settings = dict(enabled=enabled, pid=owner, backlog_limit=8192, backlog_wait_time=0,
                        rules=[RULE.to_bytes()])
        created.append(FakeKernel(**{**settings, **changes}, alive=[1]))
    created[-1].closed = False
    kernels.append(created[-1])
    return Refusing(kernels[-1])

class Refusing(Commands):
    def set(self, field, value):
        if field is StatusField.PID and refusals and refusals[0] > 0:
            refusals[0] -= 1
            raise KernelCommandError("EACCES", errno.EACCES)
        super().set(field, value)

def done():
    state = "nothing asked" if not kernels else kernels[-1].host_state() == BEFORE
    text = f"as before: {state}".encode()
    result[:len(text)] = text

def half(steps):
    line = encode(Entry(owner, steps))
    return os.write(guardian._pipe, line[: len(line) // 2])

guardian = Guardian(commands, done)
"""
LOOP = """
for line in sys.stdin:
    try:
        answer = eval(line)
    except Exception as problem:
        answer = f"{type(problem).__name__}: {problem}"
    print(answer, flush=True)
"""
LIMIT_S = 300.0
CAP_AUDIT_CONTROL = 30


class Result:
    """What the guardian writes when it has restored the host."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(bytes(64))

    @property
    def text(self) -> str:
        """Empty: nothing yet."""
        return self.path.read_bytes().rstrip(b"\0").decode()


class Sensor:
    def __init__(self, path: Path, enabled: int = 1) -> None:
        self.result = Result(path)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", SENSOR + LOOP, str(path), str(enabled)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=LIMIT_S)

    def do(self, expression: str) -> str:
        """Let the sensor evaluate this; return the result."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def start(self) -> int:
        """Start the guardian; wait until it watches. Returns its pid."""
        assert self.do("guardian.start()") == "None"
        pid = int(self.do("guardian.pid"))
        until_it_watches(pid)
        return pid

    def die(self) -> str:
        """Kill the sensor; return its standard error up to the exit of the guardian."""
        self.process.kill()
        return self.process.communicate(timeout=LIMIT_S)[1]


def status(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def until_it_watches(pid: int) -> None:
    """Wait until it has dropped its capabilities: the last step before it waits."""
    deadline = time.monotonic() + LIMIT_S
    while status(pid)["NoNewPrivs"] != "1" or int(status(pid)["CapEff"], 16) & ~(1 << CAP_AUDIT_CONTROL):
        assert time.monotonic() < deadline
        time.sleep(0.005)
