"""A process that looks up one name and connects to one port, for another that may open no socket.

An attacker who takes over a sink or `auditsense ship` by an answer can then reach the receiver and
nothing else. This process reads answers of name servers alone: no document, no secret, and no answer of the
receiver. A client sends one byte, and gets a connected socket.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn

from auditsense import _child_process as child
from auditsense.errors import AuditSenseError
from auditsense.kernel.confinement import PARTS, confine, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.privileges import User

UNKNOWN_NAME: Final = 200
"""Answers from this number on are errors of getaddrinfo(3), from EAI_BADFLAGS (-1) on."""
_MOST: Final = 255
_MOST_WAITING: Final = 4096
_LEAST_S: Final = 0.1
_END_S: Final = 1.0


class Connector:
    """Handle of the process.

    Args:
        host: name or address.
        port: of the receiver.
        kind: socket.SOCK_STREAM or socket.SOCK_DGRAM.
    """

    def __init__(self, host: str, port: int, kind: int) -> None:
        self._host, self._port, self._kind = host, port, kind
        self.connection, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        """Over which the client asks."""
        self._pid = 0

    def start(self, user: User | None) -> None:
        """Fork, while there is one thread.

        Args:
            user: that the process becomes.

        Raises:
            AuditSenseError: no process can be created.
        """
        kept = PARTS["connector"].with_ports((self._port,) if self._kind == socket.SOCK_STREAM else ())
        prepared = prepare(kept)
        try:
            with child.signals_blocked(child.GROUP_SIGNALS):
                self._pid = os.fork()
                if self._pid == 0:
                    self._run(lambda: confine(kept, user, prepared=prepared))
        except OSError as error:
            raise AuditSenseError(f"cannot start the connector: {error.strerror}") from None
        self._theirs.close()

    def close(self) -> None:
        """Close this process's copy of the connection. The process ends with the last one."""
        self.connection.close()
        if self._pid and child.wait_for_exit(self._pid, _END_S):
            self._pid = 0

    def _run(self, confine_to: Callable[[], object]) -> NoReturn:
        """Run the process. Never returns, so no exit handler runs here."""
        code = 1
        try:
            child.ignore((*child.GROUP_SIGNALS, signal.SIGPIPE))
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            child.close_inherited(self._theirs.fileno())
            child.set_name("audit-connector")
            "".encode("idna")  # loads the codec now: nothing may be readable later
            confine_to()
            while requests := self._theirs.recv(_MOST_WAITING):
                with suppress(OSError):  # the client has gone
                    self._answer(requests[-1])
            code = 0
        finally:
            os._exit(code)

    def _answer(self, limit_s: int) -> None:
        """Answer once, also to a client that has asked again because no answer came in time."""
        try:
            connected = self._connect(limit_s)
        except socket.gaierror as error:
            answer = UNKNOWN_NAME - (error.errno or 0)
            self._send(answer if UNKNOWN_NAME < answer <= _MOST else errno.EIO)
        except OSError as error:
            self._send(errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno or errno.EIO)
        else:
            with connected:
                self._send(0, connected.fileno())

    def _send(self, answer: int, *descriptors: int) -> None:
        with suppress(BlockingIOError):
            self._theirs.recv(_MOST_WAITING, socket.MSG_DONTWAIT)
        socket.send_fds(self._theirs, [bytes([answer])], descriptors)

    def _connect(self, limit_s: int) -> socket.socket:
        """Return a socket that is connected to the first address that answers.

        Args:
            limit_s: for all addresses, each of which gets the same part of what is left.

        Raises:
            OSError: none does.
        """
        problem = OSError(errno.EADDRNOTAVAIL, "")
        # As bytes: str would load a codec.
        addresses = socket.getaddrinfo(self._host.encode(), self._port, type=self._kind)
        end_s = time.monotonic() + limit_s
        for place, (*kind, _, address) in enumerate(addresses):
            left_s = max(_LEAST_S, (end_s - time.monotonic()) / (len(addresses) - place))
            try:
                return _connected(kind, address, left_s)
            except OSError as error:
                problem = error
        raise problem


def _connected(kind: list[int], address: Any, limit_s: float) -> socket.socket:  # noqa: ANN401 - as in socket.connect
    one = socket.socket(*kind)  # fails where this host has no IPv6
    one.settimeout(limit_s)
    try:
        one.connect(address)
    except OSError:
        one.close()
        raise
    return one
