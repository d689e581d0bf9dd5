"""What a key of the configuration is: its name, what it may hold, and how that is written."""

from __future__ import annotations

import enum
import json
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_LONGEST_TEXT = 4096


class WrongValueError(ValueError):
    """A value that must not stand where it stands; the message says what must."""


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
            Kind.FLAG: self._flag,
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
        if not isinstance(value, str):
            raise WrongValueError(f'must be a string, such as "…", not {_shown(value)}')
        if self.choices and value not in self.choices and not self._with_path(value):
            raise WrongValueError(
                f"must be {self.bounds()}, not {_shown(value)}{_nearest(value, self.choices)}"
            )
        if "\0" in value or len(value) > _LONGEST_TEXT or any("\ud800" <= one <= "\udfff" for one in value):
            raise WrongValueError(
                f"must be UTF-8 text of at most {_LONGEST_TEXT} characters, none of them NUL"
            )
        return value

    def _texts(self, value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise WrongValueError(f'must be a list of strings, such as ["…"], not {_shown(value)}')
        return tuple(self._text(one) for one in value)

    def _whole(self, value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise WrongValueError(f"must be a whole number, not {_shown(value)}")
        return self._within(value, str(value))

    def _flag(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise WrongValueError(f"must be true or false, not {_shown(value)}")
        return value

    def _match(self, value: object) -> dict[str, Any]:
        if not isinstance(value, dict):
            example = self.written(self.example)
            raise WrongValueError(f"must be a table of fields, such as {example}, not {_shown(value)}")
        return value

    def _moment(self, value: object) -> date | str:
        if not isinstance(value, date | str):  # a datetime is a date
            right = "2027-01-31 or 2027-01-31T08:00:00Z"
            raise WrongValueError(f"must be a date or a time, as {right}, not {_shown(value)}")
        return value

    def _with_path(self, value: str) -> bool:
        """Return whether it is a choice that ends in PATH, with a path there."""
        starts = tuple(one.removesuffix("PATH") for one in self.choices if one.endswith(":PATH"))
        return bool(starts) and value.startswith(starts) and not value.endswith(":")

    def _within(self, value: int, shown: str) -> int:
        if not self.least <= value <= self.most:
            raise WrongValueError(f"must be {self.bounds()}, not {shown}")
        return value

    def _duration(self, value: object) -> int:
        found = re.fullmatch(r"([0-9]{1,9})(ms|s|m|h)", value) if isinstance(value, str) else None
        if found is None:
            raise WrongValueError(
                f'must be a duration with its unit, such as "500ms" or "5m", not {_shown(value)}'
            )
        return self._within(int(found[1]) * _UNITS_MS[found[2]], _shown(value))


def duration(ms: int) -> str:
    """Return a time in the largest unit that says it in a whole number."""
    unit = next(name for name, size in reversed(_UNITS_MS.items()) if ms % size == 0 and (ms or name == "s"))
    return f"{ms // _UNITS_MS[unit]}{unit}"


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


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


def _nearest(name: str, known: tuple[str, ...]) -> str:
    import difflib  # noqa: PLC0415 - only for what is spelled wrong

    close = difflib.get_close_matches(name, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
