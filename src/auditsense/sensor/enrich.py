"""Enrich alerts with data from this host: user names, parent name, container id.

Runs once per alert, never per event, and only in the process that owns the audit socket: the kernel does not
audit the owner's reads, so enrichment cannot trigger new events.

A pid may have been reused since the event. Enrichment opens /proc/PID once, compares `comm` with the record,
and skips the process if they differ. What cannot be read is left out.

cmdline and environ are never read. They live in the process's own memory, and a page backed by a stalled FUSE
server would block the sensor for as long as the process wants. Names come from /etc/passwd and /etc/group
alone: getpwuid and its kin ask whatever nsswitch.conf names, which may be a server that does not answer.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense.detect.ecs import set_message

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_BYTES: Final = 1 << 20  # of passwd and group
_ID_FIELD: Final = 2  # name:password:id:…
_CGROUP_BYTES: Final = 4096
_COMM_BYTES: Final = 64
_CONTAINER = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

# ECS objects below `user` that hold an id and get a name.
_USERS: Final[tuple[tuple[str, ...], ...]] = ((), ("effective",), ("saved",), ("filesystem",), ("audit",))
_GROUPS: Final[tuple[tuple[str, ...], ...]] = (("group",), ("effective", "group"))


def enrich_all(documents: Iterable[Any], names: UserNames, host_id: str, *, running: bool) -> None:
    """Enrich the documents of this host in place.

    Args:
        documents: those of other hosts are left alone: ids and pids mean something else there.
        names: users and groups of this host.
        host_id: of this host.
        running: whether the processes of alerts may still be running. Those of other documents may have ended
            long ago, and their pids may have been reused.
    """
    for document in documents:
        if document["host"]["id"] == host_id:
            if running and document["auditsense"]["state"] == "alert":
                enrich(document, names)
            else:
                add_user_names(document, names)
            if "process" in document and "message" in document:
                set_message(document)  # with the names


def enrich(alert: dict[str, Any], names: UserNames, *, proc: Path = Path("/proc")) -> None:
    """Add the data that this host has about an alert. See docs/alerts.md for the fields.

    Args:
        alert: with the process and the ids that its records carried.
        names: users and groups of this host.
        proc: mount point of procfs.
    """
    add_user_names(alert, names)
    process = alert.get("process", {})
    if "pid" in process and "name" in process:
        with suppress(OSError):
            container = _read_container_id(proc / str(process["pid"]), process["name"])
            if container is not None:
                alert["container"] = {"id": container}
    parent = process.get("parent", {})
    if "pid" in parent:
        with suppress(OSError):
            comm = (proc / str(parent["pid"]) / "comm").read_bytes()[:_COMM_BYTES]
            parent["name"] = _comm_text(comm)


def add_user_names(document: dict[str, Any], names: UserNames) -> None:
    """Add the names of users and groups to a document of this host."""
    user, file = document.get("user", {}), document.get("file", {})
    for path in _USERS:
        _add_name(_object_at(user, path), "id", "name", names.users)
    for path in _GROUPS:
        _add_name(_object_at(user, path), "id", "name", names.groups)
    _add_name(file, "uid", "owner", names.users)
    _add_name(file, "gid", "group", names.groups)


def _object_at(value: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    for name in path:
        value = value.get(name, {})
    return value


def _add_name(value: dict[str, Any], id_key: str, name_key: str, names: NameFile) -> None:
    name = names.name_of(value.get(id_key, ""))
    if name is not None:
        value[name_key] = name


def _read_container_id(folder: Path, expected_comm: str) -> str | None:
    # One descriptor for both files, so that they belong to the same process.
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _comm_text(_read(descriptor, "comm", _COMM_BYTES)) != expected_comm:
            return None
        match = _CONTAINER.search(_read(descriptor, "cgroup", _CGROUP_BYTES))
        return None if match is None else match[0].decode()
    finally:
        os.close(descriptor)


def _read(folder: int, name: str, size: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(descriptor, size)
    finally:
        os.close(descriptor)


def _comm_text(comm: bytes) -> str:
    return comm.removesuffix(b"\n").decode("utf-8", "backslashreplace")


class UserNames:
    """Names of this host's users and groups.

    Args:
        users: passwd(5).
        groups: group(5).
    """

    def __init__(self, users: Path = Path("/etc/passwd"), groups: Path = Path("/etc/group")) -> None:
        self.users = NameFile(users)
        self.groups = NameFile(groups)


class NameFile:
    """The names in passwd(5) or group(5), at most MOST_BYTES of it, read again when the file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] | None = None
        self._names: dict[bytes, str] = {}

    def name_of(self, number: str) -> str | None:
        """Return the first name of an id in decimal; None: unknown."""
        self._refresh()
        return self._names.get(number.encode("utf-8", "replace"))

    def _refresh(self) -> None:
        try:
            status = os.stat(self._path)  # noqa: PTH116 - one call; the file may change at any time
            version = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
            if version == self._version:
                return
            with self._path.open("rb") as file:
                text = file.read(MOST_BYTES)
        except OSError:
            self._version, self._names = None, {}
            return
        self._version = version
        self._names = {}
        for line in text.splitlines():
            fields = line.split(b":")
            if len(fields) > _ID_FIELD and fields[0] and fields[_ID_FIELD].isdigit():
                self._names.setdefault(fields[_ID_FIELD], fields[0].decode("utf-8", "backslashreplace"))
