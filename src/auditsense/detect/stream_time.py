"""Time of a stream, derived from its stamps: it never runs backwards, and one wrong stamp does not move it.

A replay has no clock. Its time follows the stamps in the order in which events complete. Clocks that stamp
records are set back and forth, so a stamp far from the newest one counts only when a second one confirms it:

- a stamp that is older by more than `LATE_MS` is a step back: time stands still once and continues there;
- a stamp that is newer by more than `LEAP_MS` is a leap: time passes, unless the leap leads back to where a
  step had led away from. A clock that swings between two times therefore passes no time by swinging.
"""

from __future__ import annotations

from collections import deque

LATE_MS = 10_000
LEAP_MS = 60_000
_MOST_LEFT = 8  # clocks that a swinging stream is compared with


class StreamTime:
    """Time of the records of one host.

    Args:
        stamp_ms: the first stamp.
        now_ms: the time at that stamp.
    """

    __slots__ = (
        "_clock_ms",
        "_doubtful_ms",
        "_left",
        "_newest_clock_ms",
        "_newest_ms",
        "_rejected_ms",
        "now_ms",
        "pending_ms",
    )

    def __init__(self, stamp_ms: int, now_ms: int) -> None:
        self.now_ms = now_ms
        """Time passed, in ms; only differences are meaningful."""
        self.pending_ms = 0
        """Time that has passed in addition if the last stamp, an unconfirmed leap, is right."""
        self._newest_ms = stamp_ms  # since the last step back
        self._clock_ms: int | None = None  # what the owner's clock shows
        self._newest_clock_ms: int | None = None  # and showed at the newest stamp
        self._doubtful_ms: int | None = None  # a stamp far away, until another one confirms or rejects it
        self._rejected_ms: int | None = None  # the last leap that was rejected
        # Where steps back led away from: the newest stamp, and the time then.
        self._left: deque[tuple[int, int]] = deque(maxlen=_MOST_LEFT)

    def observe(self, stamp_ms: int, *, confirmed: bool, clock_ms: int | None = None) -> None:
        """Advance time to a stamp.

        Args:
            stamp_ms: of a completed event.
            confirmed: another event near it is known, as in a window of several events.
            clock_ms: a clock that never steps; a leap is no longer than the time it has passed.
        """
        self._clock_ms = clock_ms
        ahead_ms = stamp_ms - self._newest_ms
        doubtful_ms, self._doubtful_ms = self._doubtful_ms, None
        self.pending_ms = 0
        if -LATE_MS <= ahead_ms <= LEAP_MS:
            if doubtful_ms is not None and doubtful_ms > stamp_ms:
                self._rejected_ms = doubtful_ms
            if ahead_ms > 0:
                self._pass(stamp_ms)
        elif confirmed or (doubtful_ms is not None and abs(stamp_ms - doubtful_ms) <= LEAP_MS):
            if ahead_ms < 0:
                self._left.append((self._newest_ms, self.now_ms))
                self._newest_ms, self._newest_clock_ms = stamp_ms, clock_ms
            else:
                self._pass(stamp_ms)
        else:
            self._doubtful_ms = stamp_ms
            if ahead_ms > 0 and (self._rejected_ms is None or stamp_ms < self._rejected_ms - LEAP_MS):
                self.pending_ms = self._gain(stamp_ms)

    def _pass(self, stamp_ms: int) -> None:
        self.now_ms += self._gain(stamp_ms)
        self._newest_ms, self._newest_clock_ms = stamp_ms, self._clock_ms

    def _gain(self, stamp_ms: int) -> int:
        """Return how much time passes from the newest stamp to this newer one."""
        ahead_ms = stamp_ms - self._newest_ms
        if ahead_ms > LATE_MS:
            for left_ms, then_ms in self._left:
                if abs(stamp_ms - left_ms - (self.now_ms - then_ms)) <= LATE_MS:
                    return 0
        if ahead_ms > LEAP_MS and self._clock_ms is not None and self._newest_clock_ms is not None:
            return min(ahead_ms, max(0, self._clock_ms - self._newest_clock_ms))
        return ahead_ms
