"""Replay of files: log text and captures, plain or compressed, detected by content."""

from __future__ import annotations

import io
import os
import re
import select
import stat
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar, cast

from auditsense.core.ring import Limits
from auditsense.errors import InputError, UsageError
from auditsense.replay import capture
from auditsense.replay.decompress import DamagedInputError, decompressed, look_ahead
from auditsense.sources.unrecognized import describe_binary, describe_line, shown, unread
from auditsense.sources.unwrap import unwrapper_for

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from auditsense.detect.host import Host
    from auditsense.detect.record_reader import RecordReader
    from auditsense.errors import AuditSenseError
    from auditsense.replay.decompress import Chunks
    from auditsense.sources.unwrap import Unwrapper

_T = TypeVar("_T")

_LINE_ENDS = {0x0A, 0}  # a crash leaves zero bytes; the core treats them as an end
_STAMP = re.compile(rb"type=\S+ (?:msg=)?audit\((\d{1,12})\.(\d{3}):")
_CHUNK = 1 << 17  # small enough to be still in the cache when the core reads it
_DRAIN_BYTES = 1 << 24  # of a file's text between two drains: fewer, larger hits are less work
_SILENCE_MS = 1000  # of a FIFO, until that is reported
_AUDITD_LOGS = "/var/log/audit"
_DATAGRAM = 1 << 20  # longer than any, header included


ORDER: Final = 4096
"""Matching events that a replay holds back, to decide them by stamp and serial."""

LIMITS: Final = Limits(event_slots=16384, small_texts=65536, large_texts=4096)
"""Limits of a replay's core: space for the texts of all events held back, and of those that are open."""


class PartlyReadError(DamagedInputError):
    """Some inputs could not be read; the others were."""


class _EmptyInputError(InputError):
    """An input without data."""


_FirstStamp = tuple[str, tuple[int, int]]  # of a log, after its name
_NO_STAMP: _FirstStamp = ("", (0, 0))


@contextmanager
def _open(name: str, warn: Callable[[str], None]) -> Iterator[tuple[Chunks, bool]]:
    """Open a file, or standard input for "-"; return its decompressed chunks, and whether it is complete.

    Alerts of a complete file may be late: all of it is read at once.
    """
    if name == "-":
        if sys.stdin is None:
            raise InputError("standard input is closed")
        yield decompressed(name, _read(name, cast("io.BufferedReader", sys.stdin.buffer))), False
        return
    try:
        mode = os.stat(name).st_mode  # noqa: PTH116 - a file does without pathlib
        if stat.S_ISBLK(mode) or (stat.S_ISCHR(mode) and not _is_terminal(name)):
            raise InputError(f"{name} is a device, not a log")
        # Closed below; "-" and paths share a name.
        file = _open_fifo(name, warn) if stat.S_ISFIFO(mode) else open(name, "rb")  # noqa: SIM115, PTH123
    except OSError as error:
        raise InputError(f"{name}: {error.strerror}{_remedy(name, error)}") from None
    except ValueError:  # a zero byte in the name
        raise InputError(f"{name!r} is not a file name") from None
    with file:
        complete = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        yield decompressed(name, _read(name, file)), complete


def _remedy(name: str, error: OSError) -> str:
    """Return what to do about a log of auditd that cannot be opened."""
    if not os.path.abspath(name).startswith(_AUDITD_LOGS):  # noqa: PTH100 - see above
        return ""
    if isinstance(error, PermissionError):
        return "; read it as root"
    if isinstance(error, FileNotFoundError):
        return (
            "; auditd is not installed here, or logs elsewhere (log_file in /etc/audit/auditd.conf); without "
            "auditd, auditsense record captures records for replay"
        )
    return ""


def _open_fifo(name: str, warn: Callable[[str], None]) -> io.BufferedReader:
    """Open a FIFO, and wait for data; warn when that takes longer than _SILENCE_MS."""
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    file = open(descriptor, "rb")  # noqa: SIM115, PTH123 - closed by the caller
    waiter = select.poll()
    waiter.register(descriptor, select.POLLIN)
    if not waiter.poll(_SILENCE_MS):
        warn(f"{name} is a FIFO without data so far; waiting")
        waiter.poll()
    os.set_blocking(descriptor, True)
    return file


def _is_terminal(name: str) -> bool:
    return os.path.realpath(name).startswith(("/dev/tty", "/dev/pts/"))


def _read(name: str, file: io.BufferedReader) -> Chunks:
    """Read into one buffer. Not mapped: truncation of the file would kill this process."""
    buffer = memoryview(bytearray(_CHUNK))
    try:
        while size := file.readinto1(buffer):
            yield buffer[:size]
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from None


def replay(names: Sequence[str], reader: RecordReader[_T], warn: Callable[[str], None]) -> Iterator[list[_T]]:
    """Feed inputs in order, as one stream, to its end. Yields results as they come.

    An event whose records log rotation has split into two files is one event. An unreadable input does not
    prevent the others from being read, and an empty one is skipped.

    Args:
        names: paths, or "-" for standard input.
        reader: receives the records; during a capture its host is the capture's.
        warn: receives a line about an input that ends in the middle of a record, a log that begins before the
            previous one, and lines that are not records.

    Raises (at the end):
        InputError: none can be read, or none holds an audit record.
        DamagedInputError: compressed data that ends or breaks in the middle.
        PartlyReadError: some cannot be read; the message is that of the first, the others are its notes.
    """
    first_stamp = _NO_STAMP
    home = reader.host
    failures: list[AuditSenseError] = []
    empty: list[_EmptyInputError] = []
    used = 0
    for name in names:
        try:
            first_stamp = yield from _replay_one(name, reader, warn, first_stamp)
            used += 1
        except _EmptyInputError as error:
            empty.append(error)
        except (UsageError, DamagedInputError) as error:
            failures.append(error)
        if reader.host != home:  # a capture that ended too early
            yield _change_host(reader, home)
    yield reader.finish()
    if failures or not used:
        raise _failure(failures or [*empty], partly=used > 0)


