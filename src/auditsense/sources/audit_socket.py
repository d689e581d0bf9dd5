"""Sockets that the kernel sends audit records to: open, register as owner, filter, counters.

Plain sockets: the core in C reads the records from the descriptor with recvmmsg(2). Python sends on it
once, to register, and then only reads its counters. Commands go over a separate socket
(`kernel.commands`), because replies get lost in a stream of records.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from auditsense.errors import KernelCommandError, NoKernelAuditError, SocketTakenError
from auditsense.kernel import access, bpf
from auditsense.kernel.audit_status import AuditStatus, StatusField, setting_bytes
from auditsense.kernel.commands import AUDIT_GET, AUDIT_SET
from auditsense.kernel.plan import LISTEN
from auditsense.kernel.transport import (
    DEFAULT_TIMEOUT_S,
    NetlinkTransport,
    open_audit_socket,
    set_receive_buffer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

# About 300,000 records: one second at the highest rate measured.
DEFAULT_RECEIVE_BUFFER_BYTES: Final = 128 << 20

_SOL_NETLINK: Final = 270  # linux/socket.h
_NETLINK_ADD_MEMBERSHIP: Final = 1  # linux/netlink.h
_NETLINK_NO_ENOBUFS: Final = 5
_GROUP_READLOG: Final = 1  # linux/audit.h: AUDIT_NLGRP_READLOG
_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_SO_MEMINFO: Final = 55  # asm-generic/socket.h; the array is in linux/sock_diag.h
_MEMINFO: Final = struct.Struct("=9I")
_MEMINFO_RMEM_ALLOC: Final = 0
_MEMINFO_DROPS: Final = 8
_ALL_BYTES: Final = 0xFFFFFFFF
_TYPE_OFFSET: Final = 4  # in struct nlmsghdr


class NetlinkApi(Protocol):
    """This module, or the replacement that a kernel in memory brings. Each function is described below."""

    def open_data_socket(self, receive_buffer_bytes: int, /) -> socket.socket:
        """Open a socket for `register`."""

    def open_multicast_socket(self, receive_buffer_bytes: int, /) -> socket.socket:
        """Open a socket that receives every record."""

    def register(self, sock: socket.socket, /) -> list[bytes]:
        """Become the owner; return what arrived before the reply."""

    def join_multicast(self, sock: socket.socket, /) -> None:
        """Make an owner's socket receive every record."""

    def filter_out(self, sock: socket.socket, types: Iterable[int], /) -> None:
        """Keep records of these types out."""

    def socket_drops(self, sock: socket.socket, /) -> int:
        """Return how often the socket was full."""

    def take_early(self, sock: socket.socket | None, /) -> list[bytes]:
        """Return datagrams that did not arrive on the socket, each once."""


