"""Paths of the installed documentation."""

from __future__ import annotations

import os
import sys


def documentation(page: str = "") -> str:
    """Return the installed file of a page, else its name in a checkout; "": the folder."""
    installed = f"{sys.prefix}/share/doc/auditsense/{page}"
    found = os.path.exists(installed)  # noqa: PTH110 - the help uses it, and pathlib loads slowly
    return installed if found else f"docs/{page}"
