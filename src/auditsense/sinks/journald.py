"""systemd's journal, by the native journal protocol (systemd.io).

One datagram per document: NAME=value and a line end or, for a value that contains line ends, NAME, a line
end, the length in 8 bytes and the value. An entry that does not fit into a datagram is a sealed memory file,
whose descriptor is sent.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from errno import EMSGSIZE, ENOBUFS
from typing import TYPE_CHECKING, Protocol

from auditsense.sinks.fields import named_fields, priority
from auditsense.sinks.format import compact_text, jsonl
from auditsense.sinks.socket_sink import SocketSink

if TYPE_CHECKING:
    from auditsense.detect.document_types import Document

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "auditsense"

_ADD_SEALS, _ALL_SEALS = 1033, 0x0F  # linux/fcntl.h: F_ADD_SEALS; SEAL, SHRINK, GROW, WRITE


class Passer(Protocol):
    """Sends a message that passes one descriptor, for a process that may send no other (kernel/sealed.py)."""

    descriptor: int
    """The number of that descriptor."""

    def send(self, through: int) -> None:
        """Send it through a connected socket. Raises OSError."""


class JournaldSink(SocketSink):
    """Write one journal entry per document.

    MESSAGE is the compact line without its time, which the journal shows itself. PRIORITY and the fields of
    `fields.NAMES` (PROCESS_PID for process.pid) can be searched. AUDITSENSE_DOCUMENT is the complete document
    as JSON.

    Args:
        path: journald's socket. It may appear later.
    """

    def __init__(self, path: str = SOCKET) -> None:
        super().__init__(f"journald at {path}")
        self._path = path
        self.passer: Passer | None = None
        """Passes the descriptor of a long entry; None: this process may pass any."""

    def _encode(self, document: Document) -> bytes:
        return encode_entry(document)

    def _send(self, message: bytes) -> None:
        if self._socket is None:
            self._socket = self.connector(socket.AF_UNIX, socket.SOCK_DGRAM, self._path)
        try:
            self._socket.send(message)
        except OSError as error:
            if error.errno not in {EMSGSIZE, ENOBUFS}:
                raise
            self._send_as_file(self._socket, message)

    def _send_as_file(self, journald: socket.socket, message: bytes) -> None:
        descriptor = os.memfd_create("auditsense-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, descriptor)
            rest = memoryview(message)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            fcntl.fcntl(descriptor, _ADD_SEALS, _ALL_SEALS)
            if self.passer is None:
                socket.send_fds(journald, [b""], [descriptor])
                return
            os.dup2(descriptor, self.passer.descriptor, inheritable=False)
            stack.callback(os.close, self.passer.descriptor)
            self.passer.send(journald.fileno())


def encode_entry(document: Document) -> bytes:
    """Return a document as a journal entry."""
    fields = [
        ("MESSAGE", compact_text(document)),
        ("PRIORITY", str(priority(document))),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        *((name.upper().replace(".", "_"), value) for name, value in named_fields(document)),
        ("AUDITSENSE_DOCUMENT", jsonl(document)),
    ]
    return b"".join(_encode_field(name, value) for name, value in fields)


def _encode_field(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "backslashreplace")  # the document has the exact bytes
    if b"\n" in raw:
        return name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"
