"""Names of fields in query languages, and how each is compared. Independent of language and compiler."""

from __future__ import annotations

from typing import Final

from auditsense._values import did_you_mean

NUMBERS: Final = frozenset(
    {
        "auditd.data.argc",
        "auditd.data.exit",
        "auditd.data.socket.port",
        "destination.port",
        "process.args_count",
        "process.parent.pid",
        "process.pid",
        "source.port",
    }
)
"""Fields of whole numbers. All other fields are texts, user ids too."""

DECIMALS: Final = frozenset(
    {
        *("auditd.data.a0", "auditd.data.a1", "auditd.data.a2", "auditd.data.a3", "auditd.session"),
        *(
            "file.gid",
            "file.inode",
            "file.uid",
            "user.audit.id",
            "user.effective.group.id",
            "user.effective.id",
        ),
        *("user.filesystem.group.id", "user.filesystem.id", "user.group.id", "user.id"),
        *("user.saved.group.id", "user.saved.id"),
    }
)
"""Fields of texts that the kernel writes as numbers without zeros before them: one number is one text."""

NEVER_PRESENT: Final = frozenset({"auditd.data.class"})
"""Fields of the kernel's vocabulary that no record of a supported event has: always absent."""

NAMES: Final = NUMBERS | frozenset(
    {
        "auditd.data.a0",
        "auditd.data.a1",
        "auditd.data.a2",
        "auditd.data.a3",
        "auditd.data.acct",
        "auditd.data.addr",
        "auditd.data.arch",
        "auditd.data.class",
        "auditd.data.grantors",
        "auditd.data.hostname",
        "auditd.data.socket.addr",
        "auditd.data.socket.family",
        "auditd.data.socket.path",
        "auditd.data.syscall",
        "auditd.data.terminal",
        "auditd.data.tty",
        "auditd.data.unit",
        "auditd.result",
        "auditd.session",
        "data_stream.dataset",
        "destination.address",
        "destination.ip",
        "event.action",
        "event.category",
        "event.dataset",
        "event.outcome",
        "event.type",
        "file.device",
        "file.gid",
        "file.inode",
        "file.mode",
        "file.path",
        "file.uid",
        "host.id",
        "host.os.type",
        "network.direction",
        "process.args",
        "process.command_line",
        "process.entity_id",
        "process.entry_leader.args",
        "process.entry_leader.entry_meta.type",
        "process.entry_leader.executable",
        "process.executable",
        "process.name",
        "process.parent.args",
        "process.parent.command_line",
        "process.parent.entity_id",
        "process.parent.executable",
        "process.parent.name",
        "process.thread.capabilities.effective",
        "process.title",
        "process.working_directory",
        "related.user",
        "source.address",
        "source.ip",
        "tags",
        "user.audit.id",
        "user.effective.group.id",
        "user.effective.id",
        "user.filesystem.group.id",
        "user.filesystem.id",
        "user.group.id",
        "user.id",
        "user.name",
        "user.saved.group.id",
        "user.saved.id",
        "user.selinux.user",
    }
)
"""Every name that a query may use."""


def unknown_field(name: str) -> str:
    """Return the error for a field that is not one of `NAMES`."""
    return f"there is no field {name}{did_you_mean(name, sorted(NAMES))} (?{name}: it may be absent)"
