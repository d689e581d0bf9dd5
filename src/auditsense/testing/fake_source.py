"""A source whose kernel is the test.

source = FakeSource()
with Sensor(source=source) as sensor:
    source.send(*burst(10))
    (alert,) = sensor.poll()
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from auditsense.testing.records import datagrams_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.kernel.guardian import Guardian
    from auditsense.kernel.watch import Noticed
    from auditsense.testing.records import Event


class FakeSource:
    """A `Source` in memory, for `Sensor(source=…)`: no privilege, no kernel, the sensor's own loop.

    Its descriptor becomes readable when something is sent, so every way to wait for a sensor works.

    Args:
        audited: whether the sensor is to think that its own process is reported too.

    Attributes:
        lost: records that the kernel says it lost.
        dropped: records that found the socket full.
        noticed: changes of the kernel's audit that the next check finds.
        audit_rules: those that a reload asked for.
        entered, left: how often the host was taken over, and put back.
    """

    name = "fake"
    only_kernel = False

    def __init__(self, *, audited: bool = False) -> None:
        self.audited = audited
        self.unsent: frozenset[int] = frozenset()
        self.drain: Callable[[], object] | None = None
        self.put_back: tuple[str, ...] = ()
        self.guardian: Guardian | None = None
        self.lost = 0
        self.dropped = 0
        self.noticed: list[Noticed] = []
        self.audit_rules: list[str] = []
        self.entered = 0
        self.left = 0
        self._sent: list[bytes] = []
        self._pair: tuple[socket.socket, socket.socket] | None = None

    def send(self, *given: Event | bytes) -> None:
        """Send events, or single datagrams, as the kernel would; record types in `unsent` stay away.

        May be called before the source is entered, and from another thread.

        Raises:
            UsageError: something is neither an event nor a datagram.
        """
        for datagram in datagrams_of(given):
            (kind,) = struct.unpack_from("=H", datagram, 4)
            if kind not in self.unsent:
                self._sent.append(datagram)
        if self._pair is not None:
            with suppress(BlockingIOError):  # it is readable already
                self._pair[1].send(b"!")

    @property
    def early(self) -> list[bytes]:
        """What was sent and not taken. To read it makes the descriptor unreadable again."""
        if self._pair is not None:
            with suppress(BlockingIOError):
                while self._pair[0].recv(64):
                    pass
        return self._sent

    @early.setter
    def early(self, datagrams: list[bytes]) -> None:
        self._sent = datagrams

    def __enter__(self) -> Self:
        self._pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.entered += 1
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pair is None:
            return
        ours, kernels = self._pair
        self.early  # noqa: B018 - makes it unreadable: what waits is taken through `early`
        if self.drain is not None:
            self.drain()
        self._pair = None
        self.left += 1
        ours.close()
        kernels.close()

    def extend_rules(self, audit_rules: Sequence[str]) -> Callable[[], None]:
        """Take more audit rules into `audit_rules`. Returns what takes them back."""
        before = [*self.audit_rules]
        self.audit_rules += audit_rules

        def take_back() -> None:
            self.audit_rules = before

        return take_back

    def plan(self) -> list[str]:
        """Return nothing: no host is changed."""
        return []

    def fileno(self) -> int:
        """Return the descriptor; -1 when not entered."""
        return -1 if self._pair is None else self._pair[0].fileno()

    def kernel_lost(self) -> int:
        """Return `lost`."""
        return self.lost

    def drops(self) -> int:
        """Return `dropped`."""
        return self.dropped

    def check(self) -> list[Noticed]:
        """Return `noticed`, once."""
        noticed, self.noticed = self.noticed, []
        return noticed
