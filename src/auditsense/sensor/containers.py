"""Tell which container the process of an alert is in: container id, pid namespace, procfs.

Reads /proc once per alert, the process first, then its parent. What cannot be read stays "unknown", as the
detector has set it (detect/ecs.py); an unknown process is never called the host's.

Rule 1: what is read of a pid counts only if its process began before the event, and still lives afterwards
        (sensor/process_files.py). A process must also have the name that the record has.
Rule 2: a parent tells less. Its container is that of its child if it has mounted the file system of the
        event. The child of a process outside of the host's pid namespace is outside too. Otherwise it tells
        nothing: it may be a runtime, on the host or in another container.
Rule 3: a procfs that belongs to one container names it after process and parent have ended, if a process
        that used it before still lives, still has it mounted and is asked again. Numbers of devices are
        reused, so only that process is remembered.
Rule 4: the inode number of the pid namespace needs the right to trace the process, which `run` drops.
        The line NSpid of status, which any user may read, shows whether it is the host's.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from auditsense._frozen import Frozen
from auditsense.kernel.access import in_other_namespace
from auditsense.kernel.procfs import host_device, mounted_at
from auditsense.sensor.control_group import UNKNOWN, Container, container_in
from auditsense.sensor.process_files import PROC, ProcessFiles, open_pidfd, start_ms

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_WITNESSES: Final = 64
"""Devices of procfs for which a process is remembered; the least recently used is forgotten."""
HOST, OWN, OTHER, NONE = "host", "own", "other", "none"

_INITIAL_CGROUP_NAMESPACE: Final = 4026531835  # include/linux/proc_ns.h
_COMM_BYTES: Final = 64
_CGROUP_BYTES: Final = 1 << 14
_STATUS_BYTES: Final = 1 << 14
_MOUNT_BYTES: Final = 1 << 20
_CLOCK_MS: Final = 100  # stamps of records and start times come from different clocks
_NSPID: Final = re.compile(rb"^NSpid:((?:\t\d+)+)$", re.MULTILINE)
_NAMESPACE: Final = re.compile(r"pid:\[(\d+)\]")


@dataclass(slots=True, eq=False, repr=False)
class _Facts(Frozen):
    """Facts about a process from /proc.

    Attributes:
        pid, ticks: identify it for the time since boot.
        name: comm.
        container: None: its control groups name none.
        namespace: its pid namespace: host, other or unknown.
        inode: of that, in decimal; "": may not be read.
        mounts: mountinfo, complete; "": may not be read, or is too long.
    """

    pid: int
    ticks: int
    name: str
    container: Container | None
    namespace: str
    inode: str
    mounts: str


class Containers:
    """Container, pid namespace and procfs of processes of this host.

    Args:
        proc: mount point of procfs.
        pidfd: opens a pidfd.
    """

    def __init__(self, proc: Path = PROC, pidfd: Callable[[int], int] = open_pidfd) -> None:
        self._proc, self._pidfd = proc, pidfd
        self._host_device: str | None = None
        self._witnesses: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def add_to(self, alert: dict[str, Any]) -> None:
        """Add what is known of the container of an alert's process, and its parent's name.

        Args:
            alert: a document whose fields are "unknown" so far.
        """
        if in_other_namespace("pid", self._proc) is not False:  # pids mean something else here
            return
        process, event_ms = alert.get("process", {}), _event_ms(alert)
        parent = process.get("parent", {})
        device = _device(alert.get("file", {}).get("device", ""))
        own = self._read(process.get("pid"), event_ms)
        if own is not None and own.name != process.setdefault("name", own.name):  # no name: of io_uring
            own = None
        above = self._read(parent.get("pid"), event_ms)
        if above is not None:
            parent["name"] = above.name
        container, place = self._located(own, above, device)
        procfs = self._procfs(device, own, above)
        if procfs != UNKNOWN:
            place["procfs"] = procfs
        if "from" in place:
            _put(alert, container)
        if place:
            own_fields = alert.setdefault("auditsense", {})
            own_fields["container"] = own_fields.get("container", {}) | place

    def _located(
        self, own: _Facts | None, above: _Facts | None, device: str
    ) -> tuple[Container | None, dict[str, str]]:
        """Return the container, None for the host, and the fields of its place that are known."""
        if own is not None:
            container = self._certain(own)
            self._remember(own, container, device)
            inode = {"pid_namespace_inode": own.inode} if own.inode else {}
            return container, {"from": "process", "pid_namespace": own.namespace, **inode}
        if above is not None:
            named = _named(above.container) if _kind(above.mounts, device) else None
            if named is not None:
                self._remember(above, named, device)
            if named is not None or above.namespace == OTHER:
                other = {"pid_namespace": OTHER} if above.namespace == OTHER else {}
                return named or Container(UNKNOWN), {"from": "parent", **other}
        if (named := self._ask_witness(device)) is not None:
            return named, {"from": "procfs", "procfs": OWN}
        return Container(UNKNOWN), {}

    # --- one process -----------------------------------------------------------------

    def _read(self, pid: object, event_ms: int | None) -> _Facts | None:
        """Return the facts of /proc about a process; None: ended, hidden or newer than the event."""
        if not isinstance(pid, int) or pid <= 0:
            return None
        try:
            with ProcessFiles(pid, self._proc, self._pidfd) as files:
                ticks = files.start_ticks()
                if event_ms is not None and start_ms(ticks) > event_ms + _CLOCK_MS:
                    return None
                cgroup = files.read("cgroup", _CGROUP_BYTES)
                facts = _Facts(
                    pid=pid,
                    ticks=ticks,
                    name=comm_text(files.read("comm", _COMM_BYTES)),
                    container=container_in(os.fsdecode(cgroup)),
                    namespace=_namespace(files.read("status", _STATUS_BYTES)),
                    inode=_inode(files),
                    mounts=_mounts(files),
                )
                return facts if files.lives() else None
        except (OSError, ValueError):
            return None

    def _certain(self, facts: _Facts) -> Container | None:
        """Return the container; None: there is none. UNKNOWN where the two look the same."""
        if facts.container is not None:
            return facts.container
        return None if facts.namespace == HOST and self._sees_whole_paths() else Container(UNKNOWN)

    def _sees_whole_paths(self) -> bool:
        """Return whether paths of control groups begin at the host's root, not at a container's."""
        try:
            return os.stat(self._proc / "self/ns/cgroup").st_ino == _INITIAL_CGROUP_NAMESPACE  # noqa: PTH116
        except OSError:
            return False

    # --- procfs ----------------------------------------------------------------------

    def _procfs(self, device: str, own: _Facts | None, above: _Facts | None) -> str:
        """Return which procfs the event is about; of an event on another file, which one is at /proc."""
        host = self._host()
        if not host:
            return UNKNOWN
        if device == host:
            return HOST
        kinds = {_kind(facts.mounts, device) for facts in (own, above) if facts is not None and device}
        if "proc" in kinds:
            return OWN
        if own is None or not own.mounts or (device and not kinds - {""}):
            return UNKNOWN  # a file that the process has reached outside of its mounts may be on any procfs
        mounted = mounted_at(own.mounts)
        return NONE if not mounted else HOST if mounted == host else OWN

    def _host(self) -> str:
        if self._host_device is None:
            number = host_device(self._proc)
            self._host_device = None if number is None else f"{os.major(number)}:{os.minor(number)}"
        return self._host_device or ""

    # --- witnesses -------------------------------------------------------------------

    def _remember(self, facts: _Facts, container: Container | None, device: str) -> None:
        if not _named(container) or not self._host() or device == self._host():
            return
        if _kind(facts.mounts, device) == "proc":
            self._witnesses[device] = (facts.pid, facts.ticks)
            self._witnesses.move_to_end(device)
            while len(self._witnesses) > MOST_WITNESSES:
                self._witnesses.popitem(last=False)

    def _ask_witness(self, device: str) -> Container | None:
        """Return the container of a living process that has used this procfs before, and still does."""
        if device not in self._witnesses:
            return None
        pid, ticks = self._witnesses[device]
        facts = self._read(pid, None)
        if facts is None or facts.ticks != ticks or _kind(facts.mounts, device) != "proc":
            del self._witnesses[device]
            return None
        self._witnesses.move_to_end(device)
        return _named(facts.container)


def comm_text(comm: bytes) -> str:
    """Return the name of a process as documents have it."""
    return comm.removesuffix(b"\n").decode("utf-8", "backslashreplace")


def _put(alert: dict[str, Any], container: Container | None) -> None:
    if container is None:
        alert.pop("container", None)
        return
    alert["container"] = {"id": container.id} | ({"runtime": container.runtime} if container.runtime else {})


def _named(container: Container | None) -> Container | None:
    return container if container is not None and container.id != UNKNOWN else None


def _event_ms(alert: dict[str, Any]) -> int | None:
    """Return the stamp of the last event, SECONDS.MILLIS:SERIAL, in ms."""
    events = alert.get("auditsense", {}).get("events", [])
    return int(events[-1].partition(":")[0].replace(".", "")) if events else None


def _device(hexadecimal: str) -> str:
    """Return a device of a PATH record, MAJOR:MINOR in hex, as mountinfo has it; "": there is none."""
    major, _, minor = hexadecimal.partition(":")
    try:
        return f"{int(major, 16)}:{int(minor, 16)}"
    except ValueError:
        return ""


def _kind(mountinfo: str, device: str) -> str:
    """Return the type of the file system on a device; "": the process has not mounted it."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[2:3] == [device]:
            return after.partition(" ")[0]
    return ""


def _namespace(status: bytes) -> str:
    """Return host for a process that has no pid but that of the host."""
    match = _NSPID.search(status)
    if match is None:  # before Linux 4.1, or built without pid namespaces
        return UNKNOWN
    return HOST if match[1].count(b"\t") == 1 else OTHER


def _inode(files: ProcessFiles) -> str:
    try:
        match = _NAMESPACE.fullmatch(files.link("ns/pid"))
    except OSError:  # without the right to trace the process
        return ""
    return "" if match is None else match[1]


def _mounts(files: ProcessFiles) -> str:
    try:
        mounts = files.read("mountinfo", _MOUNT_BYTES)
    except OSError:
        return ""
    return "" if len(mounts) == _MOUNT_BYTES else os.fsdecode(mounts)
