"""Read the lines of a text source into a reader.

The last stamp in the text is the time, and it advances while no text comes: a daemon may be late, and this
host's clock would end bursts of which it has not written the rest. A stamp far from the previous one counts
only when the next event confirms it. After a long time without a line, all open events are decided.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from auditsense.detect.stream_time import LEAP_MS
from auditsense.sources.unrecognized import unread

if TYPE_CHECKING:
    from auditsense.sensor.clock import Clock
    from auditsense.sensor.readers import Reader
    from auditsense.sources.text_source import TextSource

_STAMP = re.compile(rb"audit\((\d{1,12})\.(\d{3}):(\d{1,10})\)")
_STAMP_BYTES: Final = 1 << 14  # at the end of the text, searched for the last stamp; no record is longer
_TURNS: Final = 8  # of a poll, whatever the load
_MOST_UNREAD: Final = 3  # lines at the start that may be no record before that is reported
_QUIET_S: Final = 2.0  # or the time without more lines
_LAST_CHUNKS: Final = 64  # while leaving: the writer may never stop


class TextFeed:
    """Reads a text source.

    Args:
        source: entered by its owner.
        clock: its monotonic clock.
        timeout_ms: time without a line after which open events are decided.
    """

    def __init__(self, source: TextSource, clock: Clock, timeout_ms: int) -> None:
        self._source = source
        self._clock = clock
        self._timeout_ms = timeout_ms
        self.received = 0
        """Lines read so far."""
        self._last_read_s = 0.0
        self._stamp_ms = 0  # accepted as the time
        self._stamp_s = 0.0  # on the monotonic clock
        self._checked = False  # a record has come, or their absence was reported
        self._last_event = (0, b"")  # stamp and serial

    @property
    def ended(self) -> bool:
        """Whether no more text will come."""
        return self._source.ended

    def read(self, reader: Reader, results: list[Any]) -> int:
        """Read lines that wait, but stop at the first result. Returns the number of lines."""
        total = 0
        now_s = self._clock.monotonic_s()
        for _ in range(_TURNS):
            text = self._source.read() if self._source.fileno() >= 0 else b""
            if not text:
                break
            total += text.count(b"\n")
            self._last_read_s = now_s
            for match in _STAMP.finditer(text, max(0, len(text) - _STAMP_BYTES)):
                self._observe_stamp(int(match[1]) * 1000 + int(match[2]), match[3], now_s)
            completed = [*reader.feed_text(text, int(now_s * 1000))]
            results += completed
            if completed:
                break
        self.received += total
        if total:
            self._report_unread(reader, now_s)
        return total

    def read_early(self, _reader: Reader) -> list[Any]:
        """Return nothing: text comes from the source's `read` alone."""
        return []

    def tick(self, reader: Reader) -> list[Any]:
        """Decide the events whose end has not come in time, and all after a long time without a line."""
        now_s = self._clock.monotonic_s()
        self._report_unread(reader, now_s)
        results: list[Any] = reader.tick(int(now_s * 1000), log_ms=0)
        quiet_ms = (now_s - self._last_read_s) * 1000
        if quiet_ms >= self._timeout_ms and reader.stats().open_events:
            results += reader.flush()
        return results + reader.tick(log_ms=self.log_ms())

    def log_ms(self) -> int:
        """Return the time of the text, ms since 1970 UTC; 0 before the first stamp."""
        return self._stamp_ms and self._stamp_ms + int((self._clock.monotonic_s() - self._stamp_s) * 1000)

    def drain(self, reader: Reader) -> list[Any]:
        """Read waiting lines while the source is left, within bounds."""
        results: list[Any] = []
        for _ in range(_LAST_CHUNKS):
            text = self._source.read()
            if not text:
                break
            results += reader.feed_text(text)
        return results

    def _observe_stamp(self, stamp_ms: int, serial: bytes, now_s: float) -> None:
        previous, self._last_event = self._last_event, (stamp_ms, serial)
        if self._last_event == previous:
            return  # another record of the same event
        if not self._stamp_ms or abs(stamp_ms - previous[0]) <= LEAP_MS:
            self._stamp_ms = stamp_ms
            self._stamp_s = now_s

    def _report_unread(self, reader: Reader, now_s: float) -> None:
        """Report once that only lines came that are not records: then nothing is ever detected."""
        if self._checked:
            return
        stats = reader.stats()
        enough = stats.malformed > _MOST_UNREAD or now_s - self._last_read_s >= _QUIET_S
        if not stats.records and not (stats.malformed and enough):
            return
        self._checked = True
        if not stats.records and (first := reader.ring.unread_line()):
            self._source.report_unread(unread(stats.malformed, stats.lines, first))
