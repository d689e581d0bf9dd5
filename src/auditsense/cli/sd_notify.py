"""What the service manager that started us is told: readiness, state, and that the loop still turns.

The protocol of sd_notify(3): datagrams of ``NAME=value`` lines to the socket that `NOTIFY_SOCKET` names.
Without that variable nothing is sent, and nothing is different.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LONGEST_S: Final = 5.0
"""What must arrive waits so long for room in the manager's socket."""
_STATUS_EVERY_S: Final = 30.0


class Manager:
    """The service manager, if there is one. A context manager.

    Nothing here raises, and only `ready` and `reloading` may wait.

    Args:
        environment: with `NOTIFY_SOCKET` (an absolute path, or "@" and a name in the abstract namespace),
            `WATCHDOG_USEC` (microseconds) and `WATCHDOG_PID`, as systemd sets them.
        monotonic_s: the clock that the manager has too (CLOCK_MONOTONIC), seconds.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._clock = monotonic_s
        self._socket: socket.socket | None = None
        if self._address:
            with suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._watchdog_s = _watchdog_s(environment)
        self._next_ping_s = self._next_status_s = monotonic_s()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def listens(self) -> bool:
        """Whether there is somebody to tell."""
        return self._socket is not None

    def ready(self, status: str) -> bool:
        """Say that the start, or a reload, is complete. Returns whether it was taken."""
        self._next_status_s = self._clock() + _STATUS_EVERY_S
        return self._send(f"READY=1\nSTATUS={_line(status)}", _LONGEST_S)

    def reloading(self) -> bool:
        """Say that the configuration is read again; `ready` ends it."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock() * 1e6)}", _LONGEST_S)

    def stopping(self) -> bool:
        """Say that the end has begun. May be called by a signal handler."""
        return self._send("STOPPING=1")

    def turned(self, status: Callable[[], str] | None = None) -> None:
        """Say that the loop has turned: to be called on every turn, and by nothing else.

        The watchdog hears of it twice in its interval. Every half minute *status* is asked for one line.
        """
        if self._socket is None:
            return
        now_s = self._clock()
        if self._watchdog_s and now_s >= self._next_ping_s and self._send("WATCHDOG=1"):
            self._next_ping_s = now_s + self._watchdog_s / 2
        if status is not None and now_s >= self._next_status_s:
            self._next_status_s = now_s + _STATUS_EVERY_S
            self._send(f"STATUS={_line(status())}")

    def _send(self, text: str, wait_s: float = 0) -> bool:
        if self._socket is None:
            return False
        data = text.encode("utf-8", "replace")
        try:
            self._socket.settimeout(wait_s)  # 0: it does not wait
            return self._socket.sendto(data, self._address) == len(data)
        except OSError:
            return False  # a manager that is gone, or too busy to hear it


def _address(name: str) -> str:
    """Return the address as Python wants it; "" for none, and for a kind that we do not know."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Return the watchdog's interval in seconds; 0 when there is none, or it is meant for another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() else 0.0


def _line(text: str) -> str:
    return " ".join(text.split())
