"""The kernel's audit for ourselves: one at a time, only where nobody has it, and as before afterwards.

Nothing is changed here. What is changed, the sensor and `Unicast` change and put back, each with its
guardian; here it is only looked whether they did.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from auditsense.errors import AuditSenseError, NoKernelAuditError
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import check_allowed
from auditsense.kernel.takeover import check_no_owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense.kernel.rules.rule import AuditRule

LOCK: Final = "/run/lock/auditsense-live.lock"
WAIT_S: Final = 240.0
_STEP_S: Final = 0.2

Settings = tuple[tuple[int | None, ...], tuple["AuditRule", ...]]


def settings() -> Settings:
    """Return what a run could leave behind: settings, owner and audit rules."""
    with Commands() as commands:
        now = commands.status()
        kept = (now.enabled, now.failure, now.pid, now.rate_limit, now.backlog_limit, now.backlog_wait_time)
        return kept, tuple(commands.rules())


def lost_by_kernel() -> int:
    """Return how many records the kernel says that it lost, since boot or a reset."""
    with Commands() as commands:
        return commands.status().lost


def unprivileged() -> str:
    """Return why this process need not even ask for the kernel's audit; "": it may."""
    return "" if os.geteuid() == 0 else "not root"


def why_not() -> str:
    """Return why the kernel's audit cannot be used now; "": it can be. Ask with the lock held."""
    reason = unprivileged()
    if reason:
        return reason
    try:
        with Commands() as commands:
            status = commands.status()
            check_allowed(status)
            check_no_owner(status)
    except AuditSenseError as error:
        return str(error)
    return ""


@contextmanager
def turn(waiting: Callable[[str], None], wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock that live runs of this host share, and look that all is as before afterwards.

    Args:
        waiting: is told, once, that another run has the lock.
        wait_s: for how long to wait for it.

    Raises:
        NoKernelAuditError: another run kept the lock, or the kernel's audit is not to be had.
        AuditSenseError: the host is not as it was.
    """
    os.makedirs(os.path.dirname(LOCK), exist_ok=True)  # noqa: PTH103, PTH120 - words, no paths
    # The folder may be everybody's: a link that somebody laid there is not followed.
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _wait_for(lock, waiting, wait_s)
        reason = why_not()
        if reason:
            raise NoKernelAuditError(reason)
        before = settings()
        yield
        if settings() != before:
            raise AuditSenseError("the kernel's audit is not as it was; look with: auditctl -s; auditctl -l")
    finally:
        os.close(lock)


def _wait_for(lock: int, waiting: Callable[[str], None], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    said = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return
        if not said:
            waiting("waiting for another live run on this host")
            said = True
        if time.monotonic() > deadline:
            raise NoKernelAuditError(f"another live run holds {LOCK} for more than {wait_s:g} s; try later")
        time.sleep(_STEP_S)
