"""Files that come with the package.

Without `pathlib` and `importlib.resources`, which take longer to import than these files to read.

Each file is read once: a process that has become another user may not be able to read it again.
"""

from __future__ import annotations

import os
from functools import cache

_HERE = __file__.rpartition("/")[0]


@cache
def packaged_text(name: str) -> str:
    """Return the text of a file, by its name below the package."""
    with open(f"{_HERE}/{name}", encoding="utf-8") as file:  # noqa: PTH123 - see above
        return file.read()


def packaged_file(name: str) -> str:
    """Return the path of a file, by its name below the package."""
    return f"{_HERE}/{name}"


@cache
def packaged_names(folder: str, ending: str) -> tuple[str, ...]:
    """Return the names of the files of a folder below the package with this ending, sorted."""
    names = os.listdir(f"{_HERE}/{folder}")  # noqa: PTH208 - see above
    return tuple(sorted(name for name in names if name.endswith(ending)))
