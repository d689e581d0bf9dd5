"""auditsense schema: print a JSON schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.cli import print_data

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Print a JSON schema."""
    file = Path(__file__).parents[1] / "schema" / f"{arguments.schema}.json"
    print_data(file.read_text(encoding="utf-8").rstrip("\n"))
    return 0
