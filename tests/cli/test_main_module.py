"""`python -m auditsense` is the program `auditsense`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("auditsense")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["rules", "print"], ["nonsense"]])
def test_module_equals_program(words: list[str]) -> None:
    ended = [
        subprocess.run([*command, *words], capture_output=True, text=True, check=False, timeout=300)
        for command in ([PROGRAM], [sys.executable, "-I", "-m", "auditsense"])
    ]
    assert ended[0].returncode == ended[1].returncode
    assert (ended[0].stdout, ended[0].stderr) == (ended[1].stdout, ended[1].stderr)


def test_module_imports_nothing_from_current_folder(tmp_path: Path) -> None:
    for name in ("argparse", "json", "tomllib", "detections"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(77)\n")
    ended = subprocess.run(
        [sys.executable, "-m", "auditsense", "rules", "print"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
