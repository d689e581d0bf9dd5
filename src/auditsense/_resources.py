"""Files that come with the package.

By names and not by `pathlib` or `importlib.resources`: those take longer to load than these files to read.

Each is read once. A process that has become another user may not be able to read it again.
"""

from __future__ import annotations

import os
from functools import cache

_HERE = os.path.dirname(__file__)  # noqa: PTH120 - see above


@cache
def packaged_text(name: str) -> str:
    """Return the text of a file, by its name below the package."""
    with open(f"{_HERE}/{name}", encoding="utf-8") as file:  # noqa: PTH123 - see above
        return file.read()


@cache
def packaged_names(folder: str, ending: str) -> tuple[str, ...]:
    """Return the names of the files of a folder below the package that end so, in order."""
    found = os.listdir(f"{_HERE}/{folder}")  # noqa: PTH208 - see above
    return tuple(sorted(name for name in found if name.endswith(ending)))
