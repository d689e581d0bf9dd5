"""The API reference builds from the docstrings without a warning."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_reference_builds_without_warnings(tmp_path: Path) -> None:
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
