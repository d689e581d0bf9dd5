"""The lines of a source of text, through a reader.

The last stamp in them is the time, and goes on while none comes: a daemon may be late, and this host's
clock would end bursts of which it has not written the rest. A stamp far from the one before counts only when
the next event confirms it. When no line has come for long, what is open is decided.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

from auditsense.detect.stream_time import LEAP_MS
from auditsense.sources.unrecognized import unread

if TYPE_CHECKING:
    from auditsense.detect.detector import Detector
    from auditsense.detect.event_reader import EventReader
    from auditsense.detect.rows import RowReader
    from auditsense.sources.text_source import TextSource

    Reader: TypeAlias = Detector | EventReader | RowReader

_STAMP = re.compile(rb"audit\((\d{1,12})\.(\d{3}):(\d{1,10})\)")
_LOOK_BACK = 1 << 14  # bytes in which the last stamp is looked for: the longest record is shorter
_MOST_TURNS = 8  # before all else is, however much comes
_MOST_UNREAD = 3  # lines at the start that may be no record before that is reported
_QUIET_S = 2.0  # nothing else came for so long
_LAST_PIECES = 64  # while leaving: whoever writes may never end


class Lines:
    """Feeds what a source reads to a reader.

    Args:
        source: entered by its owner.
        timeout_ms: how long without a line an event is waited for.
    """

    def __init__(self, source: TextSource, timeout_ms: int) -> None:
        self.source = source
        self._timeout_ms = timeout_ms
        self._came_s = 0.0
        self._stamp_ms = 0  # accepted as the time
        self._stamp_s = 0.0  # when that was
        self._began = False  # a record has come, or it was reported that none has
        self._last = (0, b"")  # the stamp and the serial of the last event

    def receive(self, reader: Reader, found: list[Any], now_s: float) -> int:
        """Take lines that wait, but no more of them once there is an alert. Returns how many."""
        total = 0
        now_ms = int(now_s * 1000)
        for _ in range(_MOST_TURNS):
            text = self.source.read() if self.source.fileno() >= 0 else b""
            if not text:
                break
            total += text.count(b"\n")
            self._came_s = now_s
            for found_stamp in _STAMP.finditer(text, max(0, len(text) - _LOOK_BACK)):
                self._observe(int(found_stamp[1]) * 1000 + int(found_stamp[2]), found_stamp[3], now_s)
            results = [*reader.feed_text(text, now_ms)]
            found += results
            if results:
                break
        if total:
            self._report_unread(reader, now_s)
        return total

    def receive_last(self, reader: Reader) -> list[Any]:
        """Take what waits while the source is left, within bounds."""
        found: list[Any] = []
        for _ in range(_LAST_PIECES):
            text = self.source.read()
            if not text:
                break
            found += reader.feed_text(text)
        return found

    def wall_ms(self, now_s: float) -> int:
        """Return the time of the text, ms since 1970 UTC; 0 before there is any."""
        return self._stamp_ms and self._stamp_ms + int((now_s - self._stamp_s) * 1000)

    def _observe(self, stamp_ms: int, serial: bytes, now_s: float) -> None:
        before_ms, last = self._last[0], self._last
        self._last = stamp_ms, serial
        if self._last == last:
            return  # another record of the same event
        if not self._stamp_ms or abs(stamp_ms - before_ms) <= LEAP_MS:
            self._stamp_ms = stamp_ms
            self._stamp_s = now_s

    def _report_unread(self, reader: Reader, now_s: float) -> None:
        """Report once that only lines came which are no record: then nothing is ever detected."""
        if self._began:
            return
        stats = reader.stats()
        enough = stats.malformed > _MOST_UNREAD or now_s - self._came_s >= _QUIET_S
        if not stats.records and not (stats.malformed and enough):
            return
        self._began = True
        if not stats.records and (first := reader.ring.unread_line()):
            self.source.report_unread(unread(stats.malformed, stats.lines, first))

    def tick(self, reader: Reader, now_s: float) -> list[Any]:
        """Decide events that have been open for long enough, and all when no line has come for as long."""
        self._report_unread(reader, now_s)
        now_ms = int(now_s * 1000)
        results: list[Any] = reader.tick(now_ms, log_ms=0)
        quiet_ms = (now_s - self._came_s) * 1000
        if quiet_ms >= self._timeout_ms and reader.stats().open_events:
            results += reader.flush()
        return results + reader.tick(log_ms=self.wall_ms(now_s))
