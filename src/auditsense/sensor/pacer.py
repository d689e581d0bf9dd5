"""How a sensor's loop keeps its pace: when to wait for a record, and when to let records gather.

Letting them gather is cheaper than waking up for each, and more than that: the kernel's thread wakes us
with every record, and on one processor with us it sends the next when we sleep again.
"""

from __future__ import annotations

import time

GATHER_S = 0.008
_SOON_S = 0.004  # woken up again after less than this, and so on, is busy
TURN_S = 0.05  # so often, while records gather and lead to nothing, the owner of the loop has his turn
_BUSY_DATAGRAMS = 64  # so many at a time, or so often woken up at once, is busy; an event is five records
_BUSY_WAKES = 8


class Pace:
    """The pace of one loop: `sleeps`, sleep, `woke`, take, `took`, and again."""

    def __init__(self) -> None:
        self.busy = False
        """Whether to sleep for `GATHER_S` without looking, instead of waiting for a record."""
        self._wakes = 0
        self._asleep = 0.0

    def sleeps(self) -> None:
        """Say that the wait for a record begins."""
        self._asleep = time.monotonic()

    def woke(self) -> None:
        """Say that it is over."""
        self._wakes = self._wakes + 1 if time.monotonic() - self._asleep < _SOON_S else 0

    def took(self, datagrams: int) -> None:
        """Say how many datagrams were taken then."""
        self.busy = datagrams >= _BUSY_DATAGRAMS or (datagrams > 0 and self._wakes >= _BUSY_WAKES)
