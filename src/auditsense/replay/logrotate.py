"""A log with what was rotated away from it: which files, in which order.

auditd renames audit.log to audit.log.1, that to audit.log.2; logrotate does so too, compresses, and can put
a date there instead (`dateext`: audit.log-20261125). The names give the order. Whether the stamps agree is
looked at when the files are read.
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
"""What is looked for in a folder."""

_ROTATED = re.compile(
    r"(?:\.(?P<number>\d{1,9})|-(?P<date>\d{8}(?:-\d+)?))?(?P<packed>\.(?:gz|zst|xz|bz2|lz4|lzo|Z))?"
)


class Rotated:
    """The files of one log, oldest first: by date, then by falling number, then the log itself.

    A file under two names is taken once, and so is a number that is there packed and unpacked. Files that
    are empty are not taken: a log is, just after it was rotated. A file that cannot be looked at is taken:
    opening it gives the reason.

    Args:
        path: a folder with audit.log in it, or a log; that itself need not be there.
        warn: gets a line about each file that begins with the log's name and is not taken.

    Raises:
        InputError: the folder cannot be read, or nothing in it holds anything.
    """

    def __init__(self, path: str, warn: Callable[[str], None]) -> None:
        given = Path(path)
        self._in_folder = os.path.isdir(given)  # noqa: PTH112 - what may not be looked at is none
        self._log = given / LOG if self._in_folder else given
        self._found = self._look(warn)
        self.names = [name for name, _ in self._found]
        """Their paths, oldest first; one at least."""

    def changed(self) -> bool:
        """Return whether they were rotated since: some may have been read twice, or not at all."""
        before = dict(self._found)
        try:
            now = dict(self._look(lambda _: None))
        except InputError:
            return True
        return any(now.get(name) != file for name, file in before.items())

    def _look(self, warn: Callable[[str], None]) -> list[tuple[str, tuple[int, int]]]:
        """Return paths and what tells the files apart, oldest first."""
        taken: dict[str, tuple[str, tuple[int, int]]] = {}
        files: set[tuple[int, int]] = set()
        empty: Path | None = None
        unknown: list[tuple[str, Path, int]] = []
        for _, age, path in sorted(self._named(warn)):  # the files themselves first
            with suppress(FileNotFoundError):  # rotated away meanwhile: `changed` will say so
                try:
                    status = path.stat()
                except FileNotFoundError:
                    raise
                except OSError as error:  # not permitted, or a link in a loop
                    unknown.append((age, path, error.errno or 0))
                    continue
                file = status.st_dev, status.st_ino
                if not stat.S_ISREG(status.st_mode):
                    warn(f"{path} is left out: it is no file")
                elif not status.st_size:
                    empty = path
                elif age in taken:
                    warn(f"{path} is left out: {taken[age][0]} is there")
                elif file in files:
                    warn(f"{path} is left out: it is another file's second name")
                else:
                    taken[age] = str(path), file
                    files.add(file)
        for age, path, reason in unknown:
            taken.setdefault(age, (str(path), (-1, reason)))
        if not taken:
            raise InputError(f"{empty} is empty: no audit record in it" if empty else self._nothing())
        return [taken[age] for age in sorted(taken)]

    def _named(self, warn: Callable[[str], None]) -> list[tuple[bool, str, Path]]:
        """Return what is there by its name: whether it is packed or a link, its age, its path."""
        try:
            names = sorted(one.name for one in self._log.parent.iterdir())
        except OSError as error:
            raise InputError(f"{self._log.parent}: {error.strerror}") from None
        found: list[tuple[bool, str, Path]] = []
        for name in names:
            if name.startswith(self._log.name):
                path = self._log.with_name(name)
                match = _ROTATED.fullmatch(name, len(self._log.name))
                if match is None:
                    warn(f"{path} is left out: no number says where it belongs")
                else:
                    found.append((bool(match["packed"]) or os.path.islink(path), _age(match), path))  # noqa: PTH114 - the same
        return found

    def _nothing(self) -> str:
        if self._in_folder:
            return f"{self._log.parent}: there is no {LOG} in this folder, and none that was rotated"
        return f"{self._log}: No such file, and none that was rotated from it"


def _age(match: re.Match[str]) -> str:
    """Return what sorts files, oldest first."""
    if match["date"]:
        return f"0 {match['date']}"
    if match["number"]:
        return f"1 {10**9 - int(match['number']):010}"
    return "2"
