"""The kernel's audit settings and counters, as AUDIT_GET returns them.

The source of every field is `struct audit_status` (linux/audit.h): eleven
unsigned 32-bit words in host byte order. Kernels before 5.8 send fewer; a
word that did not arrive is None.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from auditsense._frozen import Frozen
from auditsense.errors import KernelCommandError

STATUS_BYTES: Final = 44
_WORD_BYTES: Final = 4
_REQUIRED_WORDS: Final = 8  # up to `backlog`: in every kernel that has the structure


class StatusField(IntEnum):
    """Settings that one AUDIT_SET may change: the `mask` bits of `struct audit_status`.

    Intentionally left out: the failure mode (a sensor must never make a host
    panic) and the two counter resets (the counters belong to everybody).
    """

    ENABLED = 0x01
    PID = 0x04
    RATE_LIMIT = 0x08
    BACKLOG_LIMIT = 0x10
    BACKLOG_WAIT_TIME = 0x20


class Enabled(IntEnum):
    """Values of `AuditStatus.enabled`."""

    OFF = 0
    ON = 1
    LOCKED = 2  # until the next boot; every change is answered with EPERM


class Failure(IntEnum):
    """Values of `AuditStatus.failure`: what the kernel does when it loses a record."""

    SILENT = 0
    PRINTK = 1
    PANIC = 2


@dataclass(slots=True, eq=False, repr=False)
class AuditStatus(Frozen):
    """One answer to AUDIT_GET. All numbers are 0 to 2**32 - 1.

    Attributes:
        mask: Always 0 in an answer; the valid fields in a request.
        enabled: See `Enabled`.
        failure: See `Failure`.
        pid: Process that owns the audit socket, in this process' pid namespace;
            0 for none. A dead owner stays here until the kernel next tries to
            send it a record.
        rate_limit: Records a second; 0 for no limit.
        backlog_limit: Records the kernel queues before it loses or waits; 0
            for no limit. It may overshoot by a few records.
        lost: Records lost since boot or since the last reset. Not all loss:
            on a kernel booted without ``audit=1``, what a slow reader misses
            is dropped without being counted.
        backlog: Records queued now, in the main queue only.
        feature_bitmap: What this kernel can do; None before 3.14 or so.
        backlog_wait_time: Longest sleep of a task that finds the queue full,
            in **jiffies** (15000 is 60 s at HZ=250); 0 never makes one wait.
        backlog_wait_time_actual: Jiffies all tasks together slept so far; None
            before 5.8.
    """

    mask: int
    enabled: int
    failure: int
    pid: int
    rate_limit: int
    backlog_limit: int
    lost: int
    backlog: int
    feature_bitmap: int | None = None
    backlog_wait_time: int | None = None
    backlog_wait_time_actual: int | None = None

    @classmethod
    def from_bytes(cls, payload: bytes) -> Self:
        """Read `struct audit_status` from the front of *payload*.

        Bytes beyond the 44 known ones (a newer kernel, netlink padding) are
        ignored; a last word that arrived in part counts as not arrived.

        Raises:
            KernelCommandError: fewer than 32 bytes, which no kernel sends.
        """
        words = min(len(payload), STATUS_BYTES) // _WORD_BYTES
        if words < _REQUIRED_WORDS:
            raise KernelCommandError(
                f"the kernel's audit status is {len(payload)} bytes long; expected 32 or more"
            )
        return cls(*struct.unpack_from(f"={words}I", payload))

    def value_of(self, field: StatusField) -> int | None:
        """Return the value of one settable field; None when the kernel did not send it."""
        value: int | None = getattr(self, field.name.lower())
        return value


def setting_bytes(field: StatusField, value: int) -> bytes:
    """Build the payload of an AUDIT_SET that changes *field* and nothing else.

    Always all 44 bytes: the kernel answers EINVAL to a shorter one when it
    holds the wait time.
    """
    order = ("ENABLED", "", "PID", "RATE_LIMIT", "BACKLOG_LIMIT", "", "", "", "BACKLOG_WAIT_TIME")
    words = [int(field), *(value if name == field.name else 0 for name in order), 0]
    return struct.pack("=11I", *words)
