"""Unwrap audit records that a program has put into JSON, CSV, quotes, colours or the journal's export format.

One object a line: `message` of Filebeat and others, `event.original` of the Elastic agent, `log` of Docker,
`MESSAGE` of `journalctl -o json`. What comes out is text for the core, one line an object. An object without
a record comes out as it is, so that the core counts it. What stands before an object on its line, such as
the time and tag of Fluentd, stays before its record, and the core judges it.

Fields are read that are made to hold a whole line of a log. In others, such as a command line, any user can
write what looks like a record.

In the journal any user can write a message. `_TRANSPORT` and `_UID` are journald's own words, so they decide
which messages are read: those of the kernel, those of the audit subsystem, and those of root's programs with
an audit daemon's name. Entries of the audit subsystem have their stamp and serial in separate fields.
"""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.host import Host

_LONGEST = 1 << 20  # of a line or a field; what is longer is no record
_LONGEST_OBJECT = 1 << 24  # over several lines
_FIELDS = (
    *(("event", "original"), ("full_message",), ("message",), ("log",), ("full_log",), ("line",), ("msg",)),
    *(("_raw",), ("@message",), ("raw_message",), ("raw_event",), ("raw",), ("rawmsg",), ("@rawstring",)),
    *(("short_message",), ("textPayload",), ("SyslogMessage",), ("RawData",), ("event",)),
    *(("body", "stringValue"), ("body",)),
)
_ENVELOPES = (
    *(("_source",), ("result",), ("event",), ("fields",), ("attributes",), ("jsonPayload",), ("data",)),
    *(("columns",), ("log",), ("logEvents",), ("events",), ("dmesg",)),
)
_MOST_ENVELOPES = 3  # within one another
_PROGRAMS = ("program", "programname", "PROGRAM", "ident", "appname", "app_name", "app-name", "ProcessName")
_PROGRAM = re.compile(r"[\w./@-]{1,64}(?:\[\d*\])?", re.ASCII)
_JOURNAL = frozenset(
    {
        *("MESSAGE", "_TRANSPORT", "_AUDIT_ID", "_AUDIT_TYPE", "_SOURCE_REALTIME_TIMESTAMP", "_UID"),
        *("SYSLOG_IDENTIFIER", "_HOSTNAME", "_MACHINE_ID"),
    }
)
_NODE = re.compile(r"[\w.:-]{1,250}", re.ASCII)
_FIELD_NAME = re.compile(rb"[A-Z0-9_]{1,64}")
_BEFORE_OBJECT = re.compile(rb"\A(?:\xef\xbb\xbf)?[\s\x1e\[,]*(?:data: )?")  # of json-seq, json-sse, an array
_HEADED = re.compile(rb"[^{}\"=\n]{1,256}(?=\{\")")  # "TIME TAG: " before an object
_LOOKED_AT = 4096  # bytes of an input, for what does not begin with its first line
_QUOTED = re.compile(rb"(?:\xef\xbb\xbf)?\"(?:node=\S+ )?type=\S+ (?:msg=)?audit\(")
_COLUMNS = {"_raw", "message", "raw", "event.original", "log", "@rawstring"}
_TABBED = re.compile(rb"(?:\xef\xbb\xbf)?(?:node=\S+\s+)?type=\S+\s+msg=audit\(\S+\t")
_COLOUR = re.compile(rb"\x1b\[[\d;]*[A-Za-z]")
_EXPORTED = re.compile(rb"(?:\xef\xbb\xbf)?\s*[A-Z_][A-Z0-9_]*=")
_SIZE = 8  # bytes before a field of bytes


class Unwrapper(Protocol):
    """Turns wrapped records into lines, however the input is cut."""

    what: str
    """What the records are in, for a person."""

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
    behind = _BEFORE_OBJECT.sub(b"", start, count=1)
    if behind.startswith(b"{") or _HEADED.match(behind) or b'\n{"' in start[:_LOOKED_AT]:
        return JsonLines(host, found)
    if _EXPORTED.match(start):
        return JournalExport(host, found)
    if b"\x1b[" in start[:_LOOKED_AT]:
        return Coloured(host, found)
    if _TABBED.match(start):
        return Tabbed(host, found)
    column = _column(start.partition(b"\n")[0])
    return QuotedLines(host, found, column) if column is not None or _QUOTED.match(start) else None


class _Wrapped:
    what = ""

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


class _Lines(_Wrapped):
    """What is wrapped line by line. Abstract: how a line is unwrapped is the subclass's."""

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
        raise NotImplementedError


class Coloured(_Lines):
    """Lines with the colours of a terminal in them, such as grep and dmesg write."""

    def _unwrapped(self, line: bytes) -> bytes:
        return _COLOUR.sub(b"", line)


class Tabbed(_Lines):
    """Lines with tabs where the kernel has blanks. It writes no tab in any value."""

    def _unwrapped(self, line: bytes) -> bytes:
        return line.replace(b"\t", b" ")


