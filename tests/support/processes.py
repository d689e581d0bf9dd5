"""Processes of this test run: their mark, their signals, and leftovers.

Each process that pytest starts inherits the mark in its environment. A process is ours when it carries the
mark or descends from pytest; no other process is ever ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARK: Final = "AUDITSENSE_TEST_RUN"
PROC: Final = Path("/proc")
ENDS_BY_ITSELF_S: Final = 20.0
ENDS_WHEN_ASKED_S: Final = 20.0
_PAUSE_S: Final = 0.02
_IGNORED_BY_PYTHON: Final = {signal.SIGPIPE, signal.SIGXFSZ}


def mark_run() -> str:
    """Mark all that this process starts from now on; return the mark.

    A run that was started by another run of the tests carries the marks of both.
    """
    mark = f"{os.getpid()}.{time.monotonic_ns()}"
    os.environ[MARK] = ",".join(filter(None, (os.environ.get(MARK), mark)))
    return mark


def mark_of_this_run() -> str:
    """Return the mark that `mark_run` has set; empty before it."""
    return os.environ.get(MARK, "").rpartition(",")[2]


# --- signals ---------------------------------------------------------------------


def restore_signals() -> None:
    """Reset the signals that nohup or a shell's `&` leaves ignored or blocked.

    Programs started from here begin with the default of every signal. pytest itself still outlives a hang-up
    that it ignores: programs inherit an ignored signal, but no handler.
    """
    for number in signal.valid_signals() - _IGNORED_BY_PYTHON:
        if signal.getsignal(number) is not signal.SIG_IGN:
            continue
        if number == signal.SIGHUP:
            signal.signal(number, _outlive)
            os.register_at_fork(after_in_child=_default_hangup)
        else:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _outlive(*_: object) -> None:
    """Do nothing."""


def _default_hangup() -> None:
    if signal.getsignal(signal.SIGHUP) is _outlive:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


# --- processes -------------------------------------------------------------------


@dataclass(frozen=True)
class Process:
    """A process as /proc shows it; `ours`: this run of the tests has started it."""

    pid: int
    command: str
    ours: bool

    def __str__(self) -> str:
        return f"process {self.pid} ({self.command})"


def process(pid: int, *, mark: str, runner: int | None = None, proc: Path = PROC) -> Process:
    """Return one process; *runner*: the process of pytest, by default this one."""
    runner = os.getpid() if runner is None else runner
    ours = pid == runner or carries(pid, mark, proc) or descends(pid, runner, proc)
    return Process(pid, command_of(pid, proc), ours)


def command_of(pid: int, proc: Path = PROC) -> str:
    """Return the command line of a process; its name in brackets where it has none."""
    try:
        words = (proc / str(pid) / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        if words != [b""]:
            return " ".join(word.decode(errors="replace") for word in words)
        name = (proc / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "which has ended"
    return f"[{name}]"


def carries(pid: int, mark: str, proc: Path = PROC) -> bool:
    """Tell whether a process was started with a mark in its environment."""
    try:
        environment = (proc / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    marks = next((one for one in environment if one.startswith(f"{MARK}=".encode())), b"")
    return bool(mark) and mark.encode() in marks.partition(b"=")[2].split(b",")


def descends(pid: int, ancestor: int, proc: Path = PROC) -> bool:
    """Tell whether a process is a child of another, or a child of its children."""
    seen: set[int] = set()
    while pid > 1 and pid not in seen:
        seen.add(pid)
        pid = _state_and_parent(pid, proc)[1]
        if pid == ancestor:
            return True
    return False


def _state_and_parent(pid: int, proc: Path) -> tuple[str, int]:
    try:
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return "X", 0
    state, parent, *_ = fields.split()
    return state, int(parent)


def alive(pid: int, proc: Path = PROC) -> bool:
    """Tell whether a process exists and has not ended; a zombie has."""
    return _state_and_parent(pid, proc)[0] not in {"X", "Z"}


def of_this_run(mark: str, proc: Path = PROC) -> set[int]:
    """Return the processes of this run that have not ended, pytest itself left out."""
    pids = {int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()}
    return {
        pid
        for pid in pids - {os.getpid()}
        if (carries(pid, mark, proc) or descends(pid, os.getpid(), proc)) and alive(pid, proc)
    }


def end_what_is_left(before: set[int], mark: str) -> list[Process]:
    """End the processes of this run that were not there *before*; return those that had to be ended.

    What is on its way out gets the time for that.
    """
    deadline = time.monotonic() + ENDS_BY_ITSELF_S
    while (left := of_this_run(mark) - before) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    found = [process(pid, mark=mark) for pid in sorted(left)]
    for one in found:
        end(one.pid)
    return found


def end(pid: int) -> None:
    """End a process of this run: SIGTERM, and SIGKILL when that is not enough."""
    for number, limit_s in ((signal.SIGTERM, ENDS_WHEN_ASKED_S), (signal.SIGKILL, ENDS_WHEN_ASKED_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        deadline = time.monotonic() + limit_s
        while alive(pid) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        if not alive(pid):
            return
