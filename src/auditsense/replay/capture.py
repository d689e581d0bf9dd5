"""Capture file: datagrams as the kernel sent them, with their times of arrival.

    line 1   auditsense capture 1
    line 2   one JSON object: host.id, host.name, byteorder, release, machine, started
    then     packed datagrams: u64 ms, u32 length, u32 sender (little-endian), the bytes

The datagrams are in the byte order of the machine that captured them.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from auditsense.detect.host import Host
from auditsense.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"auditsense capture 1\n"
LONGEST_HEADER = 65536


@dataclass(frozen=True, slots=True)
class CaptureHeader:
    """Line 2 of a capture.

    Attributes:
        host: origin of the records.
        started: ms since 1970 UTC.
    """

    host: Host
    started: int


def create(path: Path, host: Host, started_ms: int) -> BinaryIO:
    """Create a capture file, mode 0600, and write its header.

    Raises:
        InputError: the file exists, or cannot be created.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file = os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)
    except FileExistsError:
        raise InputError(f"{path} exists already; choose another name") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    uname = os.uname()
    header = {
        "host": {"id": host.id, "name": host.name},
        "byteorder": sys.byteorder,
        "release": uname.release,
        "machine": uname.machine,
        "started": started_ms,
    }
    try:
        file.write(MAGIC + json.dumps(header).encode() + b"\n")
    except OSError as error:
        file.close()
        path.unlink(missing_ok=True)
        raise InputError(f"{path}: {error.strerror}") from None
    return file


def read_header(name: str, stream: BinaryIO) -> CaptureHeader:
    """Read line 2, after the magic.

    Raises:
        InputError: damaged, or from a machine of the other byte order.
    """
    line = stream.readline(LONGEST_HEADER)
    try:
        header = json.loads(line)
        host = Host(str(header["host"]["id"]), str(header["host"]["name"]))
        byteorder, started = header["byteorder"], int(header["started"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise InputError(f"{name}: the header of this capture is damaged") from None
    if byteorder != sys.byteorder:
        raise InputError(f"{name}: captured on a {byteorder}-endian machine; replay it on one")
    return CaptureHeader(host, started)
