"""The socket the kernel sends audit records to, and how a process gets to own it.

A plain socket: the core in C reads the records from this descriptor with
recvmmsg(2). Python speaks on it once, to register, and afterwards only asks it
for its counters. Commands go over a socket of their own (`kernel.commands`),
since answers sent into a stream of records get lost.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final

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

# Some 300,000 records: what comes in one second at the highest rate measured.
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
_WHOLE: Final = 0xFFFFFFFF
_TYPE_AT: Final = 4  # in struct nlmsghdr


def open_data_socket(receive_buffer_bytes: int = DEFAULT_RECEIVE_BUFFER_BYTES) -> socket.socket:
    """Open a socket ready to receive records; nothing arrives before `register`.

    Non-blocking, close-on-exec; connected to the kernel, so that no other
    process can put anything into it; without ENOBUFS, which would make the
    kernel send nothing until the socket was drained to empty.

    Args:
        receive_buffer_bytes: Wanted size, 1 to 2**30. Kernel memory that is
            taken as records wait, about 900 bytes a record, not before.
            Beyond the system's limit it needs CAP_NET_ADMIN; without, the
            system's limit (net.core.rmem_max) is what is granted.
            `granted_buffer_bytes` tells.

    Raises:
        NoKernelAuditError: this kernel has no audit.
        KernelCommandError: the socket was refused for another reason.
    """
    sock = _open()
    try:
        sock.connect((0, 0))
        _prepare(sock, receive_buffer_bytes)
        _empty(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def open_multicast_socket(receive_buffer_bytes: int = DEFAULT_RECEIVE_BUFFER_BYTES) -> socket.socket:
    """Open a socket that hears every record from now on, whoever owns the kernel's audit.

    Non-blocking, close-on-exec, no use to other processes, and without ENOBUFS,
    as `open_data_socket`. A record that finds it full is dropped, for this
    socket alone; `socket_drops` counts them exactly.

    Args:
        receive_buffer_bytes: See `open_data_socket`.

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
        except OSError as problem:
            raise _refused(problem.errno or 0, "listen to the kernel's audit") from problem
        sock.connect((0, 0))
    except BaseException:
        sock.close()
        raise
    return sock


def _empty(sock: socket.socket) -> None:
    """Throw away what others sent while the socket had a port and was not connected yet."""
    with suppress(BlockingIOError):
        while True:
            sock.recv(1)


def join(sock: socket.socket) -> None:
    """Make a socket of `open_data_socket` hear every record, as `open_multicast_socket` does.

    Raises:
        KernelCommandError: the kernel refused (CAP_AUDIT_READ).
    """
    try:
        sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, _GROUP_READLOG)
    except OSError as problem:
        what = f"cannot listen by multicast: {problem.strerror}"
        raise KernelCommandError(what, problem.errno) from problem


def keep_out(sock: socket.socket, types: Iterable[int]) -> None:
    """Have the kernel leave records of these types out of this socket; to everybody else they go on.

    A filter in the kernel (classic BPF, socket(7)) on the type of the message. The kernel takes a record
    that it keeps out for delivered: it counts no loss and tries no second time. May be called once.

    Args:
        sock: of this module's making.
        types: 1 to 65,535 each; 200 at most. None of them: nothing is done.

    Raises:
        KernelCommandError: the kernel refused.
    """
    wanted = sorted(types)
    if not wanted:
        return
    # Words are loaded as the network orders them, and the kernel writes the header in its own order.
    numbers = [int.from_bytes(struct.pack("=H", kind), "big") for kind in wanted]
    left = len(numbers)
    program = [(bpf.LOAD_HALF, 0, 0, _TYPE_AT)]
    program += [(bpf.IF_EQUAL, left - n, 0, number) for n, number in enumerate(numbers)]
    program += [(bpf.RETURN, 0, 0, _WHOLE), (bpf.RETURN, 0, 0, 0)]
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bpf.Program(bpf.pack(program)))
    except OSError as problem:
        what = f"cannot keep records out of the socket: {problem.strerror}"
        raise KernelCommandError(what, problem.errno) from problem


def _open() -> socket.socket:
    try:
        return open_audit_socket()
    except KernelCommandError as error:
        raise _refused(error.errno or 0, "open an audit socket") from error.__cause__


def _prepare(sock: socket.socket, receive_buffer_bytes: int) -> None:
    sock.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
    set_receive_buffer(sock, receive_buffer_bytes)


def register(sock: socket.socket, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[bytes]:
    """Make this process the owner of the kernel's records, to be sent to *sock*.

    From here on the kernel does not audit this process itself. What arrives
    before the kernel's consent is not lost but returned.

    Args:
        sock: From `open_data_socket`, with nobody else reading it yet.
        timeout_s: Longest wait for each of the kernel's answers, in seconds.

    Returns:
        Datagrams, header included, in order of arrival, to be fed before what
        is received next. Usually none.

    Raises:
        SocketTakenError: another process (it is named), or another socket of
            this one, is the owner.
        NoKernelAuditError: not allowed; the message says why.
        KernelCommandError: refused otherwise, or no answer (`errno` None): the
            process may be registered then, AUDIT_GET tells.
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


def came(sock: socket.socket | None) -> list[bytes]:  # noqa: ARG001 - as `testing.FakeKernel` has it
    """Return nothing: what the kernel sends is read from the socket itself."""
    return []


def granted_buffer_bytes(sock: socket.socket) -> int:
    """Return the receive buffer in bytes as the kernel counts it: twice what was granted."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def socket_drops(sock: socket.socket) -> int:
    """Return how often this socket was full, modulo 2**32 (SO_MEMINFO, SK_MEMINFO_DROPS).

    For a multicast socket that is the number of records lost, exactly. For the
    owner's socket it counts attempts: the kernel may try a record again.
    """
    return _meminfo(sock)[_MEMINFO_DROPS]


def queued_bytes(sock: socket.socket) -> int:
    """Return the kernel memory in bytes that waiting records take (SK_MEMINFO_RMEM_ALLOC).

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
    return f"process {pid} ({name}) owns the audit socket; stop it, or {LISTEN} beside it"


def _refused(number: int, what: str) -> Exception:
    explained = access.explain(number)
    if explained is not None:
        return explained
    name = errno.errorcode.get(number, str(number))
    return KernelCommandError(f"cannot {what}: {name}: {os.strerror(number)}", number)
