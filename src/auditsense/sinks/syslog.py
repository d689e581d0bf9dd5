"""Documents to syslog: RFC 5424 messages over a local socket, UDP (RFC 5426) or TCP (RFC 6587).

Rule 1: over TCP a frame is written to its end or, on another connection, from its start. A peer that takes
        nothing keeps its connection, so that it gets the rest of the frame when it goes on.
Rule 2: a message fits what the receiver takes (`Receiver.most`). The compact line takes the document's
        place where that is too long, and the end of a compact line is cut.
"""

from __future__ import annotations

import os
import select
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditsense.sinks import SinkError
from auditsense.sinks.fields import look_up, named, priority
from auditsense.sinks.format import Format, compact, jsonl, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detect.ecs import Document

LOCAL = "/dev/log"
FACILITIES = {
    "user": 1,
    "daemon": 3,
    "auth": 4,
    "authpriv": 10,
    "security": 13,
    **{f"local{number}": 16 + number for number in range(8)},
}
"""RFC 5424, 6.2.1; those that a sensor may want."""

_PATIENCE_S = 5.0
_USER_TIMEOUT_MS = 30_000  # a peer that vanished: unanswered data ends the connection
_SD_ID = "auditsense@32473"  # RFC 5612: the enterprise number that is nobody's
_ESCAPED = str.maketrans({'"': '\\"', "\\": "\\\\", "]": "\\]"})


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who gets the messages.

    Attributes:
        transport: local, udp or tcp.
        host: a name or an address; for local the path of the socket.
        port: of the host; 0 for local.
        most: bytes of the longest message it takes.
    """

    transport: str = "local"
    host: str = LOCAL
    port: int = 0
    most: int = 8192

    def __str__(self) -> str:
        """Return it as people write it."""
        if self.transport == "local":
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


class SyslogSink:
    """Sends one message a document.

    Args:
        receiver: who gets them. It need not be there yet.
        facility: one of `FACILITIES`.
        form: of the text: jsonl, the whole document; compact, the readable line.
    """

    def __init__(
        self, receiver: Receiver, *, facility: str = "authpriv", form: Format = Format.JSONL
    ) -> None:
        self._receiver = receiver
        self._facility = FACILITIES[facility]
        self._form = form
        self._socket: socket.socket | None = None
        self._begun = b""  # the frame of which a part was sent on this connection
        self._sent = 0  # bytes of it

    def fileno(self) -> int:
        """Return the socket; -1 when there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def write(self, documents: Sequence[Document]) -> None:
        """Send one message a document. By TCP or UDP nobody acknowledges one: sent is all that is known.

        Raises:
            SinkError: there is nobody, or nothing is taken for 5 s.
        """
        for count, document in enumerate(documents):
            made = message(document, self._facility, self._form, self._receiver.most)
            try:
                self._send(made)
            except TimeoutError:  # the connection stays, see rule 1
                raise SinkError(f"syslog {self._receiver} takes nothing", written=count) from None
            except OSError as error:
                self.close()
                reason = error.strerror or str(error)
                raise SinkError(
                    f"syslog {self._receiver} is not to be reached: {reason}", written=count
                ) from None

    def reopen(self) -> None:
        """Connect again with the next message."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._begun, self._sent = b"", 0
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, made: bytes) -> None:
        if self._receiver.transport == "tcp":
            self._send_framed(b"%d %s" % (len(made), made))
            return
        connected = self._socket
        if connected is None:
            connected = self._socket = self._connect()
        if connected.type == socket.SOCK_STREAM:  # a local socket of that kind takes lines
            self._send_framed(made.replace(b"\n", b" ") + b"\n")
        else:
            connected.send(made)

    def _send_framed(self, frame: bytes) -> None:
        if self._socket is not None and (_left(self._socket) or self._begun not in {b"", frame}):
            self.close()
        if self._socket is None:
            self._socket = self._connect()
        self._begun = frame
        while self._sent < len(frame):
            self._sent += self._socket.send(memoryview(frame)[self._sent :])
        self._begun, self._sent = b"", 0

    def _connect(self) -> socket.socket:
        where = self._receiver
        if where.transport == "local":
            return _connect_local(where.host)
        kind = socket.SOCK_STREAM if where.transport == "tcp" else socket.SOCK_DGRAM
        # As bytes: text goes through a codec that would have to be loaded.
        found = socket.getaddrinfo(where.host.encode(), where.port, type=kind)
        problem: OSError | None = None
        for family, _, protocol, _, address in found:
            try:
                return _connect_remote(socket.socket(family, kind, protocol), address)
            except OSError as error:
                problem = error
        raise problem if problem is not None else OSError(f"{where.host} has no address")


def _connect_remote(made: socket.socket, address: Any) -> socket.socket:  # noqa: ANN401 - as getaddrinfo gives it
    """Connect; by UDP so that a port nobody listens at is an error, of the message after."""
    try:
        made.settimeout(_PATIENCE_S)
        if made.type == socket.SOCK_STREAM:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.connect(address)
    except OSError:
        made.close()
        raise
    return made


def _connect_local(path: str) -> socket.socket:
    """Connect to a local socket, which takes datagrams as a rule."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        connected = socket.socket(socket.AF_UNIX, kind)
        connected.settimeout(_PATIENCE_S)
        try:
            connected.connect(path)
        except OSError as error:
            connected.close()
            if kind == socket.SOCK_STREAM or error.errno != 91:  # EPROTOTYPE
                raise
        else:
            return connected
    raise AssertionError("not reached")


def _left(connected: socket.socket) -> bool:
    """Tell whether the peer has closed the connection: what is sent then is lost without a word."""
    readable = select.poll()
    readable.register(connected, select.POLLIN)
    if not readable.poll(0):
        return False
    try:
        return not connected.recv(4096)
    except OSError:
        return True


def message(document: Document, facility: int, form: Format, most: int) -> bytes:
    """Return a document as a message of RFC 5424, of *most* bytes at the most."""
    text = (jsonl if form is Format.JSONL else compact)(document)
    host = _word(look_up(document, "host.name"), 255)
    kind = _word(look_up(document, "event.dataset"), 32)
    time = _word(look_up(document, "@timestamp"), 48)
    head = f"<{facility * 8 + priority(document)}>1 {time} {host} auditsense {os.getpid()} {kind} "
    made = f"{head}[{_SD_ID}{_data(document)}] {text}".encode("utf-8", "backslashreplace")
    if len(made) <= most:
        return made
    made = f'{head}[{_SD_ID} truncated="true"] {compact(document)}'.encode("utf-8", "backslashreplace")
    return made[:most].decode("utf-8", "ignore").encode()


def _data(document: Document) -> str:
    """Return the structured data: its values may hold anything, its names are ours."""
    return "".join(f' {name}="{_value(value)}"' for name, value in named(document))


def _value(text: str) -> str:
    return printable(text).translate(_ESCAPED)


def _word(value: object, most: int) -> str:
    """Return a field of the header: printable ASCII without spaces, or "-"."""
    return "".join(one for one in str(value or "") if "!" <= one <= "~")[:most] or "-"
