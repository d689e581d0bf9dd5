"""One configuration key: name, type, bounds, and its TOML form."""

from __future__ import annotations

import enum
import json
from datetime import date
from typing import TYPE_CHECKING, Any, NamedTuple

from auditsense import _values
from auditsense._values import LONGEST_TEXT, WrongValueError

if TYPE_CHECKING:
    from collections.abc import Callable


class ValueType(enum.StrEnum):
    """Type of a value, in the words of docs/configuration.md."""

    STRING = "string"
    STRINGS = "list of strings"
    INTEGER = "whole number"
    BOOLEAN = "true or false"
    DURATION = "time"
    """A number of seconds, or a number with its unit (ms, s, m or h); stored in ms."""
    MATCH = "table of fields"
    """As in a detection; `detections.exceptions` checks its content."""
    DATETIME = "date or time"
    """A TOML date or time, or either as a string; `detections.exceptions` checks it."""


class Key(NamedTuple):
    """Declaration of one key. A NamedTuple, because a dataclass of this size costs every command 1 ms.

    Attributes:
        path: table and name, as "source.lean".
        type: type of its value.
        default: as `check` returns values; None: not set, and the description states what that means.
        description: one sentence for the author of the file; also the help text of the flag.
        choices: the only strings allowed; empty: any. In a choice that ends in :PATH, any path replaces PATH.
        minimum, maximum: bounds of a whole number, or of a duration in ms.
        unit: of a whole number.
        flag: flag of `auditsense run` that overrides the key; "": none.
        metavar: name of the flag's value in help texts; "": its choices.
        example: shown where there is no default.
        required: the key must be present in its repeated table.
        startup_only: read at startup only; a change needs a restart.
    """

    path: str
    type: ValueType
    default: Any
    description: str
    choices: tuple[str, ...] = ()
    minimum: int = 0
    maximum: int = 2**31 - 1
    unit: str = ""
    flag: str = ""
    metavar: str = ""
    example: Any = None
    required: bool = False
    startup_only: bool = False

    @property
    def table(self) -> str:
        """Name of its table."""
        return self.path.partition(".")[0]

    @property
    def name(self) -> str:
        """Name in the table."""
        return self.path.partition(".")[2]

    def check(self, value: object) -> Any:  # noqa: ANN401 - a value of this type
        """Return a TOML value as the settings store it.

        Raises:
            WrongValueError: the key does not accept it.
        """
        checks: dict[ValueType, Callable[[object], Any]] = {
            ValueType.STRING: self._string,
            ValueType.STRINGS: lambda value: tuple(map(self._string, _values.texts(value))),
            ValueType.INTEGER: lambda value: _values.whole(value, self.minimum, self.maximum, self.unit),
            ValueType.BOOLEAN: _values.flag,
            ValueType.DURATION: lambda value: _values.duration_ms(value, self.minimum, self.maximum),
            ValueType.MATCH: lambda value: _values.table(value, self.to_toml(self.example)),
            ValueType.DATETIME: _date_or_time,
        }
        return checks[self.type](value)

    def to_toml(self, value: object) -> str:
        """Return a value that `check` returned, as TOML."""
        if self.type is ValueType.DURATION and isinstance(value, int):
            return f'"{_values.duration(value)}"'
        if isinstance(value, tuple):
            if sum(map(len, value)) > 60:
                return "[\n" + "".join(f"  {_quoted(item)},\n" for item in value) + "]"
            return "[" + ", ".join(map(_quoted, value)) + "]"
        return _inline(value)

    def bounds(self) -> str:
        """Return the allowed values in words; "": all of its type."""
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        if self.type is ValueType.DURATION:
            return f"{_values.duration(self.minimum)} to {_values.duration(self.maximum)}"
        if self.type is ValueType.INTEGER:
            return f"{self.minimum} to {self.maximum}" + (f" {self.unit}" if self.unit else "")
        return ""

    def _string(self, value: object) -> str:
        text = _values.text(value)
        if self.choices and not self._has_path(text):
            return _values.choice(text, self.choices)
        if "\0" in text or len(text) > LONGEST_TEXT or any("\ud800" <= char <= "\udfff" for char in text):
            raise WrongValueError(
                f"must be UTF-8 text of at most {LONGEST_TEXT} characters, none of them NUL"
            )
        return text

    def _has_path(self, text: str) -> bool:
        """Return whether it is a choice that ends in PATH, with a path there."""
        prefixes = tuple(choice.removesuffix("PATH") for choice in self.choices if choice.endswith(":PATH"))
        return bool(prefixes) and text.startswith(prefixes) and not text.endswith(":")


def _date_or_time(value: object) -> date | str:
    if not isinstance(value, date | str):  # a datetime is a date
        examples = "2027-01-31 or 2027-01-31T08:00:00Z"
        raise WrongValueError(f"must be a date or a time, as {examples}, not {_values.shown(value)}")
    return value


def _quoted(text: str) -> str:
    # A basic string of TOML escapes what JSON escapes, and DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: object) -> str:
    """Return any value that a table of fields may contain as TOML, in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(name)} = {_inline(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, date):
        return value.isoformat()
    return _quoted(value) if isinstance(value, str) else json.dumps(value)
