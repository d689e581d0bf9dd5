"""The site of all pages and the API reference builds without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_site_builds_without_warnings(tmp_path: Path) -> None:
    if not all(importlib.util.find_spec(name) for name in ("sphinx", "furo", "myst_parser")):
        pytest.skip("Sphinx is not installed (pip install --group docs)")
    command = [sys.executable, "-I", "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    ended = subprocess.run(
        [
            *command,
            "-c",
            str(ROOT / "docs"),
            "-d",
            str(tmp_path / "trees"),
            str(ROOT),
            str(tmp_path / "html"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    built = [(tmp_path / "html" / page.relative_to(ROOT)).with_suffix(".html") for page in pages]
    assert [page for page in built if not page.exists()] == []
    first = (tmp_path / "html" / "docs" / "index.html").read_text(encoding="utf-8")
    assert 'href="performance.html"' in first
    page = (tmp_path / "html" / "docs" / "api.html").read_text(encoding="utf-8")
    types = [
        re.sub(r"<[^>]+>", "", text).strip()
        for text in re.findall(r">Type<span[^>]*>:</span></dt>\s*<dd[^>]*>(.*?)</dd>", page, re.DOTALL)
    ]
    assert "int" in types
    assert [name for name in types if re.search(r"\w \w", name)] == []  # a sentence with a colon is no type
    described = {name.rpartition(".")[2] for name in re.findall(r'id="(auditsense[\w.]+)"', page)}
    assert {
        "abatches",
        "events",
        "timeout_s",
        "queue",
        "dropped",
    } <= described  # inherited members and attributes
