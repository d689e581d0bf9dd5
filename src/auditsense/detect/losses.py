"""Losses by cause and time.

No counter sees every loss (docs/loss.md), so each cause has its own, and only this module adds them up. The
counters are in sources/kernel_source.py (the kernel's and the socket's), _ring/serial.c (missing serials),
_ring/closing.c (incomplete events) and _ring/window.c (evicted and stale windows).

Rule 1: a sum counts nothing twice that two counters may both have seen.
Rule 2: a loss is reported when it is noticed. If the rate limit forbids that, the next report includes it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

from auditsense._frozen import Frozen

if TYPE_CHECKING:
    from auditsense.core.ring import Stats

_SAMPLES = 4096  # at one a second more than an hour; a window that began before gets the total


@dataclass(slots=True, eq=False, repr=False)
class Losses(Frozen):
    """Losses since some moment, by cause, in the unit of each.

    Attributes:
        kernel_lost: records that the kernel had no space for (`audit_status.lost`). One of them can be a
            whole event: without its first record the kernel makes no other.
        serials_missing: events of which no record came (`Stats.serials_missing`).
        incomplete: events without their end or their SYSCALL record (`Stats.incomplete`).
        truncated: records with fields whose end was cut off or not read (`Stats.truncated`).
        socket_drops: records that found a multicast socket full (SO_MEMINFO). serials_missing and incomplete
            count them as well, later.
        foreign: datagrams of other processes, dropped unread (`Stats.foreign`).
        evicted: of the incomplete: events evicted from a full table (`Stats.evicted`).
        keys_evicted: windows evicted because there were too many (`Stats.keys_evicted`).
        stale: matches that came too late for a full window (`Stats.stale`).
        alerts_withheld: alerts over the limit of their interval (`AlertCounts.withheld`).
    """

    kernel_lost: int = 0
    serials_missing: int = 0
    incomplete: int = 0
    truncated: int = 0
    socket_drops: int = 0
    foreign: int = 0
    evicted: int = 0
    keys_evicted: int = 0
    stale: int = 0
    alerts_withheld: int = 0

    @classmethod
    def of(
        cls, stats: Stats, *, kernel_lost: int = 0, socket_drops: int = 0, alerts_withheld: int = 0
    ) -> Self:
        """Return the losses that the core has counted, with those that only others can count."""
        return cls(
            kernel_lost=kernel_lost,
            serials_missing=stats.serials_missing,
            incomplete=stats.incomplete,
            truncated=stats.truncated,
            socket_drops=socket_drops,
            foreign=stats.foreign,
            evicted=stats.evicted,
            keys_evicted=stats.keys_evicted,
            stale=stats.stale,
            alerts_withheld=alerts_withheld,
        )

    @property
    def known(self) -> int:
        """Records and events known to be lost (`lost` in alerts). Never fewer events than were lost."""
        missing = max(self.socket_drops, self.serials_missing + self.incomplete)
        return self.kernel_lost + missing + self.truncated

    def events(self, per_event: float, unsent: float = 0.0) -> int:
        """Estimate the events that were lost, in whole or in part.

        If the kernel drops the first record of an event, it counts one and makes no other. If it drops a
        later one, the event is incomplete, and up to all the others are counted as well. Drops of a full
        multicast socket are counted at once, missing serials only when later records come.

        Args:
            per_event: records that the kernel makes of an event, on average so far; 1 or more.
            unsent: how many of these are filtered out of the socket, where they cannot be dropped.
        """
        dropped = round(self.socket_drops / max(1.0, per_event - unsent))
        missing = max(self.serials_missing + self.incomplete, dropped)
        return missing + self._dropped(per_event)

    def records(self, per_event: float) -> int:
        """Estimate the records that were lost; see `events`."""
        dropped = self._dropped(per_event)
        missing = max(self.socket_drops, round(self.serials_missing * per_event) + self.incomplete)
        return missing + round(dropped * per_event) + self.kernel_lost - dropped

    def _dropped(self, per_event: float) -> int:
        """Estimate the events whose first record the kernel dropped."""
        in_part = max(0, self.incomplete - self.evicted)
        return max(0, self.kernel_lost - round(in_part * (per_event - 1)))

    def by_cause(self) -> dict[str, int]:
        """Return the causes that have a count, in the order above."""
        return {item.name: count for item in fields(self) if (count := getattr(self, item.name))}

    def __sub__(self, earlier: Losses) -> Losses:
        """Return the losses since *earlier*."""
        names = [item.name for item in fields(self)]
        return Losses(**{name: getattr(self, name) - getattr(earlier, name) for name in names})

    def __bool__(self) -> bool:
        return any(getattr(self, item.name) for item in fields(self))


@dataclass(slots=True, eq=False, repr=False)
class LossReport(Frozen):
    """A period in which something was lost.

    Attributes:
        start_ms, end_ms: ms since 1970 UTC, from the last check without a loss (less the time in which
            counters notice one) to the check that found it.
        losses: by cause.
        known: increase of `Losses.known`.
        events: increase of the estimate of lost events; the sum over all reports is the estimate.
        records: increase of the estimate of lost records.
    """

    start_ms: int
    end_ms: int
    losses: Losses
    known: int
    events: int
    records: int


@dataclass(slots=True)
class RateLimiter:
    """A token bucket.

    Attributes:
        every_s: seconds per token.
        burst: tokens after a long pause.
    """

    every_s: float = 30.0
    burst: int = 3
    _spent: float = 0.0  # 0 to burst
    _at: float = 0.0

    def allow(self, now_s: float) -> bool:
        """Take a token at *now_s*, by a clock that never steps back. False: there is none."""
        self._spent = max(0.0, self._spent - (now_s - self._at) / self.every_s)
        self._at = now_s
        if self._spent > self.burst - 1:
            return False
        self._spent += 1
        return True


class LossLedger:
    """The losses of one run over time, and how much of them was reported.

    Args:
        now_ms: start of the run, ms since 1970 UTC.
        notice_ms: maximum time from a loss to the increase of its counter: a missing serial is decided after
            up to two event timeouts.
        limiter: of reports; one in 30 s and three at once by default.
    """

    def __init__(self, now_ms: int, *, notice_ms: int = 4000, limiter: RateLimiter | None = None) -> None:
        self.total = Losses()
        """Losses since the start of the run, when last updated."""
        self._notice_ms = notice_ms
        self._limiter = limiter if limiter is not None else RateLimiter()
        # (time, losses until then), when they change.
        self._samples: deque[tuple[int, Losses]] = deque([(now_ms, self.total)], maxlen=_SAMPLES)
        self._began_ms = self._updated_ms = now_ms
        self._reported = Losses()
        self._reported_events = 0
        self._reported_records = 0
        self._start_ms: int | None = None  # of the next report

    def update(self, losses: Losses, now_ms: int) -> None:
        """Record the losses until *now_ms*."""
        if losses != self.total:
            if self._start_ms is None:
                self._start_ms = self._start_of(losses - self.total)
            self._samples.append((now_ms, losses))
            self.total = losses
        self._updated_ms = now_ms

    def since(self, ms: int) -> int:
        """Return how much is known to be lost since *ms*: rather too much than too little."""
        for at, before in reversed(self._samples):
            if at <= ms:
                return self.total.known - before.known
        return self.total.known

    def report(
        self, now_s: float, per_event: float, unsent: float = 0.0, *, final: bool = False
    ) -> LossReport | None:
        """Return the losses since the last report; None if there are none or the rate limit forbids it.

        Args:
            now_s: a clock that never steps back.
            per_event: see `Losses.events`.
            unsent: the same.
            final: ignore the rate limit; this is the last report.
        """
        if self._start_ms is None or not (final or self._limiter.allow(now_s)):
            return None
        # An estimate may decrease when more is known: a later report leaves out the excess.
        events = max(0, self.total.events(per_event, unsent) - self._reported_events)
        records = max(0, self.total.records(per_event) - self._reported_records)
        report = LossReport(
            min(self._start_ms, self._updated_ms),  # a clock that was set back
            self._updated_ms,
            self.total - self._reported,
            self.total.known - self._reported.known,
            events,
            records,
        )
        self._start_ms = None
        self._reported = self.total
        self._reported_events += events
        self._reported_records += records
        return report

    def _start_of(self, lost: Losses) -> int:
        late = lost.serials_missing or lost.incomplete
        return max(self._began_ms, self._updated_ms - (self._notice_ms if late else 0))
