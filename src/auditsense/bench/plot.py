"""The two plots of the page, as SVG: a bar a ratio, and how single values lie. Colours are the page's."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final

from auditsense.bench.table import figure
from auditsense.bench.timing import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.bench.report import Row

_WIDTH: Final = 900
_LEFT, _RIGHT = 380, 70
_STEP: Final = 30
_HEIGHT: Final = 170
_FLOOR: Final = 130


def bars(rows: Sequence[Row]) -> str:
    """Return one bar a row, with its spread and its goal; rows without a figure are not drawn."""
    given = [row for row in rows if row.value is not None]
    most = max(
        (max(row.high or 0, row.value or 0, row.goal.limit if row.goal else 0) for row in given), default=1
    )
    scale = (_WIDTH - _LEFT - _RIGHT) / (most or 1)
    height = _STEP * len(given) + 10
    parts = [_open(height, "ratios")]
    for number, row in enumerate(given):
        parts.append(_bar(row, _STEP * number + 8, scale))
    return "".join(parts) + "</svg>"


def _bar(row: Row, top: int, scale: float) -> str:
    value = row.value or 0.0
    middle = top + 9
    kind = "bar bad" if row.met is False else "bar"
    parts = [
        f'<text x="{_LEFT - 10}" y="{top + 13}" text-anchor="end">{escape(row.question)}</text>',
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{value * scale:.1f}" height="18" rx="2"/>',
    ]
    ends = [value]
    if row.low is not None and row.high is not None:
        start, end = _LEFT + row.low * scale, _LEFT + row.high * scale
        parts.append(f'<line class="spread" x1="{start:.1f}" x2="{end:.1f}" y1="{middle}" y2="{middle}"/>')
        ends.append(row.high)
    if row.goal is not None:
        at = _LEFT + row.goal.limit * scale
        parts.append(f'<line class="goal" x1="{at:.1f}" x2="{at:.1f}" y1="{top - 3}" y2="{top + 21}"/>')
        ends.append(row.goal.limit)
    where = _LEFT + max(ends) * scale + 6
    parts.append(f'<text x="{where:.1f}" y="{top + 13}">{escape(figure(value, row.unit))}</text>')
    return "".join(parts)


def distribution(row: Row) -> str:
    """Return a mark for each value, on a scale of powers of ten, with the median and the 99th percentile."""
    values = sorted(max(value, 0.01) for value in row.samples)
    first = math.floor(math.log10(values[0]))
    last = max(math.ceil(math.log10(max(values[-1], row.goal.limit if row.goal else 0))), first + 1)
    per = (_WIDTH - 80) / (last - first)

    def across(value: float) -> float:
        return 40 + (math.log10(value) - first) * per

    parts = [_open(_HEIGHT, row.question)]
    for power in range(first, last + 1):
        x = across(10.0**power)
        parts.append(f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="20" y2="{_FLOOR}"/>')
        label = f"{10.0**power:g} {row.unit}"
        parts.append(f'<text class="soft" x="{x:.1f}" y="{_FLOOR + 18}" text-anchor="middle">{label}</text>')
    for number, value in enumerate(values):
        y = _FLOOR - 5 - (number + 1) / len(values) * (_FLOOR - 30)
        parts.append(f'<circle class="bar" cx="{across(value):.1f}" cy="{y:.1f}" r="3"/>')
    marks = [("median", percentile(values, 50), "spread"), ("99 %", percentile(values, 99), "spread")]
    if row.goal is not None:
        marks.append(("goal", row.goal.limit, "goal"))
    for number, (name, value, kind) in enumerate(marks):
        x = across(value)
        anchor = "end" if name == "median" or x > _WIDTH - 120 else "start"
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="16" y2="{_FLOOR}"/>')
        words = f"{name} {figure(value, row.unit)}"
        parts.append(
            f'<text x="{x + (-4 if anchor == "end" else 4):.1f}" y="{14 + 14 * (number % 2)}" '
            f'text-anchor="{anchor}">{escape(words)}</text>'
        )
    parts.append(f'<text class="soft" x="4" y="{_HEIGHT - 4}">each mark one trial, sorted upwards</text>')
    return "".join(parts) + "</svg>"


def _open(height: int, title: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">'
    )
