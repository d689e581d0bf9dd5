"""Read the command lines of processes, by a child with a deadline.

cmdline is in the process's own memory. A process can put a page there that is never delivered (a file of a
FUSE server that it runs), so a reader would wait for ever.
"""

from __future__ import annotations

import os
import select
import signal
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense import _child_process as child
from auditsense.kernel.confinement import PARTS, confine, prepare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditsense.kernel.privileges import User

CMDLINE_BYTES: Final = 5120
"""Read of a cmdline: the core keeps 4,096 bytes of the arguments, joined with blanks."""
_ENTRY: Final = struct.Struct("=II")  # in the pipe: pid, bytes of cmdline
_STALL_S: Final = 0.25
_DEADLINE_S: Final = 2.0
_CHILDREN: Final = 8  # as many as can stall within the deadline


def read_cmdlines(
    pids: Sequence[int], *, proc: Path = Path("/proc"), user: User | None = None
) -> dict[int, bytes]:
    """Return the command lines of processes, at most `CMDLINE_BYTES` of each.

    A process that makes the child stall for 250 ms has none. Another child continues after it. All of them
    together have 2 s.

    Args:
        pids: of the processes.
        proc: mount point of procfs.
        user: that the child becomes.
    """
    deadline_s = time.monotonic() + _DEADLINE_S
    found: dict[int, bytes] = {}
    rest = list(pids)
    for _ in range(_CHILDREN):
        if not rest or time.monotonic() > deadline_s:
            break
        for pid, cmdline in _read_in_child(rest, proc, user, deadline_s):
            found[pid] = cmdline
            rest = rest[rest.index(pid) + 1 :]
        rest = rest[1:]  # where it stalled
    return found


def _read_in_child(
    pids: Iterable[int], proc: Path, user: User | None, deadline_s: float
) -> Iterator[tuple[int, bytes]]:
    """Yield pids with their cmdline until all are read, the child stalls, or the deadline."""
    prepare(PARTS["command lines"])
    try:
        receive, send = child.pipe()
        with child.signals_blocked(child.GROUP_SIGNALS):
            pid = os.fork()
            if pid == 0:
                _run_child(send, pids, proc, user)
    except OSError:
        return
    os.close(send)
    try:
        yield from _entries(receive, deadline_s)
    finally:
        os.close(receive)
        child.wait_for_exit(pid, 2 * _STALL_S)


def _entries(receive: int, deadline_s: float) -> Iterator[tuple[int, bytes]]:
    received = b""
    poll = select.poll()
    poll.register(receive, select.POLLIN)
    while (left_s := deadline_s - time.monotonic()) > 0 and poll.poll(min(left_s, _STALL_S) * 1000):
        part = os.read(receive, 1 << 16)
        if not part:
            return
        received += part
        while len(received) >= _ENTRY.size:
            pid, size = _ENTRY.unpack_from(received)
            if len(received) < _ENTRY.size + size:
                break
            yield pid, received[_ENTRY.size : _ENTRY.size + size]
            received = received[_ENTRY.size + size :]


def _run_child(send: int, pids: Iterable[int], proc: Path, user: User | None) -> None:
    """Write the cmdline of each process. Never returns, so none of the sensor's exit handlers run here."""
    try:
        child.ignore((*child.GROUP_SIGNALS,))
        child.close_inherited(send, stderr=False)
        child.set_name("audit-cmdline")
        # It ends itself when it stalls: the sensor may signal no process that is forked later.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
        confine(PARTS["command lines"].with_paths(read=(str(proc),)), user)
        for pid in pids:
            signal.setitimer(signal.ITIMER_REAL, _STALL_S)
            cmdline = b""
            with suppress(OSError):
                cmdline = _read_cmdline(proc / str(pid) / "cmdline")
            _write(send, _ENTRY.pack(pid, len(cmdline)) + cmdline)
    finally:
        os._exit(0)


def _read_cmdline(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while len(text) < CMDLINE_BYTES and (part := os.read(descriptor, CMDLINE_BYTES - len(text))):
            text += part
        return text
    finally:
        os.close(descriptor)


def _write(descriptor: int, text: bytes) -> None:
    while text:
        text = text[os.write(descriptor, text) :]
