"""Read records from the kernel's socket into a reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from auditsense.detect.detector import Detector

if TYPE_CHECKING:
    from auditsense.core.ring import Limits
    from auditsense.sensor.clock import Clock
    from auditsense.sensor.readers import Reader
    from auditsense.sources.base import Source

_CALLS: Final = 16  # of recvmmsg between two drains: under full load an alert waits for all of them
_TURNS: Final = 8  # of a poll, whatever the load


class SocketFeed:
    """Reads a source's socket.

    Args:
        source: entered by its owner.
        clock: its monotonic clock is the time of events.
        limits: of the reader.
    """

    ended = False
    """Whether no more records will come."""

    def __init__(self, source: Source, clock: Clock, limits: Limits) -> None:
        self._source = source
        self._clock = clock
        self._full = _CALLS * limits.datagram_slots
        self.received = 0
        """Datagrams read so far, early ones included."""

    def read(self, reader: Reader, results: list[Any]) -> int:
        """Read waiting datagrams, but stop at the first result. Returns their number."""
        if isinstance(reader, Detector):
            results += reader.advance_clock(self._now_ms())
        total = 0
        for _ in range(_TURNS):
            descriptor = self._source.fileno()
            if descriptor < 0:
                break
            read = reader.ring.receive(
                descriptor, self._now_ms(), _CALLS, only_kernel=self._source.only_kernel
            )
            total += read
            drained = reader.drain()
            results += drained
            # Crowded: records that have left the socket may wait for space, and no event would wake us.
            if not reader.ring.nearly_full and (drained or read < self._full):
                break
        self.received += total
        return total

    def read_early(self, reader: Reader) -> list[Any]:
        """Read datagrams that did not arrive on the socket."""
        early = self._source.take_early()
        self.received += len(early)
        return [*reader.feed(early, self._now_ms())] if early else []

    def tick(self, reader: Reader) -> list[Any]:
        """Decide the events whose end has not come in time."""
        reader.ring.expire(self._now_ms())
        return reader.drain()

    def drain(self, reader: Reader) -> list[Any]:
        """Read everything that waits, while the source is left."""
        results: list[Any] = []
        only_kernel = self._source.only_kernel
        while reader.ring.receive(self._source.fileno(), self._now_ms(), only_kernel=only_kernel):
            results += reader.drain()
        return results

    def _now_ms(self) -> int:
        return int(self._clock.monotonic_s() * 1000)
