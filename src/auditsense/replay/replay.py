"""Files to the detector: log text and captures, plain or compressed, told apart by content."""

from __future__ import annotations

import io
import os
import re
import select
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from auditsense.core.ring import Limits
from auditsense.errors import InputError, UsageError
from auditsense.replay import capture
from auditsense.replay.decompress import DamagedInputError, decompressed, look_ahead
from auditsense.sources.unrecognized import describe_binary, describe_line, shown, unread
from auditsense.sources.unwrap import unwrapper_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from auditsense.detect.detector import Detector
    from auditsense.detect.ecs import Document
    from auditsense.detect.host import Host
    from auditsense.errors import AuditSenseError
    from auditsense.replay.decompress import Pieces
    from auditsense.sources.unwrap import Unwrapper

_LINE_ENDS = {0x0A, 0}  # zero bytes are what a crash leaves; the core takes them for an end
_STAMP = re.compile(rb"type=\S+ (?:msg=)?audit\((\d{1,12})\.(\d{3}):")
_CHUNK = 1 << 17  # what is read at a time has to be in the cache still when the core reads it
_PATIENCE = 1 << 24  # of a file's text, between two looks at what it led to: each hit less is work less
_SILENCE_MS = 1000  # of a FIFO, until that is said
_DATAGRAM = 1 << 20  # longer than any, header included


ORDER: Final = 4096
"""How many matching events a replay holds back, to decide them by stamp and serial."""

LIMITS: Final = Limits(event_slots=16384, small_texts=65536, large_texts=4096)
"""What a replay's core may hold: the texts of all events that are held back, and of those that are open."""


class PartlyReadError(DamagedInputError):
    """Some inputs could not be read; the others were."""


class _EmptyInputError(InputError):
    """There is nothing in an input."""


_Begun = tuple[str, tuple[int, int]]  # a log, its first stamp
_NOTHING: _Begun = ("", (0, 0))


@contextmanager
def _open(name: str, warn: Callable[[str], None]) -> Iterator[tuple[Pieces, bool]]:
    """Open a file, or standard input for "-"; give its bytes in pieces, without their compression.

    Also says whether all of it is there: then nobody waits for what its first piece leads to.
    """
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed")
        yield decompressed(name, _read(name, cast("io.BufferedReader", sys.stdin.buffer))), False
        return
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 - a file does without pathlib
        if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not _is_terminal(name)):
            raise InputError(f"{name} is a device, and no log")
        # Closed below; "-" and paths share a name.
        file = _open_fifo(name, warn) if stat.S_ISFIFO(mode) else open(name, "rb")  # noqa: SIM115, PTH123
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}") from None
    except ValueError:  # a zero byte in the name
        raise InputError(f"{name!r} is no name of a file") from None
    with file:
        there = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        yield decompressed(name, _read(name, file)), there


def _open_fifo(name: str, warn: Callable[[str], None]) -> io.BufferedReader:
    """Open a FIFO, and wait until something comes; say so when that takes longer than _SILENCE_MS."""
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = open(descriptor, "rb")  # noqa: SIM115, PTH123 - closed by the caller
    waiter = select.poll()
    waiter.register(descriptor, select.POLLIN)
    if not waiter.poll(_SILENCE_MS):
        warn(f"{name} is a FIFO, and nothing was written to it yet; waiting")
        waiter.poll()
    os.set_blocking(descriptor, True)
    return file


def _is_terminal(name: str) -> bool:
    return os.path.realpath(name).startswith(("/dev/tty", "/dev/pts/"))


def _read(name: str, file: io.BufferedReader) -> Pieces:
    """Read into the same memory again and again. Not mapped: a file that is cut meanwhile would end us."""
    buffer = memoryview(bytearray(_CHUNK))
    try:
        while size := file.readinto1(buffer):
            yield buffer[:size]
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None


