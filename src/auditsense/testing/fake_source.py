"""A source in memory; the test sends its records.

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
    from auditsense.kernel.tamper import Change
    from auditsense.testing.records import EventRecords


class FakeSource:
    """A `Source` in memory, for `Sensor(source=…)`: no privilege, no kernel, the sensor's own loop.

    Its descriptor becomes readable when something is sent, so every way to wait for a sensor works.

    Args:
        audited: whether the kernel audits the sensor's process as well.

    Attributes:
        lost: records that the kernel reports as lost.
        dropped: records that were lost because the socket was full.
        noticed: changes of the kernel's audit that the next check reports.
        audit_rules: added by a reload.
        entered, left: how often the host was taken over, and restored.
        unneeded: record types that the sensor does not need; `send` omits them.
    """

    name = "fake"
    only_kernel = False
    restored: tuple[str, ...] = ()
    guardian: Guardian | None = None

    def __init__(self, *, audited: bool = False) -> None:
        self.audited = audited
        self.unneeded: frozenset[int] = frozenset()
        self.lost = 0
        self.dropped = 0
        self.noticed: list[Change] = []
        self.audit_rules: list[str] = []
        self.entered = 0
        self.left = 0
        self._drain: Callable[[], object] | None = None
        self._sent: list[bytes] = []
        self._pair: tuple[socket.socket, socket.socket] | None = None

    def __repr__(self) -> str:
        return f"<FakeSource {'open' if self.entered > self.left else 'closed'}>"

    def send(self, *events: EventRecords | bytes) -> None:
        """Send events, or single datagrams, as the kernel would; without record types in `unneeded`.

        May be called before the source is entered, and from another thread.

        Raises:
            UsageError: something is neither an event nor a datagram.
        """
        for datagram in datagrams_of(events):
            (kind,) = struct.unpack_from("=H", datagram, 4)
            if kind not in self.unneeded:
                self._sent.append(datagram)
        if self._pair is not None:
            with suppress(BlockingIOError):  # already readable
                self._pair[1].send(b"!")

    def attach(self, drain: Callable[[], object], unneeded: frozenset[int] = frozenset()) -> None:
        """See `Source.attach`."""
        self._drain = drain
        self.unneeded = unneeded

    def take_early(self) -> list[bytes]:
        """Return what was sent, each once, and make the descriptor unreadable again."""
        if self._pair is not None:
            with suppress(BlockingIOError):
                while self._pair[0].recv(64):
                    pass
        sent, self._sent = self._sent, []
        return sent

    def __enter__(self) -> Self:
        self._pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.entered += 1
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pair is None:
            return
        self._sent = self.take_early()  # makes the descriptor unreadable for `drain`
        if self._drain is not None:
            self._drain()
        for end in self._pair:
            end.close()
        self._pair = None
        self.left += 1

    def extend_rules(self, audit_rules: Sequence[str]) -> Callable[[], None]:
        """Add to `audit_rules`. Returns a function that removes them."""
        before = [*self.audit_rules]
        self.audit_rules += audit_rules

        def remove() -> None:
            self.audit_rules = before

        return remove

    def plan(self) -> list[str]:
        """Return nothing: the host is not changed."""
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

    def check(self) -> list[Change]:
        """Return `noticed`, once."""
        noticed, self.noticed = self.noticed, []
        return noticed
