"""Bench reports: rows of one figure each, most of them ratios, with their goals."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from auditsense.bench.timing import Spread

TIMES = "x"
"""The unit of a ratio."""


@dataclass(frozen=True, slots=True)
class Goal:
    """Upper or lower limit of a figure."""

    limit: float
    at_least: bool = False

    def met_by(self, value: float) -> bool:
        """Return whether a figure keeps the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One question and its answer.

    Attributes:
        key: names the row for machines; never changes.
        question: names it for people, a few words.
        unit: of the figures; `TIMES` for a ratio.
        value: the figure, usually a median; None: not measured, and `note` has the reason.
        low, high: the spread of the values; None: there is one value only.
        goal: None: the figure has no limit.
        note: the reference of the measurement, or why there is none.
        details: more figures, the unit in each name.
        samples: the single values, in the row's unit; empty: there is one only, and no key in the document.
    """

    key: str
    question: str
    unit: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    goal: Goal | None = None
    note: str = ""
    details: dict[str, float] = field(default_factory=dict)
    samples: tuple[float, ...] = ()

    @classmethod
    def of(cls, key: str, question: str, unit: str, spread: Spread, **more: Any) -> Self:  # noqa: ANN401 - the other fields
        """Return a row whose figure is the median of a spread."""
        samples = tuple(round(value, 6) for value in spread.values)
        return cls(key, question, unit, spread.median, spread.low, spread.high, samples=samples, **more)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal or a figure."""
        return None if self.goal is None or self.value is None else self.goal.met_by(self.value)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as `--json` writes it."""
        figures = asdict(self)
        if not self.samples:
            del figures["samples"]
        return {**figures, "met": self.met}


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All rows of one run, and the machine.

    Attributes:
        version: of auditsense.
        machine: see `machine`.
        offline, live: the rows of both parts.
        why_not_live: "": the live part was measured.
        command: that repeats the measurement.
        date: of its start, in UTC, as ISO 8601.
    """

    version: str
    machine: dict[str, Any]
    offline: tuple[Row, ...]
    live: tuple[Row, ...]
    why_not_live: str = ""
    command: str = ""
    date: str = ""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Both parts."""
        return self.offline + self.live

    def as_dict(self) -> dict[str, Any]:
        """Return the report as `--json` writes it."""
        return {
            "auditsense": self.version,
            "commit": self.version.partition("+g")[2].partition(".")[0] or None,
            "command": self.command,
            "date": self.date,
            "machine": self.machine,
            "rows": [row.as_dict() for row in self.rows],
            "why_not_live": self.why_not_live,
        }


def machine() -> dict[str, Any]:
    """Describe this machine; figures mean little elsewhere."""
    return {
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "load_average": round(os.getloadavg()[0], 2),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
