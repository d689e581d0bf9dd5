"""A copy of the package that every user can read, for tests that become another user.

A checkout below a folder that others may not enter, as /root is, has its virtual environment there too. Then
root's tests use a copy: in this process, and by PYTHONPATH in those that it starts.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

OTHERS_ENTER: Final = 0o001
COPIED: Final = ("auditsense", "auditsense-*.dist-info", "cffi", "_cffi_backend*", "pycparser", "pyroute2")
ROOT_OWNED: Final = 0o755
PLACE: Final = "AUDITSENSE_READABLE"
"""Where the copy is, for interpreters that are started without PYTHONPATH; see unprivileged.py."""


def others_enter(folder: Path) -> bool:
    """Tell whether every user may enter a folder, and all that it lies in."""
    return all(one.stat().st_mode & OTHERS_ENTER for one in (folder, *folder.parents))


def needs_copy(package: Path, user: int) -> bool:
    """Tell whether tests that become another user would lose the installed *package*.

    Only root becomes another user. A package without its compiled module is an editable one, built elsewhere:
    that is not copied.
    """
    return user == 0 and not others_enter(package) and any(package.glob("_ffi*.so"))


def copy(site: Path, target: Path) -> None:
    """Copy what auditsense needs of *site*, a folder of packages, to where every user can read it."""
    target.chmod(ROOT_OWNED)
    for pattern in COPIED:
        for source in site.glob(pattern):
            if source.is_dir():
                shutil.copytree(source, target / source.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
    for path in target.rglob("*"):
        path.chmod(ROOT_OWNED if path.is_dir() else path.stat().st_mode | 0o444)


def use_readable_package() -> None:
    """Import auditsense from a copy from now on, where the installed one is not for every user."""
    found = importlib.util.find_spec("auditsense")
    if found is None or found.origin is None or not needs_copy(Path(found.origin).parent, os.geteuid()):
        return
    target = Path(tempfile.mkdtemp(prefix="auditsense-readable-"))
    atexit.register(remove, target, os.getpid())
    copy(Path(found.origin).parents[1], target)
    sys.path.insert(0, str(target))
    os.environ[PLACE] = str(target)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(target), os.environ.get("PYTHONPATH"))))


def remove(target: Path, owner: int) -> None:
    """Remove the copy at the end of the process that has made it, not of one that it has forked."""
    if os.getpid() == owner:
        shutil.rmtree(target, ignore_errors=True)
