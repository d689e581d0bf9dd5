"""Tables of a detection file. Every error names the table, the key and what is expected there.

All mistakes of a file are collected, so that one run of `detections check` shows them all.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from auditsense._values import (
    WrongValueError,
    choice,
    did_you_mean,
    duration_ms,
    items,
    shown,
    table,
    text,
    texts,
    whole,
)
from auditsense.detections.model import ALL_BITS, AnyOf, Comparison, Condition, Match, NoneOf
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_T = TypeVar("_T")
_P = ParamSpec("_P")
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


# Stands for a wrong value, so that the rest of the table can be checked; it is never used further.
_INSTEAD: Final[dict[object, Any]] = {text: "", texts: (), whole: 1, duration_ms: 1, items: [], table: {}}
_MOST_MISTAKES: Final = 20  # of one file


class Mistakes:
    """Mistakes of one file, raised together.

    Args:
        origin: what every message begins with.
        source: the TOML, for line numbers; "": there is none.
        error: kind of error that `check` raises.
    """

    def __init__(self, origin: str, source: str = "", error: type[DetectionError] = DetectionError) -> None:
        self._error = error
        self._origin = origin
        self._source = source
        self._mistakes: list[tuple[str, str, int, str]] = []

    def __len__(self) -> int:
        return len(self._mistakes)

    def add(self, problem: str, name: str = "", key: str = "", number: int = 0) -> None:
        """Add a mistake.

        Args:
            problem: one sentence; it may begin with the origin.
            name: of the table; "": before all tables.
            key: at fault; "": the table itself.
            number: which of several tables of this name, from 0.
        """
        self._mistakes.append((name, key, number, problem.removeprefix(f"{self._origin}: ")))

    @contextmanager
    def collected(self, name: str = "", key: str = "", number: int = 0) -> Iterator[None]:
        """Add the error of the block instead of raising it. See `add`."""
        try:
            yield
        except DetectionError as error:
            for problem in problems_of(error):
                self.add(problem, name, key, number)

    def check(self) -> None:
        """Raise what was added, in the order of the file; further mistakes are notes of the first.

        Raises:
            DetectionError: there is a mistake.
        """
        if not self._mistakes:
            return
        from auditsense._toml import Places  # noqa: PLC0415 - for errors only

        places = Places(self._source)
        placed = [
            (places.line_of(name, key, number) or places.line_of(key), problem)
            for name, key, number, problem in self._mistakes
        ]
        placed.sort(key=lambda mistake: mistake[0])
        lines = [f"{self._origin}{f':{line}' if line else ''}: {problem}" for line, problem in placed]
        error = self._error(lines[0])
        for line in lines[1:_MOST_MISTAKES]:
            error.add_note(line)
        if len(lines) > _MOST_MISTAKES:
            error.add_note(f"{self._origin}: {len(lines) - _MOST_MISTAKES} more mistakes")
        raise error


def problems_of(error: DetectionError) -> tuple[str, ...]:
    """Return all mistakes that an error reports: its message and its notes."""
    return (str(error), *getattr(error, "__notes__", ()))


class TomlTable:
    """A TOML table that is read key by key; a key that was not read is a mistake.

    Args:
        where: its name in errors.
        value: the table.
        mistakes: collects the mistakes; None: each is raised at once, also by `done`.
        name: of the table in the file, for its line.
        number: which of several tables of this name, from 0.

    Raises:
        DetectionError: it is not a table.
    """

    def __init__(
        self, where: str, value: object, mistakes: Mistakes | None = None, *, name: str = "", number: int = 0
    ) -> None:
        self.where = where
        self._mistakes = mistakes
        self._name = name
        self._number = number
        try:
            self._table = dict(table(value))
        except WrongValueError:
            raise DetectionError(f"{where}: expected a table") from None
        self._known: list[str] = []
        self._missing: list[str] = []

    def read(
        self, key: str, check: Callable[Concatenate[object, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Return the value of a key that must be there, as a function of `_values` returns it.

        If mistakes are collected, the value of a key that is missing or wrong stands for nothing.
        """
        value = self.read_any(key)
        if value is None:
            self._missing.append(key)  # reported by `done`, which knows the keys that were not read
        else:
            try:
                return check(value, *args, **kwargs)
            except WrongValueError as error:
                self._report(key, f"{key} {error}")
        instead: _T = next(iter(args[0])) if check is choice else _INSTEAD.get(check)  # type: ignore[call-overload,assignment]
        return instead

    def optional(self, key: str, check: Callable[[object], _T], default: Any) -> _T:  # noqa: ANN401 - as of check
        """Return the value of a key, or the default if the key is missing."""
        if key in self._table:
            return self.read(key, check)
        self._known.append(key)
        value: _T = default
        return value

    def read_table(self, key: str) -> tuple[dict[str, Any], Mistakes]:
        """Return the table of a key that must be there, and what collects its mistakes.

        What is wrong with the substitute of a missing table is no mistake.
        """
        value = self.read(key, table)
        substitute = value is _INSTEAD[table]
        return value, Mistakes("") if substitute or self._mistakes is None else self._mistakes

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
        """Report the keys that were not read, and those that are missing."""
        for number, key in enumerate(self._table):
            # Looking for a similar name takes most of the time; what is not shown needs none.
            remedy = did_you_mean(key, [*self._missing, *self._known]) if number < _MOST_MISTAKES else ""
            misspelt = [name for name in self._missing if remedy == f"; did you mean {name}?"]
            self._missing = [name for name in self._missing if name not in misspelt]
            self._report(key, f"unknown key {key}{remedy}")
        if self._missing:
            verb = "is" if len(self._missing) == 1 else "are"
            self._report("", f"{', '.join(self._missing)} {verb} missing")

    def _report(self, key: str, problem: str) -> None:
        if self._mistakes is None:
            raise DetectionError(f"{self.where}: {problem}")
        self._mistakes.add(f"{self.where}: {problem}", self._name, key, self._number)


