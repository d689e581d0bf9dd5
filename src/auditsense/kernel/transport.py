"""Requests to the kernel's audit over netlink, each with its answer.

The socket, the sequence numbers and the deadline are our own, and only the message format is pyroute2's:

- pyroute2's `NetlinkSocket` runs an asyncio loop. From a coroutine, where an embedded sensor may live, it
  fails with "This event loop is already running".
- Its calls have no deadline: they hang when the kernel dropped the reply.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from auditsense._frozen import Frozen
from auditsense.errors import ClosedError, KernelCommandError, NoKernelAuditError
from auditsense.kernel import netlink_message
from auditsense.kernel.netlink_message import (
    HEADER_BYTES,
    NLM_F_ACK,
    NLM_F_MULTI,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
)

DEFAULT_TIMEOUT_S: Final = 2.0
_NETLINK_AUDIT: Final = 9
_RAW: Final = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
_SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h; the socket module does not name it
# A listed rule takes about 2.3 kB of buffer, and the kernel does not check whether one arrived: this holds
# some 3,000 rules (the kernel doubles it).
_RECEIVE_BUFFER_BYTES: Final = 4 << 20
_DATAGRAM_BYTES: Final = 64 << 10  # the longest record stays well below 16 KiB


@dataclass(slots=True, eq=False, repr=False)
class Reply(Frozen):
    """One message of an answer: netlink type and the bytes behind the header."""

    kind: int
    payload: bytes


class Transport(Protocol):
    """Transport of `Commands` to a kernel: `NetlinkTransport`, or `testing.FakeKernel`."""

    def request(self, kind: int, payload: bytes, *, ack: bool) -> list[Reply]:
        """Send one message and return its answer without the ACK or the end marker.

        Raises:
            KernelCommandError: refused (`errno` set) or no answer (`errno` None).
            ClosedError: after `close()`.
        """

    def close(self) -> None:
        """Close the socket. Calling it again does nothing."""


class NetlinkTransport:
    """Transport to the running kernel.

    Any thread may call; calls wait for each other. After a timeout, the late answer is recognised by its
    sequence number and dropped. The deadline covers the wait for the answer, not the send: the kernel may
    hold the sender for its own backlog wait time while its queue is full.

    Args:
        timeout_s: longest wait for an answer.
        sock: socket to use; by default the first request opens one, which never receives records.
        unrelated: receives the datagrams that arrive before an answer and are not part of it; None: they
            are dropped.
    """

    def __init__(
        self,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        *,
        sock: socket.socket | None = None,
        unrelated: list[bytes] | None = None,
    ) -> None:
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._socket = sock
        self._unrelated = unrelated
        self._closed = False
        self._sequence = 0

    def request(self, kind: int, payload: bytes, *, ack: bool) -> list[Reply]:
        """See `Transport.request`."""
        with self._lock:
            if self._closed:
                raise ClosedError("the audit command socket is closed")
            if self._socket is None:
                self._socket = _open_command_socket()
            self._sequence = self._sequence % 0xFFFFFFFF + 1  # 1..2**32-1: records carry 0
            flags = NLM_F_REQUEST | (NLM_F_ACK if ack else 0)
            self._socket.send(netlink_message.encode(kind, flags, self._sequence, payload))
            return self._read_answer(self._socket, ack=ack)

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            self._closed = True
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _read_answer(self, sock: socket.socket, *, ack: bool) -> list[Reply]:
        """Read until the ACK, the end marker, or the only reply to a request without ACK."""
        deadline = time.monotonic() + self._timeout_s
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        replies: list[Reply] = []
        while (left_s := deadline - time.monotonic()) > 0 and poll.poll(left_s * 1000):
            datagram, sender = sock.recvfrom(_DATAGRAM_BYTES)
            if sender and sender[0] != 0:  # another process, from before connect()
                continue
            header = netlink_message.decode_header(datagram)
            if header.sequence != self._sequence:
                if self._unrelated is not None:
                    self._unrelated.append(datagram)
                continue
            if header.kind == NLMSG_ERROR:
                _raise_refusal(netlink_message.decode_errno(datagram))
                return replies
            if header.kind == NLMSG_DONE:
                return replies
            replies.append(Reply(header.kind, datagram[HEADER_BYTES:]))
            if not ack and not header.flags & NLM_F_MULTI:
                return replies
        raise KernelCommandError(f"the kernel's audit did not answer within {self._timeout_s:g} s")


def open_audit_socket() -> socket.socket:
    """Open a netlink socket to the kernel's audit: non-blocking, close-on-exec, not connected.

    Raises:
        NoKernelAuditError: the filter of a container refused.
        KernelCommandError: the kernel refused.
    """
    try:
        return socket.socket(socket.AF_NETLINK, _RAW, _NETLINK_AUDIT)
    except OSError as error:
        if error.errno == errno.EINVAL:  # no kernel answers so
            raise NoKernelAuditError(
                "a filter of system calls refuses audit sockets, as podman's does without CAP_AUDIT_WRITE; "
                "run the container with --cap-add=AUDIT_WRITE"
            ) from error
        raise KernelCommandError(f"cannot open an audit socket: {error.strerror}", error.errno) from error


def set_receive_buffer(sock: socket.socket, size_bytes: int) -> None:
    """Set the receive buffer. Without CAP_NET_ADMIN, the system's limit applies."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, size_bytes)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size_bytes)


def _open_command_socket() -> socket.socket:
    sock = open_audit_socket()
    try:
        with suppress(PermissionError):  # a confined sensor may connect none; each sender is checked as well
            sock.connect((0, 0))
        set_receive_buffer(sock, _RECEIVE_BUFFER_BYTES)
    except BaseException:
        sock.close()
        raise
    return sock


def _raise_refusal(number: int) -> None:
    if number > 0:
        raise KernelCommandError(f"{errno.errorcode.get(number, number)}: {os.strerror(number)}", number)
