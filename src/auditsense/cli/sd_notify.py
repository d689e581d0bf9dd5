"""Notify the service manager of readiness, state and a running loop.

The protocol of sd_notify(3): datagrams of ``NAME=value`` lines to the socket that `NOTIFY_SOCKET` names.
Without that variable nothing is sent.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_WAIT_S: Final = 5.0
"""Wait for space in the manager's socket, for messages that must arrive."""
_STATUS_EVERY_S: Final = 30.0


class ServiceNotifier:
    """Notifies the service manager, if there is one. A context manager.

    Nothing here raises, and only `ready` and `reloading` may wait.

    Args:
        environment: with `NOTIFY_SOCKET` (an absolute path, or "@" and a name in the abstract namespace),
            `WATCHDOG_USEC` (microseconds) and `WATCHDOG_PID`, as systemd sets them.
        monotonic_s: clock that the manager uses as well (CLOCK_MONOTONIC), seconds.
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
                self._socket.connect(self._address)  # now: a confined process may not name a receiver
                self._address = ""
        self._watchdog_s = _watchdog_s(environment)
        self._next_ping_s = self._next_status_s = monotonic_s()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    @property
    def active(self) -> bool:
        """Whether there is a service manager."""
        return self._socket is not None

    def ready(self, status: str) -> bool:
        """Report that the start, or a reload, is complete. Returns whether it was sent."""
        self._next_status_s = self._clock() + _STATUS_EVERY_S
        return self._send(f"READY=1\nSTATUS={_line(status)}", _MAX_WAIT_S)

    def reloading(self) -> bool:
        """Report that a reload begins; `ready` ends it."""
        return self._send(f"RELOADING=1\nMONOTONIC_USEC={int(self._clock() * 1e6)}", _MAX_WAIT_S)

    def stopping(self) -> bool:
        """Report that the end has begun. May be called by a signal handler."""
        return self._send("STOPPING=1")

    def alive(self, status: Callable[[], str] | None = None) -> None:
        """Report that the loop runs: call it on every turn, and nowhere else.

        The watchdog is notified twice in its interval, and the line that *status* returns is sent every half
        minute.
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
            if self._address:  # the manager was not there at the start
                return self._socket.sendto(data, self._address) == len(data)
            return self._socket.send(data) == len(data)
        except OSError:
            return False  # the manager is gone, or too busy


def _address(name: str) -> str:
    """Return the address for `sendto`; "" for none, and for an unknown kind."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else ""


def _watchdog_s(environment: Mapping[str, str]) -> float:
    """Return the watchdog's interval in seconds; 0 when there is none, or it is for another process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() else 0.0


def _line(text: str) -> str:
    return " ".join(text.split())
