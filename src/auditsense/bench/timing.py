"""Paired measurements: alternating runs of two functions, their CPU times, and the median of the ratios.

Wall time says little on a shared machine. CPU time relative to a neighbouring run says more. Every ratio
compares one pair of consecutive runs, whose order alternates.
"""

from __future__ import annotations

import math
import resource
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from auditsense.bench.interpreter import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, slots=True)
class Spread:
    """Minimum, median and maximum of some figures, and the figures."""

    low: float
    median: float
    high: float
    values: tuple[float, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the spread of at least one value."""
        return cls(min(values), statistics.median(values), max(values), tuple(values))


@dataclass(frozen=True, slots=True)
class PairedTimes:
    """CPU seconds of two functions; the same index is the same pair."""

    first: tuple[float, ...]
    second: tuple[float, ...]

    @property
    def ratio(self) -> Spread:
        """The first divided by the second, per pair."""
        return Spread.of([first / second for first, second in zip(self.first, self.second, strict=True)])


def alternate(first: Callable[[], float], second: Callable[[], float], pairs: int) -> PairedTimes:
    """Run both alternately, in alternating order. Each returns its seconds, above 0."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(pairs):
        for which in (0, 1) if turn % 2 == 0 else (1, 0):
            times[which].append((first, second)[which]())
    return PairedTimes(tuple(times[0]), tuple(times[1]))


def cpu_of(work: Callable[[], object]) -> float:
    """Return the CPU time of a call in this process, in s; never 0."""
    started = time.process_time_ns()
    work()
    return max(time.process_time_ns() - started, 1) / 1e9


def cpu_of_program(command: Sequence[str], limit_s: float = 120.0) -> tuple[float, bytes]:
    """Run a program to its end. Returns its CPU time in s, never 0, and its standard output.

    Raises:
        subprocess.CalledProcessError: it failed; the error has its standard error.
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
    """Return the smallest value that *percent* per cent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
