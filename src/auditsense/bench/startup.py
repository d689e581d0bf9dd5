"""Time from the start of the program to its first record, and its memory then."""

from __future__ import annotations

import os
import select
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from auditsense.bench.c_helpers import OWN_RULE, scan
from auditsense.bench.consumers import LIMITED, MODES, started
from auditsense.bench.interpreter import auditsense
from auditsense.bench.procfs import proportional, resident
from auditsense.errors import AuditSenseError
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOAD_PERIOD_US: Final = 1000
_LOAD_OPENS: Final = 20_000
_LIMIT_S: Final = 10.0
_IDLE_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class StartupResult:
    """One start.

    Attributes:
        record_s: seconds from the fork to the first event on standard output, with an open every ms.
        resident_bytes: memory of the process then.
        processes_bytes: memory of all processes of the sensor two seconds later, without load (Pss).
    """

    record_s: float
    resident_bytes: int
    processes_bytes: int


def startup(scanner: Sequence[str], mode: str = "default", *, other: str | None = None) -> StartupResult:
    """Start a sensor while a process opens /proc every ms.

    Args:
        scanner: the command of that process.
        mode: of the sensor, one of `consumers.MODES`.
        other: interpreter of another version; None: this one.

    That process is older than the sensor. The kernel reports it only if audit was on before it, so the first
    start turns audit on and off.

    Raises:
        AuditSenseError: the sensor did not start, or reported nothing within 10 s.
    """
    _turn_audit_on_once()
    load = scan(scanner, _LOAD_OPENS, period_us=_LOAD_PERIOD_US)
    command = auditsense(
        "run", "--source", "netlink", "--audit-rule", OWN_RULE, "-o", "events", *LIMITED, other=other
    )
    try:
        since = time.monotonic()
        with started((*command, *MODES[mode]), stdout=subprocess.PIPE) as (process, _):
            assert process.stdout is not None
            if not select.select([process.stdout], [], [], _LIMIT_S)[0]:
                raise AuditSenseError(f"the sensor reported no event within {_LIMIT_S:g} s")
            first = time.monotonic() - since
            memory = resident(process.pid)
            load.kill()
            # Without a reader of its events the sensor would wait.
            _read_for(process.stdout.fileno(), _IDLE_S)
            return StartupResult(first, memory, proportional(process.pid))
    finally:
        load.kill()
        load.communicate()


@cache
def _turn_audit_on_once() -> None:
    """Turn audit on, and restore the host: the kernel never reports a process that is older than that."""
    with Unicast([], guarded=True):
        pass


def _read_for(descriptor: int, seconds: float) -> None:
    """Discard what comes from a pipe, for some seconds."""
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left_s)[0] and not os.read(descriptor, 1 << 16):
            return
