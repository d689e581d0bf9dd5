"""A folder with databases of SQLite, in a process that may write, create and remove no other files.

SQLite writes the names of its files into its own memory, and a filter that compares addresses refuses them.
It lets a program replace its system calls: _helper/sqlite_files.c replaces those that open and remove files.

Rule: where SQLite is a part of Python itself, its calls cannot be found. The caller keeps a wider list of
      system calls.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import os
import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense._helper_ffi import ffi, lib
from auditsense.errors import AuditSenseError
from auditsense.kernel.sealed import FILE_FLAGS, FILE_MODE, SealedFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

DATABASE_FLAGS: Final = FILE_FLAGS & ~(os.O_APPEND | os.O_CREAT | os.O_NONBLOCK)


class SealedDatabase(SealedFolder):
    """A folder whose files of some names SQLite may write. `seal` replaces SQLite's calls in this process.

    Args:
        folder: descriptor; this object closes it.
        path: of the folder.
        names: of files.

    Attributes:
        path: of the folder, without symbolic links, as SQLite names it.

    Raises:
        OSError: too many descriptors are open.
    """

    def __init__(self, folder: int, path: str, names: Sequence[str]) -> None:
        super().__init__(folder, names, flags=(DATABASE_FLAGS | os.O_CREAT, DATABASE_FLAGS), removes=True)
        self.path = os.path.realpath(path)
        self._own = [  # C keeps pointers to them
            ffi.new("char[]", os.fsencode(self.path.rstrip("/"))),
            ffi.new("char *[]", [ffi.cast("char *", self.address(name)) for name in self.names]),
        ]

    def seal(self) -> None:
        """Seal the names in this process, and replace the calls of its SQLite.

        Raises:
            AuditSenseError: as `SealedMemory.seal`, or this SQLite has no calls that can be replaced.
        """
        super().seal()
        folder, names = self._own
        files = {
            "folder": folder,
            "names": names,
            "count": len(self.names),
            "descriptor": self.fileno(),
            "flags": DATABASE_FLAGS,
            "mode": FILE_MODE,
        }
        if lib.as_sqlite_replace(ffi.cast("void *", _calls()), ffi.new("as_sqlite_files *", files)):
            raise AuditSenseError("cannot replace the system calls of SQLite")

    def is_replaced(self) -> bool:
        """Return whether another folder has the path now."""
        try:
            return not os.path.samestat(Path(self.path).stat(), os.fstat(self.fileno()))
        except OSError:
            return True

    def create(self, name: str) -> None:
        """Create a file if there is none.

        Raises:
            OSError: it cannot be created.
        """
        try:
            self.status(name)
        except FileNotFoundError:
            os.close(self.open(name))


@cache
def can_replace() -> bool:
    """Return whether the system calls of this Python's SQLite can be replaced."""
    calls = _calls()
    return bool(calls) and lib.as_sqlite_replace(ffi.cast("void *", calls), ffi.NULL) == 0


@cache
def _calls() -> int:
    """Return the address of the default sqlite3_vfs of this Python's SQLite; 0: it cannot be found."""
    try:
        library = ctypes.CDLL(_sqlite3.__file__)
        find, identity = library.sqlite3_vfs_find, library.sqlite3_sourceid
    except (AttributeError, OSError):  # SQLite is a part of this module or of Python
        return 0
    find.restype, identity.restype = ctypes.c_void_p, ctypes.c_char_p
    with closing(sqlite3.connect(":memory:")) as connection:
        (used,) = connection.execute("SELECT sqlite_source_id()").fetchone()
    return (find(None) or 0) if identity() == used.encode() else 0