def _failure(failures: Sequence[AuditSenseError], *, partly: bool) -> AuditSenseError:
    """Return one error with the others as notes."""
    failure = PartlyReadError(str(failures[0])) if partly else failures[0]
    for more in failures[1:]:
        failure.add_note(str(more))
    return failure


def _replay_one(
    name: str, reader: RecordReader[_T], warn: Callable[[str], None], first_stamp: _FirstStamp
) -> Generator[list[_T], None, _FirstStamp]:
    """Feed one input. Returns its first stamp, to compare the next one with."""
    before = reader.stats()
    with _open(name, warn) as (contents, complete):
        start, chunks = look_ahead(contents, len(capture.MAGIC))
        if start.startswith(capture.MAGIC):
            yield from _capture(name, chunks, reader, warn)
            first_stamp = _NO_STAMP  # a capture has its own host and clock
        else:
            if start and (description := describe_binary(name, start)):
                raise InputError(f"{name} is {description}")
            first_stamp = _check_order(name, start, first_stamp, warn)
            yield from _text(name, start, chunks, reader, warn, _DRAIN_BYTES if complete else 0)
    after = reader.stats()
    lines, malformed = after.lines - before.lines, after.malformed - before.malformed
    first = reader.ring.unread_line()
    if after.records == before.records and after.datagrams == before.datagrams:
        if not lines:
            raise _EmptyInputError(f"{name} is empty: no audit record in it")
        raise InputError(_no_records(name, first))
    if lines and first:
        warn(f"{name}: {unread(malformed, lines, first)}")
    return first_stamp


def _no_records(name: str, first: bytes) -> str:
    if not first:
        return f"{name} is no audit log and no capture: no audit record in it"
    description = describe_line(first)
    if description:
        return f"{name}: no audit record in it: this is {description}"
    return f"{name} is no audit log and no capture: no audit record in it; it begins: {shown(first)}"


def _check_order(name: str, start: bytes, previous: _FirstStamp, warn: Callable[[str], None]) -> _FirstStamp:
    """Compare the first stamp of a log with that of the previous one: names may lie, and shells sort them."""
    match = _STAMP.search(start)
    if match is None:
        return previous
    stamp = int(match[1]), int(match[2])
    if stamp < previous[1]:
        warn(f"{name} begins before {previous[0]}, which was read before it; logs of a host go oldest first")
    return name, stamp


def _text(  # noqa: PLR0913, PLR0917 - input, reader and mode
    name: str,
    start: bytes,
    chunks: Chunks,
    reader: RecordReader[_T],
    warn: Callable[[str], None],
    drain_bytes: int,
) -> Iterator[list[_T]]:
    line_ended = True
    undrained = 0

    def warn_field(field: str) -> None:
        container = unwrapper.format if unwrapper else ""
        warn(f"{name}: reading audit records inside {container} (field {field})")

    unwrapper = unwrapper_for(start, reader.host, warn_field)
    try:
        for chunk in chunks if unwrapper is None else _unwrapped(chunks, unwrapper):
            if chunk:
                line_ended = chunk[-1] in _LINE_ENDS
            undrained += len(chunk)
            if undrained < drain_bytes:
                yield reader.buffer_text(chunk)
            else:
                yield reader.feed_text(chunk)
                undrained = 0
    except DamagedInputError:
        yield reader.feed_text(b"" if line_ended else b"\n")  # the next input begins with a new line
        raise
    if not line_ended:
        warn(f"{name}: the last line has no end; it was read as it stands")
    yield reader.feed_text(b"" if line_ended else b"\n")


def _unwrapped(chunks: Chunks, unwrapper: Unwrapper) -> Chunks:
    for chunk in chunks:
        yield unwrapper.feed(chunk)
    yield unwrapper.finish()


def _capture(
    name: str, chunks: Chunks, reader: RecordReader[_T], warn: Callable[[str], None]
) -> Iterator[list[_T]]:
    start = b""
    longest = len(capture.MAGIC) + capture.LONGEST_HEADER
    while start.count(b"\n") < 2 and len(start) < longest and (chunk := next(chunks, None)) is not None:
        start += chunk
    body = io.BytesIO(start[len(capture.MAGIC) :])
    home, host = reader.host, capture.read_header(name, body).host
    yield _change_host(reader, host)
    rest = body.read()
    for chunk in chunks:
        data = rest + chunk
        results, consumed = reader.feed_packed(data)
        rest = data[consumed:]
        yield results
        if len(rest) > _DATAGRAM:
            raise DamagedInputError(f"{name}: this capture is damaged: no datagram is {len(rest)} bytes long")
    results, consumed = reader.feed_packed(rest)
    yield results
    if consumed < len(rest):
        warn(f"{name}: ends in the middle of a datagram; {len(rest) - consumed} bytes were ignored")
    yield _change_host(reader, home)


def _change_host(reader: RecordReader[_T], host: Host) -> list[_T]:
    """Decide open events, because a capture has its own clock; a burst stays with its host."""
    results = reader.flush() if host == reader.host else reader.finish()
    reader.set_host(host)
    return results
