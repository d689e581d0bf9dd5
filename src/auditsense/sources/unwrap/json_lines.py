"""Unwrap JSON: one object per line, or pretty-printed with its braces alone on lines."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from auditsense.sources.unwrap.base import to_bytes, to_line
from auditsense.sources.unwrap.journal import JournalLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.host import Host

_LONGEST_OBJECT = 1 << 24  # over several lines
_FIELDS = (
    *(("event", "original"), ("full_message",), ("message",), ("log",), ("full_log",), ("line",), ("msg",)),
    *(("_raw",), ("@message",), ("raw_message",), ("raw_event",), ("raw",), ("rawmsg",), ("@rawstring",)),
    *(("short_message",), ("textPayload",), ("SyslogMessage",), ("RawData",), ("event",)),
    *(("body", "stringValue"), ("body",)),
)
_ENVELOPES = (
    *("_source", "result", "event", "fields", "attributes", "jsonPayload", "data", "columns", "log"),
    *("logEvents", "events", "dmesg"),
)
_MOST_ENVELOPES = 3  # nested
_PROGRAM_FIELDS = (
    *("program", "programname", "PROGRAM", "ident", "appname", "app_name", "app-name", "ProcessName"),
)
_PROGRAM = re.compile(r"[\w./@-]{1,64}(?:\[\d*\])?", re.ASCII)
_BEFORE_OBJECT = re.compile(rb"\A(?:\xef\xbb\xbf)?[\s\x1e\[,]*(?:data: )?")  # of json-seq, json-sse, an array
_HEADER = re.compile(rb"[^{}\"=\n]{1,256}(?=\{\")")  # "TIME TAG: " before an object


def starts_object(start: bytes) -> bool:
    """Return whether an input that starts with these bytes begins with a JSON object."""
    text = _BEFORE_OBJECT.sub(b"", start, count=1)
    return text.startswith(b"{") or bool(_HEADER.match(text))


class JsonLines(JournalLines):
    """JSON, one object per line, or with its braces alone on lines. Other lines pass through."""

    format = "JSON"

    def __init__(self, host: Host, on_found: Callable[[str], object]) -> None:
        super().__init__(host, on_found)
        self._object = b""  # the lines so far of an object over several lines
        self._end: tuple[bytes, ...] = ()

    def finish(self) -> bytes:
        """Return the rest at the end."""
        return super().finish() + self._take_object()

    def _take_object(self) -> bytes:
        text, self._object = self._object, b""
        return text

    def _unwrapped(self, line: bytes) -> bytes:
        bare = line.rstrip(b" \t\r\n,")
        if self._object:
            if line.startswith((b"type=", b"node=", b'{"')):  # the brace before was not a start
                return self._take_object() + self._unwrapped(line)
            self._object += line
            if bare in self._end or len(self._object) > _LONGEST_OBJECT:
                return self._unwrapped_object(self._take_object())
            return b""
        if bare.endswith(b"{") and not bare.strip(b" \t[{"):
            self._object, self._end = line, (bare.replace(b"[", b"")[:-1] + b"}", bare[:-1] + b"}]")
            return b""
        return self._unwrapped_object(line) if bare.strip(b" \t[]") else b""

    def _unwrapped_object(self, line: bytes) -> bytes:
        text = _BEFORE_OBJECT.sub(b"", line, count=1)
        match = _HEADER.match(text)
        header = match[0] if match else b""
        text = text[len(header) :]
        if not text.startswith(b"{"):
            return line
        try:
            entries = json.loads(b"[" + text.rstrip(b" \t\r\n,]") + b"]")
        except (ValueError, RecursionError):
            return line
        lines = b"".join(self._lines_of(entry, header, _MOST_ENVELOPES) for entry in entries)
        return lines or line

    def _lines_of(self, entry: object, header: bytes, envelopes: int) -> bytes:
        """Return the lines of an object, each after the header; empty: it holds no record."""
        if not isinstance(entry, dict):
            return b""
        header += _program(entry)
        if "MESSAGE" in entry:
            return header + self._entry_line(entry)
        if isinstance(entry.get("messages"), list):
            return b"".join(header + line for line in self._go_audit(entry).splitlines(keepends=True))
        for path in _FIELDS:
            texts = _texts_at(entry, path)
            if any("audit(" in text for text in texts):
                return self._unwrapped_texts(entry, path, texts, header, envelopes)
        values = entry.get("values")
        if isinstance(values, list):  # of Loki: pairs of a time and a line
            texts = [str(pair[1]) for pair in values if isinstance(pair, list) and len(pair) > 1]
            return self._unwrapped_texts(entry, ("values",), texts, header, envelopes)
        lines = b""
        for name in _ENVELOPES if envelopes else ():
            inner = entry.get(name)
            for item in inner if isinstance(inner, list) else [inner]:
                lines += self._lines_of(item, header, envelopes - 1)
            if lines:
                break
        return lines

    def _unwrapped_texts(
        self, entry: dict[str, Any], path: tuple[str, ...], texts: list[str], header: bytes, envelopes: int
    ) -> bytes:
        lines = b""
        for text in texts:
            inner = _parsed(text) if envelopes else None
            if inner is not None:  # JSON within JSON
                lines += self._lines_of(inner, header, envelopes - 1)
            else:
                self._report(".".join(path))
                lines += to_line(header + self._with_node(to_bytes(text), entry.get("host")))
        return lines

    def _go_audit(self, entry: dict[str, Any]) -> bytes:
        """Return the records of go-audit: one object per event, with numeric types."""
        lines = b""
        for record in entry["messages"]:
            if not isinstance(record, dict):
                continue
            kind, data = record.get("type"), record.get("data")
            if isinstance(kind, int) and isinstance(data, str):
                head = f"type={kind} msg=audit({entry.get('timestamp')}:{entry.get('sequence')}): "
                lines += to_line(head.encode("utf-8", "replace") + to_bytes(data))
        if lines:
            self._report("messages")
        return lines


def _program(entry: dict[str, Any]) -> bytes:
    """Return the program that an object names, in syslog's form; the core accepts only audit programs."""
    program = next((entry[name] for name in _PROGRAM_FIELDS if isinstance(entry.get(name), str)), "")
    if program in {"", "-"}:
        return b""
    return to_bytes(program if _PROGRAM.fullmatch(program) else "unknown") + b": "


def _parsed(text: str) -> object:
    """Return the JSON object in a text; None: other text."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _texts_at(entry: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    """Return the texts in a field, nested or with dots in its name."""
    value: Any = entry.get(".".join(path))
    if value is None:
        value = entry
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
    texts = value if isinstance(value, list) else [value]
    return [text for text in texts if isinstance(text, str)]
