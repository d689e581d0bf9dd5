r"""Text from records, written so that a person reads it as what it is.

`printable` makes whole messages safe for a terminal. `quoted` makes one value of a compact line safe to
read next to others: it has no blank outside quotes, and no character that looks like nothing, like a quote,
or that moves its neighbours.

A value without quotes holds visible ASCII and letters only. Everything else stands in double quotes, where
`\"` and `\\` are a quote and a backslash and `\xNN`, `\uNNNN` and `\UNNNNNNNN` are the characters that
cannot be shown.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_BARE: Final = re.compile(r"[A-Za-z0-9/._+@%~#-]+", re.ASCII)
_RIGHT_TO_LEFT: Final = frozenset({"R", "AL", "AN"})
_MOST_MARKS: Final = 2  # on one letter; more of them cover the letters around it
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lo", "Nd"})
_MARKS: Final = frozenset({"Mn", "Mc"})
# Letters and symbols that look like nothing: Unicode's Default_Ignorable_Code_Point and blank glyphs,
# as far as their category does not tell.
_INVISIBLE: Final = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, 0xFFFC, 0x16FE4, 0x1D159}
)
_INVISIBLE_RANGES: Final = (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0000, 0xE1000))


def printable(text: str) -> str:
    """Return text that neither steers a terminal nor hides in it: such characters are escaped."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(one if _shows(one) else escaped(one) for one in text)


def quoted(value: str) -> str:
    """Return a value as one word of a line: as it is where that is plain, else in double quotes."""
    if _BARE.fullmatch(value):
        return value
    bare = bool(value)
    shown = ""
    marks = _MOST_MARKS  # that the last character has already; none may stand at the start
    for one in value:
        if one in '"\\':
            shown, bare, marks = f"{shown}\\{one}", False, _MOST_MARKS
        elif " " <= one <= "~":
            bare = bare and _BARE.fullmatch(one) is not None
            shown, marks = shown + one, 0 if one.isalpha() else _MOST_MARKS
        elif _is_letter(one):
            shown, marks = shown + one, 0
        elif marks < _MOST_MARKS and _is_mark(one):
            shown, marks = shown + one, marks + 1
        else:
            shown, bare, marks = shown + escaped(one), False, _MOST_MARKS
    return shown if bare else f'"{shown}"'


def title(text: str) -> str:
    """Return a name that people gave, of several words: in quotes where more than single blanks is in it."""
    words = text.split(" ")
    return text if all(word and quoted(word) == word for word in words) else quoted(text)


def escaped(one: str) -> str:
    r"""Return a character as \xNN, \uNNNN or \UNNNNNNNN; \n, \r and \t for those three."""
    return ascii(one)[1:-1]  # the codec would be a module to load, which a sensor without privileges cannot


def _shows(one: str) -> bool:
    return one.isprintable() and not _is_invisible(one)


def _is_invisible(one: str) -> bool:
    code = ord(one)
    return code in _INVISIBLE or any(code in some for some in _INVISIBLE_RANGES)


def _is_letter(one: str) -> bool:
    """Return whether it is a letter or a digit that is seen and leaves its neighbours where they are."""
    category = unicodedata.category(one)
    # Of the modifier letters the narrow ones look like quotes and colons.
    wide = category == "Lm" and unicodedata.east_asian_width(one) in {"W", "H"}
    return (
        (category in _LETTERS or wide)
        and unicodedata.bidirectional(one) not in _RIGHT_TO_LEFT
        and not _is_invisible(one)
    )


def _is_mark(one: str) -> bool:
    return (
        unicodedata.category(one) in _MARKS
        and unicodedata.bidirectional(one) not in _RIGHT_TO_LEFT
        and not _is_invisible(one)
    )
