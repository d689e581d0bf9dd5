"""How the bench starts other programs: the one place that knows this interpreter, and looks along PATH.

A bench runs as root as well, from any folder, and with any environment. What it starts must be what it
means to measure.

Rule 1: an interpreter is isolated (-I): it takes no module from the current folder, from PYTHONPATH or from
        a user's own packages, and runs no PYTHONSTARTUP.
Rule 2: a program is taken from an absolute folder of PATH; by root only when nobody else could change it.
Rule 3: what is started has a small environment: no variable of the caller tells a compiler or a loader where
        to look.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from auditsense._file_trust import require_owned, require_trusted_path
from auditsense.errors import UsageError

# Appended, for an installation that the interpreter does not find by itself. It is where this runs from.
_FIND: Final = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r})\n"
_MAIN: Final = "from auditsense.cli import main; raise SystemExit(main())"
_PASSED_ON: Final = ("HOME", "TMPDIR", "TERM", "TZ")
_USUAL: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def python(code: str, *words: str) -> tuple[str, ...]:
    """Return the command of an interpreter that runs code with this package, and nothing else of the caller.

    Args:
        code: what it runs.
        words: its `sys.argv[1:]`.
    """
    return (sys.executable, "-I", "-c", _FIND + code, *words)


def bare_python(*words: str) -> tuple[str, ...]:
    """Return the command of an interpreter that runs what *words* say, without this package."""
    return (sys.executable, "-I", *words)


def auditsense(*words: str) -> tuple[str, ...]:
    """Return the command of `auditsense`, as it is installed here."""
    return python(_MAIN, *words)


def environment() -> dict[str, str]:
    """Return the environment of what a bench starts."""
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return kept | {"PATH": os.pathsep.join(_folders()), "LC_ALL": "C"}


def program(name: str) -> str | None:
    """Return where a program is; None: nowhere, or only where somebody else could change it."""
    for folder in _folders():
        path = f"{folder}/{name}"
        if Path(path).is_file() and os.access(path, os.X_OK) and _trusted(path):
            return path
    return None


def _folders() -> list[str]:
    """Return the folders of PATH that are absolute, and for root those that nobody else could change."""
    named = os.environ.get("PATH", _USUAL).split(os.pathsep)
    return [one for one in named if one.startswith("/") and (os.geteuid() != 0 or _is_alone(one))]


def _is_alone(folder: str) -> bool:
    try:
        require_trusted_path(Path(folder))
    except UsageError:
        return False
    return True


def _trusted(path: str) -> bool:
    if os.geteuid() != 0:
        return True
    try:
        require_trusted_path(Path(path))
        require_owned(path, os.stat(path))  # noqa: PTH116 - beside the path as text
    except (UsageError, OSError):
        return False
    return True
