"""A limit on alerts per interval that no account can exhaust for others.

An interval has `most` alerts. They are shared:

- a fifth is for bursts that have grown tenfold since they were withheld; half of it at most for one account;
- a quarter at most, when the interval begins, is for bursts withheld before;
- the rest is for new bursts: of one account two fifths of `most` at most, and of one executable of an account
  a fifth. When little was withheld before, new bursts have that quarter as well.

So one account always leaves alerts to others in each interval: 15 of 100, one of 8. Withheld bursts
take turns by account, then by executable, and then alternate between the largest and the oldest. A burst of
rank r, by size or by age among those of its executable, gets an alert within 2 * r turns of that executable.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from auditsense.detect.burst_state import Burst

_MOST_ENDED = 1024  # withheld bursts that have ended and are remembered by name
_GROWN = 10


class FairLimit:
    """Decide which bursts get an alert, and keep those that wait for one.

    Args:
        most: alerts per interval; None: no limit.
    """

    def __init__(self, most: int | None) -> None:
        self.set_limit(most)
        self._waiting: dict[int, Burst] = {}
        self._ended = 0  # of those that wait
        self.forgotten = 0
        """Withheld bursts that ended and are counted only, since the interval began."""
        self._served: dict[Hashable, int] = {}  # the turn at which an account or a group came last
        self._picked: dict[Hashable, int] = {}  # alerts that a group got in its turns
        self._turns = itertools.count(1)
        self._begin()

    @property
    def waiting(self) -> int:
        """Number of bursts that wait for an alert."""
        return len(self._waiting)

    def admit(self, burst: Burst) -> bool:
        """Return whether a new burst gets an alert now; if not, it waits."""
        most = self._most
        if most is not None:
            if (
                self._sent >= most - self._reserve
                or self._by_account[burst.account] >= _share(most, 2, 5)
                or self._by_group[burst.group] >= _share(most, 1, 5)
            ):
                self._waiting[burst.began] = burst
                return False
            self._by_account[burst.account] += 1
            self._by_group[burst.group] += 1
        self._sent += 1
        return True

    def admit_grown(self, burst: Burst) -> bool:
        """Return whether a waiting burst has grown enough to get an alert now."""
        growth = burst.count // burst.first.count
        if growth < _GROWN or self._most is None or self._sent >= self._most:
            return False
        share = 2 if growth < _GROWN**2 else 3 if growth < _GROWN**3 else 4
        limit = max(1, self._reserve * share // 4)
        if self._grown >= limit or self._grown_by_account[burst.account] >= max(1, limit // 2):
            return False
        self._grown += 1
        self._grown_by_account[burst.account] += 1
        self._sent += 1
        self._leave(burst)
        return True

    def end(self, burst: Burst) -> None:
        """Record the end of a waiting burst. Beyond a bound such bursts are only counted."""
        self._ended += burst.began in self._waiting
        if self._ended > 2 * _MOST_ENDED:
            ended = [waiting for waiting in self._waiting.values() if waiting.ended]
            remembered = {old.began for old in itertools.islice(_alternating(ended), _MOST_ENDED)}
            for old in ended:
                if old.began not in remembered:
                    del self._waiting[old.began]
            self.forgotten += len(ended) - len(remembered)
            self._ended = len(remembered)

    def begin_interval(self) -> list[Burst]:
        """Begin an interval. Returns the waiting bursts that get an alert now."""
        self._begin()
        if self._most is None:
            return []
        chosen = list(itertools.islice(self._in_turn(serve=True), _share(self._most, 1, 4)))
        for burst in chosen:
            self._leave(burst)
        self._sent = len(chosen)
        return chosen

    def listed(self, most: int) -> list[Burst]:
        """Return waiting bursts in the order in which they get an alert."""
        return list(itertools.islice(self._in_turn(serve=False), most))

    def keep(self, bursts: Iterable[Burst]) -> None:
        """Forget all waiting bursts except these."""
        self._waiting = {burst.began: burst for burst in bursts}
        self._ended = sum(burst.ended for burst in self._waiting.values())
        self.forgotten = 0

    def set_limit(self, most: int | None) -> None:
        """Change the number of alerts per interval."""
        self._most = most
        self._reserve = 0 if most is None else most // 5

    def _begin(self) -> None:
        self._sent = self._grown = 0
        self.forgotten = 0
        self._by_account: defaultdict[Hashable, int] = defaultdict(int)
        self._by_group: defaultdict[Hashable, int] = defaultdict(int)
        self._grown_by_account: defaultdict[Hashable, int] = defaultdict(int)

    def _leave(self, burst: Burst) -> None:
        del self._waiting[burst.began]
        self._ended -= burst.ended

    def _in_turn(self, *, serve: bool) -> Iterator[Burst]:
        """Yield the waiting bursts: accounts take turns, then their executables."""
        accounts: dict[Hashable, dict[Hashable, list[Burst]]] = {}
        for burst in self._waiting.values():
            accounts.setdefault(burst.account, {}).setdefault(burst.group, []).append(burst)
        keys = {*accounts, *(group for groups in accounts.values() for group in groups)}
        served = {key: turn for key, turn in self._served.items() if key in keys}
        picked = {group: times for group, times in self._picked.items() if group in keys}
        if serve:
            self._served, self._picked = served, picked
        queues = {
            account: {group: _alternating(bursts, picked.get(group, 0)) for group, bursts in groups.items()}
            for account, groups in accounts.items()
        }
        # The one served longest ago comes first. Within one call the order of turns does not change, so it
        # is found once.
        order = sorted(queues, key=lambda account: served.get(account, 0))
        groups_of = {
            account: sorted(queues[account], key=lambda group: served.get(group, 0)) for account in order
        }
        while order:
            left = []
            for account in order:
                groups = groups_of[account]
                group = groups.pop(0)
                for burst in itertools.islice(queues[account][group], 1):
                    served[account] = served[group] = next(self._turns)
                    picked[group] = picked.get(group, 0) + 1
                    groups.append(group)
                    yield burst
                if groups:
                    left.append(account)
            order = left


def _share(most: int, numerator: int, denominator: int) -> int:
    """Return a fraction of *most*, rounded up."""
    return -(-most * numerator // denominator)


def _alternating(bursts: Sequence[Burst], picked: int = 0) -> Iterator[Burst]:
    """Yield the largest burst, the oldest of the rest, the largest of the rest, and so on.

    Args:
        bursts: any number.
        picked: how many of them came before: after an odd number the oldest is next.
    """
    largest = iter(sorted(bursts, key=lambda burst: (-burst.count, burst.began)))
    oldest = iter(sorted(bursts, key=lambda burst: burst.began))
    done: set[int] = set()
    for queue in itertools.islice(itertools.cycle((largest, oldest)), picked % 2, None):
        burst = next((candidate for candidate in queue if candidate.began not in done), None)
        if burst is None:
            return
        done.add(burst.began)
        yield burst
