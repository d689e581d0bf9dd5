"""The fields of an event: one table for detections, documents, events and rows."""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from auditsense._values import did_you_mean
from auditsense.core.rule_table import Field
from auditsense.errors import DetectionError

SYSCALL_NAME: Final = "auditd.data.syscall"
"""Compared by name: it becomes the rule's calls, one for each architecture that has the call."""

FILE_SYSTEM: Final = "file.filesystem"
"""Type of the file system that the event's file is on, by its device; no record has it."""

HOST: Final = "host.id"
"""The sensor's host, or the `node=` that a collector wrote; part of every key."""


class Form(enum.Enum):
    """Format of a value: as the kernel prints it, and as documents show it."""

    TEXT = enum.auto()
    """Text, in documents as well."""
    DIGITS = enum.auto()
    """A number, in documents as its text."""
    NUMBER = enum.auto()
    """A number, in documents as well."""
    ID = enum.auto()
    """A number, in documents as its text, or "unset" for 4294967295."""

    LIST = enum.auto()
    """Texts, in documents a list. A comparison holds if it does for any of them."""


class RecordField(NamedTuple):
    """One field of a record.

    Attributes:
        field: of the core.
        form: how it is printed.
        name: in detections and documents (ECS); "": in neither.
        attribute: of `Event` and in rows, where it is read without conversion; "": there is none.
        detections: whether detections can compare it.
        documents: whether documents have it under *name*, without further conversion.
    """

    field: Field
    form: Form
    name: str = ""
    attribute: str = ""
    detections: bool = True
    documents: bool = True


RECORD_FIELDS: Final = (  # in the order of documents
    RecordField(Field.A0, Form.DIGITS, "auditd.data.a0"),
    RecordField(Field.A1, Form.DIGITS, "auditd.data.a1"),
    RecordField(Field.A2, Form.DIGITS, "auditd.data.a2"),
    RecordField(Field.A3, Form.DIGITS, "auditd.data.a3"),
    RecordField(Field.EXIT, Form.DIGITS, "auditd.data.exit", "exit"),
    RecordField(Field.TTY, Form.TEXT, "auditd.data.tty", "tty"),
    RecordField(Field.PID, Form.NUMBER, "process.pid", "pid"),
    RecordField(Field.PPID, Form.NUMBER, "process.parent.pid", "ppid"),
    RecordField(Field.COMM, Form.TEXT, "process.name", "comm"),
    RecordField(Field.EXE, Form.TEXT, "process.executable", "exe"),
    RecordField(Field.PROCTITLE, Form.TEXT, "process.title", "title"),
    RecordField(Field.CWD, Form.TEXT, "process.working_directory", "cwd"),
    RecordField(Field.UID, Form.DIGITS, "user.id", "uid"),
    RecordField(Field.EUID, Form.DIGITS, "user.effective.id", "euid"),
    RecordField(Field.SUID, Form.DIGITS, "user.saved.id", "suid"),
    RecordField(Field.FSUID, Form.DIGITS, "user.filesystem.id", "fsuid"),
    RecordField(Field.GID, Form.DIGITS, "user.group.id", "gid"),
    RecordField(Field.EGID, Form.DIGITS, "user.effective.group.id", "egid", detections=False),
    RecordField(Field.SUBJ, Form.TEXT, "user.selinux.user"),
    RecordField(Field.PATH_NAME, Form.TEXT, "file.path", "path"),
    RecordField(Field.PATH_INODE, Form.DIGITS, "file.inode"),
    RecordField(Field.PATH_DEV, Form.TEXT, "file.device"),
    RecordField(Field.PATH_MODE, Form.DIGITS, "file.mode"),
    RecordField(Field.PATH_OUID, Form.DIGITS, "file.uid"),
    RecordField(Field.PATH_OGID, Form.DIGITS, "file.gid"),
    RecordField(Field.AUID, Form.ID, "user.audit.id", "auid"),
    RecordField(Field.SES, Form.ID, "auditd.session", "session"),
    RecordField(Field.SGID, Form.DIGITS, attribute="sgid"),
    RecordField(Field.FSGID, Form.DIGITS, attribute="fsgid"),
    RecordField(Field.ARGS, Form.LIST, "process.args", "args"),
    RecordField(Field.ARGC, Form.NUMBER, "process.args_count", "args_count"),
    RecordField(Field.CAPABILITIES, Form.LIST, "process.thread.capabilities.effective", "capabilities"),
    RecordField(Field.SOCKET_FAMILY, Form.TEXT, "auditd.data.socket.family", "socket_family"),
    RecordField(Field.SOCKET_IP, Form.TEXT, "auditd.data.socket.addr", "socket_address"),
    RecordField(Field.SOCKET_PORT, Form.DIGITS, "auditd.data.socket.port", "socket_port"),
    RecordField(Field.SOCKET_PATH, Form.TEXT, "auditd.data.socket.path", "socket_path"),
    RecordField(Field.ACCT, Form.TEXT, "auditd.data.acct", "account"),
    RecordField(Field.TERMINAL, Form.TEXT, "auditd.data.terminal", "terminal"),
    RecordField(Field.HOSTNAME, Form.TEXT, "auditd.data.hostname", "hostname"),
    RecordField(Field.ADDR, Form.TEXT, "auditd.data.addr", "address"),
    RecordField(Field.GRANTORS, Form.TEXT, "auditd.data.grantors", "grantors"),
    RecordField(Field.UNIT, Form.TEXT, "auditd.data.unit", "unit"),
    RecordField(Field.PARENT_NAME, Form.TEXT, "process.parent.name", detections=False),
    RecordField(Field.PARENT_EXECUTABLE, Form.TEXT, "process.parent.executable", detections=False),
    RecordField(Field.PARENT_ARGS, Form.LIST, "process.parent.args", detections=False),
    RecordField(Field.PARENT_ENTITY_ID, Form.TEXT, "process.parent.entity_id", detections=False),
    RecordField(Field.ENTITY_ID, Form.TEXT, "process.entity_id", detections=False),
    RecordField(Field.LEADER_EXECUTABLE, Form.TEXT, "process.entry_leader.executable", detections=False),
    RecordField(Field.LEADER_ARGS, Form.LIST, "process.entry_leader.args", detections=False),
    RecordField(Field.LEADER_TYPE, Form.TEXT, "process.entry_leader.entry_meta.type", detections=False),
    RecordField(Field.COMMAND_LINE, Form.TEXT, "process.command_line", documents=False),
    RecordField(Field.RESULT, Form.TEXT, documents=False),
    RecordField(Field.ARCH, Form.DIGITS, "auditd.data.arch", documents=False),
    RecordField(Field.SUCCESS, Form.TEXT, "auditd.data.success", documents=False),
    RecordField(Field.KEY, Form.TEXT, "auditd.data.key", documents=False),
    RecordField(Field.NODE, Form.TEXT, HOST, documents=False),
)

