"""Memory that cannot change, for a process of a command; where it cannot be had, a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense._file_trust import open_directory
from auditsense.cli import print_message
from auditsense.kernel import sealed, seccomp

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from auditsense.kernel.sealed_database import SealedDatabase


def can_seal(part: str) -> bool:
    """Return whether there is such memory; prints that a part of the program has to do without.

    Without a filter for system calls there is nothing to print: the sensor reports that.
    """
    if sealed.is_possible():
        return True
    if seccomp.abi() is not None:
        _keeps_more(part, f"no memory is available at {sealed.FIRST:#x}; is vm.mmap_min_addr higher?")
    return False


def sealed_spool(folder: Path, part: str, names: Sequence[str]) -> SealedDatabase | None:
    """Return the files of a spool for a process that may write no others; None: it may.

    Args:
        folder: of the spool.
        part: of the program, for people.
        names: of the files.

    Raises:
        UsageError: another user could make the path lead elsewhere.
    """
    if not can_seal(part):
        return None
    from auditsense.kernel.sealed_database import SealedDatabase, can_replace  # noqa: PLC0415 - loads SQLite

    if not can_replace():
        _keeps_more(part, "SQLite is built into this Python, so its system calls cannot be replaced")
        return None
    try:
        return SealedDatabase(open_directory(str(folder), trusted=False), str(folder), names)
    except OSError as error:
        _keeps_more(part, f"{error.strerror}; is the limit of open files low?")
        return None


def _keeps_more(part: str, reason: str) -> None:
    print_message(f"{part} keeps more system calls than it needs: {reason}")
