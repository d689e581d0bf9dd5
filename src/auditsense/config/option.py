"""What a key of the configuration is: its name, what it may hold, and how that is written."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from auditsense._values import (
    LONGEST_TEXT,
    WrongValueError,
    choice,
    duration,
    duration_ms,
    flag,
    shown,
    table,
    text,
    texts,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Kind(enum.StrEnum):
    """What a value is, in the words of docs/configuration.md."""

    TEXT = "string"
    TEXTS = "list of strings"
    WHOLE = "whole number"
    FLAG = "true or false"
    DURATION = "duration"
    """A number with its unit, ms, s, m or h, as in a detection's window; kept in ms."""
    MATCH = "table of fields"
    """As in a detection; what stands in it is checked by `detections.exceptions`."""
    MOMENT = "date or time"
    """A date or a time of TOML, or one of them as a string; checked there as well."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key, declared.

    Attributes:
        table: the table it stands in.
        name: its name there.
        kind: what it holds.
        default: as `check` returns values; None: it is not set, and the sentence says what that means.
        says: one sentence, for the person who writes the file.
        choices: the only texts it may hold; empty: any. In one that ends in :PATH any path stands for PATH.
        least, most: bounds of a whole number, or of a duration in ms.
        unit: of a whole number.
        flag: of the command line that says the same, and wins; "": none.
        example: shown where there is no default.
        required: of a table that may come several times: must be there.
        fixed: whether it is read at the start only, so that a change needs a restart.
    """

    table: str
    name: str
    kind: Kind
    default: Any
    says: str
    choices: tuple[str, ...] = ()
    least: int = 0
    most: int = 2**31 - 1
    unit: str = ""
    flag: str = ""
    example: Any = None
    required: bool = False
    fixed: bool = False

    @property
    def path(self) -> str:
        """The table and the name."""
        return f"{self.table}.{self.name}"

    def check(self, value: object) -> Any:  # noqa: ANN401 - a value of this kind
        """Return a value of TOML as it is kept.

        Raises:
            WrongValueError: it must not stand here.
        """
        checks: dict[Kind, Callable[[object], Any]] = {
            Kind.TEXT: self._text,
            Kind.TEXTS: self._texts,
            Kind.WHOLE: self._whole,
            Kind.FLAG: flag,
            Kind.DURATION: self._duration,
            Kind.MATCH: self._match,
            Kind.MOMENT: self._moment,
        }
        return checks[self.kind](value)

    def written(self, value: object) -> str:
        """Return a value, as `check` returned it, as TOML."""
        if self.kind is Kind.DURATION and isinstance(value, int):
            return f'"{duration(value)}"'
        if isinstance(value, tuple):
            if sum(map(len, value)) > 60:
                return "[\n" + "".join(f"  {_quoted(one)},\n" for one in value) + "]"
            return "[" + ", ".join(_quoted(one) for one in value) + "]"
        return _inline(value)

    def bounds(self) -> str:
        """Return what a value may be, in words; "": anything of its kind."""
        if self.choices:
            return "one of " + ", ".join(f'"{one}"' for one in self.choices)
        if self.kind is Kind.DURATION:
            return f"{duration(self.least)} to {duration(self.most)}"
        if self.kind is Kind.WHOLE:
            return f"{self.least} to {self.most}" + (f" {self.unit}" if self.unit else "")
        return ""

    def _text(self, value: object) -> str:
        line = text(value)
        if self.choices and not self._with_path(line):
            return choice(line, self.choices)
        if "\0" in line or len(line) > LONGEST_TEXT or any("\ud800" <= char <= "\udfff" for char in line):
            raise WrongValueError(
                f"must be UTF-8 text of at most {LONGEST_TEXT} characters, none of them NUL"
            )
        return line

    def _texts(self, value: object) -> tuple[str, ...]:
        return tuple(self._text(line) for line in texts(value))

    def _whole(self, value: object) -> int:
        return whole(value, self.least, self.most, self.unit)

    def _match(self, value: object) -> dict[str, Any]:
        return table(value, self.written(self.example))

    def _moment(self, value: object) -> date | str:
        if not isinstance(value, date | str):  # a datetime is a date
            right = "2027-01-31 or 2027-01-31T08:00:00Z"
            raise WrongValueError(f"must be a date or a time, as {right}, not {shown(value)}")
        return value

    def _with_path(self, value: str) -> bool:
        """Return whether it is a choice that ends in PATH, with a path there."""
        starts = tuple(one.removesuffix("PATH") for one in self.choices if one.endswith(":PATH"))
        return bool(starts) and value.startswith(starts) and not value.endswith(":")

    def _duration(self, value: object) -> int:
        return duration_ms(value, self.least, self.most)


def _quoted(text: str) -> str:
    # A basic string of TOML escapes what JSON escapes, and DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(value: object) -> str:
    """Return any value that may stand in a table of fields as TOML, in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_quoted(name)} = {_inline(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    if isinstance(value, date):
        return value.isoformat()
    return _quoted(value) if isinstance(value, str) else json.dumps(value)
