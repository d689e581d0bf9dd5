"""Tables of a detection file. Every error names the table, the key and what is expected there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from auditsense._values import WrongValueError, did_you_mean, shown, table, whole
from auditsense.detections.model import Comparison, Condition
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")
_P = ParamSpec("_P")
_ALL_BITS: Final = 0xFFFF_FFFF_FFFF_FFFF
_COMPARISONS: Final = {
    "is": (Comparison.IS, False),
    "is_not": (Comparison.IS, True),
    "like": (Comparison.LIKE, False),
    "not_like": (Comparison.LIKE, True),
    "number": (Comparison.NUMBER, False),
    "not_number": (Comparison.NUMBER, True),
    "open_flags": (Comparison.OPEN_FLAGS, False),
    "exists": (Comparison.EXISTS, False),
}
# Names of other tools.
_OTHER_WORDS: Final = {
    "one_of": "use is with a list",
    "not_one_of": "use is_not with a list",
    "matches": "use like",
    "wildcard": "use like",
    "cidr": "no field that the sensor keeps holds a network address",
}


class TomlTable:
    """A TOML table that is read key by key; a key that was not read is an error.

    Args:
        where: its name in errors.
        value: the table.
    """

    def __init__(self, where: str, value: object) -> None:
        self.where = where
        try:
            self._table = dict(table(value))
        except WrongValueError:
            raise DetectionError(f"{where}: expected a table") from None
        self._known: list[str] = []

    def read(
        self, key: str, check: Callable[Concatenate[object, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return the value of a key that must be there, as a function of `_values` returns it."""
        value = self.read_any(key)
        if value is None:
            raise DetectionError(f"{self.where}: {key} is missing")
        try:
            return check(value, *args, **kwargs)
        except WrongValueError as error:
            raise DetectionError(f"{self.where}: {key} {error}") from None

    def optional(self, key: str, check: Callable[[object], _T], default: Any) -> _T:  # noqa: ANN401 - as of check
        """Return the value of a key, or the default if the key is missing."""
        if key in self._table:
            return self.read(key, check)
        self._known.append(key)
        value: _T = default
        return value

    def read_any(self, key: str) -> Any:  # noqa: ANN401 - TOML's own
        """Return the unchecked value of a key; None if it is missing."""
        self._known.append(key)
        return self._table.pop(key, None)

    def rest(self) -> list[tuple[str, Any]]:
        """Return all keys that were not read yet, as read."""
        rest = [*self._table.items()]
        self._table.clear()
        return rest

    def done(self) -> None:
        """Raise an error for a key that was not read."""
        for key in self._table:
            raise DetectionError(f"{self.where}: unknown key {key}{did_you_mean(key, self._known)}")


def conditions(where: str, match: TomlTable) -> tuple[Condition, ...]:
    """Return the comparisons in a table of fields.

    Args:
        where: precedes each field's name in errors.
        match: the unread keys are taken.
    """
    return tuple(
        condition for name, value in match.rest() for condition in _conditions(f"{where}.{name}", name, value)
    )


def _values(where: str, value: object, kind: type) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(not isinstance(item, kind) or isinstance(item, bool) for item in values):
        expected = "a whole number" if kind is int else "a string"
        raise DetectionError(f"{where}: expected {expected} or a list of them")
    return tuple(values)


def _bounded(where: str, number: int, *, least: int) -> int:
    if not least <= number <= _ALL_BITS:
        raise DetectionError(f"{where}: must be {least} to {_ALL_BITS:#x}, not {number}")
    return number


def _comparison(where: str, key: str) -> tuple[Comparison, bool]:
    if key not in _COMPARISONS:
        known = [*_COMPARISONS, "mask"]
        hint = f"; {_OTHER_WORDS[key]}" if key in _OTHER_WORDS else did_you_mean(key, known)
        raise DetectionError(f"{where}: no comparison {key}{hint}")
    return _COMPARISONS[key]


def _equal(where: str, name: str, value: object) -> Condition:
    """Return the comparison with plain values, which have no wildcards."""
    values = _values(where, value, str)
    for item in values:
        if "*" in item:
            raise DetectionError(
                f"{where}: {shown(item)} would be compared exactly; for a wildcard use like, "
                f"as in {{ like = {shown(item)} }}, and for a literal * use is"
            )
    return Condition(name, Comparison.IS, values)


def _conditions(where: str, name: str, value: object) -> list[Condition]:
    if not isinstance(value, dict):
        return [_equal(where, name, value)]
    entry = TomlTable(where, value)
    mask = _bounded(f"{where}.mask", entry.optional("mask", whole, _ALL_BITS), least=1)
    if "mask" in value and not {"number", "not_number"} & value.keys():
        raise DetectionError(f"{where}: a mask is for number and not_number only")
    comparisons = []
    for key, operand in entry.rest():
        comparison, negated = _comparison(where, key)
        if comparison is Comparison.EXISTS:
            if not isinstance(operand, bool):
                raise DetectionError(f"{where}.exists: expected true or false")
            comparisons.append(Condition(name, comparison, (), not operand))
            continue
        values = _values(f"{where}.{key}", operand, int if comparison is Comparison.NUMBER else str)
        if comparison is Comparison.NUMBER:
            values = tuple(_bounded(f"{where}.{key}", number, least=-(2**63)) for number in values)
        comparisons.append(Condition(name, comparison, values, negated, mask))
    if not comparisons:
        raise DetectionError(f"{where}: expected a comparison, one of {', '.join(_COMPARISONS)}")
    return comparisons
