"""Who else could have written a file: root reads settings only from what root alone may write.

Whoever can change what decides is in charge of it, and what is read here decides what is seen, and which
audit rule the kernel gets.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from auditsense.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def refuse_folders(path: Path) -> None:
    """Raise when somebody but root could put another file at *path*, or another folder above it.

    In a folder above, as /tmp, the sticky bit is enough: what lies there stays its owner's.

    Raises:
        UsageError: somebody could, or it cannot be looked at.
    """
    try:
        places = [path.parent.resolve(), path.resolve() if path.is_dir() else path.resolve().parent]
        for place in places:
            refuse_others(place, place.stat())
            for above in place.parents:
                status = above.stat()
                if not status.st_mode & stat.S_ISVTX:
                    refuse_others(above, status)
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{path}: {reason}") from None


def refuse_others(path: Path, status: os.stat_result) -> None:
    """Raise when the owner is not this process's user, or when others than the owner may write it.

    Raises:
        UsageError: so it is.
    """
    own = os.geteuid()
    if status.st_uid in {0, own} and not status.st_mode & _OTHERS:
        return
    who = "others" if status.st_uid in {0, own} else f"user {status.st_uid}"
    reader, alone = ("root", "root alone") if own == 0 else (f"user {own}", f"root or user {own} alone")
    raise UsageError(f"{path}: {who} may change it; {reader} loads only what {alone} may write")
