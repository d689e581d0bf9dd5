"""A clock that stands until a test moves it."""

from __future__ import annotations

from typing import Final

START_MS: Final = (
    1_795_493_114_674  # what the records of this package are stamped with, unless told otherwise
)


class FakeClock:
    """A `Clock` for `Sensor(clock=…)`: bursts end, losses settle and checks come due when the test says so.

    It has two clocks, as a host has: one that never steps, and the wall clock, which `step` sets alone.

    Args:
        ms: what the wall clock shows, ms since 1970 UTC.
    """

    def __init__(self, ms: int = START_MS) -> None:
        self.ms = ms
        self._monotonic_ms = 1000

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks, 0 or more seconds, to the millisecond.

        Raises:
            ValueError: time does not run backwards; `step` sets the wall clock back.
        """
        if seconds < 0:
            raise ValueError(f"time does not run backwards: {seconds} s")
        self.ms += round(seconds * 1000)
        self._monotonic_ms += round(seconds * 1000)

    def step(self, seconds: float) -> None:
        """Set the wall clock ahead, or back with negative seconds; no time passes."""
        self.ms += round(seconds * 1000)

    def wall_ms(self) -> int:
        """Return what the wall clock shows, ms since 1970 UTC."""
        return self.ms

    def monotonic_s(self) -> float:
        """Return seconds since shortly before it was made."""
        return self._monotonic_ms / 1000
