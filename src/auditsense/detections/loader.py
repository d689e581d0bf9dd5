"""Detections from TOML: the shipped ones, and those of a path.

Every error names the file, the key and what is expected there.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from auditsense._file_trust import read_trusted_text
from auditsense._resources import packaged_names, packaged_text
from auditsense._toml import TomlError
from auditsense._toml import parse as parse_toml
from auditsense.detections.compiler import MOST_MATCHES, compile_one
from auditsense.detections.exceptions import exception_from, with_exceptions
from auditsense.detections.fields import HOST
from auditsense.detections.model import Detection, DetectionException, Named, Severity, Threat, Window
from auditsense.detections.toml_reader import Table, conditions, duration_ms
from auditsense.errors import DetectionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from os import PathLike
    from pathlib import Path

_MOST_RISK = 100
_MOST_FILES = 4096  # of a folder


def _named(where: str, table: object) -> Named:
    entry = Table(where, table)
    named = Named(entry.take("id", str), entry.take("name", str), entry.take("reference", str))
    entry.done()
    return named


def _threat(where: str, table: object) -> Threat:
    entry = Table(where, table)
    threat = Threat(
        _named(f"{where}.tactic", entry.take("tactic", dict)),
        tuple(_named(f"{where}.technique", row) for row in entry.take("technique", list, [])),
    )
    entry.done()
    return threat


def _window(where: str, table: object) -> Window:
    entry = Table(where, table)
    matches = entry.take("matches", int)
    if not 1 <= matches <= MOST_MATCHES:
        raise DetectionError(f"{where}: matches must be 1 to {MOST_MATCHES}, not {matches}")
    by = entry.strings("by")
    window = Window(
        by if HOST in by else (*by, HOST),
        matches,
        duration_ms(where, entry.take("within", str)),
    )
    entry.done()
    return window


def parse(text: str, where: str) -> Detection:
    """Read one detection.

    Args:
        text: the TOML.
        where: the file's name, for errors.

    Raises:
        DetectionError: it is no TOML, or not a detection.
    """
    return from_table(_toml(text, where), where)


def _toml(text: str, where: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except TomlError as error:
        raise DetectionError(f"{where}: {error}") from None


def from_table(document: dict[str, Any], where: str) -> Detection:
    """Read one detection from what its TOML would hold.

    Args:
        document: the keys and values of the file.
        where: what to call it in errors.

    Raises:
        DetectionError: it is not a detection.
    """
    entry = Table(where, document)
    severity = entry.take("severity", str)
    if severity not in list(Severity):
        raise DetectionError(f"{where}: severity must be one of {', '.join(Severity)}")
    risk_score = entry.take("risk_score", int)
    if not 0 <= risk_score <= _MOST_RISK:
        raise DetectionError(f"{where}: risk_score must be 0 to {_MOST_RISK}, not {risk_score}")
    match = Table(f"{where}: match", given := entry.take("match", dict))
    if not given:
        raise DetectionError(
            f"{where}: match must have at least one field; without any all events would match"
        )
    name = entry.take("id", str)
    detection = Detection(
        id=name,
        name=entry.take("name", str),
        version=entry.take("version", int),
        severity=Severity(severity),
        risk_score=risk_score,
        description=entry.take("description", str, "").strip(),
        audit_rule=entry.take("audit_rule", str),
        references=entry.strings("references"),
        tags=entry.strings("tags"),
        false_positives=entry.strings("false_positives"),
        threat=tuple(_threat(f"{where}: threat", row) for row in entry.take("threat", list, [])),
        match=conditions(f"{where}: match", match),
        window=_window(f"{where}: window", entry.take("window", dict)),
        note=entry.take("note", str, "").strip(),
        investigate=entry.strings("investigate"),
        respond=entry.strings("respond"),
        exceptions=tuple(
            exception_from(row, f"{where}: exception {n}", detection=name, origin=where)
            for n, row in enumerate(entry.take("exception", list, []), start=1)
        ),
    )
    entry.done()
    try:
        compile_one(detection, merge_ms=0)
    except DetectionError as error:
        raise DetectionError(f"{where}: {error}") from None
    return detection


def load_detections(path: str | PathLike[str]) -> list[Detection]:
    """Load the detection of a file, or all `*.toml` of a folder in the order of their names.

    Root loads only files that root alone may write: a detection decides what is seen, and which audit
    rule the kernel gets.

    Args:
        path: a file of 1 MiB at most, or a folder of 4,096 files at most.

    Raises:
        DetectionError: it cannot be read, holds no detection, or others may write it.
        UsageError: *path* is not a path.
    """
    return [parse(_read(file), str(file)) for file in _files(_path(path))]


def _path(path: object) -> Path:
    from pathlib import Path  # noqa: PLC0415 - most commands load no file, and it loads slowly

    try:
        return Path(path)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(
            f"a path is a string or a pathlib.Path, not {type(path).__name__}: name one file or folder"
        ) from None


def _files(path: Path) -> list[Path]:
    """Return the file, or those of a folder in the order of their names."""
    try:
        files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    except OSError as error:
        raise DetectionError(f"{path}: {error.strerror}") from None
    if not files:
        raise DetectionError(f"{path}: no .toml file in this folder")
    if len(files) > _MOST_FILES:
        raise DetectionError(f"{path}: more than {_MOST_FILES} files; name another folder")
    return files


def load_exceptions(path: str | PathLike[str]) -> list[DetectionException]:
    """Load the exceptions of a file that holds nothing else; each names its detection.

    Args:
        path: a file of 1 MiB at most. Root loads only a file that root alone may write.

    Raises:
        DetectionError: it cannot be read, holds something else, or others may write it.
        UsageError: *path* is not a path.
    """
    file = _path(path)
    return _exceptions(_toml(_read(file), str(file)), str(file), str(file))


def _exceptions(document: dict[str, Any], where: str, origin: str) -> list[DetectionException]:
    entry = Table(where, document)
    rows = entry.take("exception", list)
    entry.done()
    return [exception_from(row, f"{where}: exception {n}", origin=origin) for n, row in enumerate(rows, 1)]


def known_harmless() -> list[DetectionException]:
    """Return the exceptions that come with the package, for `with_exceptions`; none is in force unasked."""
    folder = "detections/harmless"
    return [
        one
        for name in packaged_names(folder, ".toml")
        for one in _exceptions(
            tomllib.loads(packaged_text(f"{folder}/{name}")), name, f"known harmless, {name}"
        )
    ]


def quiet(
    detections: Sequence[Detection], paths: Iterable[str], *, known_harmless_too: bool
) -> tuple[Detection, ...]:
    """Return the detections with the exceptions of these files, and the known harmless ones if asked for.

    A known harmless exception of a detection that is not looked for is left out.

    Raises:
        DetectionError: as `load_exceptions` and `with_exceptions`.
    """
    ids = {one.id for one in detections}
    harmless = [one for one in known_harmless() if one.detection in ids] if known_harmless_too else []
    given = [one for path in paths_of(paths) for one in load_exceptions(path)]
    return with_exceptions(detections, (*harmless, *given))


def paths_of(given: Iterable[str]) -> list[Path]:
    """Return names of files and folders as paths."""
    names = list(given)
    if not names:
        return []
    from pathlib import Path  # noqa: PLC0415 - most commands are given none, and it loads slowly

    return [Path(name) for name in names]


def _read(path: Path) -> str:
    try:
        return read_trusted_text(path, always=False)
    except UsageError as error:
        raise DetectionError(str(error)) from None


def shipped_detections() -> list[Detection]:
    """Return the detections that come with the package."""
    names = packaged_names("detections", ".toml")
    return [from_table(tomllib.loads(packaged_text(f"detections/{name}")), name) for name in names]
