"""Unwrap lines with colours, tabs or quotes, and CSV."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from auditsense.sources.unwrap.base import WrappedLines, to_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.host import Host

QUOTED = re.compile(rb"(?:\xef\xbb\xbf)?\"(?:node=\S+ )?type=\S+ (?:msg=)?audit\(")
_COLUMNS = {"_raw", "message", "raw", "event.original", "log", "@rawstring"}
_COLOUR = re.compile(rb"\x1b\[[\d;]*[A-Za-z]")


class Coloured(WrappedLines):
    """Lines with terminal colours, as written by grep and dmesg."""

    def _unwrapped(self, line: bytes) -> bytes:
        return _COLOUR.sub(b"", line)


class Tabbed(WrappedLines):
    """Lines with tabs instead of the kernel's blanks. The kernel writes no tab in any value."""

    def _unwrapped(self, line: bytes) -> bytes:
        return line.replace(b"\t", b" ")


class QuotedLines(WrappedLines):
    """Lines in quotes, or CSV whose first line names the column with the records.

    In other CSV no column is read: the message of any program may contain a comma and a quote.
    """

    format = "quotes"

    def __init__(self, host: Host, on_found: Callable[[str], object], column: int | None) -> None:
        super().__init__(host, on_found)
        self._column = column
        self._header_passed = column is None

    def _unwrapped(self, line: bytes) -> bytes:
        text = line.strip()
        if self._column is None:
            if not (QUOTED.match(text) and text.endswith(b'"')):
                return line
            self._report("of a line")
            inner = text[text.index(b'"') + 1 : -1]
            return to_line(inner.replace(b'\\"' if b'\\"' in inner else b'""', b'"'))
        if not self._header_passed:
            self._header_passed = True
            return b""
        try:
            row = next(csv.reader([text.decode("latin-1")]), [])
        except csv.Error:
            return line
        if len(row) <= self._column or "audit(" not in row[self._column]:
            return line
        self._report(f"{self._column + 1} of a line")
        return to_line(row[self._column].encode("latin-1"))


def record_column(header: bytes) -> int | None:
    """Return the column of a CSV that holds records, from its first line; None: no such CSV."""
    if (b"," not in header and not header.startswith(b'"')) or b"=" in header:
        return None
    try:
        row = next(csv.reader([header.decode("utf-8-sig", "replace").strip()]), [])
    except csv.Error:
        return None
    return next((index for index, name in enumerate(row) if name in _COLUMNS), None)
