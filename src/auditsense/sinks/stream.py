"""Documents to a stream of text, such as standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from auditsense.errors import AuditSenseError
from auditsense.sinks.format import Format, compact, jsonl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.documents import Document


class SinkError(AuditSenseError):
    """Documents could not be written."""


class StreamSink:
    """Writes one line a document, and flushes after each batch.

    Args:
        stream: where to; stays open, it belongs to the caller. None: it was closed already.
        form: how.
        name: of the stream, for errors.
    """

    def __init__(
        self, stream: TextIO | None, form: Format = Format.JSONL, name: str = "standard output"
    ) -> None:
        self._stream = stream
        self._line = jsonl if form is Format.JSONL else compact
        self._name = name

    def write(self, documents: Iterable[Document]) -> None:
        """Write and flush.

        Raises:
            SinkError: the reader has gone, or the disk is full.
        """
        self._write("".join(self._line(document) + "\n" for document in documents))

    def write_line(self, line: str) -> None:
        """Write a line that is no document, and flush. Raises as `write`."""
        self._write(line + "\n")

    def _write(self, text: str) -> None:
        if not text:
            return
        if self._stream is None:
            raise SinkError(f"{self._name} is closed")
        try:
            self._stream.write(text)
            self._stream.flush()
        except BrokenPipeError:
            raise SinkError(f"{self._name} was closed by its reader") from None
        except OSError as error:
            raise SinkError(f"cannot write to {self._name}: {error.strerror}") from None

    def close(self) -> None:
        """Do nothing: what is written is flushed, and the stream is the caller's."""
