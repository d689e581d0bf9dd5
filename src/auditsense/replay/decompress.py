"""Decompress inputs in pieces of bounded size: gzip, zstd, xz, bzip2, told apart by content.

Memory stays at some MB, whatever a file unpacks to. xz and zstd also keep a history whose size the file
chooses: up to 64 MiB of it is accepted, which is what `xz -9` needs.
"""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, Protocol

from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Pieces = Iterator[bytes | memoryview]  # each is valid until the next is asked for

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_XZ = b"\xfd7zXZ\0"
_BZIP2 = b"BZh"
LONGEST_MAGIC = 6
_MOST_PACKINGS = 3  # around one another, as when a rotated log is compressed again for an archive

# What is recognised, but has no library here: the name, and the program that unpacks it.
_OTHERS = (
    (b"\x04\x22\x4d\x18", "lz4-compressed", "lz4 -dc"),
    (b"\x1f\x9d", "compressed by compress", "zcat"),
    (b"\x89LZO\0", "lzop-compressed", "lzop -dc"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z e -so"),
)
_GZIP_WBITS = 31  # zlib's word for gzip's header and the largest window
_MOST = 1 << 17  # bytes of one decompressed piece
_HISTORY = 1 << 26
_XZ_MEMORY = _HISTORY + (1 << 23)
_ZSTD_PIECE = 256  # compressed bytes: a block of 4 can become 128 KiB, so one piece becomes 8 MiB at most


class DamagedInputError(AuditSenseError):
    """An input that ended or broke in the middle; what came before was used."""


class _Part(Protocol):
    """One of the compressed streams that a file may hold in a row."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib, as lzma and bz2 are: input that was not used yet is kept inside."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(_GZIP_WBITS)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def look_ahead(pieces: Pieces, n: int) -> tuple[bytes, Pieces]:
    """Return the first n bytes or more, and all pieces, those bytes included."""
    start = b""
    while len(start) < n and (piece := next(pieces, None)) is not None:
        start += piece
    return start, itertools.chain([start], pieces)


def decompressed(name: str, pieces: Pieces, packings: int = _MOST_PACKINGS) -> Pieces:
    """Return the bytes of an input without its compression, if it has one, and without one inside it.

    Raises:
        UsageError: the compression has no library here; the message says what to do.
        DamagedInputError (while iterating): the data ends or breaks in the middle.
    """
    start, pieces = look_ahead(pieces, LONGEST_MAGIC)
    inner: Pieces | None = None
    if start.startswith(_GZIP):
        inner = _unpacked(name, pieces, _Gzip, (zlib.error,))
    elif start.startswith(_XZ):
        inner = _unpacked(name, pieces, *_lzma(name))
    elif start.startswith(_BZIP2) and start[3:4].isdigit() and start[4:5] in (b"1", b"\x17"):
        inner = _unpacked(name, pieces, *_bz2(name))
    elif start.startswith(_ZSTD):
        inner = _zstd(name, pieces)
    if inner is not None:
        return decompressed(name, inner, packings - 1) if packings > 1 else inner
    for magic, what, program in _OTHERS:
        if start.startswith(magic):
            raise UsageError(f"{name} is {what}; use {program} {name} | auditsense replay -")
    return pieces


def _lzma(name: str) -> tuple[Callable[[], _Part], tuple[type[Exception], ...]]:
    try:
        import lzma  # noqa: PLC0415 - only for such files; some Pythons are built without
    except ImportError:
        raise UsageError(
            f"{name} is xz-compressed, and this Python has no lzma; use xzcat {name} | auditsense replay -"
        ) from None
    return lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), (lzma.LZMAError, MemoryError)


def _bz2(name: str) -> tuple[Callable[[], _Part], tuple[type[Exception], ...]]:
    try:
        import bz2  # noqa: PLC0415 - as above
    except ImportError:
        raise UsageError(
            f"{name} is bzip2-compressed, and this Python has no bz2; use bzcat {name} | auditsense replay -"
        ) from None
    return bz2.BZ2Decompressor, (OSError, ValueError)


def _unpacked(
    name: str, pieces: Pieces, begin: Callable[[], _Part], failures: tuple[type[Exception], ...]
) -> Pieces:
    """Undo a compression; an input may be several compressed ones in a row."""
    part = begin()
    for piece in pieces:
        data = bytes(piece)
        while data:
            if part.eof:
                data = data.lstrip(b"\0")  # some tools pad
                part = begin() if data else part
                continue
            try:
                yield from _bounded(part, data)
            except failures as error:
                raise DamagedInputError(_damage(name, error)) from None
            data = part.unused_data if part.eof else b""
    if not part.eof:
        raise DamagedInputError(f"{name}: the compressed data ends in the middle")


def _bounded(part: _Part, data: bytes) -> Iterator[bytes]:
    """Give what becomes of some compressed bytes, _MOST at a time."""
    while True:
        out = part.decompress(data, _MOST)
        if out:
            yield out
        if part.eof or len(out) < _MOST:
            return
        data = b""


def _zstd(name: str, pieces: Pieces) -> Pieces:
    try:
        import zstandard  # noqa: PLC0415 - an extra, and only for such files
    except ImportError:
        raise UsageError(
            f"{name} is zstd-compressed; pip install 'auditsense[zstd]', or use zstdcat | … -"
        ) from None
    unpacker = zstandard.ZstdDecompressor(max_window_size=_HISTORY)
    part = unpacker.decompressobj()
    for piece in pieces:
        for at in range(0, len(piece), _ZSTD_PIECE):
            data = bytes(piece[at : at + _ZSTD_PIECE])
            while data:
                if part.eof:
                    data = data.lstrip(b"\0")
                    part = unpacker.decompressobj() if data else part
                    continue
                try:
                    out = part.decompress(data)
                except zstandard.ZstdError as error:
                    raise DamagedInputError(_damage(name, error)) from None
                for begin in range(0, len(out), _MOST):
                    yield memoryview(out)[begin : begin + _MOST]
                data = part.unused_data if part.eof else b""
    if not part.eof:
        raise DamagedInputError(f"{name}: the compressed data ends in the middle")


def _damage(name: str, error: Exception) -> str:
    if "emory" in str(error):
        return (
            f"{name}: to decompress it takes more than {_HISTORY >> 20} MiB; "
            f"use xzcat {name} or zstdcat --long=31 {name} | auditsense replay -"
        )
    return f"{name}: the compressed data is damaged: {error}"
