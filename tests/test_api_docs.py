"""The API reference: built from the docstrings without a warning, with every public name."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import auditsense
import auditsense.testing

ROOT = Path(__file__).parents[1]
NOT_DESCRIBED = {"__version__", "Document"}  # a string, and a name for dict[str, Any]: docs/alerts.md


def test_the_reference_names_every_public_name(tmp_path: Path) -> None:
    if importlib.util.find_spec("sphinx") is None or importlib.util.find_spec("furo") is None:
        pytest.skip("Sphinx is not installed (pip install --group docs)")
    command = [sys.executable, "-I", "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    ended = subprocess.run(
        [*command, "-d", str(tmp_path / "trees"), str(ROOT / "docs"), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    page = (tmp_path / "html" / "api.html").read_text(encoding="utf-8")
    described = {name.rpartition(".")[2] for name in re.findall(r'id="(auditsense[\w.]+)"', page)}
    assert {*auditsense.__all__} - NOT_DESCRIBED <= described
    assert {*auditsense.testing.__all__} <= described
    types = [
        re.sub(r"<[^>]+>", "", found)
        for found in re.findall(r">Type<span[^>]*>:</span></dt>\s*<dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    ]
    assert "int" in {one.strip() for one in types}
    assert [one for one in types if re.search(r"\w \w", one)] == []  # a sentence with a colon is no type
    assert {"abatches", "aevents", "due_s", "text_events", "queue", "dropped"} <= described
