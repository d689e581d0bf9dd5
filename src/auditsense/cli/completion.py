"""auditsense completion: print a shell completion script."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.cli import print_data

if TYPE_CHECKING:
    import argparse

FILES: Final = {"bash": "auditsense.bash", "zsh": "_auditsense", "fish": "auditsense.fish"}
"""Name of each shell's file in the folder completion of the package."""


def run(arguments: argparse.Namespace) -> int:
    """Print the script of a shell."""
    file = Path(__file__).parents[1] / "completion" / FILES[arguments.shell]
    print_data(file.read_text(encoding="utf-8").rstrip("\n"))
    return 0