class QuotedLines(_Lines):
    """Lines in quotes, or CSV whose first line names the column that holds a log's lines.

    Of other CSV no column is read: a comma and a quote may stand in the message of any program.
    """

    what = "quotes"

    def __init__(self, host: Host, found: Callable[[str], object], column: int | None) -> None:
        super().__init__(host, found)
        self._column = column
        self._named = column is None  # or the names of the columns are still to come

    def _unwrapped(self, line: bytes) -> bytes:
        text = line.strip()
        if self._column is None:
            if not (_QUOTED.match(text) and text.endswith(b'"')):
                return line
            self._say("of a line")
            inner = text[text.index(b'"') + 1 : -1]
            return _line(inner.replace(b'\\"' if b'\\"' in inner else b'""', b'"'))
        if not self._named:
            self._named = True
            return b""
        try:
            row = next(csv.reader([text.decode("latin-1")]), [])
        except csv.Error:
            return line
        if len(row) <= self._column or "audit(" not in row[self._column]:
            return line
        self._say(f"{self._column + 1} of a line")
        return _line(row[self._column].encode("latin-1"))


class JsonLines(_Lines):
    """JSON, one object a line, or with its braces alone on lines. Other lines pass through."""

    what = "JSON"

    def __init__(self, host: Host, found: Callable[[str], object]) -> None:
        super().__init__(host, found)
        self._object = b""  # what has come of an object over several lines
        self._end: tuple[bytes, ...] = ()

    def finish(self) -> bytes:
        """Return what is left at the end."""
        lines = super().finish() + self._object
        self._object = b""
        return lines

    def _unwrapped(self, line: bytes) -> bytes:
        bare = line.rstrip(b" \t\r\n,")
        if self._object:
            if line.startswith((b"type=", b"node=", b'{"')):  # what looked like a start was none
                whole, self._object = self._object, b""
                return whole + self._unwrapped(line)
            self._object += line
            if bare in self._end or len(self._object) > _LONGEST_OBJECT:
                whole, self._object = self._object, b""
                return self._unwrapped_object(whole)
            return b""
        if bare.endswith(b"{") and not bare.strip(b" \t[{"):
            self._object, self._end = line, (bare.replace(b"[", b"")[:-1] + b"}", bare[:-1] + b"}]")
            return b""
        return self._unwrapped_object(line) if bare.strip(b" \t[]") else b""

    def _unwrapped_object(self, line: bytes) -> bytes:
        given = _BEFORE_OBJECT.sub(b"", line, count=1)
        headed = _HEADED.match(given)
        header = headed[0] if headed else b""
        given = given[len(header) :]
        if not given.startswith(b"{"):
            return line
        try:
            entries = json.loads(b"[" + given.rstrip(b" \t\r\n,]") + b"]")
        except (ValueError, RecursionError):
            return line
        lines = b"".join(self._read(entry, header, _MOST_ENVELOPES) for entry in entries)
        return lines or line

    def _read(self, entry: object, header: bytes, envelopes: int) -> bytes:
        """Return the lines of an object, each behind the header; nothing: it holds no record."""
        if not isinstance(entry, dict):
            return b""
        header += _program(entry)
        if "MESSAGE" in entry:
            return header + self._journal(entry)
        if isinstance(entry.get("messages"), list):
            return b"".join(header + one for one in self._numbered(entry).splitlines(keepends=True))
        for path in _FIELDS:
            texts = _at(entry, path)
            if any("audit(" in text for text in texts):
                return self._texts(entry, path, texts, header, envelopes)
        values = entry.get("values")
        if isinstance(values, list):  # of Loki: a time and a line each
            texts = [str(one[1]) for one in values if isinstance(one, list) and len(one) > 1]
            return self._texts(entry, ("values",), texts, header, envelopes)
        lines = b""
        for path in _ENVELOPES if envelopes else ():
            inner = entry.get(path[0])
            for one in inner if isinstance(inner, list) else [inner]:
                lines += self._read(one, header, envelopes - 1)
            if lines:
                break
        return lines

    def _texts(
        self, entry: dict[str, Any], path: tuple[str, ...], texts: list[str], header: bytes, envelopes: int
    ) -> bytes:
        lines = b""
        for text in texts:
            inner = _object(text) if envelopes else None
            if inner is not None:  # JSON within JSON
                lines += self._read(inner, header, envelopes - 1)
            else:
                self._say(".".join(path))
                lines += _line(header + self._node(_bytes(text), entry.get("host")))
        return lines

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

    what = "an export of the journal"

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


def _program(entry: dict[str, Any]) -> bytes:
    """Return the program that an object names, as syslog writes it: the core reads those of audit alone."""
    program = next((entry[name] for name in _PROGRAMS if isinstance(entry.get(name), str)), "")
    if program in {"", "-"}:
        return b""
    return _bytes(program if _PROGRAM.fullmatch(program) else "unknown") + b": "


def _column(first: bytes) -> int | None:
    """Return which column of a CSV holds lines of a log, by its first line; None: this is no such CSV."""
    if (b"," not in first and not first.startswith(b'"')) or b"=" in first:
        return None
    try:
        row = next(csv.reader([first.decode("utf-8-sig", "replace").strip()]), [])
    except csv.Error:
        return None
    return next((at for at, name in enumerate(row) if name in _COLUMNS), None)


def _object(text: str) -> object:
    """Return the object that a text is; None: it is other text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


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
