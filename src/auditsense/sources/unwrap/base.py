"""Common part of all unwrappers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.host import Host

LONGEST = 1 << 20  # of a line or a field; a longer one is not a record
_NODE = re.compile(r"[\w.:-]{1,250}", re.ASCII)


class Wrapped:
    """The host, and the caller's callback."""

    format = ""

    def __init__(self, host: Host, on_found: Callable[[str], object]) -> None:
        self._host = host
        self._on_found: Callable[[str], object] | None = on_found
        self._rest = b""

    def _report(self, field: str) -> None:
        if self._on_found is not None:
            self._on_found(field)
            self._on_found = None

    def _with_node(self, text: bytes, host: object) -> bytes:
        """Prepend node= to a record without one, when it comes from another host."""
        if isinstance(host, dict):
            host = next((host[key] for key in ("name", "hostname") if key in host), None)
        if not isinstance(host, str) or host == self._host.name or not _NODE.fullmatch(host):
            return text
        return b"node=%s %s" % (host.encode(), text) if text.startswith(b"type=") else text


class WrappedLines(Wrapped):
    """A format that wraps line by line. Abstract: the subclass unwraps a line."""

    def feed(self, chunk: bytes | memoryview) -> bytes:
        """Accept the next bytes. Returns complete lines."""
        text = self._rest + bytes(chunk)
        end = text.rfind(b"\n") + 1
        self._rest = text[end:]
        lines = b"".join(self._unwrapped(line) for line in text[:end].splitlines(keepends=True))
        if len(self._rest) > LONGEST:
            lines, self._rest = lines + self._rest, b""
        return lines

    def finish(self) -> bytes:
        """Return the rest at the end."""
        rest, self._rest = self._rest, b""
        return self._unwrapped(rest) if rest else b""

    def _unwrapped(self, line: bytes) -> bytes:
        raise NotImplementedError


def to_bytes(value: object) -> bytes:
    """Return the bytes of a JSON field: text, or a list of numbers, as journald writes bytes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        numbers = [number for number in value if isinstance(number, int) and 0 <= number < 256]
        return bytes(numbers) if len(numbers) == len(value) else b""
    return value.encode("utf-8", "backslashreplace") if isinstance(value, str) else b""


def to_line(text: bytes) -> bytes:
    """Return text as one line, even a message of several lines: only its first can be a record."""
    return text.rstrip(b"\r\n").replace(b"\n", b" ").replace(b"\0", b" ") + b"\n"
