"""Read facts from /proc and related files. Read-only; a file that cannot be read gives no fact.

Every function takes the root of the file system, so that a test can pass another one.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from auditsense.kernel.procfs import covered_at, mounted_at

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditsense.doctor.facts import Mounts as MountsType

_FIRST: Final = {"user": "user:[4026531837]", "pid": "pid:[4026531836]"}  # include/linux/proc_ns.h
# Since Linux 6.18 these have fixed numbers too (linux/nsfs.h); before, compare with process 1.
_FIRST_SINCE: Final = (6, 18)
_FIRST_THEN: Final = {"net": "net:[4026531833]", "mnt": "mnt:[4026531832]"}
_NETLINK_AUDIT: Final = "9"
_READLOG: Final = 1
_KERNEL_THREAD: Final = 0x0020_0000  # include/linux/sched.h: PF_KTHREAD
_MOST_MOUNTS: Final = 4 << 20


def text(path: Path, most: int = 1 << 20) -> str | None:
    """Return the start of a file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(most).decode(errors="replace")
    except OSError:
        return None


def link(path: Path) -> str | None:
    """Return where a link leads; None where it cannot be read."""
    try:
        return str(path.readlink())
    except OSError:
        return None


def name_of(root: Path, pid: int) -> str:
    """Return the command name of a process; "" when there is none."""
    return (text(root / "proc" / str(pid) / "comm") or "").rstrip("\n")


def boot_parameter(root: Path) -> str | None:
    """Return the value of the last audit= on the kernel's command line; "" where there is none."""
    line = text(root / "proc/cmdline")
    if line is None:
        return None
    values = [word.partition("=")[2] for word in line.split() if word.startswith("audit=")]
    return values[-1] if values else ""


def capabilities(root: Path, name: str) -> int | None:
    """Return a set of capabilities of this process, such as CapEff, as bits."""
    for line in (text(root / "proc/self/status") or "").splitlines():
        if line.startswith(name + ":"):
            with suppress(ValueError, IndexError):
                return int(line.split()[1], 16)
    return None


def in_first_namespace(root: Path, name: str) -> bool | None:
    """Return whether this process is in the machine's first namespace of a kind; None: unknown."""
    mine = link(root / "proc/self/ns" / name)
    if mine is None:
        return None
    if name in _FIRST:
        return mine == _FIRST[name]
    if mine == _FIRST_THEN[name]:  # a number that no other ever has
        return True
    if in_first_namespace(root, "pid") and (theirs := link(root / "proc/1/ns" / name)) is not None:
        return mine == theirs
    release = re.match(r"(\d+)\.(\d+)", text(root / "proc/sys/kernel/osrelease") or "")
    if release is not None and (int(release[1]), int(release[2])) >= _FIRST_SINCE:
        return False
    return None


def other_namespaces(root: Path) -> frozenset[str]:
    """Return which of the namespaces user, pid and net are not the machine's first; "net?": unknown."""
    outside = {name for name in _FIRST if in_first_namespace(root, name) is False}
    known = in_first_namespace(root, "net")
    return frozenset(outside | ({"net?"} if known is None else set() if known else {"net"}))


def container(root: Path) -> str:
    """Return the kind of container by its markers; "" for none."""
    manager = text(root / "run/systemd/container") or text(root / "run/host/container-manager")
    if manager:
        return manager.strip() or "container"
    for marker, kind in ((".dockerenv", "docker"), ("run/.containerenv", "podman")):
        if (root / marker).exists():
            return kind
    return ""


def pids(root: Path) -> list[int]:
    """Return the pids of all processes."""
    with suppress(OSError):
        return sorted(int(path.name) for path in (root / "proc").iterdir() if path.name.isdigit())
    return []


def starts(root: Path) -> tuple[float, ...] | None:
    """Return when each process that is no kernel thread started, in seconds since 1970 UTC."""
    booted = next(
        (float(line.split()[1]) for line in (text(root / "proc/stat") or "").splitlines() if "btime" in line),
        None,
    )
    if booted is None:
        return None
    tick = os.sysconf("SC_CLK_TCK")
    starts: list[float] = []
    for pid in pids(root):
        # Behind the name, which may hold anything; field 9 is flags, field 22 the start.
        words = (text(root / "proc" / str(pid) / "stat") or "").rpartition(")")[2].split()
        with suppress(ValueError, IndexError):
            if not int(words[6]) & _KERNEL_THREAD:
                starts.append(booted + int(words[19]) / tick)
    return tuple(starts)


