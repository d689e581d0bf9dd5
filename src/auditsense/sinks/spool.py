"""A spool on disk, from which `auditsense ship` delivers documents to other hosts (ADR 29)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from auditsense._digest import sha256
from auditsense.sinks import SinkError
from auditsense.sinks.format import jsonl
from auditsense.sinks.spool_store import (
    SpoolDamagedError,
    SpoolError,
    SpoolFullError,
    SpoolStore,
    SpoolUnusableError,
    check_folder,
    set_aside,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from auditsense.detect.document_types import Document
    from auditsense.sinks.spool_store import SpoolFiles

DEFAULT_SIZE: Final = 256 << 20
_MAX_ID: Final = 128  # characters; ours have 32


class SpoolSink:
    """Commit documents to a spool: a written document is on the disk.

    Args:
        folder: of the spool; created with mode 0700 if the folder above it exists.
        size: bytes at which documents are refused.

    Attributes:
        files: that its process may write; None: any.

    Raises:
        SinkError: the folder cannot be used.
    """

    as_lines = True
    batch_s = 0.1

    def __init__(self, folder: Path, *, size: int = DEFAULT_SIZE) -> None:
        self._folder = folder
        self._size = size
        self._store: SpoolStore | None = None
        self.files: SpoolFiles | None = None
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise SinkError(f"cannot create the spool {folder}: {error.strerror}") from None
        check_spool(folder)

    def fileno(self) -> int:
        """Return -1: a database may not be carried into another process, so each opens its own."""
        return -1

    def start(self) -> None:
        """Open the database, in the process that writes it.

        Raises:
            SinkError: it cannot be opened; the next `write` tries again, unless that is `final`.
        """
        self._open()

    def write(self, documents: Sequence[Document]) -> None:
        """Commit documents in one transaction. Raises as `write_lines`."""
        self.write_lines("".join(jsonl(document) + "\n" for document in documents).encode())

    def write_lines(self, lines: bytes) -> None:
        """Commit complete lines in one transaction.

        Raises:
            SinkError: the spool is full (`refused`), or the disk is full or fails.
        """
        store = self._store or self._open()
        try:
            store.append([(document_id(line), line) for line in lines.split(b"\n") if line])
        except SpoolFullError as error:
            reason = f"{error}; documents are refused until auditsense ship has delivered some"
            raise SinkError(reason, written=error.appended, refused=True) from None
        except SpoolError as error:
            self.close()  # the next attempt opens it again, and repairs it if it is damaged
            raise SinkError(str(error), written=error.appended) from None

    def reopen(self) -> None:
        """Open the database again. Raises as `start`."""
        self.close()
        self._open()

    def close(self) -> None:
        """Close the database."""
        if self._store is not None:
            self._store.close()
            self._store = None

    def _open(self) -> SpoolStore:
        try:
            self._store = SpoolStore(self._folder, size=self._size, check=True, files=self.files)
        except SpoolDamagedError as error:
            raise SinkError(self._repair(error)) from None
        except SpoolError as error:
            raise SinkError(str(error), final=isinstance(error, SpoolUnusableError)) from None
        return self._store

    def _repair(self, error: SpoolDamagedError) -> str:
        try:
            damaged, saved = set_aside(self._folder, self.files)
        except SpoolError as failed:
            return f"{error}; {failed}"
        return f"{error}; it was renamed to {damaged.name}, and {saved} documents of it were saved"


def check_spool(folder: Path) -> None:
    """Raise when documents could not be spooled in a folder. Creates nothing.

    Raises:
        SinkError: they could not.
    """
    try:
        check_folder(folder)
    except SpoolError as error:
        raise SinkError(str(error)) from None


def document_id(line: bytes) -> str:
    """Return the id of a document: its `event.id`, or a digest of the line for one without an id."""
    try:
        name = json.loads(line)["event"]["id"]
    except (ValueError, KeyError, TypeError, RecursionError):
        name = None
    if isinstance(name, str) and 0 < len(name) <= _MAX_ID:
        return name
    return sha256(line)[:32]
