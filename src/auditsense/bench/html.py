"""A bench report as one HTML page without scripts or external resources.

A table with a bar for each ratio; single values for other plots are in `--json`. Imported by `--html` only.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from auditsense.bench.report import TIMES
from auditsense.bench.table import details, figure, goal_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.bench.report import BenchReport, Row

_STYLE: Final = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #8886; vertical-align: top; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
small { opacity: .7; } meter { width: 10rem; }
"""
_VERDICTS: Final = {None: "", True: "met", False: "missed"}


def page(report: BenchReport) -> str:
    """Return the page."""
    machine = report.machine
    host = (
        f"Linux {machine['kernel']} on {machine['cpus']} x {machine['cpu']}, Python {machine['python']}, "
        f"load average {machine['load_average']} at the end"
    )
    host += f"; {report.date}, {report.command}" if report.command else ""
    longest = max((row.high or row.value or 0 for row in report.rows if row.unit == TIMES), default=1)
    parts = [
        '<!doctype html><html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>auditsense bench</title><style>{_STYLE}</style>",
        f"<h1>auditsense {escape(report.version)}: cost on this machine</h1><p>{escape(host)}</p>",
        "<p>Ratios compare CPU time of alternating runs. The figure is the median of the pairs.</p>",
        _table("Offline", report.offline, longest),
    ]
    if report.live:
        parts.append(_table("Live", report.live, longest))
    if report.why_not_live:
        parts.append(f"<p>The live part was not measured: {escape(report.why_not_live)}</p>")
    return "".join(parts) + "</html>\n"


def _table(name: str, rows: Sequence[Row], longest: float) -> str:
    numbers = "".join(f"<th class=number>{word}" for word in ("figure", "from", "to", "goal"))
    return f"<table><tr><th>{name}<th>{numbers}<th>{''.join(_row(row, longest) for row in rows)}</table>"


def _row(row: Row, longest: float) -> str:
    bar = ""
    if row.unit == TIMES and row.value is not None:
        bar = f'<meter max="{longest:.3f}" value="{row.value:.3f}">{row.value:.2f}</meter>'
    spread = (figure(value, row.unit) if value is not None else "" for value in (row.low, row.high))
    numbers = (figure(row.value, row.unit), *spread, goal_text(row))
    return (
        f"<tr><td>{escape(row.question)}<br><small>{escape(details(row))}</small><td>{bar}"
        + "".join(f"<td class=number>{escape(number)}" for number in numbers)
        + f"<td>{_VERDICTS[row.met]}"
    )
