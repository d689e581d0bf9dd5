"""From the start of the program to the first record that it has seen, and the memory it has then."""

from __future__ import annotations

import select
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense.bench.c_helpers import OWN_RULE, scan
from auditsense.bench.consumers import LIMITED, MODES, started
from auditsense.bench.interpreter import auditsense
from auditsense.bench.procfs import resident
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOAD_PERIOD_US: Final = 1000
_LOAD_OPENS: Final = 20_000
_LIMIT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Startup:
    """One start.

    Attributes:
        record_s: from the fork to the first event on standard output, in s, with an open every ms.
        resident_bytes: memory of the process then.
    """

    record_s: float
    resident_bytes: int


def startup(scanner: Sequence[str], mode: str = "default") -> Startup:
    """Start a sensor while a process opens /proc every ms; see `Startup`.

    That process is older than the sensor: audit has to have been on once since boot, or the kernel
    never reports it.

    Raises:
        AuditSenseError: it did not start, or gave nothing within 10 s.
    """
    load = scan(scanner, _LOAD_OPENS, period_us=_LOAD_PERIOD_US)
    command = auditsense("run", "--source", "netlink", "--audit-rule", OWN_RULE, "-o", "events", *LIMITED)
    try:
        since = time.monotonic()
        with started((*command, *MODES[mode]), stdout=subprocess.PIPE) as (process, _):
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            if not select.select([process.stdout], [], [], _LIMIT_S)[0]:
                raise AuditSenseError(f"the sensor gave no event within {_LIMIT_S:g} s")
            first = time.monotonic() - since
            memory = resident(process.pid)
            load.kill()  # or the sensor would wait for a reader of its events
            return Startup(first, memory)
    finally:
        load.kill()
        load.communicate()
