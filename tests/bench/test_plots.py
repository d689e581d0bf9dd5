"""docs/plots/*.svg show the committed results."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]

if TYPE_CHECKING:
    from bench.plots import FOLDER, TEXT, draw, series, shown
    from bench.write_docs import PAGE, load
else:
    sys.path.insert(0, str(ROOT / "bench"))
    from plots import FOLDER, TEXT, draw, series, shown
    from write_docs import PAGE, load

NAMES = ("cpu", "opens", "latency")
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[str]:
    """Return the labels of a plot."""
    return ["".join(text.itertext()) for text in ET.fromstring(picture).iter(f"{SVG}text")]  # noqa: S314 - ours


def committed(name: str) -> str:
    return (FOLDER / f"{name}.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_committed_plot_matches_committed_results(name: str) -> None:
    plot = shown(committed(name))
    wanted = series(load())[name]
    assert plot["axis"] == wanted["axis"]
    assert plot.get("curves") == wanted.get("curves")
    assert [tuple(bar) for bar in plot.get("bars", ())] == wanted.get("bars", [])


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_text_readable_on_light_and_dark(name: str) -> None:
    picture = committed(name)
    plot = shown(picture)
    labels = texts(picture)
    assert plot["axis"] in labels
    assert {bar[0] for bar in plot.get("bars", ())} <= {*labels}
    assert {*plot.get("curves", ())} <= {*labels}
    assert {*re.findall(r"<text[^>]* fill: (#\w+)", picture)} == {TEXT}
    assert "<dc:date>" not in picture


@pytest.mark.parametrize("name", NAMES)
def test_new_plot_has_labels_of_committed_plot(name: str) -> None:
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not installed (pip install --group docs)")
    picture = draw(series(load())[name])
    assert picture == draw(series(load())[name])
    assert texts(picture) == texts(committed(name))


def test_page_starts_with_plots() -> None:
    head = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    assert re.findall(r"\]\(plots/(\w+)\.svg\)", head) == [*NAMES]


def test_missing_results_leave_out_plots() -> None:
    assert series({}) == {}
