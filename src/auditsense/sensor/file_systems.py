"""Types of file systems by device, of this host and of the containers on it.

Those of the host are read when the sensor starts. A device that is not among them is looked up in the mounts
of the process that has used it, once for each completed window (detect/file_systems.py).

Rule 1: only "proc" is remembered. The number of a device is reused after an unmount: a process that may mount
        could make the sensor remember another type for the number that the next procfs gets.
Rule 2: a process that has ended, or that reached the device outside of its mounts, tells nothing.
Rule 3: in a second at most MOST_LOOKUPS processes are asked. A process can make its list of mounts long, so
        more could make the sensor fall behind. Beyond the limit a type is unknown, and counts as a procfs.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from auditsense.sensor.process_files import PROC, ProcessFiles, open_pidfd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MOST_DEVICES: Final = 256
"""Devices of procfs that are remembered; the least recently used is forgotten."""
MOST_LOOKUPS: Final = 20
LASTING: Final = frozenset({"proc", "sysfs", "cgroup", "cgroup2"})
"""File systems whose root looks like that of a procfs and that a host never unmounts."""
_MOUNT_BYTES: Final = 1 << 20


class HostFileSystems:
    """Types of file systems of this host, by device.

    Args:
        proc: a procfs of the first pid namespace.
        pidfd: opens a pidfd.
        monotonic_s: a clock that is never set, in seconds.
    """

    def __init__(
        self,
        proc: Path = PROC,
        pidfd: Callable[[int], int] = open_pidfd,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._proc, self._pidfd, self._monotonic_s = proc, pidfd, monotonic_s
        self._lookups, self._since_s = 0, 0.0
        self._procfs: OrderedDict[str, None] = OrderedDict()
        self.known: Mapping[str, str] = {}
        """Those of `LASTING` that process 1 has mounted."""

    def read_known(self) -> None:
        """Read `known`. Before the audit rules are active."""
        self.known = {device: kind for device, kind in self._mounted(1).items() if kind in LASTING}

    def type_of(self, device: str, pid: int) -> str:
        """Return the type of a device, MAJOR:MINOR in hex, that a process has used; "": unknown."""
        if device in self.known:
            return self.known[device]
        if device in self._procfs:
            self._procfs.move_to_end(device)
            return "proc"
        kind = self._mounted(pid).get(device, "") if self._may_look_up() else ""
        if kind == "proc":
            self._procfs[device] = None
            while len(self._procfs) > MOST_DEVICES:
                self._procfs.popitem(last=False)
        return kind

    def _may_look_up(self) -> bool:
        now_s = self._monotonic_s()
        if now_s - self._since_s >= 1:
            self._lookups, self._since_s = 0, now_s
        self._lookups += 1
        return self._lookups <= MOST_LOOKUPS

    def _mounted(self, pid: int) -> dict[str, str]:
        try:
            with ProcessFiles(pid, self._proc, self._pidfd) as files:
                mounts = files.read("mountinfo", _MOUNT_BYTES)
                return devices_of(os.fsdecode(mounts)) if files.lives() else {}
        except OSError:
            return {}


def devices_of(mountinfo: str) -> dict[str, str]:
    """Return the types of mounted file systems by device, as PATH records write it.

    >>> devices_of("22 1 0:21 / /proc rw - proc proc rw")
    {'00:15': 'proc'}
    """
    devices: dict[str, str] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split(" ")
        major, _, minor = words[2].partition(":") if len(words) > 2 else ("", "", "")
        if major.isdecimal() and minor.isdecimal():
            devices[f"{int(major):02x}:{int(minor):02x}"] = after.partition(" ")[0]
    return devices
