"""auditd's af_unix plugin: lines on a Unix socket, with reconnection."""

from __future__ import annotations

import errno
import os
import select
import socket
import time

from auditsense._broker_client import ask
from auditsense.errors import InputError
from auditsense.sources.text_source import CHUNK, TextSource

_FIRST_S = 0.5
_LONGEST_S = 8.0


class AuditdSocket(TextSource):
    """The socket at a path, as a `Source`. Never ends.

    While auditd is gone, the pause between two attempts to connect doubles, up to 8 s.

    Raises (on entering):
        InputError: no process listens there, or this process may not connect.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.name = f"unix:{path}"
        self.path = path
        self.broker: socket.socket | None = None
        """Connection to the process that connects (kernel/broker.py); None: this one does."""
        self._socket: socket.socket | None = None
        self._pause_s = _FIRST_S
        self._next_s = 0.0

    def _open(self) -> None:
        try:
            self._connect()
        except PermissionError as error:
            raise InputError(
                f"{self.path}: {error.strerror}; its mode is in args of auditd's plugins.d/af_unix.conf"
            ) from None
        except OSError as error:
            raise InputError(
                f"{self.path}: {error.strerror or error}; set active = yes in auditd's "
                "plugins.d/af_unix.conf and restart auditd"
            ) from None

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        self._socket = connection = self._connected()
        assert self._ready is not None  # noqa: S101 - for the type
        self._ready.register(connection, select.EPOLLIN)
        self._pause_s = _FIRST_S

    def _connected(self) -> socket.socket:
        """Return a connected socket that does not block. Raises OSError."""
        if self.broker is not None:
            descriptors = ask(self.broker, b"S")
            if not descriptors:
                raise OSError(errno.EPROTO, "no descriptor came from the broker")
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=descriptors[0])
            os.set_inheritable(descriptors[0], False)  # noqa: FBT003 - the standard library's own
            connection.setblocking(False)  # noqa: FBT003 - as above
            return connection
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            connection.connect(self.path)
        except BaseException:
            connection.close()
            raise
        return connection

    def _read(self) -> bytes:
        if self._socket is None and not self._reconnect():
            return b""
        assert self._socket is not None  # noqa: S101 - for the type
        try:
            chunk = self._socket.recv(CHUNK)
        except BlockingIOError:
            return b""
        except OSError:
            chunk = b""
        if not chunk:
            self._disconnected()
        return chunk

    def _disconnected(self) -> None:
        self._close()
        self._tail = b""  # the rest of that line will not come
        self._mark_break()
        self._next_s = time.monotonic() + self._pause_s
        self._report(
            "The Source Is Gone",
            f"auditd has closed {self.path}; nothing is seen until it is back, and it is tried again",
            "high",
        )

    def _reconnect(self) -> bool:
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        try:
            self._connect()
        except OSError:
            self._pause_s = min(2 * self._pause_s, _LONGEST_S)
            self._next_s = now_s + self._pause_s
            return False
        self._report("The Source Is Back", f"{self.path} is connected again", "low")
        return True
