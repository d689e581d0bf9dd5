"""Unwrap audit records that a log shipper has put into JSON, or the journal into its export format.

One object a line: `message` of Filebeat and others, `event.original` of the Elastic agent, `log` of Docker,
`MESSAGE` of `journalctl -o json`. What comes out is text for the core, one line an object. An object without
a record comes out as it is, so that the core counts it.

In the journal any user can write a message. `_TRANSPORT` and `_UID` are journald's own words, so they decide
which messages are read: those of the kernel, those of the audit subsystem, and those of root's programs with
an audit daemon's name. Entries of the audit subsystem have their stamp and serial in separate fields.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.host import Host

_LONGEST = 1 << 20  # of a line or a field; what is longer is no record
_FIELDS = (
    *(("event", "original"), ("message",), ("log",), ("full_log",), ("line",), ("msg",)),
    *(("_raw",), ("@message",), ("raw_message",)),
)
_JOURNAL = frozenset(
    {
        *("MESSAGE", "_TRANSPORT", "_AUDIT_ID", "_AUDIT_TYPE", "_SOURCE_REALTIME_TIMESTAMP", "_UID"),
        *("SYSLOG_IDENTIFIER", "_HOSTNAME", "_MACHINE_ID"),
    }
)
_NODE = re.compile(r"[\w.:-]{1,250}", re.ASCII)
_FIELD_NAME = re.compile(rb"[A-Z0-9_]{1,64}")
_BEFORE_OBJECT = re.compile(rb"\A(?:\xef\xbb\xbf)?[\s\x1e]*(?:data: )?")  # journalctl -o json-seq, json-sse
_EXPORTED = re.compile(rb"(?:\xef\xbb\xbf)?\s*[A-Z_][A-Z0-9_]*=")
_SIZE = 8  # bytes before a field of bytes


class Unwrapper(Protocol):
    """Turns wrapped records into lines, however the input is cut."""

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Take the next bytes. Returns whole lines."""

    def finish(self) -> bytes:
        """Return what is left at the end."""


def unwrapper_for(start: bytes, host: Host, found: Callable[[str], object]) -> Unwrapper | None:
    """Return what unwraps an input that begins so; None: nothing is wrapped.

    Args:
        start: some of its first bytes.
        host: records of another host get a node= before them.
        found: called once, with the name of the field that holds the first record.
    """
    if _BEFORE_OBJECT.sub(b"", start, count=1).startswith(b"{"):
        return JsonLines(host, found)
    return JournalExport(host, found) if _EXPORTED.match(start) else None


class _Wrapped:
    def __init__(self, host: Host, found: Callable[[str], object]) -> None:
        self._host = host
        self._found: Callable[[str], object] | None = found
        self._rest = b""

    def _say(self, field: str) -> None:
        if self._found is not None:
            self._found(field)
            self._found = None

    def _node(self, text: bytes, host: object) -> bytes:
        """Put node= before a record that names no host, when it is another one than this."""
        name = (
            next((host[key] for key in ("name", "hostname") if key in host), None)
            if isinstance(host, dict)
            else host
        )
        if not isinstance(name, str) or name == self._host.name or not _NODE.fullmatch(name):
            return text
        return b"node=%s %s" % (name.encode(), text) if text.startswith(b"type=") else text

    def _journal(self, entry: dict[str, Any]) -> bytes:
        """Return the line of a journal entry: a record, or what the core counts as none."""
        message = _bytes(entry.get("MESSAGE"))
        transport = entry.get("_TRANSPORT")
        if transport == "audit":
            text = _stamped(entry, message)
        elif transport == "kernel":
            text = b"kernel: " + message
        elif transport is None or entry.get("_UID", "0") == "0":
            program = _bytes(entry.get("SYSLOG_IDENTIFIER"))
            text = program + b": " + message if program else message
        else:
            text = b"journal entry of user %s: %s" % (_bytes(entry["_UID"]), message)
        if b"audit(" in text:
            self._say("MESSAGE")
        own = entry.get("_MACHINE_ID") in (None, self._host.id)
        return _line(text if own else self._node(text, entry.get("_HOSTNAME")))


