"""Read /proc for the core's process table: every process once at the start, and parents that the table lacks.

Rule 1: of a process that an event names, only comm, stat and exe are read. They are in the kernel's memory.
Rule 2: cmdline is in the process's own memory. A process can put a page there that is never delivered (a file
        of a FUSE server that it runs), so a reader would wait for ever. It is read at the start only, by a
        child process (kernel/cmdline.py).
Rule 3: while the kernel audits this process, nothing is read for an event: each file that is opened would
        make another one.
Rule 4: what cannot be read is left out. No error ends the sensor.
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
from auditsense.sources.kernel_source import KernelSource
from auditsense.sources.text_source import TextSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense.core.ring import Ring
    from auditsense.kernel.privileges import User
    from auditsense.sources.base import Source

PROC: Final = Path("/proc")
MOST_PROCESSES: Final = 16384
"""Processes that are read at the start, the newest pids; the core's table holds no more."""
_COMM_BYTES: Final = 64
_NAME_BYTES: Final = 15  # the kernel's; a worker thread of the kernel shows more in comm
_STAT_BYTES: Final = 1024
_PARENT, _START = 1, 19  # of the fields after the name in stat


class HostProcesses:
    """The processes of this host, for the ring of a sensor.

    Args:
        source: of the sensor. Records of a source that a test made are about no process of this host.
        proc: mount point of procfs.
    """

    def __init__(self, source: Source, proc: Path = PROC) -> None:
        self._source, self._proc = source, proc
        self._here = isinstance(source, KernelSource | TextSource)
        self._added: set[int] = set()

    @property
    def boot(self) -> str:
        """Identifies this boot, "" if it cannot be read."""
        with suppress(OSError):
            return (self._proc / "sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return ""

    @property
    def read(self) -> Callable[[int], ProcessFacts | None] | None:
        """Reads a process that an event needs; None: of this source none is read."""
        return self._read if isinstance(self._source, KernelSource) and not self._source.audited else None

    def add_all(self, ring: Ring) -> None:
        """Add all processes that run now, with their arguments, if a detection needs them.

        Before the source is entered: its audit rules would report what the child process reads.
        """
        if self._here and ring.remembers_processes:
            user = self._source.helper_user if isinstance(self._source, KernelSource) else None
            for facts in read_all(proc=self._proc, user=user):
                self._added.add(facts.pid)
                ring.add_process(facts)

    def add_new(self, ring: Ring) -> None:
        """Add the processes that run now and were not added before, without arguments.

        After the source was entered, for what has started in between; and when a reload makes them necessary.
        """
        if self._here and not self._source.audited and ring.remembers_processes:
            for pid in sorted({*_pids(self._proc)} - self._added)[-MOST_PROCESSES:]:
                if (facts := read_process(pid, proc=self._proc)) is not None:
                    ring.add_process(replace(facts, at_start=True))
        self._added.clear()

    def _read(self, pid: int) -> ProcessFacts | None:
        return None if self._source.audited else read_process(pid, proc=self._proc)


def read_process(pid: int, *, proc: Path = PROC) -> ProcessFacts | None:
    """Return the facts of /proc about a process, without reading its memory; None: no such process.

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


def read_all(*, proc: Path = PROC, user: User | None = None) -> list[ProcessFacts]:
    """Return the facts of /proc about all processes, parents first, with arguments; at most `MOST_PROCESSES`.

    Forks a child that reads the arguments; a process that makes it stall has none. The child becomes *user*.
    """
    pids = sorted(_pids(proc))[-MOST_PROCESSES:]
    found = [facts for pid in pids if (facts := read_process(pid, proc=proc)) is not None]
    arguments = read_cmdlines([facts.pid for facts in found if facts.executable], proc=proc, user=user)
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