def replay(names: Sequence[str], detector: Detector, warn: Callable[[str], None]) -> Iterator[list[Document]]:
    """Feed inputs in order, as one stream, to its end. Yields what they lead to, as it comes.

    An event whose records a log rotation has put into two files is one event. An input that cannot be read
    does not keep the others from being read, and an empty one is passed over.

    Args:
        names: paths, or "-" for standard input.
        detector: takes the records; during a capture its host is the capture's.
        warn: gets a line about an input that ends in the middle of something, about a log that begins before
            the one that was read before it, and about lines that are no record.

    Raises (at the end):
        InputError: none can be read, or none holds an audit record.
        DamagedInputError: compressed data that ends or breaks in the middle.
        PartlyReadError: some cannot be read; the first of them is told, the others are its notes.
    """
    begun = _NOTHING
    home = detector.host
    failures: list[AuditSenseError] = []
    empty: list[_EmptyInputError] = []
    used = 0
    for name in names:
        try:
            begun = yield from _replay_one(name, detector, warn, begun)
            used += 1
        except _EmptyInputError as problem:
            empty.append(problem)
        except (UsageError, DamagedInputError) as problem:
            failures.append(problem)
        if detector.host != home:  # a capture that ended too early
            yield _change_host(detector, home)
    yield detector.finish()
    if failures or not used:
        raise _failure(failures or [*empty], partly=used > 0)


def _failure(failures: Sequence[AuditSenseError], *, partly: bool) -> AuditSenseError:
    """Return one error that tells of all."""
    failure = PartlyReadError(str(failures[0])) if partly else failures[0]
    for more in failures[1:]:
        failure.add_note(str(more))
    return failure


def _replay_one(
    name: str, detector: Detector, warn: Callable[[str], None], begun: _Begun
) -> Generator[list[Document], None, _Begun]:
    """Feed one input. Returns what the next one is compared with."""
    before = detector.stats()
    with _open(name, warn) as (pieces, there):
        start, chunks = look_ahead(pieces, len(capture.MAGIC))
        if start.startswith(capture.MAGIC):
            yield from _capture(name, chunks, detector, warn)
            begun = _NOTHING  # of a host and a clock of its own
        else:
            if start and (what := describe_binary(name, start)):
                raise InputError(f"{name} is {what}")
            begun = _in_order(name, start, begun, warn)
            yield from _text(name, start, chunks, detector, warn, _PATIENCE if there else 0)
    after = detector.stats()
    lines, malformed = after.lines - before.lines, after.malformed - before.malformed
    first = detector.ring.unread_line()
    if after.records == before.records and after.datagrams == before.datagrams:
        if not lines:
            raise _EmptyInputError(f"{name} is empty: no audit record in it")
        raise InputError(_no_log(name, first))
    if lines and first:
        warn(f"{name}: {unread(malformed, lines, first)}")
    return begun


def _no_log(name: str, first: bytes) -> str:
    if not first:
        return f"{name} is no audit log and no capture: no audit record in it"
    what = describe_line(first)
    if what:
        return f"{name}: no audit record in it: this is {what}"
    return f"{name} is no audit log and no capture: no audit record in it; it begins: {shown(first)}"


def _in_order(name: str, start: bytes, begun: _Begun, warn: Callable[[str], None]) -> _Begun:
    """Compare the first stamp of a log with that of the one before: names may lie, and shells sort them."""
    found = _STAMP.search(start)
    if found is None:
        return begun
    stamp = int(found[1]), int(found[2])
    if stamp < begun[1]:
        warn(f"{name} begins before {begun[0]}, which was read before it; logs of a host go oldest first")
    return name, stamp


def _text(  # noqa: PLR0913, PLR0917 - what is read, what reads it, and how
    name: str,
    start: bytes,
    chunks: Pieces,
    detector: Detector,
    warn: Callable[[str], None],
    patience: int,
) -> Iterator[list[Document]]:
    whole = True
    taken = 0
    unwrapper = unwrapper_for(start, detector.host, lambda field: warn(_found_in(name, unwrapper, field)))
    try:
        for chunk in chunks if unwrapper is None else _unwrapped(chunks, unwrapper):
            if chunk:
                whole = chunk[-1] in _LINE_ENDS
            taken += len(chunk)
            if taken < patience:
                yield detector.take_text(chunk)
            else:
                yield detector.feed_text(chunk)
                taken = 0
    except DamagedInputError:
        yield detector.feed_text(b"" if whole else b"\n")  # the next input begins with a line of its own
        raise
    if not whole:
        warn(f"{name}: the last line has no end; it was read as it stands")
    yield detector.feed_text(b"" if whole else b"\n")


def _found_in(name: str, unwrapper: Unwrapper | None, field: str) -> str:
    return f"{name}: reading audit records inside {unwrapper.what if unwrapper else ''} (field {field})"


def _unwrapped(chunks: Pieces, unwrapper: Unwrapper) -> Pieces:
    for chunk in chunks:
        yield unwrapper.feed(chunk)
    yield unwrapper.finish()


def _capture(
    name: str, chunks: Pieces, detector: Detector, warn: Callable[[str], None]
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
