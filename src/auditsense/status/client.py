"""Client of the status socket."""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from typing import TYPE_CHECKING, Any, Final

from auditsense.errors import AuditSenseError
from auditsense.status.server import peer_user

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_TIMEOUT_S: Final = 5.0
"""A sensor answers between two batches of records."""
_LONGEST: Final = 1 << 20


class NotRunningError(AuditSenseError):
    """No sensor listens at this path."""


def ask(path: Path, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
    """Request the status of a running sensor.

    Args:
        path: of its status socket.
        timeout_s: longest wait for the complete answer, in seconds.

    Returns:
        The document of `status.snapshot`.

    Raises:
        NotRunningError: no sensor listens there.
        AuditSenseError: not allowed, no answer in time, or an unexpected one.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            # Not settimeout: it would make connect() fail at once on a full queue.
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                connection.setsockopt(socket.SOL_SOCKET, option, _timeval(timeout_s))
            connection.connect(bytes(path))
            if peer_user(connection) not in {0, os.geteuid()}:
                raise AuditSenseError(f"refusing to trust {path}: the process listening there is not root's")
            answer = _receive(connection, time.monotonic() + timeout_s)
    except PermissionError:
        raise AuditSenseError(f"not allowed to connect to {path}: only root is; run this as root") from None
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise NotRunningError(f"no sensor answers at {path}; auditsense doctor diagnoses this host") from None
    except (TimeoutError, BlockingIOError):
        raise AuditSenseError(f"the sensor at {path} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise AuditSenseError(f"cannot connect to {path}: {error.strerror or error}") from None
    try:
        document: dict[str, Any] = json.loads(answer)
        document["version"] += 0
    except (ValueError, LookupError, TypeError, RecursionError):
        raise AuditSenseError(f"unexpected answer at {path}; is another program listening there?") from None
    return document


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))


def _receive(connection: socket.socket, deadline_s: float) -> bytes:
    answer = b""
    while chunk := connection.recv(1 << 16):
        answer += chunk
        if len(answer) > _LONGEST or time.monotonic() > deadline_s:
            raise TimeoutError
    return answer
