"""Common part of the text sources: lines that a daemon wrote.

Nothing is changed on the host, and the kernel is not asked. Only the daemon knows how much was lost on the
way to it, so a text source reports no kernel loss and no drops.
"""

from __future__ import annotations

import os
import re
import select
from typing import TYPE_CHECKING, Self

from auditsense.detect.host import this_host
from auditsense.kernel.tamper import Change, Deviation

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.guardian import Guardian
    from auditsense.sources.unwrap import Unwrapper

CHUNK = 1 << 18  # bytes read at a time
_LONGEST_TAIL = 1 << 16  # of a line without its end; the core cuts it anyway
_SERIAL = re.compile(rb"^(?:node=\S+ )?type=(?!DAEMON)\S+ msg=audit\(\d+\.\d+:(\d+)\)", re.MULTILINE)


class TextSource:
    """A text source. Abstract: the subclass reads the bytes. A context manager.

    The descriptor belongs to the source, and stays the same when the file or socket behind it changes.
    """

    name = ""
    only_kernel = False
    audited = True  # the writer of the text owns the audit socket, not this process
    restored: tuple[str, ...] = ()
    guardian: Guardian | None = None

    def __init__(self) -> None:
        self.ended = False
        """Whether no more text will come."""
        self._drain: Callable[[], object] | None = None
        self._pid = 0
        self._ready: select.epoll | None = None
        self._tail = b""  # of a line whose end has not come yet
        self._changes: list[Change] = []
        self._last_serial: int | None = None  # before the break, until text follows it
        self._recent = b""
        self._format_checked = False
        self._unwrapper: Unwrapper | None = None
        self._messages: list[str] = []

    def attach(self, drain: Callable[[], object], unneeded: frozenset[int] = frozenset()) -> None:  # noqa: ARG002
        """See `Source.attach`; all records are delivered."""
        self._drain = drain

    def take_early(self) -> list[bytes]:
        """Return nothing: text comes from `read` alone."""
        return []

    def __enter__(self) -> Self:
        # A kernel source never needs it, and later this process may have the rights of another user.
        from auditsense.sources.unwrap import unwrapper_for  # noqa: PLC0415

        self._unwrapper_for = unwrapper_for
        self._pid = os.getpid()
        self.ended = False
        self._ready = select.epoll()
        try:
            self._open()
        except BaseException:
            self._close_all()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._ready is None:
            return
        try:
            if self._pid == os.getpid() and self._drain is not None and not any(exception):
                self._drain()
        finally:
            self._close_all()

    def plan(self) -> list[str]:
        """Return nothing: the host is not changed."""
        return []

    def fileno(self) -> int:
        """Return a descriptor that is readable when there is something to read; -1 when not entered."""
        return -1 if self._ready is None else self._ready.fileno()

    def kernel_lost(self) -> int:
        """Return 0: the kernel is not asked."""
        return 0

    def drops(self) -> int:
        """Return 0: this process has no audit socket."""
        return 0

    def check(self) -> list[Change]:
        """Return what has happened to the file or socket since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def report_unread(self, sentence: str) -> None:
        """Report that only lines came that are not records."""
        self._report("No Audit Records", f"{self.name}: {sentence}; nothing is detected until records come")
        self._messages.append(f"{self.name}: {sentence}")

    def take_messages(self) -> list[str]:
        """Return messages to the operator since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def read(self) -> bytes:
        """Return complete lines that wait, without waiting; empty when there are none.

        Raises:
            InputError: the input is not text, or cannot be read any more.
        """
        while not self.ended:
            chunk = self._read()
            if not chunk:
                break
            lines = self._unwrapped(self._complete_lines(chunk))
            if lines:
                self._check_gap(lines)
                return lines
        return self._end_line() if self.ended else b""

    # --- for subclasses ---------------------------------------------------------------

    def _open(self) -> None:
        """Open the input, and register it with `_ready`."""
        raise NotImplementedError

    def _close(self) -> None:
        """Close the input."""
        raise NotImplementedError

    def _read(self) -> bytes:
        """Return at most CHUNK bytes that wait, without waiting; set `ended` at the end."""
        raise NotImplementedError

    def _end_line(self) -> bytes:
        """Return the start of a line whose end will not come, as a line."""
        tail, self._tail = self._tail, b""
        return tail + b"\n" if tail else b""

    def _report(self, name: str, message: str, severity: str = "medium") -> None:
        self._changes.append(Change(Deviation("auditsense.tamper.source", name, severity, message)))

    def _mark_break(self) -> None:
        """Remember where the text broke off, to report missing events."""
        if self._last_serial is None:
            serials = _SERIAL.findall(self._recent)
            self._last_serial = int(serials[-1]) if serials else None

    # --- internal ----------------------------------------------------------------------

    def _unwrapped(self, lines: bytes) -> bytes:
        if lines and not self._format_checked:
            self._format_checked = True
            self._unwrapper = self._unwrapper_for(
                lines,
                this_host(),
                lambda field: self._messages.append(f"{self.name}: reading records inside field {field}"),
            )
        return lines if self._unwrapper is None else self._unwrapper.feed(lines)

    def _check_gap(self, lines: bytes) -> None:
        """Report events that are missing across a break."""
        if self._last_serial is not None and (match := _SERIAL.search(lines)):
            before, after = self._last_serial, int(match[1])
            if after - before > 1:
                self._report(
                    "Records Did Not Come",
                    f"{after - before - 1} events between serial {before} and {after} were not in the text; "
                    "some may never have been meant for it",
                )
            self._last_serial = None
        self._recent = lines[-CHUNK // 8 :]

    def _complete_lines(self, chunk: bytes) -> bytes:
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._tail += chunk
            if len(self._tail) > _LONGEST_TAIL:
                return self._end_line()
            return b""
        lines, self._tail = self._tail + chunk[:end], chunk[end:]
        return lines

    def _close_all(self) -> None:
        self._close()
        if self._ready is not None:
            self._ready.close()
            self._ready = None
