"""Draw docs/plots/*.svg, which lead docs/performance.md, from the committed results.

Measures nothing. Needs matplotlib (`pip install --group docs`); `series` does not, and neither does the page.
Each file holds the figures that it shows as JSON, which tests/bench/test_plots.py compares with the results.
"""

from __future__ import annotations

import html
import importlib.util
import io
import json
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bench.goals import Results

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "plots"
TEXT = "#727a84"  # the same contrast on white and on the dark background of GitHub and Furo
OURS, OTHERS = "#2f81f7", "#9aa3ad"
DESCRIPTION = re.compile(r"<dc:description>(.*?)</dc:description>", re.DOTALL)

READERS = (
    ("sensor", "auditsense"),
    ("auditd, its log", "auditd, log"),
    ("auditd, a plugin", "auditd, plugin"),
)

Bar = tuple[str, float, float, float]  # label, median, lowest, highest
Plot = dict[str, Any]


def series(results: Results) -> dict[str, Plot]:
    """Return what each plot shows: a title, the label of the axis, and bars or curves."""
    plots = {"cpu": _cpu(results), "opens": _opens(results), "latency": _latency(results)}
    return {name: plot for name, plot in plots.items() if plot is not None}


def _bar(label: str, values: list[float]) -> Bar:
    return label, round(statistics.median(values), 3), round(min(values), 3), round(max(values), 3)


def _cpu(results: Results) -> Plot | None:
    bars = []
    for name, words in (("burst-1", "one producer"), ("burst-2", "two producers")):
        if name not in results:
            return None
        for label, side in zip(
            ("auditsense", "drain loop"), zip(*results[name]["pairs"], strict=True), strict=True
        ):
            spent = [(row["cpu"]["user"] + row["cpu"]["system"]) / row["opens"] * 1e6 for row in side]
            bars.append(_bar(f"{label}, {words}", spent))
    return {"axis": "µs of CPU per event (less is better)", "bars": bars}


def _opens(results: Results) -> Plot | None:
    bars = []
    for name, words in (("auditd-1", "one producer"), ("auditd-2", "two producers")):
        if name not in results:
            return None
        rows = results[name]["rows"]
        for reader, label in READERS:
            seen = [float(row["seen"]) for row in rows if row["reader"] == reader]
            bars.append(_bar(f"{label}, {words}", seen))
    return {"axis": f"opens seen, of {results['auditd-1']['opens']:,} (more is better)", "bars": bars}


def _latency(results: Results) -> Plot | None:
    curves = {}
    for name, label in (
        ("latency-idle", "idle host"),
        ("latency-flood", "another process saturates the audit subsystem"),
    ):
        if name not in results:
            return None
        curves[label] = [round(ns / 1e6, 2) for ns in sorted(results[name]["read_ns"])]
    return {"axis": "ms from the tenth open to the alert (less is better)", "curves": curves}


def draw(plot: Plot) -> str:
    """Return a plot as SVG: the same for the same figures and the same version of matplotlib."""
    import matplotlib as mpl  # noqa: PLC0415 - only who draws needs it
    from matplotlib.figure import Figure  # noqa: PLC0415 - the same

    style = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), TEXT
    )
    fixed = {
        "svg.hashsalt": "auditsense",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 11,
    }
    with mpl.rc_context({**style, **fixed}):
        figure = Figure(
            figsize=(7.6, 1.1 + 0.36 * len(plot["bars"]) if "bars" in plot else 3.0), layout="constrained"
        )
        axes = figure.add_subplot()
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
        axes.set_xlabel(plot["axis"])
        (_draw_bars if "bars" in plot else _draw_curves)(axes, plot)
        target = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Description": json.dumps(plot, ensure_ascii=False)}
        figure.savefig(target, format="svg", transparent=True, metadata=metadata)
    return "".join(f"{line.rstrip()}\n" for line in target.getvalue().splitlines())


def _draw_bars(axes: Axes, plot: Plot) -> None:
    labels, middle, low, high = zip(*plot["bars"], strict=True)
    spread = [
        [value - least for value, least in zip(middle, low, strict=True)],
        [most - value for value, most in zip(middle, high, strict=True)],
    ]
    colors = [OURS if label.startswith("auditsense") else OTHERS for label in labels]
    axes.barh(
        labels,
        middle,
        height=0.62,
        color=colors,
        xerr=spread,
        ecolor=TEXT,
        capsize=4,
        error_kw={"elinewidth": 1.6},
    )
    for row, (value, most) in enumerate(zip(middle, high, strict=True)):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
        axes.annotate(text, (most, row), xytext=(7, 0), textcoords="offset points", va="center")
    axes.invert_yaxis()
    axes.set_xlim(0, max(high) * 1.15)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(axis="y", length=0)


def _draw_curves(axes: Axes, plot: Plot) -> None:
    for (label, values), color in zip(plot["curves"].items(), (OURS, OTHERS), strict=True):
        shares = [100 * (rank + 1) / len(values) for rank in range(len(values))]
        axes.step(values, shares, where="post", color=color, linewidth=2, label=label)
    axes.set_ylabel("% of alerts")
    axes.set_xscale("log")
    axes.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 101)
    axes.grid(color=TEXT, alpha=0.25)
    axes.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


def shown(picture: str) -> Plot:
    """Return the figures that a drawn plot holds."""
    found = DESCRIPTION.search(picture)
    figures: Plot = json.loads(html.unescape(found[1])) if found else {}
    return figures


def write(results: Results) -> None:
    """Write the plots; without matplotlib, leave them and tell so."""
    if importlib.util.find_spec("matplotlib") is None:
        print("docs/plots not drawn: matplotlib is not installed; pip install --group docs", file=sys.stderr)
        return
    FOLDER.mkdir(exist_ok=True)
    for name, plot in series(results).items():
        (FOLDER / f"{name}.svg").write_text(draw(plot), encoding="utf-8")
