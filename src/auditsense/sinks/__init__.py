"""Sinks: destinations of documents.

A sink is one object with simple, blocking methods; a new one is one file (docs/sinks.md).
`sinks.subprocess_sink` keeps slow sinks from blocking the sensor; sinks are unaware of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detect.document_types import Document


class SinkError(AuditSenseError):
    """Documents could not be written.

    Args:
        message: where and why, in one line.
        written: how many of the call's documents were written, counted from the first one.
        final: a retry can never succeed: the reader has gone.
        refused: the first document that was not written will never be accepted; those after it may be.
    """

    def __init__(self, message: str, *, written: int = 0, final: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.written = written
        self.final = final
        self.refused = refused


class ReaderGoneError(SinkError):
    """The reader of a pipe has ended, as a filter such as `head` usually does."""

    exit_code = 141  # as a shell reports a program that SIGPIPE ended


class Sink(Protocol):
    """Accepts documents, in order. May block; `SinkProcess` runs it where blocking is not allowed."""

    def write(self, documents: Sequence[Document]) -> None:
        """Write documents out; when it returns, they have left this process.

        May be called again after an error with the rest of the documents: it then reconnects.

        Raises:
            SinkError: not all of them could be written; `written` counts those that were.
        """

    def fileno(self) -> int:
        """Return the descriptor to keep open in the sink's process; -1 if there is none right now."""

    def reopen(self) -> None:
        """Reopen the destination: the file was renamed, the address of a host may have changed.

        Raises:
            SinkError: it cannot be opened; the next `write` tries again.
        """

    def close(self) -> None:
        """Release the sink's resources. A second call does nothing."""


@runtime_checkable
class LineSink(Sink, Protocol):
    """A sink that can write lines of JSON without parsing them."""

    as_lines: bool
    """Whether it does, in its present format."""

    def write_lines(self, lines: bytes) -> None:
        """Write complete lines, one per document. Raises as `write`."""


@runtime_checkable
class CommittingSink(LineSink, Protocol):
    """A sink whose written documents survive its process, and which ignores a document it has already.

    Its process is restarted when a signal ends it, and gets the documents again that it had not reported.
    """

    batch_s: float
    """Time between two small writes: documents of that time are written together."""

    def start(self) -> None:
        """Open what must be opened in the process that writes. Raises as `reopen`."""