FIELDS: Final = {row.name: row.field for row in RECORD_FIELDS if row.name and row.detections}
"""The names that a detection may use."""

NUMBERS: Final = frozenset(row.field for row in RECORD_FIELDS if row.form not in {Form.TEXT, Form.LIST})
"""Fields that the kernel prints as numbers; no other can be compared as one."""

_ALIASES: Final = {
    **{row.attribute: row.name for row in RECORD_FIELDS if row.attribute and row.name in FIELDS},
    "syscall": SYSCALL_NAME,
    "key": "auditd.data.key",
    "arch": "auditd.data.arch",
    "success": "auditd.data.success",
    "command": "process.name",
    "cmdline": "process.command_line",
    "command_line": "process.command_line",
    "argv": "process.args",
    "user": "user.id",
    "ses": "auditd.session",
    "host": HOST,
    "node": HOST,
    "host.name": HOST,
    "inode": "file.inode",
    "mode": "file.mode",
    "name": "process.name",
}
"""Names of the kernel, of `Event` and of other tools, without a leading "process.", "user." or "file."."""


def field(name: str) -> Field:
    """Return the record field behind a name.

    Raises:
        DetectionError: unknown name.
    """
    record_field = FIELDS.get(name)
    if record_field is None:
        short = name.removeprefix("process.").removeprefix("user.").removeprefix("file.")
        aliases = {name: _ALIASES[short]} if short in _ALIASES else {}
        raise DetectionError(
            f"unknown field {name!r}{did_you_mean(name, [*FIELDS, SYSCALL_NAME, FILE_SYSTEM], aliases)}"
        )
    return record_field
