"""Sinks: where documents go.

A sink is one object with three methods, simple and blocking; the next one is one file (docs/sinks.md). What
keeps a slow one from being waited for is `sinks.subprocess_sink`, and no sink knows of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detect.ecs import Document


class SinkError(AuditSenseError):
    """Documents could not be written.

    Args:
        message: where and why, in one line.
        written: how many of the call's documents were written all the same, counted from the first one.
        final: trying again is of no use, ever: the reader has gone.
        refused: this document, the first one not written, will never be taken; those after it may be.
    """

    def __init__(self, message: str, *, written: int = 0, final: bool = False, refused: bool = False) -> None:
        super().__init__(message)
        self.written = written
        self.final = final
        self.refused = refused


class ReaderGoneError(SinkError):
    """What read the other end of a pipe has ended: for a filter such as `head` the usual end."""

    exit_code = 141  # as a shell reports a program that SIGPIPE ended


class Sink(Protocol):
    """Takes documents, in order. May block; whoever cannot wait puts it apart."""

    def write(self, documents: Sequence[Document]) -> None:
        """Write documents out; when it returns, they have left this process.

        May be called again after an error, with what was not written: connecting again is part of it.

        Raises:
            SinkError: not all of them could be written; it says how many were.
        """

    def fileno(self) -> int:
        """Return the descriptor that it must keep in a process of its own; -1 when it has none right now."""

    def reopen(self) -> None:
        """Begin anew at the same place: the file was renamed, the address of a host may have changed.

        Raises:
            SinkError: it cannot be opened; the next `write` tries again.
        """

    def close(self) -> None:
        """Give up what the sink holds. A second call does nothing."""


@runtime_checkable
class LineSink(Sink, Protocol):
    """A sink that may write documents as the lines of JSON they come as, without looking into them."""

    as_lines: bool
    """Whether it does."""

    def write_lines(self, lines: bytes) -> None:
        """Write whole lines, one a document. Raises as `write`."""
