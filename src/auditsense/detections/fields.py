"""The names a detection may use for a field, and which record and key each comes from."""

from __future__ import annotations

from auditsense.core.rule_table import Field
from auditsense.errors import DetectionError

SYSCALL_NAME = "auditd.data.syscall"
"""Compared by name: it becomes the rule's calls, one for each architecture that has the call."""

HOST = "host.id"
"""Of the sensor, or the `node=` a collector wrote; part of every key."""

FIELDS: dict[str, Field] = {
    "auditd.data.arch": Field.ARCH,
    "auditd.data.success": Field.SUCCESS,
    "auditd.data.exit": Field.EXIT,
    "auditd.data.a0": Field.A0,
    "auditd.data.a1": Field.A1,
    "auditd.data.a2": Field.A2,
    "auditd.data.a3": Field.A3,
    "auditd.data.tty": Field.TTY,
    "auditd.data.key": Field.KEY,
    "auditd.session": Field.SES,
    "process.pid": Field.PID,
    "process.parent.pid": Field.PPID,
    "process.name": Field.COMM,
    "process.executable": Field.EXE,
    "process.title": Field.PROCTITLE,
    "process.working_directory": Field.CWD,
    "user.id": Field.UID,
    "user.audit.id": Field.AUID,
    "user.effective.id": Field.EUID,
    "user.filesystem.id": Field.FSUID,
    "user.saved.id": Field.SUID,
    "user.group.id": Field.GID,
    "user.selinux.user": Field.SUBJ,
    "file.path": Field.PATH_NAME,
    "file.inode": Field.PATH_INODE,
    "file.device": Field.PATH_DEV,
    "file.mode": Field.PATH_MODE,
    "file.uid": Field.PATH_OUID,
    "file.gid": Field.PATH_OGID,
    HOST: Field.NODE,
}

NUMBERS = frozenset(
    {
        *(Field.ARCH, Field.EXIT, Field.A0, Field.A1, Field.A2, Field.A3, Field.PPID, Field.PID),
        *(Field.AUID, Field.UID, Field.GID, Field.EUID, Field.SUID, Field.FSUID, Field.SES),
        *(Field.PATH_INODE, Field.PATH_MODE, Field.PATH_OUID, Field.PATH_OGID),
    }
)
"""Fields that the kernel prints as numbers; no other can be compared as one."""


def nearest(name: str, known: list[str]) -> str:
    """Return ", did you mean …?" with the closest known name, or nothing."""
    import difflib  # noqa: PLC0415 - only for what is spelled wrong

    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def field(name: str) -> Field:
    """Return the record field behind a name.

    Raises:
        DetectionError: no such name.
    """
    found = FIELDS.get(name)
    if found is None:
        hint = nearest(name, [*FIELDS, SYSCALL_NAME])
        raise DetectionError(f"there is no field {name!r}{hint}")
    return found
