"""Load configuration files as checked values, each with its origin.

Rule 1: every error of every file is reported with its file and line, up to 100 per file.
Rule 2: a file that other users could have written is refused, also when the reader is not root.
Rule 3: of two files that set a key, the later one wins; repeated tables add up.
Rule 4: the time to check a file is bounded by its size: a running sensor waits for it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from auditsense._file_trust import read_trusted_text
from auditsense._frozen import Frozen
from auditsense._toml import Places, TomlError, parse
from auditsense._values import WrongValueError, did_you_mean
from auditsense.config.keys import BY_PATH, KEYS, REPEATED, TABLES
from auditsense.errors import ConfigError, UsageError

FOLDER: Final = Path("/etc/auditsense")
DETECTIONS: Final = "detections.d"
"""Folder of detections next to the default files."""
_MAX_PROBLEMS: Final = 100  # of one file


@dataclass(slots=True, eq=False, repr=False)
class ConfigValue(Frozen):
    """A value and its origin.

    Attributes:
        value: as `Key.check` returned it.
        origin: "FILE:LINE", or the flag.
    """

    value: Any
    origin: str


@dataclass(slots=True, eq=False, repr=False)
class TableEntry(Frozen):
    """One occurrence of a repeated table.

    Attributes:
        values: by name of the key; only those that are set.
        origin: "FILE:LINE" of the table.
    """

    values: dict[str, Any]
    origin: str


@dataclass(slots=True)
class LoadedConfig:
    """Content of the files.

    Attributes:
        files: those that were read, in order.
        values: by path of the key; only those that are set.
        tables: repeated tables by name, in the order of the files.
        detections: folder of detections that belongs to the default files; None: there is none.
        problems: one line each.
    """

    files: list[Path] = field(default_factory=list)
    values: dict[str, ConfigValue] = field(default_factory=dict)
    tables: dict[str, list[TableEntry]] = field(default_factory=dict)
    detections: Path | None = None
    problems: list[str] = field(default_factory=list)


def config_files(only: str | None, folder: Path = FOLDER) -> list[Path]:
    """Return the files to read: only the given one, or those that exist in the folder.

    Raises:
        ConfigError: the folder cannot be read.
    """
    if only is not None:
        return [Path(only)]
    main = folder / "auditsense.toml"
    more = folder / "conf.d"
    try:
        files = [main] if _exists(main) else []
        return files + (sorted(more.glob("*.toml")) if _exists(more) and os.listdir(more) else [])  # noqa: PTH208 - glob hides an unreadable folder
    except OSError as error:
        raise ConfigError([f"{error.filename or folder}: {error.strerror}"]) from None


def load_default(only: str | None, folder: Path = FOLDER) -> LoadedConfig:
    """Read only the given file; None: all of the folder, with its detections.

    Raises:
        ConfigError: the folder cannot be read.
    """
    config = load_files(config_files(only, folder))
    detections = folder / DETECTIONS
    try:
        if only is None and _exists(detections):
            config.detections = detections
            config.files.append(detections)
    except OSError as error:
        config.problems.append(f"{detections}: {error.strerror}")
    return config


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def load_files(files: list[Path], only_table: str = "") -> LoadedConfig:
    """Read files; later ones override earlier ones.

    Args:
        files: in order.
        only_table: ignore all other tables; "": read all.
    """
    config = LoadedConfig()
    for file in files:
        try:
            text = read_trusted_text(file, always=True)
            document = parse(text)
        except UsageError as error:
            config.problems.append(str(error))
            continue
        except TomlError as error:
            place = f"{file}:{error.line}" if error.line else str(file)
            config.problems.append(f"{place}: {error.reason}")
            continue
        config.files.append(file)
        try:
            _FileReader(file, text, config).read(
                {name: entry for name, entry in document.items() if only_table in ("", name)}
            )
        except _TooManyProblemsError:
            config.problems.append(f"{file}: more than {_MAX_PROBLEMS} problems; the rest is not checked")
    return config


class _TooManyProblemsError(Exception):
    """The file has more problems than are worth listing."""


class _FileReader:
    """Adds one file's document to a configuration."""

    def __init__(self, file: Path, text: str, config: LoadedConfig) -> None:
        self._file = file
        self._places = Places(text)
        self._config = config
        self._problems = 0

    def read(self, document: dict[str, Any]) -> None:
        for table, entry in document.items():
            is_table = isinstance(entry, dict | list)
            if table in TABLES:
                self._read_table(table, entry)
            elif table in REPEATED:
                self._read_repeated(table, entry)
            elif not is_table and (homes := [key.table for key in KEYS if key.name == table]):
                self._report("", table, f"{table}: belongs into a table: [{homes[0]}]")
            else:
                problem = f"there is no table {table}{did_you_mean(table, [*TABLES, *REPEATED])}"
                self._report(table if is_table else "", "" if is_table else table, problem)

    def _read_table(self, table: str, entry: object) -> None:
        if not isinstance(entry, dict):
            self._report(table, "", f"{table}: must be one table, [{table}]")
            return
        for name, value in self._checked(table, entry, 0).items():
            self._config.values[f"{table}.{name}"] = ConfigValue(value, self._origin(table, name, 0))

    def _read_repeated(self, table: str, entry: object) -> None:
        if not isinstance(entry, list) or not all(isinstance(item, dict) for item in entry):
            self._report(
                table, "", f"{table}: must be written as [[{table}]], because it may appear several times"
            )
            return
        for number, item in enumerate(entry):
            values = self._checked(table, item, number)
            for key in KEYS:
                if key.table == table and key.required and key.name not in item:
                    self._report(table, "", f"{table}: {key.name} is missing", number)
            origin = self._origin(table, "", number)
            self._config.tables.setdefault(table, []).append(TableEntry(values, origin))

    def _checked(self, table: str, entry: dict[str, Any], number: int) -> dict[str, Any]:
        """Return the valid values of a table; report the others."""
        values: dict[str, Any] = {}
        for name, value in entry.items():
            path = f"{table}.{name}"
            key = BY_PATH.get(path)
            if key is None:
                known = [key.name for key in KEYS if key.table == table]
                self._report(table, name, f"{path}: there is no such key{did_you_mean(name, known)}", number)
                continue
            try:
                values[name] = key.check(value)
            except WrongValueError as error:
                self._report(table, name, f"{path}: {error}", number)
        return values

    def _origin(self, table: str, name: str, number: int) -> str:
        line = self._places.line_of(table, name, number)
        return f"{self._file}:{line}" if line else str(self._file)

    def _report(self, table: str, name: str, problem: str, number: int = 0) -> None:
        self._problems += 1
        if self._problems > _MAX_PROBLEMS:
            raise _TooManyProblemsError
        self._config.problems.append(f"{self._origin(table, name, number)}: {problem}")
