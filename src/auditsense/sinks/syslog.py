"""Syslog: RFC 5424 messages over a local socket, UDP (RFC 5426) or TCP (RFC 6587).

Rule 1: over TCP a frame is sent to its end or, on another connection, from its start. A stalled peer keeps
        its connection, and gets the rest of the frame when it resumes reading.
Rule 2: a message has at most `SyslogSettings.most` bytes. The compact line replaces a document that is too
        long, and a compact line is truncated.
"""

from __future__ import annotations

import os
import select
import socket
from errno import EPROTOTYPE
from typing import TYPE_CHECKING

from auditsense.detect.compact_line import look_up
from auditsense.sinks.fields import named_fields, priority
from auditsense.sinks.format import Format, compact, line_of, printable
from auditsense.sinks.socket_sink import TIMEOUT_S, SocketSink, connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.document_types import Document
    from auditsense.sinks.config import SyslogSettings

FACILITIES = {
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    "security": 13,
    **{f"local{number}": 16 + number for number in range(8)},
}
"""RFC 5424, 6.2.1, without those of other services."""

_USER_TIMEOUT_MS = 30_000  # unacknowledged data then ends the connection
_SD_ID = "auditsense@32473"  # RFC 5612: the enterprise number for examples
_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\", "]": "\\]"})


class SyslogSink(SocketSink):
    """Send one message per document.

    Args:
        settings: the receiver, which may appear later, and the form of its messages.
    """

    def __init__(self, settings: SyslogSettings) -> None:
        super().__init__(str(settings))
        self._settings = settings
        self.dialer: Callable[[float], socket.socket] | None = None
        """Connects to another host; None: this process does."""
        line_of(settings.format)  # loads its module now: nothing may be readable later
        self._frame = b""  # partly sent on this connection
        self._sent = 0  # bytes of it

    def close(self) -> None:
        """Close the connection."""
        self._frame, self._sent = b"", 0
        super().close()

    def _encode(self, document: Document) -> bytes:
        settings = self._settings
        return encode_message(document, FACILITIES[settings.facility], settings.format, settings.most)

    def _send(self, message: bytes) -> None:
        if self._settings.transport == "tcp":
            self._send_frame(b"%d %s" % (len(message), message))
            return
        if self._socket is None:
            self._socket = self._connect()
        if self._socket.type == socket.SOCK_STREAM:  # a local stream socket expects lines
            self._send_frame(message.replace(b"\n", b" ") + b"\n")
        else:
            self._socket.send(message)

    def _send_frame(self, frame: bytes) -> None:
        if self._socket is not None and (_closed_by_peer(self._socket) or self._frame not in {b"", frame}):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        self._frame = frame
        while self._sent < len(frame):
            self._sent += self._socket.send(memoryview(frame)[self._sent :])
        self._frame, self._sent = b"", 0

    def _connect(self) -> socket.socket:
        transport, host, port = self._settings.transport, self._settings.host, self._settings.port
        if transport == "local":
            try:
                return self.connector(socket.AF_UNIX, socket.SOCK_DGRAM, host)
            except OSError as error:
                if error.errno != EPROTOTYPE:
                    raise
                return self.connector(socket.AF_UNIX, socket.SOCK_STREAM, host)
        kind = socket.SOCK_STREAM if transport == "tcp" else socket.SOCK_DGRAM
        connected = self._reach(host, port, kind) if self.dialer is None else self.dialer(TIMEOUT_S)
        connected.settimeout(TIMEOUT_S)
        if kind == socket.SOCK_STREAM:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connected

    @staticmethod
    def _reach(host: str, port: int, kind: int) -> socket.socket:
        problem = OSError(f"{host} has no address")
        # As bytes: str would load a codec.
        for family, _, _, _, address in socket.getaddrinfo(host.encode(), port, type=kind):
            try:
                return connect(family, kind, address)
            except OSError as error:
                problem = error
        raise problem


def _closed_by_peer(connected: socket.socket) -> bool:
    """Return whether the peer has closed the connection: data sent then is lost without an error."""
    readable = select.poll()
    readable.register(connected, select.POLLIN)
    if not readable.poll(0):
        return False
    try:
        return not connected.recv(4096)
    except OSError:
        return True


def encode_message(document: Document, facility: int, form: Format, max_bytes: int) -> bytes:
    """Return a document as a message of RFC 5424."""
    text = line_of(form)(document)
    host = _word(look_up(document, "host.name"), 255)
    kind = _word(look_up(document, "event.dataset"), 32)
    time = _word(look_up(document, "@timestamp"), 48)
    head = f"<{facility * 8 + priority(document)}>1 {time} {host} auditsense {os.getpid()} {kind} [{_SD_ID}"
    data = "".join(f' {name}="{_value(value)}"' for name, value in named_fields(document))
    message = f"{head}{data}] {text}".encode("utf-8", "backslashreplace")
    if len(message) <= max_bytes:
        return message
    message = f'{head} truncated="true"] {compact(document)}'.encode("utf-8", "backslashreplace")
    return message[:max_bytes].decode("utf-8", "ignore").encode()


def _value(text: str) -> str:
    """Return a value of the structured data, whatever it contains."""
    return printable(text).translate(_ESCAPED)


def _word(value: object, max_length: int) -> str:
    """Return a field of the header: printable ASCII without spaces, or "-"."""
    return "".join(char for char in str(value or "") if "!" <= char <= "~")[:max_length] or "-"
