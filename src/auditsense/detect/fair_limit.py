"""A limit on alerts per interval that no account can use up for another one.

An interval has `most` alerts. They are shared:

- a fifth is for bursts that have grown tenfold since they were withheld; half of it at most for one account;
- a quarter at most, when the interval begins, is for bursts withheld before;
- the rest is for new bursts: of one account two fifths of `most` at most, and of one executable of an account
  a fifth. When little was withheld before, new bursts have that quarter as well.

So whatever one account does, others have alerts left in each interval: 15 of 100, one of 8. Withheld bursts
take turns by account, then by executable, and then alternate between the largest and the oldest. A burst of
rank r, by size or by age among those of its executable, gets an alert within 2 * r turns of that executable.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from auditsense.detect.burst import Burst

_MOST_ENDED = 1024  # withheld bursts that have ended and are remembered by name
_GROWN = 10


class FairLimit:
    """Decides which bursts get an alert, and keeps those that wait for one.

    Args:
        most: alerts per interval; None: no limit.
    """

    def __init__(self, most: int | None) -> None:
        self.set_most(most)
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
        """How many bursts wait for an alert."""
        return len(self._waiting)

    def admit(self, burst: Burst) -> bool:
        """Return whether a new burst gets an alert now; else it waits."""
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
        """Return whether a burst that waits has grown enough to get an alert now."""
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
        """Note that a burst has ended while it waits. Beyond a bound such bursts are only counted."""
        self._ended += burst.began in self._waiting
        if self._ended > 2 * _MOST_ENDED:
            ended = [one for one in self._waiting.values() if one.ended]
            kept = {one.began for one in itertools.islice(_alternating(ended), _MOST_ENDED)}
            for one in ended:
                if one.began not in kept:
                    del self._waiting[one.began]
            self.forgotten += len(ended) - len(kept)
            self._ended = len(kept)

    def begin_interval(self) -> list[Burst]:
        """Begin an interval. Returns the bursts withheld before that get an alert now."""
        self._begin()
        if self._most is None:
            return []
        chosen = list(itertools.islice(self._in_turn(serve=True), _share(self._most, 1, 4)))
        for burst in chosen:
            self._leave(burst)
        self._sent = len(chosen)
        return chosen

    def listed(self, most: int) -> list[Burst]:
        """Return bursts that wait, in the order in which they get an alert."""
        return list(itertools.islice(self._in_turn(serve=False), most))

    def keep(self, bursts: Iterable[Burst]) -> None:
        """Forget all bursts that wait but these."""
        self._waiting = {burst.began: burst for burst in bursts}
        self._ended = sum(burst.ended for burst in self._waiting.values())
        self.forgotten = 0

    def set_most(self, most: int | None) -> None:
        """Have another number of alerts per interval from now on."""
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
        """Yield the bursts that wait: accounts take turns, then their executables."""
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


def _share(most: int, part: int, whole: int) -> int:
    """Return this part of the whole of *most*, rounded up."""
    return -(-most * part // whole)


def _alternating(bursts: Sequence[Burst], picked: int = 0) -> Iterator[Burst]:
    """Yield the largest burst, the oldest of the rest, the largest of the rest, and so on.

    Args:
        bursts: any number.
        picked: how many of them came before: after an odd number the oldest is next.
    """
    largest = iter(sorted(bursts, key=lambda one: (-one.count, one.began)))
    oldest = iter(sorted(bursts, key=lambda one: one.began))
    done: set[int] = set()
    for queue in itertools.islice(itertools.cycle((largest, oldest)), picked % 2, None):
        burst = next((one for one in queue if one.began not in done), None)
        if burst is None:
            return
        done.add(burst.began)
        yield burst