def _procfs(mountinfo: str) -> Iterator[tuple[str, str]]:
    """Yield device and mount point of each procfs."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        words = before.split()
        if after.split()[:1] == ["proc"] and len(words) > 4:
            yield words[2], words[4]


def mounts(root: Path) -> MountsType | None:
    """Return where procfs is, in the mount namespaces of all processes."""
    from auditsense.doctor.facts import Mounts  # noqa: PLC0415 - of this module `run` needs little

    own = text(root / "proc/self/mountinfo", _MOST_MOUNTS)
    if own is None:
        nothing = (root / "proc").is_dir() and not (root / "proc/self").is_symlink()
        return Mounts("", (), None, 0, of_host=False) if nothing else None
    here = mounted_at(own)
    others: dict[str, str] = {}
    seen = {link(root / "proc/self/ns/mnt")}
    unreadable = 0
    pid_namespace = link(root / "proc/self/ns/pid")
    in_container = False
    for device, _ in _procfs(own):
        others.setdefault(device, "this one")
    for pid in pids(root):
        try:
            namespace = str((root / "proc" / str(pid) / "ns/mnt").readlink())
        except PermissionError:
            unreadable += 1
            continue
        except OSError:  # it has ended
            continue
        if namespace in seen:
            continue
        seen.add(namespace)
        for device, _ in _procfs(text(root / "proc" / str(pid) / "mountinfo", _MOST_MOUNTS) or ""):
            others.setdefault(device, f"{pid} ({name_of(root, pid) or '?'})")
            in_container |= device != here and link(root / "proc" / str(pid) / "ns/pid") != pid_namespace
    others.pop(here, None)
    first, of_host = in_first_namespace(root, "mnt"), _of_host(root, here)
    return Mounts(here, tuple(others.values()), first, unreadable, of_host, in_container)


def _of_host(root: Path, here: str) -> bool | None:
    """Return whether the procfs *here* is the one at /proc of process 1; None: it cannot be seen."""
    if in_first_namespace(root, "pid") is not True:  # then process 1 is another
        return None
    theirs = mounted_at(text(root / "proc/1/mountinfo", _MOST_MOUNTS) or "") or covered_at(
        text(root / "proc/self/mountinfo", _MOST_MOUNTS) or ""
    )
    return here == theirs if theirs else None


def listeners(root: Path) -> tuple[str, ...] | None:
    """Return the command names of the multicast listeners; "?" where the process is unknown."""
    table = text(root / "proc/net/netlink")
    if table is None:
        return None
    inodes: dict[str, str] = {}
    for line in table.splitlines()[1:]:
        words = line.split()
        with suppress(ValueError, IndexError):
            if words[1] == _NETLINK_AUDIT and int(words[3], 16) & _READLOG:
                inodes[words[-1]] = "?"
    if inodes:
        _name_sockets(root, inodes)
    return tuple(sorted(inodes.values()))


def journald_listens(root: Path) -> bool:
    """Return whether systemd-journald receives audit records by multicast."""
    return any(is_journald(name) for name in listeners(root) or ())


def is_journald(name: str) -> bool:
    """Return whether a command name is that of systemd-journald; the kernel cuts it to 15 characters."""
    return name.startswith("systemd-journal")


def _name_sockets(root: Path, inodes: dict[str, str]) -> None:
    for pid in pids(root):
        folder = root / "proc" / str(pid) / "fd"
        with suppress(OSError):
            for path in folder.iterdir():
                inode = (link(path) or "").removeprefix("socket:[").rstrip("]")
                if inode in inodes:
                    inodes[inode] = name_of(root, pid) or "?"


def number(root: Path, name: str) -> int | None:
    """Return a setting below /proc/sys."""
    with suppress(ValueError):
        return int(text(root / "proc/sys" / name) or "")
    return None
