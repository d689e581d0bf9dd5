"""Child processes that outlive a signal to the sensor: pipes, descriptors, signals, names, exit.

Used by the guardian, the helper of the self-test and the sink workers. Each forks before the sensor has
threads, keeps only the descriptors it needs, and ignores what a terminal or a service manager sends to
the whole group.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import signal
import time
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GROUP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that a terminal or a service manager sends to every process of a group."""

_PR_SET_NAME: Final = 15  # linux/prctl.h
_NAME_BYTES: Final = 15
_LONGEST_PAUSE_S: Final = 0.02


@cache
def libc() -> ctypes.CDLL:
    """Return the C library, which sets ctypes' errno. Made once: a forked child shares its memory."""
    return ctypes.CDLL(None, use_errno=True)


def pipe() -> tuple[int, int]:
    """Return a close-on-exec pipe (read end, write end) above descriptor 2.

    0, 1 and 2 may be closed: a pipe there would receive what is printed.
    """
    ends = os.pipe2(os.O_CLOEXEC)
    if min(ends) > 2:
        return ends
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def close_inherited(*keep: int, stderr: bool = True) -> None:
    """Close every descriptor but *keep* and standard error; other standard descriptors become /dev/null.

    In the child, before anything else is opened: the sensor's sockets and outputs must not stay open there.
    """
    first = 3
    for descriptor in sorted({number for number in keep if number > 2}):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
    try:
        null = os.open(os.devnull, os.O_RDWR)
    except PermissionError:  # forked by a process that may not open a file for writing
        null = os.open(os.devnull, os.O_RDONLY)
    for standard in {0, 1} - {*keep} if stderr else {0, 1, 2} - {*keep}:
        os.dup2(null, standard)
    if null > 2:
        os.close(null)


@contextlib.contextmanager
def signals_blocked(signals: Iterable[int]) -> Iterator[None]:
    """Block *signals* around a fork. The child ignores them first, then unblocks them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore(signals: Iterable[int]) -> None:
    """Ignore *signals* in this process."""
    for number in signals:
        signal.signal(number, signal.SIG_IGN)


def set_name(name: str) -> None:
    """Set the name (comm) of this thread; bytes after the 15th are cut off."""
    libc().prctl(_PR_SET_NAME, ctypes.c_char_p(name.encode()[:_NAME_BYTES]), 0, 0, 0)


def has_exited(pid: int) -> bool:
    """Reap a child that has exited; True also when the kernel reaped it because SIGCHLD is ignored."""
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def is_stopped(pid: int) -> bool:
    """Return whether a child is stopped. Asks waitid(2), not /proc: a read there would be audited."""
    try:
        status = os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return status is not None and status.si_code == os.CLD_STOPPED


def wait_for_exit(pid: int, limit_s: float, *, resume: bool = False) -> bool:
    """Wait for a child to exit, at most *limit_s* seconds.

    Args:
        pid: of the child.
        limit_s: in seconds.
        resume: whether to send SIGCONT when it is stopped.

    Returns:
        Whether it has exited.
    """
    deadline_s = time.monotonic() + limit_s
    pause_s = 0.0005
    while not has_exited(pid):
        if time.monotonic() > deadline_s:
            return False
        if resume and is_stopped(pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGCONT)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    return True
