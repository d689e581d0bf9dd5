"""Documents to systemd's journal, by its own protocol (systemd.io, "Native Journal Protocol").

One datagram a document: NAME=value and a line end, or, for a value with line ends in it, NAME, a line end,
the length in 8 bytes and the value. What is too large for a datagram goes as a sealed file in memory,
whose descriptor is all that is sent.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
from errno import EMSGSIZE, ENOBUFS
from typing import TYPE_CHECKING

from auditsense.sinks import SinkError
from auditsense.sinks.fields import named, priority
from auditsense.sinks.format import compact, jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detect.ecs import Document

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "auditsense"

_PATIENCE_S = 5.0  # for a journald that takes nothing
_ADD_SEALS, _ALL_SEALS = 1033, 0x0F  # linux/fcntl.h: F_ADD_SEALS; SEAL, SHRINK, GROW, WRITE


class JournaldSink:
    """Writes one journal entry a document.

    MESSAGE is the compact line; PRIORITY and the fields of `fields.NAMES` (PROCESS_PID for process.pid)
    are for searching; AUDITSENSE_DOCUMENT is the whole document as JSON.

    Args:
        path: of journald's socket. It need not be there yet.
    """

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def fileno(self) -> int:
        """Return the socket; -1 when there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def write(self, documents: Sequence[Document]) -> None:
        """Send one entry a document.

        Raises:
            SinkError: journald is not there, or takes nothing for 5 s.
        """
        for count, document in enumerate(documents):
            try:
                self._send(entry(document))
            except OSError as error:
                self.close()
                reason = "it takes nothing" if isinstance(error, TimeoutError) else error.strerror
                raise SinkError(
                    f"journald is not to be reached at {self._path}: {reason}", written=count
                ) from None

    def reopen(self) -> None:
        """Connect again with the next entry."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, payload: bytes) -> None:
        connected = self._socket
        if connected is None:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            connected.settimeout(_PATIENCE_S)
            try:
                connected.connect(self._path)
            except OSError:
                connected.close()
                raise
            self._socket = connected
        try:
            connected.send(payload)
        except OSError as error:
            if error.errno not in {EMSGSIZE, ENOBUFS}:
                raise
            self._send_as_file(connected, payload)

    def _send_as_file(self, connected: socket.socket, payload: bytes) -> None:
        descriptor = os.memfd_create("auditsense-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, descriptor)
            rest = memoryview(payload)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            fcntl.fcntl(descriptor, _ADD_SEALS, _ALL_SEALS)
            socket.send_fds(connected, [b""], [descriptor])


def entry(document: Document) -> bytes:
    """Return a document as an entry, as journald reads it."""
    fields = [
        ("MESSAGE", compact(document)),
        ("PRIORITY", str(priority(document))),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        *((name.upper().replace(".", "_"), value) for name, value in named(document)),
        ("AUDITSENSE_DOCUMENT", jsonl(document)),
    ]
    return b"".join(_field(name, value) for name, value in fields)


def _field(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "backslashreplace")  # a name may be any bytes; the document has them exactly
    if b"\n" in raw:
        return name.encode() + b"\n" + struct.pack("<Q", len(raw)) + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"
