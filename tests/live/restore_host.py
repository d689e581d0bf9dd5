"""Restore the kernel's audit after a live test, also when the test is killed.

``python restore_host.py`` runs next to each live test. It records settings and rules, prints "ready" and
waits for the end of its standard input, which any death of the test process causes. Then it ends a
sensor that was left and restores every difference. It inherits the lock file, so other live tests wait.

Standard library only, without auditsense: the tested code must not clean up after its own test.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

NETLINK_AUDIT = 9
GET, SET, ADD_RULE, DEL_RULE, LIST_RULES = 1000, 1001, 1011, 1012, 1013
REQUEST, ACK = 1, 4
ERROR, DONE = 2, 3
# Place of each setting in struct audit_status, which is its bit in the mask as well:
# word n+1 is bit n, except the wait time.
MASK_BIT = {"enabled": 0, "pid": 2, "rate_limit": 3, "backlog_limit": 4, "backlog_wait_time": 5}
WORD = {"enabled": 1, "pid": 3, "rate_limit": 4, "backlog_limit": 5, "backlog_wait_time": 9}
FAILURE_WORD = 2
TIMEOUT_MS = 2000
MARK = "AUDITSENSE_TEST_RUN"


@dataclass(frozen=True)
class HostState:
    """State that a test could leave behind; `rules` as the kernel lists them, in order."""

    enabled: int
    failure: int
    pid: int
    rate_limit: int
    backlog_limit: int
    backlog_wait_time: int
    rules: tuple[bytes, ...]


class Kernel:
    """The fewest netlink lines that do; raises OSError with the kernel's errno."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self.socket.connect((0, 0))
        self.sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_problem: object) -> None:
        self.socket.close()

    def ask(self, kind: int, payload: bytes = b"", *, ack: bool = True) -> list[bytes]:
        self.sequence += 1
        header = struct.pack(
            "=IHHII", 16 + len(payload), kind, REQUEST | (ACK if ack else 0), self.sequence, 0
        )
        self.socket.send(header + payload)
        answers: list[bytes] = []
        while True:
            if not select.select([self.socket], [], [], TIMEOUT_MS / 1000)[0]:
                raise TimeoutError
            datagram = self.socket.recv(65536)
            _length, answered, _flags, sequence = struct.unpack_from("=IHHI", datagram)
            if sequence != self.sequence:
                continue
            if answered == ERROR:
                (result,) = struct.unpack_from("=i", datagram, 16)
                if result < 0:
                    raise OSError(-result, os.strerror(-result))
                return answers
            if answered == DONE:
                return answers
            answers.append(datagram[16:])
            if kind == GET:
                return answers

    def set(self, name: str, value: int) -> None:
        words = [0] * 11
        words[0] = 1 << MASK_BIT[name]
        words[WORD[name]] = value
        self.ask(SET, struct.pack("=11I", *words))

    def state(self) -> HostState:
        words = struct.unpack_from("=10I", self.ask(GET, ack=False)[0])
        settings = {name: words[place] for name, place in WORD.items()}
        rules = tuple(self.ask(LIST_RULES, ack=False))
        return HostState(failure=words[FAILURE_WORD], rules=rules, **settings)

    def release_dead_owner(self) -> None:
        """Make the kernel forget an owner that died: it only looks when another registers."""
        self.set("pid", os.getpid())
        self.set("pid", 0)

    def restore(self, wanted: HostState) -> list[str]:
        """Restore each setting and rule that differs, independently; return what was restored."""
        now = self.state()
        done: list[str] = []

        def attempt(what: str, act: Callable[[], object]) -> None:
            try:
                act()
                done.append(what)
            except OSError as problem:
                done.append(f"failed: {what}: {problem}")

        def setting(name: str) -> None:
            old, new = getattr(now, name), getattr(wanted, name)
            if old != new:
                attempt(f"{name} {old} -> {new}", lambda: self.set(name, new))

        # First nothing more is recorded, last a process may be made to wait again.
        setting("enabled")
        for rule in set(now.rules) - set(wanted.rules):
            attempt("delete a rule", partial(self.ask, DEL_RULE, rule))
        for rule in (rule for rule in wanted.rules if rule not in now.rules):
            attempt("add a rule again", partial(self.ask, ADD_RULE, rule))
        if now.pid and not alive(now.pid):
            attempt(f"release dead owner {now.pid}", self.release_dead_owner)
        for name in ("rate_limit", "backlog_limit", "backlog_wait_time"):
            setting(name)
        return done


def say(line: str) -> None:
    with contextlib.suppress(OSError):  # the reader may be gone
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def alive(pid: int) -> bool:
    """Tell whether a process exists and has not ended; a zombie has."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return False
    return fields.split()[0] not in {"X", "Z"}


def carries(pid: int, mark: str) -> bool:
    """Tell whether a process was started by this run of the tests; see tests/support/processes.py."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    marks = next((one for one in environment if one.startswith(f"{MARK}=".encode())), b"")
    return bool(mark) and mark.encode() in marks.partition(b"=")[2].split(b",")


def end_sensor_of(mark: str, owner: int) -> None:
    """End a sensor that the tests have left behind, which happens when they are killed."""
    if owner in {0, os.getppid()} or not carries(owner, mark):
        return
    say(f"end the sensor {owner}")
    with contextlib.suppress(ProcessLookupError):
        for number in (signal.SIGTERM, signal.SIGKILL):
            os.kill(owner, number)
            for _ in range(200):
                os.kill(owner, 0)
                time.sleep(0.05)


def main(mark: str) -> int:
    with Kernel() as kernel:
        wanted = kernel.state()
        say("ready")
        sys.stdin.buffer.read()
        end_sensor_of(mark, kernel.state().pid)
        for line in kernel.restore(wanted):
            say(line)
        after = kernel.state()
    return 0 if after == wanted else 1


if __name__ == "__main__":
    # Ctrl-C goes to the whole process group; this one has to outlive it.
    with contextlib.suppress(PermissionError):  # already leads a group
        os.setsid()
    sys.exit(main(os.environ.get(MARK, "").rpartition(",")[2]))
