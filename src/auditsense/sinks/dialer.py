"""Connections to one receiver on another host, for a process that may open no socket.

Another process makes them (kernel/connector.py).
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import socket

from auditsense._broker_client import ask
from auditsense._child_process import libc
from auditsense.sinks import SinkError

_UNKNOWN_NAME = 200  # see kernel/connector.py
_LONGEST_S = 255
_WAIT_S = 5.0  # for names, on top


class Dialer:
    """Returns sockets that are connected to the receiver.

    Args:
        connection: to the process that connects.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close this process's copy of the connection."""
        self._connection.close()

    def __call__(self, limit_s: float) -> socket.socket:
        """Return a connected socket.

        Args:
            limit_s: for all addresses of the receiver together.

        Raises:
            OSError: no address answers, or the name is unknown.
            SinkError: the process that connects has ended, and no retry can succeed.
        """
        seconds = max(1, min(_LONGEST_S, math.ceil(limit_s)))
        self._connection.settimeout(limit_s + _WAIT_S)
        try:
            (descriptor,) = ask(self._connection, bytes([seconds]))
        except TimeoutError:
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
        except ValueError:
            raise OSError(errno.EPROTO, "no descriptor came from the connector") from None
        except BrokenPipeError:
            raise SinkError("the connector has ended; start auditsense again", final=True) from None
        except OSError as error:
            if (error.errno or 0) <= _UNKNOWN_NAME:
                raise
            number = _UNKNOWN_NAME - (error.errno or 0)
            raise socket.gaierror(number, _why(number)) from None
        return socket.socket(fileno=descriptor)


def _why(number: int) -> str:
    call = libc().gai_strerror
    call.restype = ctypes.c_char_p
    return str((call(number) or b"").decode("ascii", "replace"))
