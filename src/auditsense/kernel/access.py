"""Explain why the kernel refuses this process access to its audit subsystem.

The kernel has three errnos for a dozen reasons. With facts from /proc, an errno becomes a sentence that a
person can act on. Read-only; a file that cannot be read counts as unknown.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from auditsense.errors import NoKernelAuditError

CAP_AUDIT_CONTROL: Final = 30
# include/linux/proc_ns.h: inode numbers of the namespaces the machine booted with.
_INITIAL_USER_NAMESPACE: Final = 4026531837
_INITIAL_PID_NAMESPACE: Final = 4026531836
_PROC: Final = Path("/proc")


def process_name(pid: int, proc: Path = _PROC) -> str | None:
    """Return the command name (at most 15 characters) of a living process, or None.

    Source: ``/proc/PID/comm``. A process that is hidden from us (mount
    option hidepid) is reported as "?", because it is alive.
    """
    try:
        return (proc / str(pid) / "comm").read_text(errors="replace").rstrip("\n")
    except OSError:
        pass
    try:
        os.kill(pid, 0)  # signal 0: ask whether the process exists, send nothing
    except ProcessLookupError:
        return None
    except OSError:
        pass
    return "?"


def has_capability(number: int, proc: Path = _PROC) -> bool | None:
    """Return whether capability *number* is effective; None: unknown.

    Source: the ``CapEff`` line of ``/proc/self/status``.
    """
    try:
        status = (proc / "self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return None


def in_other_namespace(namespace: str, proc: Path = _PROC) -> bool | None:
    """Return whether this process has left the machine's first *namespace* ("pid" or "user")."""
    first = {"user": _INITIAL_USER_NAMESPACE, "pid": _INITIAL_PID_NAMESPACE}[namespace]
    try:
        return (proc / "self/ns" / namespace).stat().st_ino != first
    except OSError:
        return None


def explain(number: int, proc: Path = _PROC) -> NoKernelAuditError | None:
    """Turn the errno of a refusal into the error to raise; None for any other errno.

    EPROTONOSUPPORT comes from socket(2), ECONNREFUSED and EPERM from the
    kernel's answer. EPERM has several reasons; the namespace is named before
    the capability, because a capability does not help inside one.
    """
    if number == errno.EPROTONOSUPPORT:
        return NoKernelAuditError(
            "this kernel has no audit: it was built without CONFIG_AUDIT or booted with audit=0"
        )
    if number == errno.ECONNREFUSED:
        return NoKernelAuditError(
            "inside a user namespace: the kernel's audit answers only processes of the machine's "
            "first one; run on the host, or in a container without user namespace"
        )
    if number != errno.EPERM:
        return None
    return NoKernelAuditError(_reason_for_eperm(proc))


def _reason_for_eperm(proc: Path) -> str:
    if in_other_namespace("pid", proc):
        return (
            "inside a pid namespace (a container): the kernel's audit is controlled from the "
            "machine's first one only; run on the host, or in a container with --pid=host "
            "--cap-add=AUDIT_CONTROL -v /proc:/proc (without the last one the audit rule would watch the "
            "container's own /proc)"
        )
    if has_capability(CAP_AUDIT_CONTROL, proc) is False:
        if os.geteuid() != 0:
            return "not root: the kernel's audit needs root or CAP_AUDIT_CONTROL"
        return "root without CAP_AUDIT_CONTROL: give the capability to this service or container"
    return (
        "the kernel refused audit with EPERM although CAP_AUDIT_CONTROL is held: "
        "look for a security module (SELinux, AppArmor) that forbids it"
    )
