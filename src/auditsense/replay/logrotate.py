"""Find the files of a rotated log, in order.

auditd renames audit.log to audit.log.1, that to audit.log.2. logrotate does so too, compresses, and can
append a date instead (`dateext`: audit.log-20261125). The names give the order; the reader compares stamps.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

LOG = "audit.log"
"""Name of the log in a folder."""

_ROTATED = re.compile(
    r"(?:\.(?P<number>\d{1,9})|-(?P<date>\d{8}(?:-\d+)?))?(?P<packed>\.(?:gz|zst|xz|bz2|lz4|lzo|Z))?"
)


class RotatedLog:
    """The files of one log, oldest first: by date, then by descending number, then the log itself.

    A file under two names is listed once, and so is a number that exists compressed and uncompressed. Empty
    files are not listed: a log is empty just after rotation. One that cannot be inspected is listed: opening
    it gives the reason.

    Args:
        path: a folder with audit.log in it, or a log, which itself may be missing.
        warn: receives a line about each file that begins with the log's name and is left out.

    Raises:
        InputError: the folder cannot be read, or holds no data.
    """

    def __init__(self, path: str, warn: Callable[[str], None]) -> None:
        folder_or_log = Path(path)
        self._in_folder = os.path.isdir(folder_or_log)  # noqa: PTH112 - False when it may not be inspected
        self._log = folder_or_log / LOG if self._in_folder else folder_or_log
        self._files = self._list(warn)
        self.names = [name for name, _ in self._files]
        """Their paths, oldest first; at least one."""

    def changed(self) -> bool:
        """Return whether they were rotated since: some may have been read twice, or not at all."""
        before = dict(self._files)
        try:
            now = dict(self._list(lambda _: None))
        except InputError:
            return True
        return any(now.get(name) != file for name, file in before.items())

    def _list(self, warn: Callable[[str], None]) -> list[tuple[str, tuple[int, int]]]:
        """Return paths with device and inode, oldest first."""
        by_age: dict[str, tuple[str, tuple[int, int]]] = {}
        files: set[tuple[int, int]] = set()
        empty: Path | None = None
        unknown: list[tuple[str, Path, int]] = []
        for _, age, path in sorted(self._named(warn)):  # the files themselves first
            with suppress(FileNotFoundError):  # rotated since: `changed` will notice
                try:
                    status = path.stat()
                except FileNotFoundError:
                    raise
                except OSError as error:  # not permitted, or a symlink loop
                    unknown.append((age, path, error.errno or 0))
                    continue
                file = status.st_dev, status.st_ino
                if not stat.S_ISREG(status.st_mode):
                    warn(f"{path} is left out: it is not a file")
                elif not status.st_size:
                    empty = path
                elif age in by_age:
                    warn(f"{path} is left out: {by_age[age][0]} exists")
                elif file in files:
                    warn(f"{path} is left out: it is another file's second name")
                else:
                    by_age[age] = str(path), file
                    files.add(file)
        for age, path, reason in unknown:
            by_age.setdefault(age, (str(path), (-1, reason)))
        if not by_age:
            raise InputError(f"{empty} is empty: no audit record in it" if empty else self._missing())
        return [by_age[age] for age in sorted(by_age)]

    def _named(self, warn: Callable[[str], None]) -> list[tuple[bool, str, Path]]:
        """Return the files with the log's name: whether compressed or a link, age, path."""
        try:
            names = sorted(path.name for path in self._log.parent.iterdir())
        except OSError as error:
            raise InputError(f"{self._log.parent}: {error.strerror}") from None
        files: list[tuple[bool, str, Path]] = []
        for name in names:
            if name.startswith(self._log.name):
                path = self._log.with_name(name)
                match = _ROTATED.fullmatch(name, len(self._log.name))
                if match is None:
                    warn(f"{path} is left out: no number says where it belongs")
                else:
                    files.append((bool(match["packed"]) or os.path.islink(path), _age(match), path))  # noqa: PTH114 - the same
        return files

    def _missing(self) -> str:
        if self._in_folder:
            return f"{self._log.parent}: there is no {LOG} in this folder, and none that was rotated"
        return f"{self._log}: No such file, and none that was rotated from it"


def _age(match: re.Match[str]) -> str:
    """Return a sort key, oldest first."""
    if match["date"]:
        return f"0 {match['date']}"
    if match["number"]:
        return f"1 {10**9 - int(match['number']):010}"
    return "2"
