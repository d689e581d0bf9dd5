"""Detections from TOML: the shipped ones, and those of a path.

Every error names the file, the key and what is expected there.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any

from auditsense.detections.compile import MOST_MATCHES, MOST_SPAN_MS, compile_one
from auditsense.detections.fields import HOST, nearest
from auditsense.detections.model import (
    Comparison,
    Condition,
    Detection,
    Named,
    Severity,
    Threat,
    Window,
)
from auditsense.errors import DetectionError

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_MOST_RISK = 100
_KINDS: dict[type, str] = {str: "a string", int: "a whole number", list: "a list", dict: "a table"}
_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF
_COMPARISONS = {
    "is": (Comparison.IS, False),
    "is_not": (Comparison.IS, True),
    "like": (Comparison.LIKE, False),
    "not_like": (Comparison.LIKE, True),
    "number": (Comparison.NUMBER, False),
    "not_number": (Comparison.NUMBER, True),
}


class _Table:
    """A TOML table that is read key by key; what nobody read is an error."""

    def __init__(self, where: str, table: object) -> None:
        if not isinstance(table, dict):
            raise DetectionError(f"{where}: expected a table")
        self.where = where
        self._table: dict[str, Any] = dict(table)
        self._known: list[str] = []

    def take(self, key: str, kind: type, default: object = None) -> Any:  # noqa: ANN401 - TOML's own
        self._known.append(key)
        value = self._table.pop(key, default)
        if value is None:
            raise DetectionError(f"{self.where}: {key} is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise DetectionError(f"{self.where}: {key} must be {_KINDS[kind]}")
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise DetectionError(f"{self.where}: {key} must be a list of strings")
        return tuple(values)

    def items(self) -> list[tuple[str, Any]]:
        items = list(self._table.items())
        self._table.clear()
        return items

    def done(self) -> None:
        for key in self._table:
            raise DetectionError(f"{self.where}: unknown key {key}{nearest(key, self._known)}")


def _duration_ms(where: str, text: str) -> int:
    found = re.fullmatch(r"(\d{1,8})(ms|s|m|h)", text)
    span = int(found[1]) * _UNITS_MS[found[2]] if found else 0
    if not 1 <= span <= MOST_SPAN_MS:
        raise DetectionError(f"{where}: {text!r} is no duration from 1ms to 24h, such as 5s or 500ms")
    return span


def _values(where: str, value: object, kind: type) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(not isinstance(v, kind) or isinstance(v, bool) for v in values):
        raise DetectionError(f"{where}: expected {_KINDS[kind]} or a list of them")
    return tuple(values)


def _number(where: str, number: int, *, least: int) -> int:
    if not least <= number <= _ALL_BITS:
        raise DetectionError(f"{where}: must be {least} to {_ALL_BITS:#x}, not {number}")
    return number


def _conditions(where: str, name: str, value: object) -> list[Condition]:
    if not isinstance(value, dict):
        return [Condition(name, Comparison.IS, _values(where, value, str))]
    entry = _Table(where, value)
    mask = _number(f"{where}.mask", entry.take("mask", int, _ALL_BITS), least=1)
    if "mask" in value and not {"number", "not_number"} & value.keys():
        raise DetectionError(f"{where}: a mask is for number and not_number only")
    conditions = []
    for key, operand in entry.items():
        if key not in _COMPARISONS:
            hint = nearest(key, [*_COMPARISONS, "mask"])
            raise DetectionError(f"{where}: no comparison {key}{hint}")
        comparison, negated = _COMPARISONS[key]
        kind = int if comparison is Comparison.NUMBER else str
        values = _values(f"{where}.{key}", operand, kind)
        if comparison is Comparison.NUMBER:
            values = tuple(_number(f"{where}.{key}", number, least=-(2**63)) for number in values)
        conditions.append(Condition(name, comparison, values, negated, mask))
    if not conditions:
        raise DetectionError(f"{where}: expected a comparison, one of {', '.join(_COMPARISONS)}")
    return conditions


def _named(where: str, table: object) -> Named:
    entry = _Table(where, table)
    named = Named(entry.take("id", str), entry.take("name", str), entry.take("reference", str))
    entry.done()
    return named


def _threat(where: str, table: object) -> Threat:
    entry = _Table(where, table)
    threat = Threat(
        _named(f"{where}.tactic", entry.take("tactic", dict)),
        tuple(_named(f"{where}.technique", row) for row in entry.take("technique", list, [])),
    )
    entry.done()
    return threat


def _window(where: str, table: object) -> Window:
    entry = _Table(where, table)
    matches = entry.take("matches", int)
    if not 1 <= matches <= MOST_MATCHES:
        raise DetectionError(f"{where}: matches must be 1 to {MOST_MATCHES}, not {matches}")
    by = entry.strings("by")
    window = Window(
        by if HOST in by else (*by, HOST),
        matches,
        _duration_ms(where, entry.take("within", str)),
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
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DetectionError(f"{where}: {error}") from None
    return from_table(document, where)


def from_table(document: dict[str, Any], where: str) -> Detection:
    """Read one detection from what its TOML would hold.

    Args:
        document: the keys and values of the file.
        where: what to call it in errors.

    Raises:
        DetectionError: it is not a detection.
    """
    entry = _Table(where, document)
    severity = entry.take("severity", str)
    if severity not in list(Severity):
        raise DetectionError(f"{where}: severity must be one of {', '.join(Severity)}")
    risk_score = entry.take("risk_score", int)
    if not 0 <= risk_score <= _MOST_RISK:
        raise DetectionError(f"{where}: risk_score must be 0 to {_MOST_RISK}, not {risk_score}")
    match = _Table(f"{where}: match", entry.take("match", dict))
    detection = Detection(
        id=entry.take("id", str),
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
        match=tuple(
            condition
            for name, value in match.items()
            for condition in _conditions(f"{where}: match.{name}", name, value)
        ),
        window=_window(f"{where}: window", entry.take("window", dict)),
    )
    entry.done()
    try:
        compile_one(detection, merge_ms=0)
    except DetectionError as error:
        raise DetectionError(f"{where}: {error}") from None
    return detection


def load(path: Path) -> list[Detection]:
    """Load the detection of a file, or all `*.toml` of a folder in the order of their names.

    Root loads only what root alone may write: whoever can change a detection decides what is seen,
    and which audit rule the kernel gets.

    Raises:
        DetectionError: it cannot be read, holds no detection, or others may write it.
    """
    if os.geteuid() == 0:
        _refuse_folders(path)
    files = sorted(path.glob("*.toml")) if path.is_dir() else [path]
    if not files:
        raise DetectionError(f"{path}: no .toml file in this folder")
    detections = []
    for file in files:
        try:
            text = _read(file)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise DetectionError(f"{file}: {reason}") from None
        detections.append(parse(text, str(file)))
    return detections


def _read(path: Path) -> str:
    if os.geteuid() == 0 and path.is_symlink():
        _refuse_folders(path)  # of what it leads to
    with path.open(encoding="utf-8") as file:
        if os.geteuid() == 0:  # asked of the open file: it cannot be another one by now
            _refuse_others(path, os.fstat(file.fileno()))
        return file.read()


def _refuse_folders(path: Path) -> None:
    """Raise when somebody but root could put another file there, or another folder above it.

    In a folder above, as /tmp, the sticky bit is enough: what lies there stays its owner's.
    """
    try:
        places = [path.parent.resolve(), path.resolve() if path.is_dir() else path.resolve().parent]
        for place in places:
            _refuse_others(place, place.stat())
            for above in place.parents:
                status = above.stat()
                if not status.st_mode & stat.S_ISVTX:
                    _refuse_others(above, status)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise DetectionError(f"{path}: {reason}") from None


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if status.st_uid == 0 and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return
    who = f"user {status.st_uid}" if status.st_uid else "others"
    raise DetectionError(f"{path}: {who} may change it; root loads only what root alone may write")


def shipped() -> list[Detection]:
    """Return the detections that come with the package."""
    files = sorted(Path(__file__).parent.glob("*.toml"))
    return [parse(file.read_text(encoding="utf-8"), file.name) for file in files]
