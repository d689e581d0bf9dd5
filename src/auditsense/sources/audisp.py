"""auditd's plugin protocol: lines on standard input, until its end.

auditd starts the plugin, ends it with SIGTERM and the end of its input, and sends SIGHUP when it reloads its
configuration. `format = string` gives lines, RAW or ENRICHED depending on `log_format`. `format = binary`
puts a header of four 32-bit words (version 0 or 1, 16, type, size) before each record. It is recognized by
its first byte, which starts no line, and refused.
"""

from __future__ import annotations

import os
import select
import sys

from auditsense.errors import InputError
from auditsense.sources.text_source import CHUNK, TextSource

_INPUT = 0
_BINARY = {0, 1, 16}  # first byte of a header, in either byte order


class Audisp(TextSource):
    """Standard input, as a `Source`. Ends with it.

    Raises:
        InputError: standard input is closed. At once: the next file opened would get its number.
    """

    name = "audisp"

    def __init__(self, descriptor: int = _INPUT) -> None:
        super().__init__()
        if descriptor == _INPUT and sys.stdin is None:
            raise InputError("standard input is closed; audisp reads what auditd writes there")
        self._descriptor = descriptor
        self._is_file = False  # which is always readable, and refused by epoll
        self._started = False

    def _open(self) -> None:
        assert self._ready is not None  # noqa: S101 - for the type
        try:
            self._ready.register(self._descriptor, select.EPOLLIN)
        except PermissionError:
            self._is_file = True
            self._wake = os.eventfd(1, os.EFD_CLOEXEC)
            self._ready.register(self._wake, select.EPOLLIN)
        except OSError as error:
            raise InputError(
                f"standard input: {error.strerror}; audisp reads what auditd writes there"
            ) from None

    def _close(self) -> None:
        if self._is_file:
            self._is_file = False
            os.close(self._wake)

    def _read(self) -> bytes:
        if self._ready is None or not self._ready.poll(0):
            return b""
        try:
            chunk = os.read(self._descriptor, CHUNK)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise InputError(f"standard input: {error.strerror}") from None
        if not chunk:
            self.ended = True
        elif not self._started:
            self._started = True
            if chunk[0] in _BINARY:
                raise InputError(
                    "this is auditd's binary format; set format = string in the plugin's file, "
                    "and restart auditd"
                )
        return chunk
