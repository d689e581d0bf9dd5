"""Configuration files to checked values, each with the place it came from.

Rule 1: every error of every file is found, not only the first, and each names its file and line; of one file
        100 at the most.
Rule 2: a file that others could have written is not read, whoever reads it.
Rule 3: of two files that set a key the later counts; of tables that may stand several times all count.
Rule 4: whatever a file holds, looking at it takes a time that its size bounds: a running sensor waits for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from auditsense._file_trust import read_trusted_text
from auditsense._toml import Places, TomlError, parse
from auditsense._values import WrongValueError, did_you_mean
from auditsense.config.schema import BY_PATH, KEYS, REPEATED, TABLES
from auditsense.errors import ConfigError, UsageError

FOLDER: Final = Path("/etc/auditsense")
_MOST_PROBLEMS: Final = 100  # of one file


@dataclass(frozen=True, slots=True)
class Found:
    """A value, and where it was found.

    Attributes:
        value: as `Key.check` returned it.
        origin: "FILE:LINE", or the flag of the command line.
    """

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Table:
    """One of the tables that may stand several times.

    Attributes:
        values: by the name of the key; only those that are set.
        origin: "FILE:LINE" of the table.
    """

    values: dict[str, Any]
    origin: str


@dataclass(slots=True)
class Read:
    """What the files say.

    Attributes:
        files: those that were read, in order.
        values: by the key's path; only those that are set.
        tables: by name, in the order of the files.
        problems: one line each.
    """

    files: list[Path] = field(default_factory=list)
    values: dict[str, Found] = field(default_factory=dict)
    tables: dict[str, list[Table]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def files_of(given: str | None, folder: Path = FOLDER) -> list[Path]:
    """Return the files to read: only the one given, or those of the folder that there are.

    Raises:
        ConfigError: the folder cannot be looked at.
    """
    if given is not None:
        return [Path(given)]
    main = folder / "auditsense.toml"
    more = folder / "conf.d"
    try:
        found = [main] if _exists(main) else []
        return found + (sorted(more.glob("*.toml")) if _exists(more) and os.listdir(more) else [])  # noqa: PTH208 - glob says nothing of a folder it may not read
    except OSError as error:
        raise ConfigError([f"{error.filename or folder}: {error.strerror}"]) from None


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def read(files: list[Path], only: str = "") -> Read:
    """Read files, the later ones above the earlier ones.

    Args:
        files: which.
        only: a table; of all others nothing is looked at. "": all.
    """
    into = Read()
    for file in files:
        try:
            text = read_trusted_text(file, always=True)
            document = parse(text)
        except UsageError as error:
            into.problems.append(str(error))
            continue
        except TomlError as error:
            place = f"{file}:{error.line}" if error.line else str(file)
            into.problems.append(f"{place}: {error.reason}")
            continue
        into.files.append(file)
        try:
            _Reader(file, text, into).take(
                {name: entry for name, entry in document.items() if only in ("", name)}
            )
        except _TooManyError:
            into.problems.append(f"{file}: more than {_MOST_PROBLEMS} problems; the rest is not looked at")
    return into


class _TooManyError(Exception):
    """A file has so many problems that the rest would help nobody."""


class _Reader:
    """Takes one file's document."""

    def __init__(self, file: Path, text: str, into: Read) -> None:
        self._file = file
        self._places = Places(text)
        self._into = into
        self._wrongs = 0

    def take(self, document: dict[str, Any]) -> None:
        for table, entry in document.items():
            if table in TABLES:
                self._once(table, entry)
            elif table in REPEATED:
                self._repeated(table, entry)
            elif not isinstance(entry, dict | list) and (homes := [k.table for k in KEYS if k.name == table]):
                self._wrong("", table, f"belongs into a table: [{homes[0]}]")
            else:
                self._wrong(
                    table if isinstance(entry, dict | list) else "",
                    table if not isinstance(entry, dict | list) else "",
                    f"there is no table {table}{did_you_mean(table, [*TABLES, *REPEATED])}",
                    named=False,
                )

    def _once(self, table: str, entry: object) -> None:
        if not isinstance(entry, dict):
            self._wrong(table, "", f"must be one table, [{table}]")
            return
        for name, value in self._checked(table, entry, 0).items():
            self._into.values[f"{table}.{name}"] = Found(value, self._at(table, name, 0))

    def _repeated(self, table: str, entry: object) -> None:
        if not isinstance(entry, list) or not all(isinstance(one, dict) for one in entry):
            self._wrong(table, "", f"must be written as [[{table}]], for it may stand several times")
            return
        for number, one in enumerate(entry):
            values = self._checked(table, one, number)
            for key in KEYS:
                if key.table == table and key.required and key.name not in one:
                    self._wrong(table, "", f"{key.name} is missing", number)
            self._into.tables.setdefault(table, []).append(Table(values, self._at(table, "", number)))

    def _checked(self, table: str, entry: dict[str, Any], number: int) -> dict[str, Any]:
        """Return the values of a table that are right; say what is wrong with the others."""
        values: dict[str, Any] = {}
        for name, value in entry.items():
            key = BY_PATH.get(f"{table}.{name}")
            if key is None:
                known = [one.name for one in KEYS if one.table == table]
                self._wrong(table, name, f"there is no such key{did_you_mean(name, known)}", number)
                continue
            try:
                values[name] = key.check(value)
            except WrongValueError as error:
                self._wrong(table, name, str(error), number)
        return values

    def _at(self, table: str, name: str, number: int) -> str:
        line = self._places.line_of(table, name, number)
        return f"{self._file}:{line}" if line else str(self._file)

    def _wrong(self, table: str, name: str, what: str, number: int = 0, *, named: bool = True) -> None:
        self._wrongs += 1
        if self._wrongs > _MOST_PROBLEMS:
            raise _TooManyError
        path = ".".join(part for part in (table, name) if part)
        said = f"{path}: {what}" if named else what
        self._into.problems.append(f"{self._at(table, name, number)}: {said}")
