"""Tokens of an EQL query. Each character is read once."""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

from auditsense.errors import DetectionError


class Kind(enum.Enum):
    """Kinds of tokens."""

    WORD = "word"
    """A name, a keyword, or a keyword with a tilde behind it (`like~`)."""
    QUOTED = "quoted"
    """A name in backticks, which is no keyword."""
    TEXT = "text"
    NUMBER = "number"
    SYMBOL = "symbol"
    END = "end"


class Token(NamedTuple):
    """One token.

    Attributes:
        kind: of it.
        text: its characters; of a text or a quoted name what it stands for.
        line: that it begins in, from 1; of the end, that of the last token.
        joined: whether no blank and no comment stands between it and the token before.
    """

    kind: Kind
    text: str
    line: int
    joined: bool


_TOKEN: Final = re.compile(
    r"""
      (?P<blank>(?:[ \t\r\n\f]+|//[^\n]*|/\*.*?\*/)+)
    | (?P<raw>\"{3}(?P<inside>.*?\"{0,2})\"{3}(?!\"))
    | (?P<text>"(?:[^"\\\n]|\\[^\n])*")
    | (?P<quoted>`(?:[^`]|``)+`)
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<word>(?:in|like|regex)~|[A-Za-z_@][A-Za-z0-9_@]*)
    | (?P<symbol>==|!=|<=|>=|[=<>:!?.,()\[\]|+\-*/%~])
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", '"': '"'}
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9A-Fa-f]{2,8})\}|(.))", re.DOTALL)


def tokens_of(query: str) -> list[Token]:
    """Return the tokens of a query; the last is of the kind END.

    Raises:
        DetectionError: a character that begins no token, or a text that is wrong; it names the line.
    """
    tokens: list[Token] = []
    at, line, joined = 0, 1, False
    while at < len(query):
        match = _TOKEN.match(query, at)
        if match is None or (match[0] == "/" and query.startswith("/*", at)):
            raise DetectionError(f"line {line}: {_no_token(query, at)}")
        token = match[0]
        kind = match.lastgroup
        if kind == "blank":
            joined = False
        else:
            tokens.append(Token(*_meaning(match, line), line, joined))
            joined = True
        line += token.count("\n")
        at = match.end()
    tokens.append(Token(Kind.END, "", tokens[-1].line if tokens else line, joined))
    return tokens


def _meaning(match: re.Match[str], line: int) -> tuple[Kind, str]:
    if match["raw"] is not None:
        return Kind.TEXT, match["inside"]
    if match["text"] is not None:
        return Kind.TEXT, _unescaped(match["text"][1:-1], line)
    if match["quoted"] is not None:
        return Kind.QUOTED, match["quoted"][1:-1].replace("``", "`")
    if match["number"] is not None:
        return Kind.NUMBER, match["number"]
    return (Kind.WORD if match["word"] is not None else Kind.SYMBOL), match[0]


def _unescaped(text: str, line: int) -> str:
    def character(match: re.Match[str]) -> str:
        if match[1] is None:
            if match[2] not in _ESCAPES:
                raise DetectionError(
                    rf'line {line}: \{match[2]} is not an escape; write \\ for a backslash; """…""" has none'
                )
            return _ESCAPES[match[2]]
        code = int(match[1], 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise DetectionError(rf"line {line}: \u{{{match[1]}}} is not a character")
        return chr(code)

    return _ESCAPE.sub(character, text)


def _no_token(query: str, at: int) -> str:
    if query[at] == "'":
        return "texts stand in double quotes"
    if query[at] == '"':
        return "a text has no end; it ends in its line, but for one in three quotes"
    if query[at] == "`":
        return "a name in backticks has no end"
    if query.startswith("/*", at):
        return "a comment has no end"
    if query[at] == "&":
        return "& is not an operator; use and"
    return f"{query[at]!r} is no part of a query"
