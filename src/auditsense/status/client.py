"""The asking side of the control socket."""

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
"""A sensor answers between two batches of records; this is how long that may take."""
_LONGEST: Final = 1 << 20


class NotRunningError(AuditSenseError):
    """Nobody answers there."""


def ask(path: Path, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Any]:
    """Ask a running sensor how it is.

    Args:
        path: of its control socket.
        timeout_s: the longest wait for the whole answer, in seconds.

    Returns:
        The document of `status.snapshot`.

    Raises:
        NotRunningError: nobody listens there.
        AuditSenseError: not allowed, no answer in time, or one that is none.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asked:
            # Not settimeout: to connect to a socket whose queue is full fails at once then.
            for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                asked.setsockopt(socket.SOL_SOCKET, option, _timeval(timeout_s))
            asked.connect(bytes(path))
            if peer_user(asked) not in {0, os.geteuid()}:
                raise AuditSenseError(f"what answers at {path} is not root's: not believed")
            answer = _all_of(asked, time.monotonic() + timeout_s)
    except PermissionError:
        raise AuditSenseError(f"not allowed to ask at {path}: only root is") from None
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise NotRunningError(
            f"no sensor answers at {path}; auditsense doctor says how this host is"
        ) from None
    except (TimeoutError, BlockingIOError):
        raise AuditSenseError(f"the sensor at {path} did not answer within {timeout_s:g} s") from None
    except OSError as error:
        raise AuditSenseError(f"cannot ask at {path}: {error.strerror or error}") from None
    try:
        document: dict[str, Any] = json.loads(answer)
        document["version"] += 0
    except (ValueError, LookupError, TypeError, RecursionError):
        raise AuditSenseError(f"the answer at {path} is none of a sensor; is it another program?") from None
    return document


def _timeval(seconds: float) -> bytes:
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1e6))


def _all_of(asked: socket.socket, deadline_s: float) -> bytes:
    answer = b""
    while chunk := asked.recv(1 << 16):
        answer += chunk
        if len(answer) > _LONGEST or time.monotonic() > deadline_s:
            raise TimeoutError
    return answer
