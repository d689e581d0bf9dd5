"""Names of this host's users and groups, from /etc/passwd and /etc/group alone.

The usual way (getpwuid and its kin) asks whatever nsswitch.conf names, which may be a server that does not
answer: a sensor that waits for it sees nothing. Who is known to a directory only has a number here.

Rule 1: the files are read again when they have changed, and no more of each than MOST_BYTES.
Rule 2: whose names these are is this host's business: numbers of another host are never looked up.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 1 << 20
_NUMBER: Final = 2  # name:password:number:…


class Accounts:
    """The two files as they are now.

    Args:
        users: passwd(5).
        groups: group(5).
    """

    def __init__(self, users: Path = Path("/etc/passwd"), groups: Path = Path("/etc/group")) -> None:
        self._users = _Names(users)
        self._groups = _Names(groups)

    def user(self, number: str) -> str | None:
        """Return the first name of a user id in decimal; None: none is known."""
        return self._users.of(number)

    def group(self, number: str) -> str | None:
        """Return the first name of a group id in decimal; None: none is known."""
        return self._groups.of(number)


class _Names:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] | None = None
        self._names: dict[bytes, str] = {}

    def of(self, number: str) -> str | None:
        self._refresh()
        return self._names.get(number.encode("utf-8", "replace"))

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - one call, of what may change at any time
            version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
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
            if len(fields) > _NUMBER and fields[0] and fields[_NUMBER].isdigit():
                self._names.setdefault(fields[_NUMBER], fields[0].decode("utf-8", "backslashreplace"))
