"""Check that the /proc of this process is the host's: the one that the processes of the host open.

Every `mount -t proc` makes another procfs. The kernel resolves the path of an audit rule in the mount
namespace of the process that adds it. In a container, or in a unit with ProtectProc=, a rule on /proc
therefore watches a procfs that no process of the host opens.

Rule 1: the host's procfs is the one at /proc of process 1 of the first pid namespace.
Rule 2: /proc/PID/mountinfo tells its device without a capability; /proc/PID/root needs CAP_SYS_PTRACE.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.errors import NoKernelAuditError
from auditsense.kernel.access import in_other_namespace
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.constants import FieldId, Operator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditsense.kernel.rules.field import RuleField
    from auditsense.kernel.rules.rule import AuditRule

PROC: Final = Path("/proc")
_ROOT_INODE: Final = 1  # of every procfs (include/linux/proc_ns.h)
_MOST_BYTES: Final = 4 << 20  # of a mountinfo file

REMEDY: Final = (
    "run it where /proc is the host's: in a container with -v /proc:/proc and --pid=host (Kubernetes: "
    "hostPID and a hostPath volume of /proc at /proc), in a systemd unit without ProtectProc= and "
    "ProcSubset=, from a shell with nsenter --target 1 --mount"
)
"""How to run a sensor so that its /proc is the host's."""


def mounted_at(mountinfo: str, place: str = "/proc") -> str:
    """Return the device ("major:minor") of the procfs that is on top at *place*; "": there is none."""
    layers = _layers(mountinfo, place)
    covered = {parent for parent, _ in layers.values()}
    top = [device for mount, (_, device) in layers.items() if mount not in covered]
    return top[-1] if top else ""


def covered_at(mountinfo: str, place: str = "/proc") -> str:
    """Return the device of the procfs at *place* that all other mounts there cover; "": there is none.

    A process that has mounted its own procfs over the host's still has the host's below.
    """
    layers = _layers(mountinfo, place)
    bottom = [device for parent, device in layers.values() if parent not in layers]
    return bottom[0] if len(layers) > 1 and len(bottom) == 1 else ""


def _layers(mountinfo: str, place: str) -> dict[str, tuple[str, str]]:
    """Return the mounts at *place* by number: the parent's number, and the device of a whole procfs."""
    layers: dict[str, tuple[str, str]] = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split(" ")
        if len(words) > 4 and words[4] == place:
            is_whole_procfs = after.split(" ")[:1] == ["proc"] and words[3] == "/"
            layers[words[0]] = (words[1], words[2] if is_whole_procfs else "")
    return layers


def host_device(proc: Path = PROC) -> int | None:
    """Return the device number of the host's procfs, as `os.stat` has it; None: it cannot be seen.

    Args:
        proc: a procfs of the first pid namespace.
    """
    if in_other_namespace("pid", proc) is not False:
        return None
    device = mounted_at(_mounts(proc, "1")) or covered_at(_mounts(proc, "self"))
    major, _, minor = device.partition(":")
    return os.makedev(int(major), int(minor)) if major else None


def _mounts(proc: Path, pid: str) -> str:
    """Return the mounts that a process has; "": they cannot be seen, as with hidepid."""
    try:
        with (proc / pid / "mountinfo").open("rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""


def is_host_procfs(proc: Path = PROC) -> bool | None:
    """Return whether the procfs at *proc* is the host's; None: it cannot be seen.

    Of a process that is in the first pid namespace: the kernel's audit answers no other.
    """
    try:
        here = proc.stat()
    except OSError:
        return False
    if here.st_ino != _ROOT_INODE or not (proc / "self").exists():
        return False  # no procfs, or one of a pid namespace that this process is not in
    host = host_device(proc)
    return None if host is None else here.st_dev == host


def require_host_proc(rules: Iterable[AuditRule], proc: Path = PROC) -> None:
    """Raise when a rule that is added here would watch another place than on the host.

    Args:
        rules: those that have to be there.
        proc: where procfs is.

    Raises:
        NoKernelAuditError: the path of a rule leads to a procfs that is not the host's, or to another
            file or folder than the same path of process 1.
    """
    for rule in rules:
        for path in _paths(rule):
            if difference := _difference(path, proc):
                raise NoKernelAuditError(
                    f"the audit rule {auditctl.format_rule(rule)} would see nothing of the host: "
                    f"{difference}; {REMEDY}"
                )


def require_host_processes(rules: Iterable[AuditRule], proc: Path = PROC) -> None:
    """Raise when rules report the listings of processes on the whole host, and /proc here shows no host.

    A rule on the root of every procfs works from everywhere. But a sensor behind another procfs could neither
    test it nor tell which process and container an alert is about.

    Args:
        rules: those that have to be there.
        proc: where procfs is.

    Raises:
        NoKernelAuditError: so it is.
    """
    of_roots = [rule for rule in rules if any(map(_is_procfs_root, rule.fields))]
    if of_roots and (difference := _difference(b"/proc", proc)):
        raise NoKernelAuditError(f"the processes of the host cannot be seen here: {difference}; {REMEDY}")


def _is_procfs_root(field: RuleField) -> bool:
    return field.field is FieldId.INODE and field.op is Operator.EQUAL and field.value == _ROOT_INODE


def _paths(rule: AuditRule) -> Iterator[bytes]:
    for field in rule.fields:
        is_place = field.field in {FieldId.DIR, FieldId.WATCH} and field.op is Operator.EQUAL
        if is_place and isinstance(field.value, bytes):
            yield field.value


def _difference(path: bytes, proc: Path) -> str:
    """Return how *path* differs from what it is on the host; "": it does not, or cannot be compared."""
    shown = os.fsdecode(path)
    try:
        here = Path(shown).stat()
    except OSError:
        here = None
    below_proc = path.rstrip(b"/") == b"/proc" or path.startswith(b"/proc/")
    if below_proc and is_host_procfs(proc) is False:
        return _about_proc(proc)
    if here is None:
        return ""
    host = host_device(proc)
    if here.st_ino == _ROOT_INODE and host is not None and here.st_dev != host and _is_procfs(path, proc):
        return f"{shown} here is another procfs than the host's"
    try:
        there = (proc / "1/root" / shown.lstrip("/")).stat()
    except OSError:
        return ""
    if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
        return ""
    return f"{shown} here is another one than on the host"


def _about_proc(proc: Path) -> str:
    try:
        here = proc.stat()
    except OSError:
        return "there is no /proc here"
    if here.st_ino != _ROOT_INODE:
        return "there is no procfs at /proc here"
    return "/proc here is another procfs than the host's (this mount namespace has its own /proc)"


def _is_procfs(path: bytes, proc: Path) -> bool:
    try:
        mountinfo = (proc / "self/mountinfo").read_text(errors="replace")
    except OSError:
        return False
    place = os.path.realpath(path)
    return bool(mounted_at(mountinfo, os.fsdecode(place)))
