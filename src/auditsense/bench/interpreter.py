"""Commands of other programs: this interpreter, and programs on PATH.

A bench may run as root, in any folder and with any environment. It must start the programs that it means to
measure.

Rule 1: an interpreter is isolated (-I): it ignores the current folder, PYTHONPATH, PYTHONSTARTUP and a user's
        packages.
Rule 2: a program comes from an absolute folder of PATH; for root, only if no other user can change it.
Rule 3: a program gets a small environment, without variables that direct a compiler or a loader.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from auditsense._file_trust import require_owned, require_trusted_path
from auditsense.errors import UsageError

# For an installation that the interpreter does not find by itself.
_ADD_PATH: Final = f"import sys; sys.path.append({str(Path(__file__).parents[2])!r})\n"
_MAIN: Final = "from auditsense.cli import main; raise SystemExit(main())"
_KEPT_VARIABLES: Final = ("HOME", "TMPDIR", "TERM", "TZ")
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def python(code: str, *words: str, other: str | None = None) -> tuple[str, ...]:
    """Return the command of an isolated interpreter that runs code with this package.

    Args:
        code: Python code.
        words: its `sys.argv[1:]`.
        other: another interpreter, with its own version of this package.
    """
    if other is not None:
        return (other, "-I", "-c", code, *words)
    return (sys.executable, "-I", "-c", _ADD_PATH + code, *words)


def bare_python(*words: str) -> tuple[str, ...]:
    """Return the command of an isolated interpreter with these arguments, without this package."""
    return (sys.executable, "-I", *words)


def auditsense(*words: str, other: str | None = None) -> tuple[str, ...]:
    """Return the command of the installed `auditsense`; *other*: see `python`."""
    return python(_MAIN, *words, other=other)


def environment() -> dict[str, str]:
    """Return the environment of started programs."""
    variables = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return variables | {"PATH": os.pathsep.join(_folders()), "LC_ALL": "C"}


def program(name: str) -> str | None:
    """Return the path of a program; None: it is missing, or another user could change it."""
    for folder in _folders():
        path = f"{folder}/{name}"
        if Path(path).is_file() and os.access(path, os.X_OK) and _trusted(path):
            return path
    return None


def _folders() -> list[str]:
    """Return the absolute folders of PATH; for root, only those that no other user can change."""
    folders = os.environ.get("PATH", _DEFAULT_PATH).split(os.pathsep)
    return [path for path in folders if path.startswith("/") and (os.geteuid() != 0 or _is_safe(path))]


def _is_safe(folder: str) -> bool:
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
        require_owned(path, Path(path).stat())
    except (UsageError, OSError):
        return False
    return True
