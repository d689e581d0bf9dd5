"""What was lost: how much, by which cause, and when.

No counter sees everything (docs/loss.md), so each cause keeps its own, and sums are made here alone.

Rule 1: a sum counts nothing twice that two counters may both have seen.
Rule 2: loss is said when it is noticed; what may not be said yet is part of what is said next.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from auditsense.core.ring import Stats

_SAMPLES = 4096  # at one a second more than an hour; a window that began before gets the total


@dataclass(frozen=True, slots=True)
class Losses:
    """What was lost since some moment, by cause. Each counts what its unit says, from 0 on.

    Attributes:
        kernel_lost: records the kernel had no room for and said so (`audit_status.lost`). One of them
            can stand for a whole event: without its first record the others are never made.
        serials_missing: events of which nothing came (`Stats.serials_missing`).
        incomplete: events without their end or their SYSCALL record (`Stats.incomplete`).
        truncated: records whose end was cut off or not read, and that fields are read from
            (`Stats.truncated`).
        socket_drops: records that found a multicast socket full (SO_MEMINFO). They are missing in
            serials_missing and incomplete as well, later.
        foreign: datagrams of other processes, dropped unread (`Stats.foreign`).
        evicted: of the incomplete: events given up because a table was full (`Stats.evicted`).
        keys_evicted: windows given up because there were too many (`Stats.keys_evicted`).
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
        """Return what a core counted, with what only others can count."""
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
        """Records and events that are known to be lost: what alerts call `lost`. Never too few events."""
        missing = max(self.socket_drops, self.serials_missing + self.incomplete)
        return self.kernel_lost + missing + self.truncated

    def events(self, per_event: float, unsent: float = 0.0) -> int:
        """Estimate of the events that were lost, in whole or in part.

        Where the kernel refuses the first record of an event it counts one and makes no other. Where it
        refuses a later one the event is incomplete, and up to all the others are counted as well. What a
        full multicast socket drops is counted at once, and seen as missing only when more comes.

        Args:
            per_event: records that the kernel makes of an event, as seen so far; 1 or more.
            unsent: of these, how many are kept out of the socket, where they can neither come nor be dropped.
        """
        dropped = round(self.socket_drops / max(1.0, per_event - unsent))
        missing = max(self.serials_missing + self.incomplete, dropped)
        return missing + self._refused(per_event)

    def records(self, per_event: float) -> int:
        """Estimate of the records that never came. See `events`."""
        refused = self._refused(per_event)
        missing = max(self.socket_drops, round(self.serials_missing * per_event) + self.incomplete)
        return missing + round(refused * per_event) + self.kernel_lost - refused

    def _refused(self, per_event: float) -> int:
        """Estimate of the events that the kernel refused with their first record."""
        in_part = max(0, self.incomplete - self.evicted)
        return max(0, self.kernel_lost - round(in_part * (per_event - 1)))

    def by_cause(self) -> dict[str, int]:
        """Return the causes that have a count, in the order above."""
        return {
            name: count
            for name, count in {item.name: getattr(self, item.name) for item in fields(self)}.items()
            if count
        }

    def __sub__(self, earlier: Losses) -> Losses:
        """Return what was lost since *earlier*, a state of the same counters."""
        return Losses(
            **{
                name: getattr(self, name) - getattr(earlier, name)
                for name in tuple(item.name for item in fields(Losses))
            }
        )

    def __bool__(self) -> bool:
        """Tell whether anything was lost."""
        return any({item.name: getattr(self, item.name) for item in fields(self)}.values())


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which something was lost.

    Attributes:
        start_ms, end_ms: when it was lost, ms since 1970 UTC: after the last look that found nothing
            new (less what the counters need to notice), until the look that found it.
        losses: what, in between, by cause.
        known: of `Losses.known`, what is new.
        events: of the estimate of lost events, what is new; the sum over all gaps is the estimate.
        records: the same of lost records.
    """

    start_ms: int
    end_ms: int
    losses: Losses
    known: int
    events: int
    records: int


@dataclass(slots=True)
class Budget:
    """A token bucket: how often something may be said.

    Attributes:
        every_s: seconds until one more may be said.
        burst: how many may be said at once, after a long silence.
    """

    every_s: float = 30.0
    burst: int = 3
    _spent: float = 0.0  # tokens that are out, 0 to burst
    _at: float = 0.0

    def take(self, now_s: float) -> bool:
        """Return whether one may be said at *now_s*, by a clock that never steps back."""
        self._spent = max(0.0, self._spent - (now_s - self._at) / self.every_s)
        self._at = now_s
        if self._spent > self.burst - 1:
            return False
        self._spent += 1
        return True


class Ledger:
    """The losses of one run over time: what was lost since when, and what of it was said.

    Args:
        now_ms: when the run began, ms since 1970 UTC.
        notice_ms: how long after a loss a counter may rise at the latest: a missing serial is judged
            after up to two event timeouts.
        budget: of gaps; one in 30 s and three at once unless given.
    """

    def __init__(self, now_ms: int, *, notice_ms: int = 4000, budget: Budget | None = None) -> None:
        self.total = Losses()
        """What was lost since the run began, when last entered."""
        self._notice_ms = notice_ms
        self._budget = budget if budget is not None else Budget()
        # (when, what was lost until then), entered when it has changed.
        self._samples: deque[tuple[int, Losses]] = deque([(now_ms, self.total)], maxlen=_SAMPLES)
        self._began_ms = self._looked_ms = now_ms
        self._said = Losses()
        self._said_events = 0
        self._said_records = 0
        self._gap_start_ms: int | None = None

    def enter(self, losses: Losses, now_ms: int) -> None:
        """Enter what was lost until *now_ms*."""
        if losses != self.total:
            if self._gap_start_ms is None:
                self._gap_start_ms = self._start_of(losses - self.total)
            self._samples.append((now_ms, losses))
            self.total = losses
        self._looked_ms = now_ms

    def since(self, ms: int) -> int:
        """Return how much is known to be lost since *ms*: rather too much than too little."""
        for at, before in reversed(self._samples):
            if at <= ms:
                return self.total.known - before.known
        return self.total.known

    def gap(self, now_s: float, per_event: float, unsent: float = 0.0, *, final: bool = False) -> Gap | None:
        """Return what was lost and not said yet, if it may be said now.

        Args:
            now_s: a clock that never steps back.
            per_event: see `Losses.events`.
            unsent: the same.
            final: say it in any case; nothing comes after.
        """
        if self._gap_start_ms is None or not (final or self._budget.take(now_s)):
            return None
        # An estimate may go down again when more is known: what was said too much is not said again.
        events = max(0, self.total.events(per_event, unsent) - self._said_events)
        records = max(0, self.total.records(per_event) - self._said_records)
        gap = Gap(
            min(self._gap_start_ms, self._looked_ms),  # a clock that was set back
            self._looked_ms,
            self.total - self._said,
            self.total.known - self._said.known,
            events,
            records,
        )
        self._gap_start_ms = None
        self._said = self.total
        self._said_events += events
        self._said_records += records
        return gap

    def _start_of(self, lost: Losses) -> int:
        late = lost.serials_missing or lost.incomplete
        return max(self._began_ms, self._looked_ms - (self._notice_ms if late else 0))
