"""CPU time and memory of a process, from /proc."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from auditsense.kernel.commands import Commands

TICKS: Final = os.sysconf("SC_CLK_TCK")
IDLE_S: Final = 0.3
IDLE_LIMIT_S: Final = 30.0
_STEP_S: Final = 0.01
_KIB: Final = 1 << 10
_MAPPING: Final = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) ")


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Seconds of CPU, in clock ticks of the kernel (usually 0.01 s)."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """User and system time."""
        return self.user + self.system

    def __sub__(self, other: CpuTime) -> CpuTime:
        return CpuTime(round(self.user - other.user, 3), round(self.system - other.system, 3))


def cost(pid: int) -> CpuTime:
    """Return the CPU time of a process so far."""
    text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    words = text.rpartition(") ")[2].split()
    return CpuTime(int(words[11]) / TICKS, int(words[12]) / TICKS)


def find_kauditd() -> int:
    """Return the pid of the kernel's audit thread.

    Raises:
        AuditSenseError: there is none: audit was never on since boot, or this is a container.
    """
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and (folder / "comm").read_text(encoding="utf-8") == "kauditd\n":
                return int(folder.name)
        except OSError:
            continue  # it has ended
    raise AuditSenseError("the kernel's thread kauditd is not visible here; run in the host's PID namespace")


def wait_until_idle(commands: Commands, *pids: int) -> float:
    """Wait until these processes use no CPU time and the kernel's queue is empty; return since when.

    Raises:
        AuditSenseError: they were busy for half a minute.
    """
    costs = [cost(pid) for pid in pids]
    since = time.monotonic()
    limit = since + IDLE_LIMIT_S
    while time.monotonic() - since < IDLE_S or commands.status().backlog:
        time.sleep(_STEP_S)
        now = [cost(pid) for pid in pids]
        if now != costs:
            costs, since = now, time.monotonic()
        if time.monotonic() > limit:
            raise AuditSenseError("audit load never settled; is another program producing many events?")
    return since


def resident(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGESIZE")


def proportional(pid: int) -> int:
    """Return the memory of a process and its descendants, in bytes; a shared page counts once (Pss)."""
    total = 0
    for process in _with_descendants(pid):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii", errors="replace")
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * _KIB
    return total


def _with_descendants(pid: int) -> list[int]:
    found = [pid]
    for parent in found:  # grows
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            found += map(int, children.read_text(encoding="ascii").split())
    return found


def resident_in_mapping(pid: int, size: int) -> int | None:
    """Return the resident bytes of the smallest anonymous mapping of *size* bytes or more; None: missing.

    Source: /proc/PID/smaps. The kernel merges neighbouring mappings, so this is an upper bound.
    """
    resident_by_length: dict[int, int] = {}
    length = 0
    for line in Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        mapping = _MAPPING.match(line)
        if mapping:
            length = int(mapping[2], 16) - int(mapping[1], 16)
            if len(line.split()) > 5:  # file, heap or stack
                length = 0
        elif line.startswith("Rss:") and length >= size:
            resident_by_length.setdefault(length, int(line.split()[1]) * _KIB)
    return resident_by_length[min(resident_by_length)] if resident_by_length else None
