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
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn

from auditsense import _child_process as child
from auditsense.errors import AuditSenseError
from auditsense.kernel.confinement import PARTS, confine, prepare

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.privileges import User

UNKNOWN_NAME: Final = 200
"""Answers from this number on are errors of getaddrinfo(3), from EAI_BADFLAGS (-1) on."""
_MOST: Final = 255
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
            while request := self._theirs.recv(1):
                with suppress(OSError):  # the client has gone
                    self._answer(request[0])
            code = 0
        finally:
            os._exit(code)

    def _answer(self, limit_s: int) -> None:
        try:
            connected = self._connect(limit_s)
        except socket.gaierror as error:
            answer = UNKNOWN_NAME - (error.errno or 0)
            self._theirs.send(bytes([answer if UNKNOWN_NAME < answer <= _MOST else errno.EIO]))
        except OSError as error:
            self._theirs.send(
                bytes([errno.ETIMEDOUT if isinstance(error, TimeoutError) else error.errno or errno.EIO])
            )
        else:
            with connected:
                socket.send_fds(self._theirs, [b"\0"], [connected.fileno()])

    def _connect(self, limit_s: int) -> socket.socket:
        """Return a socket that is connected to the first address that answers.

        Raises:
            OSError: none does.
        """
        problem = OSError(errno.EADDRNOTAVAIL, "")
        # As bytes: str would load a codec.
        for family, kind, protocol, _, address in socket.getaddrinfo(
            self._host.encode(), self._port, type=self._kind
        ):
            one = socket.socket(family, kind, protocol)
            one.settimeout(limit_s)
            try:
                one.connect(address)
            except OSError as error:
                one.close()
                problem = error
                continue
            return one
        raise problem