def conditions(where: str, match: TomlTable, mistakes: Mistakes | None = None) -> tuple[Condition, ...]:
    """Return the comparisons in a table of fields.

    Args:
        where: precedes each field's name in errors.
        match: the unread keys are taken.
        mistakes: collects those of the fields; None: the first is raised.
    """
    result: list[Condition] = []
    for name, value in match.rest():
        with nullcontext() if mistakes is None else mistakes.collected("match", name):
            result += _conditions(f"{where}.{name}", name, value)
    return tuple(result)


def match_of(where: str, match: TomlTable, mistakes: Mistakes | None = None) -> Match:
    """Return the comparisons in a table of fields, and its groups `any` and `none`.

    Args:
        where: precedes each field's name in errors.
        match: all keys are taken.
        mistakes: collects those of the fields and groups; None: the first is raised.
    """
    groups: list[AnyOf | NoneOf] = []
    for key, group in (("any", AnyOf), ("none", NoneOf)):
        tables = match.read_any(key)
        if tables is not None:
            with nullcontext() if mistakes is None else mistakes.collected("match", key):
                groups.append(group(_tables(f"{where}.{key}", tables)))
    return (*conditions(where, match, mistakes), *groups)


def _tables(where: str, value: object) -> tuple[Match, ...]:
    if not isinstance(value, list) or not value:
        raise DetectionError(f'{where}: expected a list of tables, as in [{{ "file.path" = "/etc/shadow" }}]')
    tables = tuple(match_of(f"{where} {n}", TomlTable(f"{where} {n}", row)) for n, row in enumerate(value, 1))
    for n, found in enumerate(tables, 1):
        if not found:
            raise DetectionError(f"{where} {n}: a table without a condition always holds; remove it")
    return tables


def _values(where: str, value: object, kind: type) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    if not values or any(not isinstance(item, kind) or isinstance(item, bool) for item in values):
        expected = "a whole number" if kind is int else "a string"
        raise DetectionError(f"{where}: expected {expected} or a list of them")
    return tuple(values)


def _bounded(where: str, number: int, *, least: int) -> int:
    if not least <= number <= ALL_BITS:
        raise DetectionError(f"{where}: must be {least} to {ALL_BITS:#x}, not {number}")
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
    mask = _bounded(f"{where}.mask", entry.optional("mask", whole, ALL_BITS), least=1)
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
