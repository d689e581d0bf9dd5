"""docs/alert.svg shows what the program prints today."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from auditsense.sinks.format import compact

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "alert.svg"
SVG = "{http://www.w3.org/2000/svg}"
DOCUMENTS = ROOT / "docs" / "alert.jsonl"


def lines(picture: str) -> list[str]:
    """Return the lines of a drawn terminal; blanks between words are gaps between their places."""
    rows: defaultdict[float, str] = defaultdict(str)
    for text in ET.fromstring(picture).iter(f"{SVG}text"):  # noqa: S314 - ours
        if words := "".join(text.itertext()).strip("\n"):
            column = round(float(text.attrib["x"]) * len(words) / float(text.attrib["textLength"]))
            rows[float(text.attrib["y"])] = rows[float(text.attrib["y"])].ljust(column) + words
    return [row.replace("\N{NO-BREAK SPACE}", " ").rstrip() for _, row in sorted(rows.items())]


def alerts() -> list[str]:
    """Return the compact lines of the documents that the picture shows."""
    return [compact(json.loads(line)) for line in DOCUMENTS.read_text(encoding="utf-8").splitlines()]


def test_picture_shows_current_compact_line() -> None:
    drawn = lines(PICTURE.read_text(encoding="utf-8"))
    remedy = "run the command in the docstring of scripts/draw_terminal.py"
    assert drawn == ["$ sudo auditsense run", *alerts()], remedy


def test_picture_shows_names_of_a_live_alert() -> None:
    alert = alerts()[0]
    assert " alice procspy[" in alert
    assert alert.endswith(", parent bash[5029]")


def test_picture_loads_nothing() -> None:
    picture = PICTURE.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in picture


def test_drawn_terminal_keeps_colors() -> None:
    if importlib.util.find_spec("rich") is None:
        pytest.skip("rich is not installed (pip install --group docs)")
    ended = subprocess.run(
        [
            sys.executable,
            "-E",
            "-s",
            str(ROOT / "scripts/draw_terminal.py"),
            "--prompt",
            "sudo auditsense run",
            "--documents",
            str(DOCUMENTS),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert lines(ended.stdout) == lines(PICTURE.read_text(encoding="utf-8"))
    plain = subprocess.run(
        [
            sys.executable,
            "-E",
            "-s",
            str(ROOT / "scripts/draw_terminal.py"),
            sys.executable,
            "-I",
            "-c",
            "print('a & b')",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert lines(plain.stdout) == ["a & b"]
    assert ended.stdout.count("fill:") > plain.stdout.count("fill:")  # one class per style
