"""Sets of the numbers that an audit rule can compare: unsigned 32 bits, as ranges.

A rule compares one field with one number, so a set becomes alternatives, each a list of comparisons that must
all hold. Where that takes too many rules, the alternatives hold for more numbers than the set has.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

HIGHEST: Final = 0xFFFF_FFFF
_MOST_RANGES: Final = 4
"""Ranges of a set that become one rule each; more become one rule for the smallest to the largest number."""
_MOST_GAPS: Final = 4
"""Numbers that a set lacks that become one `!=` each."""


class Comparison(NamedTuple):
    """One comparison of a rule, such as ``>=`` and 33."""

    sign: str
    number: int


@dataclass(frozen=True, slots=True)
class Numbers:
    """A set of numbers.

    Attributes:
        ranges: first and last number of each range, in order; they neither overlap nor touch.
    """

    ranges: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Self:
        """Return the set of these numbers, cut to 32 bits."""
        return cls.from_ranges((number & HIGHEST, number & HIGHEST) for number in numbers)

    @classmethod
    def from_ranges(cls, ranges: Iterable[tuple[int, int]]) -> Self:
        """Return the set of the numbers in any of these ranges. One may end before it starts: it is empty."""
        merged: list[tuple[int, int]] = []
        for first, last in sorted(pair for pair in ranges if pair[0] <= pair[1]):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @property
    def is_empty(self) -> bool:
        """Whether it has no number."""
        return not self.ranges

    @property
    def is_every(self) -> bool:
        """Whether it has every number."""
        return self.ranges == ((0, HIGHEST),)

    def __contains__(self, number: int) -> bool:
        return any(first <= number <= last for first, last in self.ranges)

    def union(self, other: Numbers) -> Numbers:
        """Return the numbers of either."""
        return Numbers.from_ranges((*self.ranges, *other.ranges))

    def intersection(self, other: Numbers) -> Numbers:
        """Return the numbers of both."""
        return Numbers.from_ranges(
            (max(first, other_first), min(last, other_last))
            for first, last in self.ranges
            for other_first, other_last in other.ranges
        )

    def complement(self) -> Numbers:
        """Return all other numbers."""
        starts = (0, *(last + 1 for _, last in self.ranges))
        ends = (*(first - 1 for first, _ in self.ranges), HIGHEST)
        return Numbers.from_ranges(zip(starts, ends, strict=True))

    def covers(self, other: Numbers) -> bool:
        """Return whether it has every number of *other*."""
        return self.intersection(other) == other

    def alternatives(self) -> tuple[tuple[Comparison, ...], ...]:
        """Return comparisons that hold for every number of the set; one alternative is enough.

        They hold for other numbers as well only when the set has more ranges than rules should be made of.

        >>> Numbers.of([2, 10]).alternatives()
        ((Comparison(sign='=', number=2),), (Comparison(sign='=', number=10),))
        >>> Numbers.of([0]).complement().alternatives()
        ((Comparison(sign='!=', number=0),),)
        """
        if self.is_every:
            return ((),)
        gaps = self.complement().ranges
        if len(gaps) <= _MOST_GAPS and all(first == last for first, last in gaps):
            return (tuple(Comparison("!=", first) for first, _ in gaps),)
        ranges = self.ranges
        if len(ranges) > _MOST_RANGES:
            ranges = ((ranges[0][0], ranges[-1][1]),)
        return tuple(_comparisons(first, last) for first, last in ranges)


EVERY: Final = Numbers(((0, HIGHEST),))
NONE: Final = Numbers(())


def _comparisons(first: int, last: int) -> tuple[Comparison, ...]:
    if first == last:
        return (Comparison("=", first),)
    low = (Comparison(">=", first),) if first else ()
    high = (Comparison("<=", last),) if last < HIGHEST else ()
    return (*low, *high)
