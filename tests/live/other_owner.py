"""A process that owns the audit socket and is no auditsense."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER = """
import os, socket, struct, sys
kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
def set_pid(pid):
    words = [4, 0, 0, pid, 0, 0, 0, 0, 0, 0, 0]  # AUDIT_STATUS_PID
    kernel.send(struct.pack("=IHHII11I", 60, 1001, 5, 1, 0, *words))
    answer = kernel.recv(16384)
    while answer[4:6] != b"\\2\\0":  # a record, which comes to the owner as well
        answer = kernel.recv(16384)
    assert struct.unpack_from("=i", answer, 16) == (0,)
set_pid(os.getpid())
print("ready", flush=True)
sys.stdin.read()
set_pid(0)
"""


@contextmanager
def other_owner() -> Iterator[subprocess.Popen[str]]:
    """Let a process that is no auditsense own the audit socket."""
    pipe = subprocess.PIPE
    owner = [sys.executable, "-I", "-S", "-c", OWNER]
    with subprocess.Popen(owner, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.stdin.close()
