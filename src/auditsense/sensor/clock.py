"""What time it is, for whoever has to ask: in tests, what the test says."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks. `testing.FakeClock` is one that stands until a test moves it."""

    def monotonic_s(self) -> float:
        """Return seconds of a clock that never steps back; only differences mean anything. Never 0."""

    def wall_ms(self) -> int:
        """Return ms since 1970 UTC, as documents are dated."""


class HostClock:
    """This host's clocks: a `Clock`."""

    def monotonic_s(self) -> float:
        """See `Clock.monotonic_s`: CLOCK_MONOTONIC."""
        return time.monotonic()

    def wall_ms(self) -> int:
        """See `Clock.wall_ms`: CLOCK_REALTIME."""
        return time.time_ns() // 1_000_000
