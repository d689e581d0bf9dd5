"""What this host can be asked about an alert's process while it runs: what no record carries.

Rule 1: once an alert, never per event; and only by the owner of the audit socket, whose own reads the kernel
        does not report. A sensor beside him would make the next event with every look.
Rule 2: a pid may have been given away again: of a process that does not call itself as the record says,
        nothing is taken. All is read through one descriptor of its folder, so that it is one process.
Rule 3: what cannot be had is left out. What a process could make us wait for is not asked: no name service,
        and nothing that is read out of its memory (cmdline, environ): where its arguments stood there may be
        a page that nobody delivers, and whoever reads it waits for as long as its owner likes.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.sensor.passwd import Accounts

_CGROUP: Final = 4096
_COMM: Final = 64
_CONTAINER = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")

# Where a number stands, and where its name goes.
_USERS: Final = ("", "effective", "saved", "filesystem", "audit")
_GROUPS: Final = ("group", "effective.group")


def complete(document: dict[str, Any], accounts: Accounts, *, proc: Path = Path("/proc")) -> None:
    """Add to an alert of this host what it can be asked for. See docs/alerts.md for the fields.

    Args:
        document: an alert, with the process and the numbers that its records carried.
        accounts: of this host.
        proc: where procfs is.
    """
    name(document, accounts)
    process = document.get("process", {})
    with suppress(OSError):
        _ask(document, process, proc)
    parent = process.get("parent", {}).get("pid")
    if parent is not None:
        with suppress(OSError):
            process["parent"]["name"] = _text((proc / str(parent) / "comm").read_bytes()[:_COMM])


def name(document: dict[str, Any], accounts: Accounts) -> None:
    """Add the names of users and groups to a document of this host."""
    user = document.get("user", {})
    for kind in _USERS:
        place = user.get(kind, {}) if kind else user
        _put(place, "name", accounts.user(place.get("id", "")))
    for kind in _GROUPS:
        place = user
        for part in kind.split("."):
            place = place.get(part, {})
        _put(place, "name", accounts.group(place.get("id", "")))
    file = document.get("file", {})
    _put(file, "owner", accounts.user(file.get("uid", "")))
    _put(file, "group", accounts.group(file.get("gid", "")))


def _put(place: dict[str, Any], name: str, value: str | None) -> None:
    if value is not None:
        place[name] = value


def _ask(document: dict[str, Any], process: dict[str, Any], proc: Path) -> None:
    if "pid" not in process or "name" not in process:
        return
    folder = os.open(proc / str(process["pid"]), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _text(_read(folder, "comm", _COMM)) != process["name"]:
            return
        container = _CONTAINER.search(_read(folder, "cgroup", _CGROUP))
        if container is not None:
            document["container"] = {"id": container[0].decode()}
    finally:
        os.close(folder)


def _read(folder: int, name: str, most: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(descriptor, most)
    finally:
        os.close(descriptor)


def _text(line: bytes) -> str:
    return _decoded(line.removesuffix(b"\n"))


def _decoded(found: bytes) -> str:
    return found.decode("utf-8", "backslashreplace")


def enrich(documents: Iterable[dict[str, Any]], accounts: Accounts, host_id: str, *, running: bool) -> None:
    """Add to documents what the host can be asked for.

    Args:
        documents: changed in place; those of other hosts stay as they are.
        accounts: names of this host's users.
        host_id: of this host.
        running: the processes of alerts may be running still. Those of other documents may have ended long
            ago, and their pids may be used again.
    """
    for one in documents:
        if one["host"]["id"] == host_id:
            (complete if running and one["auditsense"]["state"] == "alert" else name)(one, accounts)
