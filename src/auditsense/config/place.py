"""Which line of a TOML text a key stands in, for errors: `tomllib` does not say it of a wrong value.

A line that looks like the one sought might lie inside a string of several lines. It does not if the
text before it is TOML by itself, so that is asked.
"""

from __future__ import annotations

import re
import tomllib

_HEADER = re.compile(r"\s*\[(\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")


def line_of(text: str, table: str, name: str = "", number: int = 0) -> int:
    """Return the line, from 1, of a key in a table, or of the table itself; 0: it was not found.

    Args:
        text: valid TOML.
        table: its name; "": what stands before all tables.
        name: of the key; "": the table's own line.
        number: which of several tables of this name, from 0.
    """
    lines = text.splitlines()
    within = _bare(table) == ""
    seen = -1
    of_table = 0
    own = re.compile(rf"\s*{_spelled(name)}\s*[.=]" if name else r"(?!)")
    dotted = re.compile(
        rf"\s*{_spelled(table)}\s*\.\s*{_spelled(name)}\s*[.=]" if name and table else r"(?!)"
    )
    inline = re.compile(rf"\s*{_spelled(table)}\s*=" if table else r"(?!)")
    at_top = True
    for at, line in enumerate(lines, 1):
        header = _HEADER.match(line)
        if header is not None and _starts(lines, at):
            at_top = False
            within = _bare(header[2]) == table
            if within:
                seen += 1
                within = seen == number
            if within:
                of_table = at
        elif (within and own.match(line)) or (at_top and dotted.match(line)):
            if _starts(lines, at):
                return at
        elif at_top and inline.match(line) and _starts(lines, at):
            of_table = at
    return of_table


def _starts(lines: list[str], at: int) -> bool:
    """Return whether a statement can start in this line, from 1."""
    try:
        tomllib.loads("\n".join(lines[: at - 1]))
    except tomllib.TOMLDecodeError:
        return False
    return True


def _spelled(name: str) -> str:
    return rf"""(?:{re.escape(name)}|"{re.escape(name)}"|'{re.escape(name)}')"""


def _bare(name: str) -> str:
    return name.strip().strip("\"'")
