"""Decompress inputs in chunks of bounded size: gzip, zstd, xz, bzip2, detected by content.

Memory stays at some MB, whatever a file decompresses to. xz and zstd also keep a history whose size the file
chooses: up to 64 MiB are accepted, which `xz -9` needs.
"""

from __future__ import annotations

import itertools
import zlib
from typing import TYPE_CHECKING, Protocol

from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Chunks = Iterator[bytes | memoryview]  # each is valid until the next is requested

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_XZ = b"\xfd7zXZ\0"
_BZIP2 = b"BZh"
LONGEST_MAGIC = 6
_MOST_LAYERS = 3  # a rotated log may be compressed again for an archive

# Recognized formats without a library here: magic, name, and the program that decompresses them.
_OTHERS = (
    (b"\x04\x22\x4d\x18", "lz4-compressed", "lz4 -dc"),
    (b"\x1f\x9d", "compressed by compress", "zcat"),
    (b"\x89LZO\0", "lzop-compressed", "lzop -dc"),
    (b"PK\x03\x04", "a zip archive", "unzip -p"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z e -so"),
)
_GZIP_WBITS = 31  # gzip's header and the largest window
_MOST = 1 << 17  # bytes of one decompressed chunk
_HISTORY = 1 << 26
_XZ_MEMORY = _HISTORY + (1 << 23)
_ZSTD_CHUNK = 256  # compressed bytes: a block of 4 can become 128 KiB, so a chunk becomes at most 8 MiB


class DamagedInputError(AuditSenseError):
    """An input that ends or breaks in the middle; the data before was used."""


class _Decompressor(Protocol):
    """One of the concatenated compressed streams of a file."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib with the interface of lzma and bz2: it stores unused input itself."""

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


def look_ahead(chunks: Chunks, n: int) -> tuple[bytes, Chunks]:
    """Return at least the first n bytes, and all chunks, including those bytes."""
    start = b""
    while len(start) < n and (chunk := next(chunks, None)) is not None:
        start += chunk
    return start, itertools.chain([start], chunks)


def decompressed(name: str, chunks: Chunks, layers: int = _MOST_LAYERS) -> Chunks:
    """Return an input without its compression, if it has one, and without one inside it.

    Raises:
        UsageError: the compression has no library here; the message names a program.
        DamagedInputError (while iterating): the data ends or breaks in the middle.
    """
    start, chunks = look_ahead(chunks, LONGEST_MAGIC)
    inner: Chunks | None = None
    if start.startswith(_GZIP):
        inner = _decompress(name, chunks, _Gzip, (zlib.error,))
    elif start.startswith(_XZ):
        inner = _decompress(name, chunks, *_lzma(name))
    elif start.startswith(_BZIP2) and start[3:4].isdigit() and start[4:5] in (b"1", b"\x17"):
        inner = _decompress(name, chunks, *_bz2(name))
    elif start.startswith(_ZSTD):
        inner = _zstd(name, chunks)
    if inner is not None:
        return decompressed(name, inner, layers - 1) if layers > 1 else inner
    for magic, description, program in _OTHERS:
        if start.startswith(magic):
            raise UsageError(f"{name} is {description}; use {program} {name} | auditsense replay -")
    return chunks


def _lzma(name: str) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    try:
        import lzma  # noqa: PLC0415 - only for such files; some Pythons are built without
    except ImportError:
        raise UsageError(
            f"{name} is xz-compressed, and this Python has no lzma; use xzcat {name} | auditsense replay -"
        ) from None
    return lambda: lzma.LZMADecompressor(memlimit=_XZ_MEMORY), (lzma.LZMAError, MemoryError)


def _bz2(name: str) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    try:
        import bz2  # noqa: PLC0415 - as above
    except ImportError:
        raise UsageError(
            f"{name} is bzip2-compressed, and this Python has no bz2; use bzcat {name} | auditsense replay -"
        ) from None
    return bz2.BZ2Decompressor, (OSError, ValueError)


def _decompress(
    name: str, chunks: Chunks, begin: Callable[[], _Decompressor], failures: tuple[type[Exception], ...]
) -> Chunks:
    """Decompress an input of one or more concatenated streams."""
    stream = begin()
    for chunk in chunks:
        data = bytes(chunk)
        while data:
            if stream.eof:
                data = data.lstrip(b"\0")  # some tools pad
                stream = begin() if data else stream
                continue
            try:
                yield from _bounded(stream, data)
            except failures as error:
                raise DamagedInputError(_damage(name, error)) from None
            data = stream.unused_data if stream.eof else b""
    if not stream.eof:
        raise DamagedInputError(f"{name}: the compressed data ends in the middle")


def _bounded(stream: _Decompressor, data: bytes) -> Iterator[bytes]:
    """Yield decompressed bytes, _MOST at a time."""
    while True:
        out = stream.decompress(data, _MOST)
        if out:
            yield out
        if stream.eof or len(out) < _MOST:
            return
        data = b""


def _zstd(name: str, chunks: Chunks) -> Chunks:
    try:
        import zstandard  # noqa: PLC0415 - an extra, and only for such files
    except ImportError:
        raise UsageError(
            f"{name} is zstd-compressed; pip install 'auditsense[zstd]', or use zstdcat | … -"
        ) from None
    decompressor = zstandard.ZstdDecompressor(max_window_size=_HISTORY)
    stream = decompressor.decompressobj()
    for chunk in chunks:
        for offset in range(0, len(chunk), _ZSTD_CHUNK):
            data = bytes(chunk[offset : offset + _ZSTD_CHUNK])
            while data:
                if stream.eof:
                    data = data.lstrip(b"\0")
                    stream = decompressor.decompressobj() if data else stream
                    continue
                try:
                    out = stream.decompress(data)
                except zstandard.ZstdError as error:
                    raise DamagedInputError(_damage(name, error)) from None
                for begin in range(0, len(out), _MOST):
                    yield memoryview(out)[begin : begin + _MOST]
                data = stream.unused_data if stream.eof else b""
    if not stream.eof:
        raise DamagedInputError(f"{name}: the compressed data ends in the middle")


def _damage(name: str, error: Exception) -> str:
    if "emory" in str(error):
        return (
            f"{name}: decompression needs more than {_HISTORY >> 20} MiB of memory; "
            f"use xzcat {name} or zstdcat --long=31 {name} | auditsense replay -"
        )
    return f"{name}: the compressed data is damaged: {error}"
