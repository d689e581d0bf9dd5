"""A clock that a test moves."""

from __future__ import annotations

from typing import Final

from auditsense.errors import UsageError, expect, expect_number

START_MS: Final = 1_795_493_114_674  # default stamp of this package's records


class FakeClock:
    """A `Clock` for `Sensor(clock=…)`: bursts end, losses settle and checks are due as the test advances it.

    Like a host it has two clocks: a monotonic one, and the wall clock, which `step` sets alone.

    Args:
        ms: wall clock at the start, ms since 1970 UTC.
    """

    def __init__(self, ms: int = START_MS) -> None:
        expect_number("ms", ms)
        self.ms = ms
        self._monotonic_ms = 1000

    def __repr__(self) -> str:
        return f"FakeClock(ms={self.ms})"

    def advance(self, seconds: float) -> None:
        """Advance both clocks by 0 or more seconds, to the millisecond.

        Raises:
            UsageError: *seconds* is negative, or no number.
        """
        expect("seconds", seconds, int | float, "a number of seconds")
        if seconds < 0:
            raise UsageError(f"expected 0 or more seconds, not {seconds}: step() sets the wall clock back")
        self.ms += round(seconds * 1000)
        self._monotonic_ms += round(seconds * 1000)

    def step(self, seconds: float) -> None:
        """Set the wall clock ahead, or back with negative seconds; the monotonic clock stays."""
        expect("seconds", seconds, int | float, "a number of seconds")
        self.ms += round(seconds * 1000)

    def wall_ms(self) -> int:
        """Return the wall clock, ms since 1970 UTC."""
        return self.ms

    def monotonic_s(self) -> float:
        """Return the monotonic clock in seconds; 1 at the start."""
        return self._monotonic_ms / 1000
