"""The record sockets of a `FakeKernel`.

Datagrams wait in a list; the local socket only signals them. It is connected to itself, so closing it closes
everything.
"""

from __future__ import annotations

import errno
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from auditsense.errors import KernelCommandError, SocketTakenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class FakeRecords:
    """A replacement of `sources.audit_socket`.

    Args:
        register: registers the caller as owner, or raises the kernel's error.

    Attributes:
        joined: sockets of an owner that joined the multicast group.
        dropped: how often a socket was full.
    """

    def __init__(self, register: Callable[[], object]) -> None:
        self.joined: list[socket.socket] = []
        self.dropped = 0
        self._register = register
        self._filtered: frozenset[int] = frozenset()
        self._waiting: list[bytes] = []
        self._socket: socket.socket | None = None

    def send(self, datagrams: Iterable[bytes]) -> None:
        """Queue datagrams for the listener, present or future."""
        self._waiting += datagrams
        if self._waiting and self._socket is not None and self._socket.fileno() >= 0:
            with suppress(BlockingIOError):  # already readable
                self._socket.send(b"!")

    # --- as in sources.audit_socket -----------------------------------------------------

    def open_data_socket(self, _receive_buffer_bytes: int) -> socket.socket:
        """Return a socket for `register`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        sock.bind("")  # an abstract address that the system chooses
        sock.connect(sock.getsockname())
        self._socket = sock
        self._filtered = frozenset()
        return sock

    def open_multicast_socket(self, receive_buffer_bytes: int) -> socket.socket:
        """Return a socket that receives every record."""
        sock = self.open_data_socket(receive_buffer_bytes)
        self.send(())
        return sock

    def register(self, _sock: socket.socket) -> list[bytes]:
        """Make the caller the owner. Nothing comes before the consent.

        Raises:
            SocketTakenError: another process is.
        """
        try:
            self._register()
        except KernelCommandError as error:
            if error.errno == errno.EEXIST:
                raise SocketTakenError("another process owns the audit socket of this FakeKernel") from None
            raise
        self.send(())
        return []

    def join_multicast(self, sock: socket.socket) -> None:
        """Add the socket to `joined`."""
        self.joined.append(sock)

    def filter_out(self, _sock: socket.socket, types: Iterable[int]) -> None:
        """Keep records of these types out."""
        self._filtered = frozenset(types)

    def socket_drops(self, _sock: socket.socket) -> int:
        """Return `dropped`."""
        return self.dropped

    def take_early(self, sock: socket.socket | None) -> list[bytes]:
        """Return the waiting datagrams, and make the socket unreadable again."""
        if sock is not None:
            with suppress(BlockingIOError):
                while sock.recv(64):
                    pass
        waiting, self._waiting = self._waiting, []
        return [data for data in waiting if struct.unpack_from("=H", data, 4)[0] not in self._filtered]
