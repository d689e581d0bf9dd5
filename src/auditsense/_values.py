"""Checks of values from TOML: one set of kinds and messages for detections and the configuration."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LONGEST_TEXT: Final = 4096
_UNITS_MS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


class WrongValueError(ValueError):
    """A value of the wrong kind or outside its bounds; the message states what is expected."""


def text(value: object) -> str:
    """Return a string.

    Raises (as all functions here):
        WrongValueError: the value is something else.
    """
    if not isinstance(value, str):
        raise WrongValueError(f'must be a string, such as "…", not {shown(value)}')
    return value


def texts(value: object) -> tuple[str, ...]:
    """Return a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise WrongValueError(f'must be a list of strings, such as ["…"], not {shown(value)}')
    return tuple(value)


def choice(value: object, choices: Iterable[str]) -> str:
    """Return a string that is one of the choices."""
    name, choices = text(value), tuple(choices)
    if name not in choices:
        listed = ", ".join(f'"{item}"' for item in choices)
        raise WrongValueError(f"must be one of {listed}, not {shown(name)}{did_you_mean(name, choices)}")
    return name


def whole(value: object, least: int | None = None, most: int | None = None, unit: str = "") -> int:
    """Return a whole number within bounds."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise WrongValueError(f"must be a whole number, not {shown(value)}")
    if (least is not None and value < least) or (most is not None and value > most):
        raise WrongValueError(f"must be {least} to {most}{unit and ' '}{unit}, not {value}")
    return value


def flag(value: object) -> bool:
    """Return true or false."""
    if not isinstance(value, bool):
        raise WrongValueError(f"must be true or false, not {shown(value)}")
    return value


def table(value: object, example: str = "") -> dict[str, Any]:
    """Return a table."""
    if not isinstance(value, dict):
        such = f" of fields, such as {example}," if example else ""
        raise WrongValueError(f"must be a table{such or ','} not {shown(value)}")
    return value


def items(value: object) -> list[Any]:
    """Return a list."""
    if not isinstance(value, list):
        raise WrongValueError(f"must be a list, not {shown(value)}")
    return value


def duration_ms(value: object, least: int, most: int) -> int:
    """Return a time in ms, within bounds in ms: "5m", "1.5s", or a number of seconds, also as a string.

    Every flag and key that takes a time is parsed here.
    """
    words = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h)?", words, re.ASCII)
    if match is None:
        raise WrongValueError(f"must be a time, such as 30, 30s, 5m or 500ms, not {shown(value)}")
    ms = round(float(match[1]) * _UNITS_MS[match[2] or "s"])
    if not least <= ms <= most:
        raise WrongValueError(f"must be {duration(least)} to {duration(most)}, not {shown(value)}")
    return ms


def duration(ms: int) -> str:
    """Return a time in the largest unit that gives a whole number."""
    unit = next(name for name, size in reversed(_UNITS_MS.items()) if ms % size == 0 and (ms or name == "s"))
    return f"{ms // _UNITS_MS[unit]}{unit}"


def shown(value: object) -> str:
    """Return a value as TOML writes it, cut to 60 characters, for a message."""
    line = json.dumps(value, default=str, ensure_ascii=False)
    return line if len(line) <= 60 else line[:57] + "…"


def did_you_mean(name: str, known: Iterable[str], aliases: Mapping[str, str] | None = None) -> str:
    """Return "; did you mean …?" with the closest known name, or "".

    Args:
        name: the unknown name.
        known: those there are.
        aliases: names that others use, to a known one each.
    """
    import difflib  # noqa: PLC0415 - only for a misspelled name

    alias = (aliases or {}).get(name)
    close = [alias] if alias else difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
