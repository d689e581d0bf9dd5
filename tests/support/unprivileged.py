"""`auditsense` as an unprivileged user, also where that user cannot read this Python.

    python unprivileged.py [WORD]...

Loads everything first. Then root becomes 65534; any other user stays the same.
"""

from __future__ import annotations

import codecs
import importlib
import os
import pkgutil
import sys

if "AUDITSENSE_READABLE" in os.environ:  # what readable_package.py has copied; -E leaves PYTHONPATH out
    sys.path.insert(0, os.environ["AUDITSENSE_READABLE"])
import auditsense
from auditsense.cli import main

OTHER_UID = 65534


def load_all() -> None:
    """Load every module of the command line, and what Python loads late itself."""
    for found in pkgutil.walk_packages(auditsense.__path__, "auditsense."):
        if found.name.split(".")[1] not in {"bench", "testing", "doctor"}:
            importlib.import_module(found.name)
    for name in ("ascii", "latin-1"):
        codecs.lookup(name)


if __name__ == "__main__":
    load_all()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(OTHER_UID, OTHER_UID, OTHER_UID)
        os.setresuid(OTHER_UID, OTHER_UID, OTHER_UID)
    raise SystemExit(main())
