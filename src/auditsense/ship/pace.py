"""When to send: backoff after failures, and a limited rate after outages. Time is an argument."""

from __future__ import annotations

import random
from typing import Final

_FIRST_S: Final = 0.5
_MOST_S: Final = 60.0
MAX_RETRY_AFTER_S: Final = 3600.0
"""Longest wait that a receiver may ask for."""
OUTAGE_S: Final = 10.0
"""Failures for this long are an outage: the rate is limited afterwards."""
FIRST_RATE: Final = 100.0
"""Documents per second after an outage; doubled every `DOUBLE_S`."""
DOUBLE_S: Final = 10.0
_NO_LIMIT: Final = 100_000.0  # a rate that no receiver has reached


class Backoff:
    """Wait longer after each failure, and never at the same time as the other hosts."""

    def __init__(self) -> None:
        self._next_s = _FIRST_S

    def after_failure(self, retry_after_s: float | None = None) -> float:
        """Return how many seconds to wait: 0.25 to 60, or what the receiver asks for and up to 10 % more."""
        wait_s = random.uniform(self._next_s / 2, self._next_s)  # noqa: S311 - spreads hosts, hides nothing
        self._next_s = min(_MOST_S, 2 * self._next_s)
        if retry_after_s is None:
            return wait_s
        asked_s = min(MAX_RETRY_AFTER_S, max(0.0, retry_after_s))
        return max(wait_s, asked_s * random.uniform(1.0, 1.1))  # noqa: S311 - as above

    def after_success(self) -> None:
        """Begin with the shortest wait again."""
        self._next_s = _FIRST_S


class RateCap:
    """Limit documents per second, so that the backlogs of all hosts do not overload a receiver that is back.

    Args:
        rate: documents per second at any time; 0: no limit.
        now_s: monotonic time.
    """

    def __init__(self, rate: float, now_s: float) -> None:
        self._rate = rate
        self._free_s = now_s  # when the next batch may start
        self._slow_since_s: float | None = None

    def current(self, now_s: float) -> float:
        """Return the limit in documents per second; 0: none."""
        if self._slow_since_s is None:
            return self._rate
        doublings = min(30, int((now_s - self._slow_since_s) / DOUBLE_S))
        slow = FIRST_RATE * (1 << doublings)
        if slow >= (self._rate or _NO_LIMIT):
            self._slow_since_s = None
            return self._rate
        return slow

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait before the next batch."""
        return max(0.0, self._free_s - now_s)

    def sent(self, count: int, now_s: float) -> None:
        """Count a batch that was sent."""
        rate = self.current(now_s)
        if rate:
            self._free_s = max(self._free_s, now_s) + count / rate

    def outage_ended(self, now_s: float) -> None:
        """Begin with a low rate."""
        self._slow_since_s = now_s
