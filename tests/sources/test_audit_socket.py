"""`register` over a pair of local sockets: the kernel's replies, and records in between."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from auditsense.errors import KernelCommandError, NoKernelAuditError, SocketTakenError
from auditsense.kernel.audit_status import AuditStatus
from auditsense.sources import audit_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")
RECORDS = [
    HEADER.pack(47, 1300, 0, 0, 0) + b"audit(1795493114.674:3): arch=c000003e syscall=257",
    HEADER.pack(20, 1329, 0, 0, 0) + struct.pack("=I", 4711),  # AUDIT_REPLACE: a challenger
]


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with ours, kernels:
        yield ours, kernels


def answer(kind: int, payload: bytes, sequence: int) -> bytes:
    return HEADER.pack(16 + len(payload), kind, 0, sequence, 0) + payload


def consent(number: int = 0) -> bytes:
    return answer(2, struct.pack("=i", -number) + bytes(16), 1)


def test_register_sends_own_pid_and_requests_ack(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernels = pair
    kernels.send(consent())
    assert audit_socket.register(ours) == []
    sent = kernels.recv(100)
    length, kind, flags, _sequence, port = HEADER.unpack_from(sent)
    assert (length, kind, flags, port) == (60, 1001, 1 | 4, 0)
    asked = AuditStatus.from_bytes(sent[16:])
    assert (asked.mask, asked.pid) == (4, os.getpid())


def test_register_returns_early_records_in_order(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernels = pair
    for datagram in (*RECORDS, consent(), RECORDS[0]):
        kernels.send(datagram)
    assert audit_socket.register(ours) == RECORDS
    assert ours.recv(1000) == RECORDS[0]  # what comes after it is the reader's


def test_register_ignores_reply_to_another_request(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernels = pair
    foreign = HEADER.pack(36, 2, 0, 7, 0) + bytes(20)
    kernels.send(foreign)
    with pytest.raises(KernelCommandError, match=r"did not answer within 0\.05 s") as caught:
        audit_socket.register(ours, timeout_s=0.05)
    assert caught.value.errno is None


def test_register_names_vanished_owner_by_pid(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    ours, kernels = pair
    kernels.send(consent(errno.EEXIST))
    kernels.send(answer(1000, struct.pack("=11I", 0, 1, 1, 2**22 + 1, *[0] * 7), 2))
    with pytest.raises(SocketTakenError, match="process 4194305 "):
        audit_socket.register(ours)


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ECONNREFUSED, NoKernelAuditError), (errno.EINVAL, KernelCommandError)],
)
def test_register_explains_other_errors(
    pair: tuple[socket.socket, socket.socket], number: int, error: type[Exception]
) -> None:
    ours, kernels = pair
    kernels.send(consent(number))
    with pytest.raises(error):
        audit_socket.register(ours)
