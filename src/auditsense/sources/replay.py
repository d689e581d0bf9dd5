"""Files to the detector: log text and captures, plain or compressed, told apart by content."""

from __future__ import annotations

import gzip
import io
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from auditsense.errors import AuditSenseError, InputError, UsageError
from auditsense.sources import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense.detector import Detector
    from auditsense.documents import Document

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_CHUNK = 1 << 20


class DamagedInputError(AuditSenseError):
    """An input that ended or broke in the middle; what came before was used."""


@contextmanager
def _open(name: str) -> Iterator[io.BufferedReader]:
    """Open a file, or standard input for "-", and undo its compression."""
    if name == "-":
        yield from _decompressed(name, cast("io.BufferedReader", sys.stdin.buffer))
        return
    try:
        file = open(name, "rb")  # noqa: SIM115, PTH123 - closed below; "-" and paths share a name
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    with file:
        yield from _decompressed(name, file)


def _decompressed(name: str, file: io.BufferedReader) -> Iterator[io.BufferedReader]:
    try:
        start = file.peek(4)[:4]
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    if start.startswith(_GZIP):
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield io.BufferedReader(cast("io.RawIOBase", unzipped), _CHUNK)
    elif start == _ZSTD:
        try:
            import zstandard  # noqa: PLC0415 - an extra, and only for such files
        except ImportError:
            raise UsageError(
                f"{name} is zstd-compressed; pip install 'auditsense[zstd]', or use zstdcat | … -"
            ) from None
        with zstandard.ZstdDecompressor().stream_reader(file) as stream:
            yield io.BufferedReader(cast("io.RawIOBase", stream), _CHUNK)
    else:
        yield file


def _chunks(name: str, stream: io.BufferedReader) -> Iterator[bytes]:
    while True:
        try:
            chunk = stream.read1(_CHUNK)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DamagedInputError(f"{name}: the compressed data is damaged: {error}") from None
        except OSError as error:
            raise InputError(f"{name}: {error.strerror or error}") from None
        if not chunk:
            return
        yield chunk


def _starts_with_magic(name: str, stream: io.BufferedReader) -> tuple[bool, bytes]:
    start = b""
    for chunk in _chunks(name, stream):
        start += chunk
        if len(start) >= len(capture.MAGIC):
            break
    return start.startswith(capture.MAGIC), start


def replay(name: str, detector: Detector, warn: Callable[[str], None]) -> Iterator[list[Document]]:
    """Feed one input to its end. Yields what it leads to, as it comes.

    Args:
        name: a path, or "-" for standard input.
        detector: takes the records; its host becomes the capture's.
        warn: gets a line about an input that ends in the middle of something.

    Raises:
        InputError: it cannot be read, or holds no audit record.
        DamagedInputError: compressed data that ends or breaks in the middle.
    """
    before = detector.stats()
    with _open(name) as stream:
        is_capture, start = _starts_with_magic(name, stream)
        if is_capture:
            yield from _capture(name, start, stream, detector, warn)
        else:
            yield from _text(name, start, stream, detector, warn)
    yield detector.finish()
    after = detector.stats()
    if after.records == before.records and after.datagrams == before.datagrams:
        if after.lines == before.lines:
            raise InputError(f"{name} is empty: no audit record in it")
        raise InputError(f"{name} is no audit log and no capture: no audit record in it")


def _text(
    name: str,
    start: bytes,
    stream: io.BufferedReader,
    detector: Detector,
    warn: Callable[[str], None],
) -> Iterator[list[Document]]:
    last = start
    yield detector.feed_text(start)
    for chunk in _chunks(name, stream):
        last = chunk
        yield detector.feed_text(chunk)
    if last and not last.endswith(b"\n"):
        warn(f"{name}: the last line has no end; it was read as it stands")


def _capture(
    name: str,
    start: bytes,
    stream: io.BufferedReader,
    detector: Detector,
    warn: Callable[[str], None],
) -> Iterator[list[Document]]:
    body = io.BytesIO(start[len(capture.MAGIC) :])
    if b"\n" not in body.getvalue():
        body = io.BytesIO(body.getvalue() + stream.readline())
    detector.rehost(capture.read_header(name, cast("BinaryIO", body)).host)
    rest = body.read()
    for chunk in _chunks(name, stream):
        documents, consumed = detector.feed_packed(rest + chunk)
        rest = (rest + chunk)[consumed:]
        yield documents
    documents, consumed = detector.feed_packed(rest)
    yield documents
    if consumed < len(rest):
        warn(f"{name}: ends in the middle of a datagram; {len(rest) - consumed} bytes were left")
