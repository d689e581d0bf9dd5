"""TOML from files with any content: bounded parsing, and the line of each key.

`tomllib` has no bounds: long dotted keys take more than the cube of their length. So a scan that reads each
character once refuses a document that is too deep or too long for a configuration.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_DEPTH: Final = 32
MOST_KEY_PARTS: Final = 16
_MOST_BITS: Final = 128  # TOML promises 63; each key has its own bounds
_TOO_DEEP: Final = "nested too deeply"
_TOO_LARGE: Final = f"a number of more than {_MOST_BITS} bits"

_TOKEN: Final = re.compile(
    r"""
      (?P<comment>\#[^\n]*)
    | (?P<string>
          \"{3}(?:[^"\\]|\\.|"{1,2}(?!"))*+\"{3,5}
        | '{3}(?:[^']|'{1,2}(?!'))*+'{3,5}
        | "(?:[^"\\\n]|\\.)*+"
        | '[^'\n]*+'
      )
    | (?P<unclosed>["'])
    | (?P<open>[\[{])
    | (?P<close>[\]}])
    | (?P<line>\n)
    | (?P<dot>\.)
    | (?P<other>[^\#"'\[\]{}\n.]+|.)
    """,
    re.VERBOSE | re.DOTALL,
)
_DEEPER: Final = {"open": 1, "close": -1}
_PART: Final = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEY: Final = re.compile(rf"[ \t]*({_PART})[ \t]*(?:\.[ \t]*({_PART})[ \t]*)?[.=]")
_HEADER: Final = re.compile(rf"[ \t]*\[\[?[ \t]*({_PART}(?:[ \t]*\.[ \t]*{_PART})*)[ \t]*\]")


class TomlError(ValueError):
    """Text that is not TOML, or exceeds the bounds.

    Attributes:
        reason: without the line.
        line: from 1; 0: unknown.
    """

    def __init__(self, reason: str, line: int = 0, message: str = "") -> None:
        super().__init__(message or (f"{reason} (at line {line})" if line else reason))
        self.reason = reason
        self.line = line


def parse(text: str) -> dict[str, Any]:
    """Return the document of a text.

    Raises:
        TomlError: it is not TOML, is nested too deeply, or has a number that is too large.
    """
    for _ in _statements(text):
        pass
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _placed(text, str(error)) from None
    except RecursionError:
        raise TomlError(_TOO_DEEP) from None
    except ValueError:  # the limit of digits
        raise TomlError(_TOO_LARGE) from None
    _check(document)
    return document


class Places:
    """The line of each key and table of a text. Reads all of it."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, str, int], int] = {}
        seen: dict[str, int] = {}
        table, number = "", 0
        try:
            for line, statement in _statements(text):
                header = _HEADER.match(statement)
                if header is not None:
                    table = _bare(header[1])
                    number = seen[table] = seen.get(table, -1) + 1
                    self._lines.setdefault((table, "", number), line)
                    continue
                key = _KEY.match(statement)
                if key is None:
                    continue
                self._lines.setdefault((table, _bare(key[1]), number), line)
                if not table:  # "table.key = …" and "table = { … }"
                    self._lines.setdefault((_bare(key[1]), _bare(key[2] or ""), 0), line)
        except TomlError:
            return  # lines up to there are known

    def line_of(self, table: str, name: str = "", number: int = 0) -> int:
        """Return the line, from 1, of a key, or of its table; 0: neither was found.

        Args:
            table: its name; "": before all tables.
            name: of the key; "": the table's own line.
            number: which of several tables of this name, from 0.
        """
        return self._lines.get((table, name, number)) or self._lines.get((table, "", number), 0)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line that a statement begins in.

    Raises:
        TomlError: a key or a value is nested too deeply.
    """
    line = begun = 1
    depth = dots = start = 0
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "unclosed":
            return  # not TOML from here on; the parser reports it
        if kind == "line" and depth == 0:
            yield begun, text[start : token.start()]
            begun, start = line + 1, token.end()
        line += token[0].count("\n")
        depth = max(0, depth + _DEEPER.get(kind or "", 0))
        if kind == "dot":
            dots += 1
        elif kind in _DEEPER or kind == "line" or (kind == "other" and ("," in token[0] or "=" in token[0])):
            dots = 0
        if depth > MOST_DEPTH or dots >= MOST_KEY_PARTS:
            raise TomlError(_TOO_DEEP, line)
    yield begun, text[start:]


def _placed(text: str, message: str) -> TomlError:
    """Return an error of `tomllib`: "Invalid value (at line 3, column 8)" or "… (at end of document)"."""
    match = re.search(r"^(.*) \(at (?:line (\d+), column \d+|end of document)\)$", message, re.DOTALL)
    if match is None:
        return TomlError(message)
    return TomlError(f"{match[1][0].lower()}{match[1][1:]}", int(match[2] or text.count("\n") + 1), message)


def _check(document: dict[str, Any]) -> None:
    """Check all values, without recursion.

    Raises:
        TomlError: a number is too large, or a value nested too deeply.
    """
    left: list[tuple[object, int]] = [(document, 0)]
    while left:
        value, depth = left.pop()
        if depth > MOST_DEPTH:
            raise TomlError(_TOO_DEEP)
        if isinstance(value, dict):
            left.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            left.extend((item, depth + 1) for item in value)
        elif isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise TomlError(_TOO_LARGE)


def _bare(name: str) -> str:
    return name.strip().strip("\"'")
