"""Requests to the broker (kernel/broker.py), which opens files and connects sockets for a process."""

from __future__ import annotations

import errno
import os
import select
import socket

GONE = "the broker has ended; start auditsense again"


def ask(connection: socket.socket, request: bytes) -> list[int]:
    """Send one request; return the descriptors of its answer.

    Args:
        connection: a stream socket with a timeout.
        request: one byte.

    Raises:
        OSError: the broker refused, has ended, or did not answer in time. A later answer is discarded.
    """
    _discard_late_answers(connection)
    connection.send(request)
    answer, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
    if not answer:
        raise OSError(errno.EPIPE, GONE)
    if answer[0]:
        raise OSError(answer[0], os.strerror(answer[0]))
    return descriptors


def _discard_late_answers(connection: socket.socket) -> None:
    """Read answers to requests that had timed out, and close their descriptors."""
    waiting = select.poll()
    waiting.register(connection, select.POLLIN)
    while waiting.poll(0):
        answer, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        for descriptor in descriptors:
            os.close(descriptor)
        if not answer:
            raise OSError(errno.EPIPE, GONE)
