"""Facts about a process from /proc: an entry of the core's process table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """A process of this host, as `Ring.add_process` takes it.

    Attributes:
        pid: in the first pid namespace.
        parent: pid of its parent; 0: none.
        start_ms: when it began, in ms since 1970 UTC. /proc counts it in ticks of 10 ms.
        read_ms: when this was read, in ms since 1970 UTC.
        name: comm, at most 15 bytes.
        executable: path of its program; empty: it may not be read, or is a thread of the kernel.
        arguments: None: not read. The core keeps 1,024 and 4,096 bytes of them.
        cut: whether there are more arguments than these.
        at_start: whether it was read when the sensor started, not because an event asked for it.
    """

    pid: int
    parent: int
    start_ms: int
    read_ms: int
    name: bytes
    executable: bytes = b""
    arguments: tuple[bytes, ...] | None = None
    cut: bool = False
    at_start: bool = False
