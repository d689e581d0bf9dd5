"""The clocks of a sensor; a test can replace them."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock and a wall clock. `auditsense.testing.FakeClock` is one that a test moves."""

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never steps back and is never 0; only differences have a meaning."""

    def wall_ms(self) -> int:
        """Return ms since 1970 UTC, for the dates of documents."""


class HostClock:
    """This host's clocks: a `Clock`."""

    def monotonic_s(self) -> float:
        """Return CLOCK_MONOTONIC."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """Return CLOCK_REALTIME."""
        return time.time_ns() // 1_000_000
