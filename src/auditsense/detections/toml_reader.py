"""A TOML table that is read key by key, and the values that several kinds of table hold.

Every error names the table, the key and what is expected there.
"""

from __future__ import annotations

import re
from typing import Any

from auditsense.detections.compiler import MOST_SPAN_MS
from auditsense.detections.fields import nearest
from auditsense.detections.model import Comparison, Condition
from auditsense.errors import DetectionError

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_KINDS: dict[type, str] = {
    str: "a string",
    int: "a whole number",
    list: "a list",
    dict: "a table",
    bool: "true or false",
}
_ALL_BITS = 0xFFFF_FFFF_FFFF_FFFF
_COMPARISONS = {
    "is": (Comparison.IS, False),
    "is_not": (Comparison.IS, True),
    "like": (Comparison.LIKE, False),
    "not_like": (Comparison.LIKE, True),
    "number": (Comparison.NUMBER, False),
    "not_number": (Comparison.NUMBER, True),
    "open_flags": (Comparison.OPEN_FLAGS, False),
    "exists": (Comparison.EXISTS, False),
}
# What others call them.
_OTHER_WORDS = {
    "one_of": "use is with a list",
    "not_one_of": "use is_not with a list",
    "matches": "use like",
    "wildcard": "use like",
    "cidr": "no field that the sensor keeps holds a network address",
}


class Table:
    """A TOML table that is read key by key; what nobody read is an error."""

    def __init__(self, where: str, table: object) -> None:
        """Take *table*, called *where* in errors."""
        if not isinstance(table, dict):
            raise DetectionError(f"{where}: expected a table")
        self.where = where
        self._table: dict[str, Any] = dict(table)
        self._known: list[str] = []

    def take(self, key: str, kind: type, default: object = None) -> Any:  # noqa: ANN401 - TOML's own
        """Return the value of a key; one without a default must be there."""
        value = self.take_any(key, default)
        if value is None:
            raise DetectionError(f"{self.where}: {key} is missing")
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise DetectionError(f"{self.where}: {key} must be {_KINDS[kind]}")
        return value

    def take_any(self, key: str, default: object = None) -> Any:  # noqa: ANN401 - TOML's own
        """Return the value of a key, of whatever kind it is; the default where it is missing."""
        self._known.append(key)
        return self._table.pop(key, default)

    def strings(self, key: str) -> tuple[str, ...]:
        """Return a list of strings; an empty one where the key is missing."""
        values = self.take(key, list, [])
        if not all(isinstance(value, str) for value in values):
            raise DetectionError(f"{self.where}: {key} must be a list of strings")
        return tuple(values)

    def items(self) -> list[tuple[str, Any]]:
        """Return all that was not taken yet, as taken."""
        items = list(self._table.items())
        self._table.clear()
        return items

    def done(self) -> None:
        """Raise for what nobody has taken."""
        for key in self._table:
            raise DetectionError(f"{self.where}: unknown key {key}{nearest(key, self._known)}")


def duration_ms(where: str, text: str) -> int:
    """Return a duration such as 5s in ms."""
    found = re.fullmatch(r"(\d{1,8})(ms|s|m|h)", text)
    span = int(found[1]) * _UNITS_MS[found[2]] if found else 0
    if not 1 <= span <= MOST_SPAN_MS:
        raise DetectionError(f"{where}: {text!r} is no duration from 1ms to 24h, such as 5s or 500ms")
    return span


def conditions(where: str, match: Table) -> tuple[Condition, ...]:
    """Return the comparisons that a table of fields holds.

    Args:
        where: what stands before each field's name in errors.
        match: the rest of it is taken.
    """
    return tuple(
        condition
        for name, value in match.items()
        for condition in _conditions(f"{where}.{name}", name, value)
    )


def _values(where: str, value: object, kind: type) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(not isinstance(v, kind) or isinstance(v, bool) for v in values):
        raise DetectionError(f"{where}: expected {_KINDS[kind]} or a list of them")
    return tuple(values)


def _number(where: str, number: int, *, least: int) -> int:
    if not least <= number <= _ALL_BITS:
        raise DetectionError(f"{where}: must be {least} to {_ALL_BITS:#x}, not {number}")
    return number


def _comparison(where: str, key: str) -> tuple[Comparison, bool]:
    if key not in _COMPARISONS:
        hint = f"; {_OTHER_WORDS[key]}" if key in _OTHER_WORDS else nearest(key, [*_COMPARISONS, "mask"])
        raise DetectionError(f"{where}: no comparison {key}{hint}")
    return _COMPARISONS[key]


def _conditions(where: str, name: str, value: object) -> list[Condition]:
    if not isinstance(value, dict):
        return [Condition(name, Comparison.IS, _values(where, value, str))]
    entry = Table(where, value)
    mask = _number(f"{where}.mask", entry.take("mask", int, _ALL_BITS), least=1)
    if "mask" in value and not {"number", "not_number"} & value.keys():
        raise DetectionError(f"{where}: a mask is for number and not_number only")
    found = []
    for key, operand in entry.items():
        comparison, negated = _comparison(where, key)
        if comparison is Comparison.EXISTS:
            if not isinstance(operand, bool):
                raise DetectionError(f"{where}.exists: expected true or false")
            found.append(Condition(name, comparison, (), not operand))
            continue
        values = _values(f"{where}.{key}", operand, int if comparison is Comparison.NUMBER else str)
        if comparison is Comparison.NUMBER:
            values = tuple(_number(f"{where}.{key}", number, least=-(2**63)) for number in values)
        found.append(Condition(name, comparison, values, negated, mask))
    if not found:
        raise DetectionError(f"{where}: expected a comparison, one of {', '.join(_COMPARISONS)}")
    return found
