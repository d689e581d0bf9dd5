"""The limit on alerts in isolation: shares, turns, and the state of withheld bursts."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from auditsense.detect.fair_limit import FairLimit


@dataclass
class Waiting:
    """The properties of a burst that the limit uses."""

    began: int
    count: int = 10
    account: str = "a"
    group: tuple[str, ...] = ("a", "x")
    ended: bool = False
    first: Any = field(default_factory=lambda: SimpleNamespace(count=10))


def bursts(numbers: range, **fields: Any) -> list[Any]:  # noqa: ANN401 - those of Waiting
    return [Waiting(number, **fields) for number in numbers]


def of(number: int, account: str = "a", program: str = "x", **fields: Any) -> Any:  # noqa: ANN401 - stands for a Burst
    return Waiting(number, account=account, group=(account, program), **fields)


def admitted(limit: FairLimit, some: list[Any]) -> int:
    return sum(limit.admit(event) for event in some)


def numbers(some: list[Any]) -> list[int]:
    return [event.began for event in some]


# --- new bursts ----------------------------------------------------------------------------


def test_new_bursts_share_four_fifths_by_account_and_executable() -> None:
    limit = FairLimit(100)
    assert admitted(limit, bursts(range(50))) == 20
    assert admitted(limit, [of(100 + n, program="y") for n in range(50)]) == 20
    assert admitted(limit, [of(200 + n, program="z") for n in range(50)]) == 0
    assert admitted(limit, [of(300 + n, f"b{n}") for n in range(50)]) == 40
    assert limit.waiting == 30 + 30 + 50 + 10


def test_shares_of_new_bursts_are_rounded_up() -> None:
    limit = FairLimit(8)  # a fifth is 1.6, two fifths are 3.2, and 1 is for bursts that have grown
    assert admitted(limit, bursts(range(9))) == 2
    assert admitted(limit, [of(100 + n, program=f"y{n}") for n in range(9)]) == 2
    assert admitted(limit, [of(200 + n, f"b{n}") for n in range(9)]) == 3


def test_without_a_limit_no_burst_waits() -> None:
    limit = FairLimit(None)
    assert admitted(limit, bursts(range(500))) == 500
    assert limit.waiting == 0
    assert not limit.admit_grown(of(1, count=100_000))
    assert limit.begin_interval() == []


def test_each_interval_has_all_shares_again() -> None:
    limit = FairLimit(100)
    assert admitted(limit, bursts(range(20))) == 20
    assert limit.begin_interval() == []
    assert admitted(limit, bursts(range(20, 50))) == 20


def test_limit_may_change() -> None:
    limit = FairLimit(5)
    assert admitted(limit, bursts(range(3))) == 1
    limit.set_limit(10)
    assert admitted(limit, bursts(range(3, 9))) == 1
    limit.set_limit(None)
    assert admitted(limit, bursts(range(9, 19))) == 10


# --- bursts that have grown ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "most"), [(99, 0), (100, 10), (999, 10), (1000, 15), (9999, 15), (10_000, 20), (100_000, 20)]
)
def test_grown_bursts_share_a_fifth_by_growth(count: int, most: int) -> None:
    """Tenfold half of the fifth, a hundredfold three quarters, a thousandfold all."""
    limit = FairLimit(100)
    limit.set_limit(1)
    waiting = [of(n, f"a{n}") for n in range(40)]
    assert admitted(limit, waiting) == 1
    limit.set_limit(100)
    for burst in waiting[1:]:
        burst.count = count
    assert sum(limit.admit_grown(burst) for burst in waiting[1:]) == most
    assert limit.waiting == 39 - most


def test_grown_bursts_of_one_account_have_half_of_that() -> None:
    limit = FairLimit(100)
    waiting = bursts(range(60))
    assert admitted(limit, waiting) == 20
    for burst in waiting:
        burst.count = 10_000
    assert sum(limit.admit_grown(burst) for burst in waiting[20:]) == 10
    others = [of(100 + n, f"b{n}", count=100_000) for n in range(61)]
    assert admitted(limit, others) == 50  # new ones end at 80 of all, whatever the others were
    assert limit.admit_grown(others[60])


def test_small_limits_leave_one_alert_to_grown_bursts() -> None:
    for most in (5, 8):
        limit = FairLimit(most)
        waiting = bursts(range(most))
        admitted(limit, waiting)
        for burst in waiting:
            burst.count = 100
        assert [limit.admit_grown(burst) for burst in waiting[-2:]] == [True, False]


def test_limit_of_one_is_never_exceeded_by_growth() -> None:
    limit = FairLimit(1)
    waiting = bursts(range(3))
    assert admitted(limit, waiting) == 1
    waiting[1].count = 10_000
    assert not limit.admit_grown(waiting[1])
    limit.keep([waiting[1]])
    assert limit.begin_interval() == [waiting[1]]
    assert not limit.admit(of(7, "b"))


def test_growth_counts_from_the_first_sequence() -> None:
    limit = FairLimit(5)
    limit.set_limit(5)
    waiting = [of(0), of(1, first=SimpleNamespace(count=2), count=20)]
    assert admitted(limit, waiting) == 1
    assert limit.admit_grown(waiting[1])


# --- bursts that were withheld before ------------------------------------------------------


def test_interval_begins_with_a_quarter_for_waiting_bursts() -> None:
    limit = FairLimit(10)  # a quarter, rounded up, is 3; new ones have 8 in all
    waiting = [of(n, f"a{n}") for n in range(30)]
    assert admitted(limit, waiting) == 8
    assert numbers(limit.begin_interval()) == [8, 9, 10]
    assert limit.waiting == 19
    assert admitted(limit, [of(100 + n, f"b{n}") for n in range(10)]) == 5


def test_accounts_take_turns_then_executables() -> None:
    limit = FairLimit(1)
    waiting = [
        of(0),
        *(of(n, "a", "x") for n in range(1, 4)),
        of(4, "a", "y"),
        of(5, "b"),
        of(6, "c"),
        of(7, "b"),
    ]
    assert admitted(limit, waiting) == 1
    assert numbers(limit.listed(100)) == [1, 5, 6, 4, 7, 2, 3]
    assert numbers(limit.listed(2)) == [1, 5]
    order = []
    for _ in range(8):
        order += numbers(limit.begin_interval())
    assert order == [1, 5, 6, 4, 7, 2, 3]


def test_new_account_is_served_first() -> None:
    limit = FairLimit(1)
    admitted(limit, [of(n, "a") for n in range(5)])
    assert numbers(limit.begin_interval()) == [1]
    admitted(limit, [of(10, "b"), of(11, "a", "y")])
    assert numbers(limit.begin_interval()) == [10]
    assert numbers(limit.begin_interval()) == [11]  # of the same account, by another executable
    assert numbers(limit.begin_interval()) == [2]


def test_largest_and_oldest_alternate_across_intervals() -> None:
    limit = FairLimit(1)
    waiting = [of(n, count=100 + n) for n in range(7)]
    assert admitted(limit, waiting) == 1
    assert numbers(limit.listed(100)) == [6, 1, 5, 2, 4, 3]
    order = []
    for _ in range(6):
        order += numbers(limit.begin_interval())
    assert order == [6, 1, 5, 2, 4, 3]
    assert limit.waiting == 0
    assert limit.begin_interval() == []


def test_listing_serves_no_account() -> None:
    limit = FairLimit(1)
    admitted(limit, [of(n, "ab"[n % 2]) for n in range(5)])
    assert numbers(limit.listed(100)) == numbers(limit.listed(100)) == [1, 2, 3, 4]
    assert numbers(limit.begin_interval()) == [1]
    assert numbers(limit.listed(100)) == [2, 3, 4]


# --- bursts that have ended ----------------------------------------------------------------


def test_ended_bursts_beyond_the_bound_are_only_counted() -> None:
    limit = FairLimit(1)
    waiting = [of(n, count=n + 10) for n in range(2050)]
    admitted(limit, waiting)
    for burst in waiting[1:2049]:
        burst.ended = True
        limit.end(burst)
    assert (limit.waiting, limit.forgotten) == (2049, 0)
    waiting[2049].ended = True
    limit.end(waiting[2049])
    assert (limit.waiting, limit.forgotten) == (1024, 1025)
    # The largest and the oldest are still known by name.
    listed = {burst.began for burst in limit.listed(5000)}
    assert listed == {*range(1, 513), *range(2049, 2049 - 512, -1)}
    limit.begin_interval()
    assert (limit.waiting, limit.forgotten) == (1023, 0)


def test_bound_counts_ended_bursts_that_wait_only() -> None:
    limit = FairLimit(1)
    alerted = of(0)
    assert limit.admit(alerted)
    alerted.ended = True
    for _ in range(5000):
        limit.end(alerted)
    waiting = [of(n) for n in range(1, 2049)]
    admitted(limit, waiting)
    for burst in waiting:
        burst.ended = True
        limit.end(burst)
    assert (limit.waiting, limit.forgotten) == (2048, 0)
    limit.begin_interval()  # one of them gets an alert and waits no longer
    more = [of(n, ended=True) for n in (3000, 3001)]
    admitted(limit, more)
    limit.end(more[0])
    assert (limit.waiting, limit.forgotten) == (2049, 0)
    limit.end(more[1])
    assert (limit.waiting, limit.forgotten) == (1024, 1025)


def test_only_kept_bursts_continue_to_wait() -> None:
    limit = FairLimit(1)
    waiting = [of(n) for n in range(2051)]
    admitted(limit, waiting)
    for burst in waiting[1:2050]:
        burst.ended = True
        limit.end(burst)
    assert limit.forgotten == 1025
    limit.keep(waiting[1:3])
    assert (limit.waiting, limit.forgotten) == (2, 0)
    assert numbers(limit.listed(10)) == [1, 2]
    more = [of(n) for n in range(5000, 5000 + 2046)]
    admitted(limit, more)
    for one in more:
        one.ended = True
        limit.end(one)
    assert limit.forgotten == 0  # 2,048 with the two that were kept
    last = of(9000, ended=True)
    limit.admit(last)
    limit.end(last)
    assert limit.forgotten == 1025
