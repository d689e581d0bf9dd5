"""A bench report as aligned text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.bench.report import TIMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.bench.report import BenchReport, Row

_HEAD = ("", "median", "from", "to", "goal", "")
_VERDICTS = {None: "", True: "met", False: "missed"}
_ROLES = {None: "", True: "ok", False: "error"}


def figure(value: float | None, unit: str = "") -> str:
    """Return a figure with three significant digits and its unit."""
    if value is None:
        return "-"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    text = f"{value:,.{digits}f}"
    return text + (f" {unit}" if unit not in ("", TIMES) else unit)


def goal_text(row: Row) -> str:
    """Return the goal of a row; "" if it has none."""
    if row.goal is None:
        return ""
    return f"{'≥' if row.goal.at_least else '≤'} {figure(row.goal.limit, row.unit)}"


def plain(_role: str, text: str) -> str:
    """Return text without colour."""
    return text


def lines(report: BenchReport, paint: Callable[[str, str], str] = plain) -> Iterator[str]:
    """Yield the lines of the table: each figure with its spread and goal, and its details below.

    Args:
        report: what was measured.
        paint: colours text by its role, for a terminal.
    """
    machine = report.machine
    yield (
        f"auditsense {report.version}, Linux {machine['kernel']}, {machine['cpus']} x {machine['cpu']}, "
        f"Python {machine['python']}, load {machine['load_average']}"
    )
    if report.command:
        yield f"{report.date}, {report.command}"
    yield ""
    yield from _part("offline", report.offline, paint)
    yield ""
    if report.why_not_live:
        yield f"live: not measured: {report.why_not_live}"
    else:
        yield from _part("live", report.live, paint)


def _part(name: str, rows: Sequence[Row], paint: Callable[[str, str], str]) -> Iterator[str]:
    cells = [(name, *_HEAD[1:])]
    cells += [
        (
            row.question,
            figure(row.value, row.unit),
            figure(row.low, row.unit) if row.low is not None else "",
            figure(row.high, row.unit) if row.high is not None else "",
            goal_text(row),
            _VERDICTS[row.met],
        )
        for row in rows
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
    for number, row in enumerate(cells):
        aligned = [row[0].ljust(widths[0])]
        role = _ROLES[rows[number - 1].met] if number else ""
        aligned += [cell.rjust(width) for cell, width in zip(row[1:5], widths[1:5], strict=True)]
        line = "  ".join([*aligned, paint(role, row[5])]).rstrip()
        yield line if number else paint("strong", line)
        more = details(rows[number - 1]) if number else ""
        if more:
            yield paint("faint", f"    {more}")


def details(row: Row) -> str:
    """Return the note and the further figures of a row."""
    figures = (f"{name.replace('_', ' ')} {figure(value)}" for name, value in row.details.items())
    return "; ".join(filter(None, (row.note, *figures)))
