"""Colour for terminals, by severity and level.

Only this module writes SGR sequences. Text from records is escaped before it is painted
(`_escape.printable`), so an escape sequence is never a process's.
"""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

_SGR: Final = {
    "low": "36",
    "medium": "33",
    "high": "31",
    "critical": "1;37;41",
    "ok": "32",
    "note": "36",
    "warning": "33",
    "error": "1;31",
    "strong": "1",
    "faint": "2",
}


class Color(enum.StrEnum):
    """When to colour."""

    AUTO = "auto"
    """On a terminal, unless NO_COLOR is set or TERM is dumb."""
    ALWAYS = "always"
    NEVER = "never"


def painter(stream: TextIO | None, color: str = Color.AUTO) -> Callable[[str, str], str]:
    """Return a function that paints printable text, or leaves it as it is.

    The function takes a role and a text: the role is a severity, a level, "strong" or "faint".

    Args:
        stream: where the text goes; None: it is closed.
        color: a `Color`. The environment decides only for `auto`.
    """
    if color == Color.AUTO:
        color = Color.ALWAYS if _shows_color(stream) else Color.NEVER
    return _plain if color == Color.NEVER else _paint


def _shows_color(stream: TextIO | None) -> bool:
    dumb = os.environ.get("TERM", "") in {"", "dumb"} or os.environ.get("NO_COLOR", "") != ""
    return not dumb and stream is not None and stream.isatty()


def _plain(_role: str, text: str) -> str:
    return text


def _paint(role: str, text: str) -> str:
    return f"\x1b[{_SGR[role]}m{text}\x1b[0m" if text and role in _SGR else text
