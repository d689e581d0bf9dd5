"""Read /proc for the core's process table: every process once at the start, and parents that the table lacks.

Rule 1: of a process that an event names, only comm, stat and exe are read. They are in the kernel's memory.
Rule 2: cmdline is in the process's own memory. A process can put a page there that is never delivered (a file
        of a FUSE server that it runs), so a reader would wait for ever. It is read at the start only, by a
        child process (kernel/cmdline.py).
Rule 3: what cannot be read is left out. No error ends the sensor.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.core.process_facts import ProcessFacts
from auditsense.kernel.cmdline import CMDLINE_BYTES, read_cmdlines

if TYPE_CHECKING:
    from collections.abc import Iterator

PROC: Final = Path("/proc")
MOST_PROCESSES: Final = 16384
"""Processes that are read at the start, the newest pids; the core's table holds no more."""
_COMM_BYTES: Final = 64
_NAME_BYTES: Final = 15  # the kernel's; a worker thread of the kernel shows more in comm
_STAT_BYTES: Final = 1024
_PARENT, _START = 1, 19  # of the fields after the name in stat


def read_process(pid: int, *, proc: Path = PROC) -> ProcessFacts | None:
    """Return what /proc tells of a process without touching its memory; None: there is none.

    Args:
        pid: as this process sees it: in the first pid namespace.
        proc: mount point of procfs.
    """
    try:
        # One descriptor for all, so that they belong to the same process.
        folder = os.open(proc / str(pid), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        # The name may hold anything, ")" too.
        fields = _read(folder, "stat", _STAT_BYTES).rpartition(b")")[2].split()
        name = _read(folder, "comm", _COMM_BYTES).removesuffix(b"\n")[:_NAME_BYTES]
        return ProcessFacts(
            pid=pid,
            parent=int(fields[_PARENT]),
            start_ms=_boot_ms() + int(fields[_START]) * 1000 // os.sysconf("SC_CLK_TCK"),
            read_ms=time.time_ns() // 1_000_000,
            name=name,
            executable=_executable(folder),
        )
    except (OSError, ValueError, IndexError):  # it has ended in the meantime
        return None
    finally:
        os.close(folder)


def read_all(*, proc: Path = PROC) -> list[ProcessFacts]:
    """Return what /proc tells of all processes, parents first, with arguments; at most `MOST_PROCESSES`.

    Forks a child that reads the arguments; a process that makes it stall has none.
    """
    pids = sorted(_pids(proc))[-MOST_PROCESSES:]
    found = [facts for pid in pids if (facts := read_process(pid, proc=proc)) is not None]
    arguments = read_cmdlines([facts.pid for facts in found if facts.executable], proc=proc)
    return sorted(
        (_with_arguments(facts, arguments.get(facts.pid)) for facts in found),
        key=lambda facts: (facts.start_ms, facts.pid),
    )


def _with_arguments(facts: ProcessFacts, cmdline: bytes | None) -> ProcessFacts:
    if cmdline is None:
        return replace(facts, at_start=True)
    cut = len(cmdline) >= CMDLINE_BYTES
    # A program may have written over its arguments: then nothing, or one text without a final NUL.
    arguments = tuple(cmdline.removesuffix(b"\0").split(b"\0")) if cmdline else ()
    return replace(facts, at_start=True, arguments=arguments, cut=cut)


def _pids(proc: Path) -> Iterator[int]:
    with suppress(OSError):
        yield from (int(path.name) for path in proc.iterdir() if path.name.isdecimal())


def _boot_ms() -> int:
    """Return when this host was booted, in ms since 1970 UTC by its clock of now."""
    return (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1_000_000


def _executable(folder: int) -> bytes:
    with suppress(OSError):  # a thread of the kernel, or another user's process
        return os.fsencode(os.readlink("exe", dir_fd=folder))
    return b""


def _read(folder: int, name: str, size: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)
