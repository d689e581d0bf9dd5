"""Files to the detector: log text and captures, plain or compressed, told apart by content."""

from __future__ import annotations

import io
import itertools
import os
import re
import stat
import sys
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from auditsense.errors import AuditSenseError, InputError, UsageError
from auditsense.sources import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Protocol

    from auditsense.detector import Detector
    from auditsense.documents import Document
    from auditsense.host import Host

    class _Unpacker(Protocol):
        @property
        def eof(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...
        def decompress(self, data: bytes, /) -> bytes: ...


_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_GZIP_WBITS = 31  # zlib's word for gzip's header and the largest window
_LINE_END = 0x0A
_STAMP = re.compile(rb"msg=audit\((\d{1,12})\.(\d{3}):")
_CHUNK = 1 << 17  # what is read at a time has to be in the cache still when the core reads it
_PATIENCE = 1 << 24  # of a file's text, between two looks at what it led to: each hit less is work less
_DATAGRAM = 1 << 20  # longer than any, header included
_PIECE = 1 << 12  # of compressed bytes: the most that becomes of it is some 100 MB, however made


class DamagedInputError(AuditSenseError):
    """An input that ended or broke in the middle; what came before was used."""


_Begun = tuple[str, tuple[int, int]]  # a log, its first stamp
_NOTHING: _Begun = ("", (0, 0))

_Pieces = Iterator[bytes | memoryview]  # each is valid until the next is asked for


@contextmanager
def _open(name: str) -> Iterator[tuple[_Pieces, bool]]:
    """Open a file, or standard input for "-"; give its bytes in pieces, without their compression.

    Also says whether all of it is there: then nobody waits for what its first piece leads to.
    """
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed")
        yield _decompressed(name, _read(name, cast("io.BufferedReader", sys.stdin.buffer))), False
        return
    try:
        file = open(name, "rb")  # noqa: SIM115, PTH123 - closed below; "-" and paths share a name
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    with file:
        there = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        yield _decompressed(name, _read(name, file)), there


def _read(name: str, file: io.BufferedReader) -> _Pieces:
    """Read into the same memory again and again. Not mapped: a file that is cut meanwhile would end us."""
    buffer = memoryview(bytearray(_CHUNK))
    try:
        while size := file.readinto1(buffer):
            yield buffer[:size]
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None


def _ahead(chunks: _Pieces, n: int) -> tuple[bytes, _Pieces]:
    """Return the first n bytes or more, and all chunks, those bytes included."""
    start = b""
    while len(start) < n and (chunk := next(chunks, None)) is not None:
        start += chunk
    return start, itertools.chain([start], chunks)


def _decompressed(name: str, chunks: _Pieces) -> _Pieces:
    start, chunks = _ahead(chunks, len(_ZSTD))
    if start.startswith(_GZIP):
        return _unpacked(name, chunks, lambda: zlib.decompressobj(_GZIP_WBITS), zlib.error)
    if start.startswith(_ZSTD):
        try:
            import zstandard  # noqa: PLC0415 - an extra, and only for such files
        except ImportError:
            raise UsageError(
                f"{name} is zstd-compressed; pip install 'auditsense[zstd]', or use zstdcat | … -"
            ) from None
        unpacker = zstandard.ZstdDecompressor()
        return _unpacked(name, chunks, unpacker.decompressobj, zstandard.ZstdError)
    return chunks


def _unpacked(
    name: str, chunks: _Pieces, begin: Callable[[], _Unpacker], failure: type[Exception]
) -> _Pieces:
    """Undo a compression; an input may be several compressed ones in a row."""
    part = begin()
    for chunk in chunks:
        for at in range(0, len(chunk), _PIECE):
            data = bytes(chunk[at : at + _PIECE])
            while data:
                if part.eof:
                    data = data.lstrip(b"\0")  # some tools pad
                    part = begin() if data else part
                    continue
                try:
                    yield part.decompress(data)
                except failure as error:
                    raise DamagedInputError(f"{name}: the compressed data is damaged: {error}") from None
                data = part.unused_data if part.eof else b""
    if not part.eof:
        raise DamagedInputError(f"{name}: the compressed data ends in the middle")


def replay(names: Sequence[str], detector: Detector, warn: Callable[[str], None]) -> Iterator[list[Document]]:
    """Feed inputs in order, as one stream, to its end. Yields what they lead to, as it comes.

    An event whose records a log rotation has put into two files is one event. What one input leads
    to is not lost when the next one cannot be read.

    Args:
        names: paths, or "-" for standard input.
        detector: takes the records; during a capture its host is the capture's.
        warn: gets a line about an input that ends in the middle of something, and about a log that begins
            before the one that was read before it.

    Raises:
        InputError: one cannot be read, or holds no audit record.
        DamagedInputError: compressed data that ends or breaks in the middle.
    """
    begun = _NOTHING
    try:
        for name in names:
            begun = yield from _replay_one(name, detector, warn, begun)
    except (InputError, DamagedInputError):
        yield detector.finish()
        raise
    yield detector.finish()


def _replay_one(
    name: str, detector: Detector, warn: Callable[[str], None], begun: _Begun
) -> Generator[list[Document], None, _Begun]:
    """Feed one input. Returns what the next one is compared with."""
    before = detector.stats()
    with _open(name) as (pieces, there):
        start, chunks = _ahead(pieces, len(capture.MAGIC))
        if start.startswith(capture.MAGIC):
            yield from _capture(name, chunks, detector, warn)
            begun = _NOTHING  # of a host and a clock of its own
        else:
            begun = _in_order(name, start, begun, warn)
            yield from _text(name, chunks, detector, warn, _PATIENCE if there else 0)
    after = detector.stats()
    if after.records == before.records and after.datagrams == before.datagrams:
        if after.lines == before.lines:
            raise InputError(f"{name} is empty: no audit record in it")
        raise InputError(f"{name} is no audit log and no capture: no audit record in it")
    return begun


def _in_order(name: str, start: bytes, begun: _Begun, warn: Callable[[str], None]) -> _Begun:
    """Compare the first stamp of a log with that of the one before: names may lie, and shells sort them."""
    found = _STAMP.search(start)
    if found is None:
        return begun
    stamp = int(found[1]), int(found[2])
    if stamp < begun[1]:
        warn(f"{name} begins before {begun[0]}, which was read before it; logs of a host go oldest first")
    return name, stamp


def _text(
    name: str, chunks: _Pieces, detector: Detector, warn: Callable[[str], None], patience: int
) -> Iterator[list[Document]]:
    whole = True
    taken = 0
    for chunk in chunks:
        if chunk:
            whole = chunk[-1] == _LINE_END
        taken += len(chunk)
        if taken < patience:
            yield detector.take_text(chunk)
        else:
            yield detector.feed_text(chunk)
            taken = 0
    if not whole:
        warn(f"{name}: the last line has no end; it was read as it stands")
    yield detector.feed_text(b"" if whole else b"\n")


def _capture(
    name: str, chunks: _Pieces, detector: Detector, warn: Callable[[str], None]
) -> Iterator[list[Document]]:
    start = b""
    longest = len(capture.MAGIC) + capture.LONGEST_HEADER
    while start.count(b"\n") < 2 and len(start) < longest and (chunk := next(chunks, None)) is not None:
        start += chunk
    body = io.BytesIO(start[len(capture.MAGIC) :])
    home, host = detector.host, capture.read_header(name, body).host
    yield _change_host(detector, host)
    rest = body.read()
    for chunk in chunks:
        given = rest + chunk
        documents, consumed = detector.feed_packed(given)
        rest = given[consumed:]
        yield documents
        if len(rest) > _DATAGRAM:
            raise DamagedInputError(f"{name}: this capture is damaged: no datagram is {len(rest)} bytes long")
    documents, consumed = detector.feed_packed(rest)
    yield documents
    if consumed < len(rest):
        warn(f"{name}: ends in the middle of a datagram; {len(rest) - consumed} bytes were left")
    yield _change_host(detector, home)


def _change_host(detector: Detector, host: Host) -> list[Document]:
    """Decide what is open, for a capture has a clock of its own; a burst stays with its host."""
    documents = detector.settle() if host == detector.host else detector.finish()
    detector.rehost(host)
    return documents