class JsonLines(_Wrapped):
    """JSON, one object a line. Other lines pass through."""

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Take the next bytes. Returns whole lines."""
        text = self._rest + bytes(piece)
        end = text.rfind(b"\n") + 1
        self._rest = text[end:]
        lines = b"".join(self._unwrapped(line) for line in text[:end].splitlines(keepends=True))
        if len(self._rest) > _LONGEST:
            lines, self._rest = lines + self._rest, b""
        return lines

    def finish(self) -> bytes:
        """Return what is left at the end."""
        rest, self._rest = self._rest, b""
        return self._unwrapped(rest) if rest else b""

    def _unwrapped(self, line: bytes) -> bytes:
        given = _BEFORE_OBJECT.sub(b"", line, count=1)
        if not given.startswith(b"{"):
            return line
        try:
            entry = json.loads(given)
        except (ValueError, RecursionError):
            return line
        if "MESSAGE" in entry:
            return self._journal(entry)
        if isinstance(entry.get("messages"), list):
            return self._numbered(entry) or line
        for path in _FIELDS:
            texts = _at(entry, path)
            if any("audit(" in text for text in texts):
                self._say(".".join(path))
                host = entry.get("host")
                return b"".join(_line(self._node(_bytes(text), host)) for text in texts)
        return line

    def _numbered(self, entry: dict[str, Any]) -> bytes:
        """Return the records of go-audit: an object an event, with types as numbers."""
        lines = b""
        for one in entry["messages"]:
            if (
                isinstance(one, dict)
                and isinstance(one.get("type"), int)
                and isinstance(one.get("data"), str)
            ):
                head = f"type={one['type']} msg=audit({entry.get('timestamp')}:{entry.get('sequence')}): "
                lines += _line(head.encode("utf-8", "replace") + _bytes(one["data"]))
        if lines:
            self._say("messages")
        return lines


class JournalExport(_Wrapped):
    """The journal's export format: fields, a line each or by size, and an empty line behind each entry."""

    def __init__(self, host: Host, found: Callable[[str], object]) -> None:
        super().__init__(host, found)
        self._entry: dict[str, Any] = {}
        self._skip = 0  # bytes of a field that is too long

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Take the next bytes. Returns whole lines."""
        text = self._rest + bytes(piece)
        at = min(self._skip, len(text))
        self._skip -= at
        lines = []
        while not self._skip:
            end = text.find(b"\n", at)
            if end < 0:
                break
            behind = self._field(text, at, end)
            if behind is None:
                break
            if end == at:
                lines.append(self._end_entry())
            at = min(behind, len(text))
            self._skip = behind - at
        self._rest = text[at:] if len(text) - at <= 2 * _LONGEST else b""
        return b"".join(lines)

    def finish(self) -> bytes:
        """Return what is left at the end."""
        lines = self.feed(b"\n") if self._rest and b"\n" not in self._rest else b""
        self._rest = b""
        return lines + self._end_entry()

    def _field(self, text: bytes, at: int, end: int) -> int | None:
        """Take the field at *at*. Returns where the next one begins; None: the rest has not come yet."""
        name, equals, value = text[at:end].partition(b"=")
        behind = end + 1
        if not equals and _FIELD_NAME.fullmatch(name):
            size = int.from_bytes(text[end + 1 : end + 1 + _SIZE], "little")
            if len(text) < end + 1 + _SIZE:
                return None
            behind = end + 1 + _SIZE + size + 1
            if size > _LONGEST:
                return behind
            if len(text) < behind:
                return None
            value = text[end + 1 + _SIZE : behind - 1]
        key = name.decode("ascii", "replace")
        if key in _JOURNAL:
            self._entry[key] = value if key == "MESSAGE" else value.decode("utf-8", "replace")
        return behind

    def _end_entry(self) -> bytes:
        entry, self._entry = self._entry, {}
        return self._journal(entry) if "MESSAGE" in entry else b""


def _at(entry: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    """Return the text, or the texts, that a field holds, nested or with dots in its name."""
    found: Any = entry.get(".".join(path))
    if found is None:
        found = entry
        for name in path:
            found = found.get(name) if isinstance(found, dict) else None
    texts = found if isinstance(found, list) else [found]
    return [text for text in texts if isinstance(text, str)]


def _bytes(value: object) -> bytes:
    """Return the bytes of a field: text, or numbers where the journal had bytes that are no text."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        numbers = [one for one in value if isinstance(one, int) and 0 <= one < 256]
        return bytes(numbers) if len(numbers) == len(value) else b""
    return value.encode("utf-8", "backslashreplace") if isinstance(value, str) else b""


def _stamped(entry: dict[str, Any], message: bytes) -> bytes:
    """Return a record of the audit subsystem: journald has taken its head apart."""
    serial, kind = entry.get("_AUDIT_ID", ""), entry.get("_AUDIT_TYPE", "")
    stamp = entry.get("_SOURCE_REALTIME_TIMESTAMP", "")
    if not all(isinstance(one, str) and one.isdecimal() and len(one) <= 20 for one in (serial, kind, stamp)):
        return b"journal entry without a stamp: " + message
    seconds, us = divmod(int(stamp), 1_000_000)
    head = f"type={kind} msg=audit({seconds}.{us // 1000:03}:{serial}): "
    return head.encode() + message.partition(b" ")[2]


def _line(text: bytes) -> bytes:
    """Return a line. A message of several lines stays one: what follows the first is no record of its own."""
    return text.rstrip(b"\r\n").replace(b"\n", b" ").replace(b"\0", b" ") + b"\n"
