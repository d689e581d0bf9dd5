"""Documents to a stream of text, such as standard output.

Rule 1: what goes to a descriptor is written by this module, to the last byte. Python's own text stream
        loses the rest of a write that a signal cut short when it is unbuffered (PYTHONUNBUFFERED), and
        what does not fit at once when the descriptor does not block.
"""

from __future__ import annotations

import io
import os
import select
from typing import TYPE_CHECKING, TextIO

from auditsense.errors import AuditSenseError
from auditsense.sinks.format import Format, compact, jsonl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.documents import Document


class SinkError(AuditSenseError):
    """Documents could not be written."""


class StreamSink:
    """Writes one line a document; each batch is written when `write` returns.

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
        """Write, and wait for as long as the reader takes none of it.

        Raises:
            SinkError: the reader has gone, or the disk is full.
        """
        self._write("".join(self._line(document) + "\n" for document in documents))

    def write_line(self, line: str) -> None:
        """Write a line that is no document. Waits and raises as `write`."""
        self._write(line + "\n")

    def _write(self, text: str) -> None:
        if not text:
            return
        if self._stream is None:
            raise SinkError(f"{self._name} is closed")
        try:
            _write_all(self._stream, text)
        except BrokenPipeError:
            raise SinkError(f"{self._name} was closed by its reader") from None
        except OSError as error:
            raise SinkError(f"cannot write to {self._name}: {error.strerror}") from None

    def close(self) -> None:
        """Do nothing: nothing is kept back, and the stream is the caller's."""


def _write_all(stream: TextIO, text: str) -> None:
    try:
        descriptor = stream.fileno()
    except io.UnsupportedOperation:  # it is in memory
        stream.write(text)
        return
    stream.flush()  # what others wrote before
    rest = memoryview(text.encode(stream.encoding, stream.errors or "strict"))
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            writable = select.poll()
            writable.register(descriptor, select.POLLOUT)
            writable.poll()