def open_data_socket(receive_buffer_bytes: int = DEFAULT_RECEIVE_BUFFER_BYTES) -> socket.socket:
    """Open a socket ready to receive records; nothing arrives before `register`.

    Non-blocking, close-on-exec; connected to the kernel, so that no other process can send to it; without
    ENOBUFS, which would make the kernel send nothing until the socket is drained.

    Args:
        receive_buffer_bytes: requested size, 1 to 2**30. The kernel allocates it as records wait, about
            900 bytes a record. More than net.core.rmem_max needs CAP_NET_ADMIN; without it that limit is
            granted (`granted_buffer_bytes`).

    Raises:
        NoKernelAuditError: this kernel has no audit.
        KernelCommandError: the socket was refused for another reason.
    """
    sock = _open()
    try:
        sock.connect((0, 0))
        _prepare(sock, receive_buffer_bytes)
        _discard_foreign(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def open_multicast_socket(receive_buffer_bytes: int = DEFAULT_RECEIVE_BUFFER_BYTES) -> socket.socket:
    """Open a socket that receives every record from now on, independent of the owner of the kernel's audit.

    Non-blocking, close-on-exec, closed to other processes, and without ENOBUFS, as `open_data_socket`. When
    it is full, records are dropped for this socket alone; `socket_drops` counts them exactly.

    Args:
        receive_buffer_bytes: see `open_data_socket`.

    Raises:
        NoKernelAuditError: no audit in this kernel, or no CAP_AUDIT_READ.
        KernelCommandError: the socket was refused for another reason.
    """
    sock = _open()
    try:
        _prepare(sock, receive_buffer_bytes)
        try:
            sock.bind((0, 1 << (_GROUP_READLOG - 1)))  # a mask: the group joins with the address
        except PermissionError:
            raise NoKernelAuditError(
                "not allowed to read audit records by multicast: that needs root or CAP_AUDIT_READ, "
                "outside of any user namespace"
            ) from None
        except OSError as error:
            raise _refused(error.errno or 0, "listen to the kernel's audit") from error
        sock.connect((0, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _discard_foreign(sock: socket.socket) -> None:
    """Discard what other processes sent while the socket had a port and was not connected yet."""
    with suppress(BlockingIOError):
        while True:
            sock.recv(1)


def join_multicast(sock: socket.socket) -> None:
    """Make a socket of `open_data_socket` receive every record, as `open_multicast_socket` does.

    Raises:
        KernelCommandError: the kernel refused (CAP_AUDIT_READ).
    """
    try:
        sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _GROUP_READLOG)
    except OSError as error:
        message = f"cannot listen by multicast: {error.strerror}"
        raise KernelCommandError(message, error.errno) from error


def filter_out(sock: socket.socket, types: Iterable[int]) -> None:
    """Keep records of these types out of this socket; other sockets still receive them.

    A filter in the kernel (classic BPF, socket(7)) on the type of the message. For the kernel a filtered
    record is delivered: it counts no loss and does not retry. May be called once.

    Args:
        sock: opened by this module.
        types: 1 to 65,535 each; at most 200. Empty: no filter.

    Raises:
        KernelCommandError: the kernel refused.
    """
    # BPF loads words in network order, and the kernel writes the header in native order.
    numbers = [int.from_bytes(struct.pack("=H", kind), "big") for kind in sorted(types)]
    if not numbers:
        return
    program = [(bpf.LOAD_HALF, 0, 0, _TYPE_OFFSET)]
    program += [(bpf.IF_EQUAL, len(numbers) - n, 0, number) for n, number in enumerate(numbers)]
    program += [(bpf.RETURN, 0, 0, _ALL_BYTES), (bpf.RETURN, 0, 0, 0)]
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bpf.Program(bpf.pack(program)))
    except OSError as error:
        message = f"cannot keep records out of the socket: {error.strerror}"
        raise KernelCommandError(message, error.errno) from error


def _open() -> socket.socket:
    try:
        return open_audit_socket()
    except KernelCommandError as error:
        raise _refused(error.errno or 0, "open an audit socket") from error.__cause__


def _prepare(sock: socket.socket, receive_buffer_bytes: int) -> None:
    sock.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
    set_receive_buffer(sock, receive_buffer_bytes)


def register(sock: socket.socket, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[bytes]:
    """Make this process the owner of the kernel's records, which are sent to *sock*.

    From here on the kernel does not audit this process. Records that arrive before the reply are returned.

    Args:
        sock: from `open_data_socket`, not read by anyone else yet.
        timeout_s: longest wait for each of the kernel's replies, in seconds.

    Returns:
        Datagrams, header included, in order of arrival, to be fed before those received next. Usually none.

    Raises:
        SocketTakenError: another process (named in the message), or another socket of this one, is the owner.
        NoKernelAuditError: not allowed, with the reason.
        KernelCommandError: refused otherwise, or no reply (`errno` None): the process may be registered then;
            AUDIT_GET shows it.
    """
    early: list[bytes] = []
    client = NetlinkTransport(timeout_s, sock=sock, unrelated=early)
    try:
        client.request(AUDIT_SET, setting_bytes(StatusField.PID, os.getpid()), ack=True)
    except KernelCommandError as error:
        if error.errno is None:
            raise
        if error.errno == errno.EEXIST:
            raise SocketTakenError(_taken_by(client)) from None
        raise _refused(error.errno, "register for audit records") from None
    return early


def take_early(sock: socket.socket | None) -> list[bytes]:  # noqa: ARG001 - see `NetlinkApi`
    """Return nothing: the kernel sends everything on the socket."""
    return []


def granted_buffer_bytes(sock: socket.socket) -> int:
    """Return the receive buffer in bytes as the kernel counts it: twice the granted size."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def socket_drops(sock: socket.socket) -> int:
    """Return how often this socket was full, modulo 2**32 (SO_MEMINFO, SK_MEMINFO_DROPS).

    For a multicast socket that is exactly the number of records lost. For the owner's socket it counts
    attempts: the kernel may retry a record.
    """
    return _meminfo(sock)[_MEMINFO_DROPS]


def queued_bytes(sock: socket.socket) -> int:
    """Return the kernel memory in bytes used by waiting records (SK_MEMINFO_RMEM_ALLOC).

    Comparable with `granted_buffer_bytes`; about 900 bytes a record.
    """
    return _meminfo(sock)[_MEMINFO_RMEM_ALLOC]


def _meminfo(sock: socket.socket) -> tuple[int, ...]:
    return _MEMINFO.unpack(sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))


def _taken_by(client: NetlinkTransport) -> str:
    (reply,) = client.request(AUDIT_GET, b"", ack=False)
    pid = AuditStatus.from_bytes(reply.payload).pid
    if pid == os.getpid():
        return f"another socket of this process ({pid}) owns the kernel's audit"
    name = access.process_name(pid) or "gone by now"
    return f"process {pid} ({name}) owns the audit socket; stop it, or {LISTEN} alongside it"


def _refused(number: int, action: str) -> Exception:
    explained = access.explain(number)
    if explained is not None:
        return explained
    name = errno.errorcode.get(number, str(number))
    return KernelCommandError(f"cannot {action}: {name}: {os.strerror(number)}", number)
