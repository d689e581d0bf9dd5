"""Enrich alerts with data from this host: user names, parent name, container (sensor/containers.py).

Runs once per alert, never per event, and only in the process that owns the audit socket: the kernel does not
audit the owner's reads, so enrichment cannot trigger new events.

A name that cannot be read is left out. What is not known of the container is "unknown".

cmdline and environ are never read. They live in the process's own memory, and a page backed by a stalled FUSE
server would block the sensor for as long as the process wants. Names come from /etc/passwd and /etc/group
alone: getpwuid and its kin ask whatever nsswitch.conf names, which may be a server that does not answer.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense.detect.ecs import set_message

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.sensor.containers import Containers

MOST_BYTES: Final = 1 << 20  # of passwd and group
_ID_FIELD: Final = 2  # name:password:id:…

# ECS objects below `user` that hold an id and get a name.
_USERS: Final[tuple[tuple[str, ...], ...]] = ((), ("effective",), ("saved",), ("filesystem",), ("audit",))
_GROUPS: Final[tuple[tuple[str, ...], ...]] = (("group",), ("effective", "group"))


def enrich_all(
    documents: Iterable[Any], names: UserNames, containers: Containers, host_id: str, *, running: bool
) -> None:
    """Enrich the documents of this host in place.

    Args:
        documents: those of other hosts are left alone: ids and pids mean something else there.
        names: users and groups of this host.
        containers: of processes of this host.
        host_id: of this host.
        running: whether the processes of alerts may still be running. Those of other documents may have ended
            long ago, and their pids may have been reused.
    """
    for document in documents:
        if document["host"]["id"] == host_id:
            if running and document["auditsense"]["state"] == "alert":
                enrich(document, names, containers)
            else:
                add_user_names(document, names)
            if "process" in document and "message" in document:
                set_message(document)  # with the names


def enrich(alert: dict[str, Any], names: UserNames, containers: Containers) -> None:
    """Add the data that this host has about an alert. See docs/alerts.md for the fields.

    Args:
        alert: with the process and the ids that its records carried.
        names: users and groups of this host.
        containers: of processes of this host.
    """
    add_user_names(alert, names)
    containers.add_to(alert)


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
