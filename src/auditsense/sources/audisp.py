"""auditd's plugin protocol: its lines on standard input, until the end of it.

auditd starts the plugin, ends it with SIGTERM and the end of its input, and sends SIGHUP when it reads its
configuration again. `format = string` gives lines, RAW or ENRICHED as its `log_format` says. With `format =
binary` each record has a header of four 32-bit words before it (version 0 or 1, 16, type, size): that is
told apart by its first byte, which begins no line, and refused.
"""

from __future__ import annotations

import os
import select
import sys

from auditsense.errors import InputError
from auditsense.sources.text_source import PIECE, Text

_INPUT = 0
_BINARY = {0, 1, 16}  # first byte of a header, in either byte order


class Audisp(Text):
    """Standard input, as a `Source`. Ends with it.

    Raises:
        InputError: standard input is closed. At once: what is opened next would get its number.
    """

    name = "audisp"

    def __init__(self, descriptor: int = _INPUT) -> None:
        super().__init__()
        if descriptor == _INPUT and sys.stdin is None:
            raise InputError("standard input is closed; audisp reads what auditd writes there")
        self._descriptor = descriptor
        self._always = False  # a file is always readable, and no matter for epoll
        self._begun = False

    def _open(self) -> None:
        assert self._ready is not None  # noqa: S101 - for the type
        try:
            self._ready.register(self._descriptor, select.EPOLLIN)
        except PermissionError:
            self._always = True
            self._awake = os.eventfd(1, os.EFD_CLOEXEC)
            self._ready.register(self._awake, select.EPOLLIN)
        except OSError as error:
            raise InputError(
                f"standard input: {error.strerror}; audisp reads what auditd writes there"
            ) from None

    def _close(self) -> None:
        if self._always:
            self._always = False
            os.close(self._awake)

    def _read(self) -> bytes:
        if self._ready is None or not self._ready.poll(0):
            return b""
        try:
            piece = os.read(self._descriptor, PIECE)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise InputError(f"standard input: {error.strerror}") from None
        if not piece:
            self.ended = True
        elif not self._begun:
            self._begun = True
            if piece[0] in _BINARY:
                raise InputError(
                    "this is auditd's binary format; set format = string in the plugin's file, "
                    "and restart auditd"
                )
        return piece
