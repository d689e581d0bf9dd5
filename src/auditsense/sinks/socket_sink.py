"""A sink that sends one message per document over a socket, which it opens when needed."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from auditsense._broker_client import ask
from auditsense.sinks import SinkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detect.document_types import Document

TIMEOUT_S = 5.0

Connector = Callable[[int, int, Any], socket.socket]
"""Returns a socket of a family and type that is connected to an address."""


class SocketSink:
    """Send one message per document; reconnect after an error.

    Args:
        peer: the receiver, for errors.
    """

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self.connector: Connector = connect
        self._socket: socket.socket | None = None

    def fileno(self) -> int:
        """Return the socket; -1 if there is none."""
        return -1 if self._socket is None else self._socket.fileno()

    def write(self, documents: Sequence[Document]) -> None:
        """Send one message per document. Sent means accepted by the local kernel: no receiver acknowledges.

        Raises:
            SinkError: the receiver cannot be reached, or accepts nothing for 5 s.
        """
        for count, document in enumerate(documents):
            try:
                self._send(self._encode(document))
            except TimeoutError:  # the connection stays: a frame may be half sent
                raise SinkError(f"{self._peer} accepts nothing", written=count) from None
            except OSError as error:
                self.close()
                reason = error.strerror or str(error)
                raise SinkError(f"cannot reach {self._peer}: {reason}", written=count) from None
            except SinkError as error:  # of a dialer
                raise SinkError(
                    f"cannot reach {self._peer}: {error}", written=count, final=error.final
                ) from None

    def reopen(self) -> None:
        """Reconnect with the next message."""
        self.close()

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _encode(self, document: Document) -> bytes:
        raise NotImplementedError

    def _send(self, message: bytes) -> None:
        raise NotImplementedError


class BrokeredConnector:
    """Connects to the path of one local socket, for a process that may not: another process does it.

    Args:
        connection: to that process (kernel/broker.py). It answers with a number of errno, and a descriptor.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._connection.settimeout(TIMEOUT_S)

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this process's copy of the connection."""
        self._connection.close()

    def __call__(self, family: int, kind: int, address: Any) -> socket.socket:  # noqa: ANN401, ARG002 - as in socket.connect; the broker knows the address
        """Return a connected socket. Raises OSError."""
        descriptors = ask(self._connection, b"S" if kind == socket.SOCK_STREAM else b"D")
        if not descriptors:
            raise OSError(errno.EPROTO, "no descriptor came from the broker")
        connected = socket.socket(family, kind, fileno=descriptors[0])
        connected.settimeout(TIMEOUT_S)
        return connected


def connect(family: int, kind: int, address: Any) -> socket.socket:  # noqa: ANN401 - as in socket.connect
    """Return a connected socket with a timeout.

    Raises:
        OSError: the connection failed.
    """
    connected = socket.socket(family, kind)
    connected.settimeout(TIMEOUT_S)
    try:
        connected.connect(address)
    except OSError:
        connected.close()
        raise
    return connected
