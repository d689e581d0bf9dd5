r"""A text stream, such as standard output.

Rule 1: this module writes to the descriptor itself, to the last byte. An unbuffered text stream of Python
        (PYTHONUNBUFFERED) loses the rest of a write that a signal interrupts, and of one that does not fit
        into a non-blocking descriptor.
Rule 2: every error is final. A reader that has gone does not come back, and half a line cannot be repaired in
        a stream.
Rule 3: no character fails. Characters outside the stream's encoding are written as \xNN, \uNNNN or
        \UNNNNNNNN.
"""

from __future__ import annotations

import io
import os
import select
from typing import TYPE_CHECKING, TextIO

from auditsense.sinks import ReaderGoneError, SinkError
from auditsense.sinks.format import Format, line_of, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.detect.document_types import Document


class StreamSink:
    """Write one line per document, without buffering.

    Args:
        stream: the caller's; stays open. None: it is closed already.
        form: format of the lines.
        name: of the stream, for errors.
        paint: colours compact lines.
    """

    def __init__(
        self,
        stream: TextIO | None,
        form: Format = Format.JSONL,
        name: str = "standard output",
        paint: Callable[[str, str], str] = plain,
    ) -> None:
        self._stream = stream
        self._line = line_of(form, paint)
        self._name = name
        self.as_lines = form is Format.JSONL

    def write(self, documents: Sequence[Document]) -> None:
        """Write; blocks while the reader reads nothing.

        Raises:
            SinkError: the reader has gone, or the disk is full.
        """
        self._write_text("".join(self._line(document) + "\n" for document in documents))

    def write_line(self, line: str) -> None:
        """Write a line that is not a document. Blocks and raises as `write`."""
        self._write_text(line + "\n")

    def write_lines(self, lines: bytes) -> None:
        """Write lines of JSON. Blocks and raises as `write`."""
        self._write(lines)

    def fileno(self) -> int:
        """Return the descriptor that must stay open; -1 if there is none."""
        if self._stream is None:
            return -1
        try:
            return self._stream.fileno()
        except io.UnsupportedOperation:
            return -1

    def _write_text(self, text: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"  # None if closed or in memory
        self._write(text.encode(encoding, "backslashreplace"))

    def _write(self, lines: bytes) -> None:
        if not lines:
            return
        if self._stream is None:
            raise SinkError(f"{self._name} is closed", final=True)
        try:
            self._write_all(self._stream, lines)
        except BrokenPipeError:
            raise ReaderGoneError(f"{self._name} was closed by its reader", final=True) from None
        except OSError as error:
            raise SinkError(f"cannot write to {self._name}: {error.strerror}", final=True) from None

    def reopen(self) -> None:
        """Do nothing: a stream has no path."""

    def close(self) -> None:
        """Do nothing: nothing is buffered, and the stream is the caller's."""

    def _write_all(self, stream: TextIO, lines: bytes) -> None:
        descriptor = self.fileno()
        if descriptor < 0:  # in memory
            stream.write(lines.decode(stream.encoding or "utf-8"))
            return
        stream.flush()  # earlier output of the caller
        rest = memoryview(lines)
        while rest:
            try:
                rest = rest[os.write(descriptor, rest) :]
            except BlockingIOError:
                writable = select.poll()
                writable.register(descriptor, select.POLLOUT)
                writable.poll()
