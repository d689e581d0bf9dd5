"""The side of a `FakeKernel` that records come on: a local socket where the kernel's would be.

What is sent waits in a list; the socket is there to be waited for. It is connected to itself, so that
whoever closes it has closed everything.
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
    """What `sources.netlink` is for the real kernel.

    Args:
        consent: registers the caller as owner, or raises what the kernel answers.

    Attributes:
        joined: sockets that an owner has made hear what all readers hear.
        dropped: how often a socket was full.
    """

    def __init__(self, consent: Callable[[], object]) -> None:
        self.joined: list[socket.socket] = []
        self.dropped = 0
        self._consent = consent
        self._unsent: frozenset[int] = frozenset()
        self._waiting: list[bytes] = []
        self._socket: socket.socket | None = None

    def send(self, datagrams: Iterable[bytes]) -> None:
        """Let them wait for whoever listens, now or later."""
        self._waiting += datagrams
        if self._waiting and self._socket is not None and self._socket.fileno() >= 0:
            with suppress(BlockingIOError):  # it is readable already
                self._socket.send(b"!")

    # --- as in sources.netlink -----------------------------------------------------

    def open_data_socket(self, _receive_buffer_bytes: int) -> socket.socket:
        """Return a socket for `register`."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        sock.bind("")  # to a name that the system chooses, in no folder
        sock.connect(sock.getsockname())
        self._socket = sock
        self._unsent = frozenset()
        return sock

    def open_multicast_socket(self, receive_buffer_bytes: int) -> socket.socket:
        """Return a socket that hears everything."""
        sock = self.open_data_socket(receive_buffer_bytes)
        self.send(())
        return sock

    def register(self, _sock: socket.socket) -> list[bytes]:
        """Make the caller the owner. Nothing comes before the consent.

        Raises:
            SocketTakenError: another process is.
        """
        try:
            self._consent()
        except KernelCommandError as problem:
            if problem.errno == errno.EEXIST:
                raise SocketTakenError("another process owns the audit socket of this FakeKernel") from None
            raise
        self.send(())
        return []

    def join(self, sock: socket.socket) -> None:
        """Note that the socket hears everything from now on."""
        self.joined.append(sock)

    def keep_out(self, _sock: socket.socket, types: Iterable[int]) -> None:
        """Leave records of these types out."""
        self._unsent = frozenset(types)

    def socket_drops(self, _sock: socket.socket) -> int:
        """Return `dropped`."""
        return self.dropped

    def came(self, sock: socket.socket | None) -> list[bytes]:
        """Return what waits, and make the socket unreadable again."""
        if sock is not None:
            with suppress(BlockingIOError):
                while sock.recv(64):
                    pass
        came, self._waiting = self._waiting, []
        return [one for one in came if struct.unpack_from("=H", one, 4)[0] not in self._unsent]
