"""Files that come with the package.

By names and not by `pathlib` or `importlib.resources`: those take longer to load than these files to read.
"""

from __future__ import annotations

import os

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - see above


def packaged_text(name: str) -> str:
    """Return the text of a file, by its name below the package."""
    with open(f"{_HERE}/{name}", encoding="utf-8") as file:  # noqa: PTH123 - see above
        return file.read()


def packaged_names(folder: str, ending: str) -> list[str]:
    """Return the names of the files of a folder below the package that end so, in order."""
    return sorted(name for name in os.listdir(f"{_HERE}/{folder}") if name.endswith(ending))  # noqa: PTH208 - see above
