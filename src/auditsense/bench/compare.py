"""Comparison of two bench reports: the ratio of each figure, and how far the spreads allow it to vary."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense.bench.report import TIMES
from auditsense.bench.table import figure
from auditsense.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = ("", "A", "B", "B / A", "from", "to", "")
_REMEDY: Final = "write one with auditsense bench --json FILE"
_SAME_MACHINE: Final = ("cpu", "cpus", "kernel", "machine", "python")
_MOST_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """One figure in two reports.

    Attributes:
        question, unit: of the row.
        first, second: the figure; None: not measured.
        ratio: the second divided by the first; None: one is missing, or the first is 0.
        low, high: limits of the ratio, if both figures lie anywhere within their spreads; None: no spread.
    """

    question: str
    unit: str
    first: float | None
    second: float | None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """Whether the spreads are apart; "" without a ratio or a spread."""
        if self.low is None or self.high is None:
            return ""
        return "higher" if self.low > 1 else "lower" if self.high < 1 else "within the spread"


def load(name: str) -> dict[str, Any]:
    """Return the report in a file that `--json` wrote.

    Raises:
        UsageError: it is none.
    """
    try:
        with Path(name).open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}; {_REMEDY}") from None
    try:
        report = json.loads(content) if len(content) <= _MOST_BYTES else None
    except (ValueError, RecursionError):
        report = None
    if not _is_report(report):
        raise UsageError(f"{name}: not a report of auditsense bench; {_REMEDY}")
    assert isinstance(report, dict)
    return report


def _is_report(report: object) -> bool:
    return (
        isinstance(report, dict)
        and isinstance(report.get("auditsense"), str)
        and isinstance(report.get("machine"), dict)
        and isinstance(report.get("rows"), list)
        and all(map(_is_row, report["rows"]))
    )


def _is_row(row: object) -> bool:
    return (
        isinstance(row, dict)
        and all(isinstance(row.get(name), str) for name in ("key", "question", "unit"))
        and all(
            row.get(name) is None or (isinstance(row[name], int | float) and not isinstance(row[name], bool))
            for name in ("value", "low", "high")
        )
    )


def compare(first: dict[str, Any], second: dict[str, Any]) -> Iterator[ComparedRow]:
    """Yield the rows of the first report, then those that only the second has."""
    rows, others = ({row["key"]: row for row in report["rows"]} for report in (first, second))
    for key in {**rows, **others}:
        yield _compared(rows.get(key), others.get(key))


def _compared(first: dict[str, Any] | None, second: dict[str, Any] | None) -> ComparedRow:
    row = second or first or {}
    words = (row["question"], row["unit"])
    a, b = ((side or {}).get("value") for side in (first, second))
    if first is None or second is None or a is None or b is None or a <= 0:
        return ComparedRow(*words, a, b)
    spreads = (first.get("low"), first.get("high"), second.get("low"), second.get("high"))
    if None in spreads or first["low"] <= 0:
        return ComparedRow(*words, a, b, b / a)
    return ComparedRow(*words, a, b, b / a, second["low"] / first["high"], second["high"] / first["low"])


def differences(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return what makes two reports hard to compare: other machines, or other commands."""
    machines = (first["machine"], second["machine"])
    other = [
        f"{name} {machines[0][name]} and {machines[1][name]}"
        for name in _SAME_MACHINE
        if name in machines[0] and name in machines[1] and machines[0][name] != machines[1][name]
    ]
    commands = (first.get("command"), second.get("command"))
    if all(commands) and commands[0] != commands[1]:
        other.append(f"command {commands[0]} and {commands[1]}")
    return other


def lines(first: dict[str, Any], second: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the table of two reports."""
    for name, report in (("A", first), ("B", second)):
        yield f"{name}: auditsense {report['auditsense']}, {report.get('date') or 'without a date'}"
    yield ""
    cells = [_HEAD, *map(_cells, compare(first, second))]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    for row in cells:
        aligned = [cell.rjust(width) for cell, width in zip(row[1:6], widths[1:6], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *aligned, row[6]]).rstrip()


def _cells(row: ComparedRow) -> tuple[str, ...]:
    ratios = (figure(ratio, TIMES) if ratio is not None else "" for ratio in (row.ratio, row.low, row.high))
    return (row.question, figure(row.first, row.unit), figure(row.second, row.unit), *ratios, row.verdict)
