"""Exclusive use of the kernel's audit: one live run at a time, no other owner, unchanged afterwards.

This module changes nothing: the sensor and `Unicast` restore their changes, each with a guardian. It checks
that they did.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from pathlib import Path
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

AuditState = tuple[tuple[int | None, ...], tuple["AuditRule", ...]]


def audit_state() -> AuditState:
    """Return the state that a run must restore: settings, owner and audit rules."""
    with Commands() as commands:
        now = commands.status()
        limits = (now.rate_limit, now.backlog_limit, now.backlog_wait_time)
        return (now.enabled, now.failure, now.pid, *limits), tuple(commands.rules())


def unprivileged() -> str:
    """Return why this process cannot use the kernel's audit at all; "": it can."""
    return "" if os.geteuid() == 0 else "not root"


def unavailable() -> str:
    """Return why the kernel's audit cannot be used now; "": it can. Call it with the lock held."""
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
def exclusive_audit(notify: Callable[[str], None], wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold the lock that live runs of this host share; check that the audit state is restored.

    Args:
        notify: called once if another run has the lock.
        wait_s: limit of the wait for the lock.

    Raises:
        NoKernelAuditError: another run kept the lock, or the kernel's audit is unavailable.
        AuditSenseError: the audit state has changed.
    """
    Path(LOCK).parent.mkdir(parents=True, exist_ok=True)
    # Any user may write to the folder: do not follow a link there.
    lock = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _acquire(lock, notify, wait_s)
        reason = unavailable()
        if reason:
            raise NoKernelAuditError(reason)
        before = audit_state()
        yield
        if audit_state() != before:
            raise AuditSenseError(
                "the kernel's audit state was not restored; compare: auditctl -s; auditctl -l"
            )
    finally:
        os.close(lock)


def _acquire(lock: int, notify: Callable[[str], None], wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    notified = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass
        else:
            return
        if not notified:
            notify("waiting for another live run on this host")
            notified = True
        if time.monotonic() > deadline:
            raise NoKernelAuditError(f"another live run has held {LOCK} for {wait_s:g} s; try later")
        time.sleep(_STEP_S)
