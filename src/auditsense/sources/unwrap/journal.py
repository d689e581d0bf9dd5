"""Unwrap entries of the systemd journal, and its export format.

Any user can write a journal message. `_TRANSPORT` and `_UID` are set by journald itself, so they decide which
messages are read: those of the kernel, of the audit subsystem, and of root's programs with an audit daemon's
name. Entries of the audit subsystem have their stamp and serial in separate fields.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from auditsense.sources.unwrap.base import LONGEST, Wrapped, WrappedLines, to_bytes, to_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.host import Host

_FIELDS = frozenset(
    {
        *("MESSAGE", "_TRANSPORT", "_AUDIT_ID", "_AUDIT_TYPE", "_SOURCE_REALTIME_TIMESTAMP", "_UID"),
        *("SYSLOG_IDENTIFIER", "_HOSTNAME", "_MACHINE_ID"),
    }
)
_FIELD_NAME = re.compile(rb"[A-Z0-9_]{1,64}")
_SIZE = 8  # bytes of the length before a binary field


class JournalEntries(Wrapped):
    """A format that contains journal entries."""

    def _entry_line(self, entry: dict[str, Any]) -> bytes:
        """Return the line of an entry: a record, or a line that the core counts as malformed."""
        message = to_bytes(entry.get("MESSAGE"))
        transport = entry.get("_TRANSPORT")
        if transport == "audit":
            text = _with_stamp(entry, message)
        elif transport == "kernel":
            text = b"kernel: " + message
        elif transport is None or entry.get("_UID", "0") == "0":
            program = to_bytes(entry.get("SYSLOG_IDENTIFIER"))
            text = program + b": " + message if program else message
        else:
            text = b"journal entry of user %s: %s" % (to_bytes(entry["_UID"]), message)
        if b"audit(" in text:
            self._report("MESSAGE")
        own = entry.get("_MACHINE_ID") in (None, self._host.id)
        return to_line(text if own else self._with_node(text, entry.get("_HOSTNAME")))


class JournalLines(JournalEntries, WrappedLines):
    """A format with at most one journal entry per line."""


class JournalExport(JournalEntries):
    """The journal's export format: fields, each a line or length-prefixed, and an empty line per entry."""

    format = "an export of the journal"

    def __init__(self, host: Host, on_found: Callable[[str], object]) -> None:
        super().__init__(host, on_found)
        self._entry: dict[str, Any] = {}
        self._skip = 0  # bytes of a field that is too long

    def feed(self, chunk: bytes | memoryview) -> bytes:
        """Accept the next bytes. Returns complete lines."""
        text = self._rest + bytes(chunk)
        start = min(self._skip, len(text))
        self._skip -= start
        lines = []
        while not self._skip:
            end = text.find(b"\n", start)
            if end < 0:
                break
            next_start = self._read_field(text, start, end)
            if next_start is None:
                break
            if end == start:
                lines.append(self._end_entry())
            start = min(next_start, len(text))
            self._skip = next_start - start
        self._rest = text[start:] if len(text) - start <= 2 * LONGEST else b""
        return b"".join(lines)

    def finish(self) -> bytes:
        """Return the rest at the end."""
        lines = self.feed(b"\n") if self._rest and b"\n" not in self._rest else b""
        self._rest = b""
        return lines + self._end_entry()

    def _read_field(self, text: bytes, start: int, end: int) -> int | None:
        """Store the field at *start*. Returns the start of the next one; None: the rest is still missing."""
        name, equals, value = text[start:end].partition(b"=")
        next_start = end + 1
        if not equals and _FIELD_NAME.fullmatch(name):
            size = int.from_bytes(text[end + 1 : end + 1 + _SIZE], "little")
            if len(text) < end + 1 + _SIZE:
                return None
            next_start = end + 1 + _SIZE + size + 1
            if size > LONGEST:
                return next_start
            if len(text) < next_start:
                return None
            value = text[end + 1 + _SIZE : next_start - 1]
        key = name.decode("ascii", "replace")
        if key in _FIELDS:
            self._entry[key] = value if key == "MESSAGE" else value.decode("utf-8", "replace")
        return next_start

    def _end_entry(self) -> bytes:
        entry, self._entry = self._entry, {}
        return self._entry_line(entry) if "MESSAGE" in entry else b""


def _with_stamp(entry: dict[str, Any], message: bytes) -> bytes:
    """Return the record of an audit entry, whose head journald has split into fields."""
    numbers = [entry.get(name, "") for name in ("_AUDIT_ID", "_AUDIT_TYPE", "_SOURCE_REALTIME_TIMESTAMP")]
    if not all(isinstance(text, str) and text.isdecimal() and len(text) <= 20 for text in numbers):
        return b"journal entry without a stamp: " + message
    serial, kind, stamp = numbers
    seconds, us = divmod(int(stamp), 1_000_000)
    head = f"type={kind} msg=audit({seconds}.{us // 1000:03}:{serial}): "
    return head.encode() + message.partition(b" ")[2]
