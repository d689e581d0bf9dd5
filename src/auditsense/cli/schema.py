"""auditsense schema: what a document may hold."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.cli import put

if TYPE_CHECKING:
    import argparse


def run(_: argparse.Namespace) -> int:
    """Print the JSON schema of every document."""
    put((Path(__file__).parents[1] / "schema" / "document.json").read_text(encoding="utf-8").rstrip("\n"))
    return 0
