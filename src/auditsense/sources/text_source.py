"""What all sources of text share: lines that a daemon wrote, for whoever may read them.

Nothing is changed on the host, and the kernel is not asked: how much was lost on the way to the daemon is
its knowledge, so a text source claims no kernel loss and no drops.

Rule 1: what `read` returns ends with a line end; the start of a line is kept until its end comes.
Rule 2: the descriptor is the source's own, and stays the same when what is read does not.
"""

from __future__ import annotations

import os
import re
import select
from typing import TYPE_CHECKING, Self

from auditsense.detect.host import this_host
from auditsense.kernel.watch import Finding, Noticed
from auditsense.sources.unwrap import unwrapper_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.guardian import Guardian
    from auditsense.sources.unwrap import Unwrapper

PIECE = 1 << 18  # bytes read at a time
_LONGEST_TAIL = 1 << 16  # of a line without its end; the core cuts it anyway
_SERIAL = re.compile(rb"^(?:node=\S+ )?type=(?!DAEMON)\S+ msg=audit\(\d+\.\d+:(\d+)\)", re.MULTILINE)


class Text:
    """A source of text. Abstract: where the bytes come from is the subclass's. A context manager."""

    name = ""
    only_kernel = False
    audited = True  # whoever wrote the text owns the audit socket, not this process

    def __init__(self) -> None:
        self.unsent: frozenset[int] = frozenset()
        self.drain: Callable[[], object] | None = None
        self.put_back: tuple[str, ...] = ()
        self.guardian: Guardian | None = None
        self.at_end: Callable[[], object] | None = None
        """For a guardian, which there is none of."""
        self.at_leaving: Callable[[], object] | None = None
        """Set by the owner: called when it is left."""
        self.ended = False
        """Whether nothing will ever come any more."""
        self._pid = 0
        self._ready: select.epoll | None = None
        self._tail = b""
        self._noticed: list[Noticed] = []
        self._last_serial: int | None = None  # before the break, while nothing came after it
        self._recent = b""
        self._looked = False
        self._unwrapper: Unwrapper | None = None
        self._messages: list[str] = []

    @property
    def early(self) -> list[bytes]:
        """Nothing: text comes by `read` alone."""
        return []

    @early.setter
    def early(self, datagrams: list[bytes]) -> None:
        """Take nothing."""

    def __enter__(self) -> Self:
        self._pid = os.getpid()
        self.ended = False
        self._ready = select.epoll()
        try:
            self._open()
        except BaseException:
            self._shut()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        if self._ready is None:
            return
        own = self._pid == os.getpid()
        try:
            if own and self.drain is not None and not any(exception):
                self.drain()
        finally:
            self._shut()
            if own and self.at_leaving is not None:
                self.at_leaving()

    def plan(self) -> list[str]:
        """Return nothing: no host is changed."""
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

    def check(self) -> list[Noticed]:
        """Return what has happened to the place the text comes from since the last call."""
        noticed, self._noticed = self._noticed, []
        return noticed

    def report(self, unread: str) -> None:
        """Take a sentence about lines that are no record, when only such lines came."""
        self._notice("No Audit Records", f"{self.name}: {unread}; nothing is detected until records come")
        self._messages.append(f"{self.name}: {unread}")

    def take_messages(self) -> list[str]:
        """Return what is to be said to a person, since the last call."""
        messages, self._messages = self._messages, []
        return messages

    def read(self) -> bytes:
        """Return whole lines that wait, without waiting; nothing when there are none.

        Raises:
            InputError: what comes is no text, or cannot be read any more.
        """
        while not self.ended:
            piece = self._read()
            if not piece:
                break
            whole = self._unwrapped(self._whole(piece))
            if whole:
                self._across(whole)
                return whole
        return self._cut_off() if self.ended else b""

    # --- for subclasses ---------------------------------------------------------------

    def _open(self) -> None:
        """Open what is read, and register it with `_ready`."""
        raise NotImplementedError

    def _close(self) -> None:
        """Close what is read."""
        raise NotImplementedError

    def _read(self) -> bytes:
        """Return what waits, PIECE at most, without waiting; set `ended` at the end."""
        raise NotImplementedError

    def _cut_off(self) -> bytes:
        """Return the start of a line whose end will not come, as a line."""
        tail, self._tail = self._tail, b""
        return tail + b"\n" if tail else b""

    def _notice(self, name: str, message: str, severity: str = "medium") -> None:
        self._noticed.append(Noticed(Finding("auditsense.tamper.source", name, severity, message)))

    def _broken(self) -> None:
        """Remember where the text broke off, to say what did not come."""
        if self._last_serial is None:
            serials = _SERIAL.findall(self._recent)
            self._last_serial = int(serials[-1]) if serials else None

    # --- own ---------------------------------------------------------------------------

    def _unwrapped(self, lines: bytes) -> bytes:
        if lines and not self._looked:
            self._looked = True
            self._unwrapper = unwrapper_for(
                lines,
                this_host(),
                lambda field: self._messages.append(f"{self.name}: reading records inside field {field}"),
            )
        return lines if self._unwrapper is None else self._unwrapper.feed(lines)

    def _across(self, whole: bytes) -> None:
        if self._last_serial is not None and (found := _SERIAL.search(whole)):
            before, after = self._last_serial, int(found[1])
            if after - before > 1:
                self._notice(
                    "Records Did Not Come",
                    f"{after - before - 1} events between serial {before} and {after} were not in the text; "
                    "some may never have been meant for it",
                )
            self._last_serial = None
        self._recent = whole[-PIECE // 8 :]

    def _whole(self, piece: bytes) -> bytes:
        end = piece.rfind(b"\n") + 1
        if not end:
            self._tail += piece
            if len(self._tail) > _LONGEST_TAIL:
                return self._cut_off()
            return b""
        whole, self._tail = self._tail + piece[:end], piece[end:]
        return whole

    def _shut(self) -> None:
        self._close()
        if self._ready is not None:
            self._ready.close()
            self._ready = None
