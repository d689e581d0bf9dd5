"""How a figure is taken: two things in turns, the CPU time of each, and the middle of the ratios.

Wall time on a machine that others use says little; CPU time and a neighbour measured in the same moments
say more. Every ratio is that of one pair, run one right after the other, and the order changes each time.
"""

from __future__ import annotations

import math
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from auditsense.bench.interpreter import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the middle and the most of some figures."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values))


@dataclass(frozen=True, slots=True)
class Pairs:
    """What two things took, in seconds of CPU; the same place in both is the same pair."""

    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def ratio(self) -> Spread:
        """The first by the second, pair by pair."""
        return Spread.of([one / other for one, other in zip(self.first, self.second, strict=True)])


def alternate(first: Callable[[], float], second: Callable[[], float], pairs: int) -> Pairs:
    """Run both in turns, each pair in the other order. Each returns the seconds that count, above 0."""
    taken: tuple[list[float], list[float]] = ([], [])
    for turn in range(pairs):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            taken[which].append((first, second)[which]())
    return Pairs(tuple(taken[0]), tuple(taken[1]))


def cpu_of(work: Callable[[], object]) -> float:
    """Return the CPU time that this process needs for a call, in s; never 0."""
    started = time.process_time_ns()
    work()
    return max(time.process_time_ns() - started, 1) / 1e9


def cpu_of_program(command: Sequence[str], limit_s: float = 120.0) -> tuple[float, bytes]:
    """Run a program to its end. Returns its CPU time in s, never 0, and its standard output.

    Raises:
        subprocess.CalledProcessError: it failed; its standard error is in there.
        subprocess.TimeoutExpired: it did not end in time, and was killed.
    """
    before = _children_cpu()
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=limit_s,
        env=environment(),
    )
    return max(_children_cpu() - before, 1e-6), done.stdout


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
