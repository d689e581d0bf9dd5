"""A report as one page: no script, nothing from elsewhere, to be opened in a browser or sent along."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from auditsense.bench.plot import bars, distribution
from auditsense.bench.report import TIMES
from auditsense.bench.table import figure, goal_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.bench.report import Report, Row

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --line: #d5d9e0; --paper: #fff;
  --bar: #4c78a8; --good: #2a7f4f; --bad: #b3372f; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e6e8eb; --soft: #9aa3ad; --line: #39414a;
  --paper: #15181c; --bar: #7aa6d6; --good: #63c08c; --bad: #ee8178; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } p, .soft { color: var(--soft); }
table { border-collapse: collapse; width: 100%; } .wide { overflow-x: auto; }
th, td { text-align: left; padding: .35rem .6rem;
  border-bottom: 1px solid var(--line); vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.met { color: var(--good); } .missed { color: var(--bad); }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg text.soft { fill: var(--soft); } .bar { fill: var(--bar); } .bad { fill: var(--bad); }
.spread, .axis { stroke: var(--ink); } .axis { opacity: .3; }
.goal { stroke: var(--ink); stroke-width: 2; stroke-dasharray: 4 3; }
"""
_LEGEND: Final = (
    "Ratios are of CPU time, taken in turns; the figure is the median, the line across a bar its spread, "
    "the dashed line the goal."
)
_METS: Final = {None: "", True: '<span class="met">met</span>', False: '<span class="missed">missed</span>'}


def page(report: Report) -> str:
    """Return the page."""
    machine = report.machine
    where = (
        f"Linux {machine['kernel']} on {machine['cpus']} x {machine['cpu']}, Python {machine['python']}, "
        f"load average {machine['load_average']} at the end"
    )
    parts = [
        f"<h1>auditsense {escape(report.version)}: what it costs</h1><p>{escape(where)}</p>",
        f"<p>{_LEGEND}</p>",
        "<h2>Ratios</h2>",
        bars([row for row in report.rows if row.unit == TIMES and row.value is not None]),
    ]
    parts += [
        f"<h2>{escape(row.question.partition(',')[0])}</h2>{distribution(row)}"
        for row in report.rows
        if row.samples
    ]
    parts += ["<h2>All figures</h2>", _table("Offline", report.offline)]
    if report.live:
        parts.append(_table("Live", report.live))
    if report.why_not_live:
        parts.append(f"<p>The live part was not measured: {escape(report.why_not_live)}</p>")
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>auditsense bench</title><style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )


def _table(name: str, rows: Sequence[Row]) -> str:
    numbers = "".join(f"<th class=number>{word}" for word in ("figure", "from", "to", "goal"))
    head = f"<tr><th>{name}{numbers}<th>"
    return f'<div class="wide"><table>{head}{"".join(_cells(rows))}</table></div>'


def _cells(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        details = [f"{name.replace('_', ' ')} {figure(value)}" for name, value in row.details.items()]
        more = escape("; ".join([row.note] * bool(row.note) + details))
        low, high = (figure(one, row.unit) if one is not None else "" for one in (row.low, row.high))
        numbers = (figure(row.value, row.unit), low, high, goal_words(row))
        yield f'<tr><td>{escape(row.question)}<br><span class="soft">{more}</span>'
        yield "".join(f"<td class=number>{escape(number)}" for number in numbers)
        yield f"<td>{_METS[row.met]}"
