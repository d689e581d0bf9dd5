"""Read audit records through the core: the bases of `Detector`, `EventReader` and `RowReader`."""

from __future__ import annotations

import threading
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, cast

from auditsense.core.ring import Ring, pack, text_buffer
from auditsense.core.rule_table import ACTOR, Rule, Selection, select
from auditsense.detect.host import Host, this_host
from auditsense.detections.event_table import record_types
from auditsense.detections.record_filter import ALL_RECORDS, READ_RECORDS, RecordFilter, needed_records
from auditsense.errors import BusyError, UsageError, expect, expect_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from auditsense.core.ring import Limits, Stats
    from auditsense.core.rule_table import Field, RuleTable

_T = TypeVar("_T")
_Method = TypeVar("_Method", bound="Callable[..., object]")

_URINGOP = 1336  # linux/audit.h: an operation of io_uring
EVERY = Selection(Rule(), types=(*record_types().values(), _URINGOP))
EVERY_EVENT = select([EVERY])
"""The rule table that selects all events: of every call, and of every record that has a name without one."""


def exclusive(method: _Method) -> _Method:
    """Admit one thread at a time to a method.

    The ring guards its own calls. Between two of them another thread could drain what this one has fed.
    """

    @wraps(method)
    def guarded(self: RingReader, /, *args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - the method's own
        if not self._lock.acquire(blocking=False):
            name = type(self).__name__
            raise BusyError(f"another thread is inside this {name}; give each thread a {name}")
        try:
            return method(self, *args, **kwargs)
        finally:
            self._lock.release()

    return cast("_Method", guarded)


def pack_datagrams(datagrams: Iterable[bytes], now_ms: int) -> bytes:
    """Return datagrams as `Ring.feed` takes them.

    Raises:
        UsageError: they are one datagram, or something else.
    """
    if not isinstance(datagrams, bytes | bytearray | memoryview | str):
        try:
            return pack(datagrams, now_ms)
        except TypeError:
            pass
    raise UsageError(
        "expected an iterable of bytes, each a datagram: pass [datagram]; feed_text takes log text"
    )


class RingReader:
    """A ring, the host of its records, and its counters. Memory is fixed at creation (`memory_bytes`).

    A reader must not be shared by threads: the second one gets BusyError. Readers share nothing. After a fork
    the child has a copy. Use it as a context manager, or call `close`.

    Args:
        rules: what the core selects.
        host: host of the records that name no node; this host by default.
        limits: capacity of the core.
        order: matching events held back to be decided by stamp and serial, as for `Ring`.
        lean: records of the types in `unsent` need not come and are not awaited: all that *rules* do not
            compare.
        titled: so need records that no field comes from, EOE among them: an event ends with PROCTITLE.
        fields: those that the core keeps; all by default.
        make_ring: `Ring` or a subclass of it.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        rules: RuleTable,
        *,
        host: Host | None = None,
        limits: Limits | None = None,
        order: int = 0,
        lean: bool = False,
        titled: bool = False,
        fields: Iterable[Field] | None = None,
        make_ring: Callable[..., Ring] = Ring,
    ) -> None:
        self._lock = threading.RLock()  # methods call each other
        self.host = host if host is not None else this_host()
        expect("host", self.host, Host, "a Host(id, name)")
        self.lost_elsewhere = 0
        """Records lost before they reached this reader, as its owner reports; part of `lost`."""
        self._rules, self._lean, self._titled = rules, lean, titled
        self._unneeded = self._unneeded_by(rules)
        self._limits, self._order, self._fields, self._make_ring = limits, order, fields, make_ring
        self.ring = self._new_ring(rules)
        self._counted_before: Stats | None = None  # by the rings of earlier hosts

    def _new_ring(self, rules: RuleTable, seed: int | None = None) -> Ring:
        return self._make_ring(
            rules,
            self._limits,
            end=self._unneeded.end,
            order=self._order,
            fields=self._fields,
            actor=ACTOR,
            seed=seed,
            host=self.host.id,
        )

    def _unneeded_by(self, rules: RuleTable) -> RecordFilter:
        if self._lean:
            return needed_records(rules)
        return READ_RECORDS if self._titled else ALL_RECORDS

    @property
    def unsent(self) -> frozenset[int]:
        """Record types that need not come."""
        return self._unneeded.unsent

    @property
    def unsent_per_event(self) -> int:
        """Records of an ordinary event that need not come."""
        return self._unneeded.unsent_per_event

    @property
    def memory_bytes(self) -> int:
        """Memory of the core, allocated at creation; unused pages stay untouched."""
        return self.ring.memory_bytes

    @property
    def lost(self) -> int:
        """Records or events known to be lost so far, by every cause that has a counter."""
        stats = self.stats()
        return self.lost_elsewhere + stats.serials_missing + stats.incomplete + stats.truncated

    def stats(self) -> Stats:
        """Return the core's counters."""
        stats = self.ring.stats()
        return stats if self._counted_before is None else self._counted_before + stats

    @exclusive
    def set_host(self, host: Host) -> None:
        """Set the host of the records that follow.

        Windows and open events of another host are forgotten. The counters continue.
        """
        expect("host", host, Host, "a Host(id, name)")
        if host != self.host:
            self._counted_before = self.stats()
            self.ring.close()
            self.ring = self._new_ring(self._rules)
        self.host = host

    @exclusive
    def close(self) -> None:
        """Free the memory. A second call does nothing."""
        self.ring.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of records of {self.host.name!r}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: the core's memory belongs to one process."""
        name = type(self).__name__
        raise TypeError(f"a {name} cannot be pickled or copied; send its arguments and make another")


class RecordReader(RingReader, Generic[_T]):
    """A reader that returns lists: of documents, or of events."""

    def _decode(self, drained: bytes) -> list[_T]:
        """Return the results for the bytes that the core returned."""
        raise NotImplementedError

    @exclusive
    def drain(self) -> list[_T]:
        """Return what the core has completed since the last call."""
        drained = self.ring.drain_bytes()
        return self._decode(drained) if drained else []

    def advance_clock(self, monotonic_ms: int) -> list[_T]:  # noqa: ARG002 - for a subclass
        """Let time pass on this side of the core; part of `feed` and `tick`."""
        return []

    @exclusive
    def feed(self, datagrams: Iterable[bytes], now_ms: int = 0) -> list[_T]:
        """Read datagrams as received from the kernel, netlink header included.

        Args:
            datagrams: any number. How they are split over calls changes nothing.
            now_ms: current time of a clock that never steps back, as ``time.monotonic_ns() // 1_000_000``;
                0 for recorded input.

        Returns:
            What they complete, in order.
        """
        packed = pack_datagrams(datagrams, now_ms)
        if not now_ms:
            return self.feed_packed(packed)[0]
        results = self.advance_clock(now_ms) + self.feed_packed(packed)[0]
        self.ring.expire(now_ms)
        return results + self.drain()

    @exclusive
    def feed_packed(self, packed: bytes) -> tuple[list[_T], int]:
        """Read packed datagrams, as in a capture.

        Returns:
            What they complete, and the number of bytes consumed: fewer than given if the last datagram is
            incomplete.
        """
        expect("packed", packed, bytes | bytearray | memoryview, "bytes of a capture")
        rest = memoryview(packed)
        results: list[_T] = []
        while True:
            consumed = self.ring.feed(rest)
            rest = rest[consumed:]
            if drained := self.ring.drain_bytes():
                results += self._decode(drained)
            elif not consumed:
                return results, len(packed) - len(rest)

    @exclusive
    def feed_text(self, text: bytes | memoryview, now_ms: int = 0) -> list[_T]:
        """Read audit.log text, cut anywhere.

        Args:
            text: the next piece of the log.
            now_ms: as for `feed`, for a log that is followed.

        Returns:
            What it completes, in order.
        """
        expect_number("now_ms", now_ms)
        if now_ms:
            self.ring.expire(now_ms)
        results = self.buffer_text(text)
        while drained := self.ring.drain_bytes():
            results += self._decode(drained)
            self.ring.feed_text(b"")  # decides the input that waited for space among the hits
        return results

    @exclusive
    def buffer_text(self, text: bytes | memoryview) -> list[_T]:
        """Read audit.log text as `feed_text` does, but leave what it completes in the core, for `drain`.

        Returns:
            What did not fit into the core, in order; usually nothing.
        """
        results: list[_T] = []
        rest = text_buffer(text)
        rest = rest[self.ring.feed_text(rest) :]
        while rest:
            results += self.drain()
            rest = rest[self.ring.feed_text(rest) :]
        return results

    @exclusive
    def tick(self, monotonic_ms: int = 0, *, log_ms: int | None = None) -> list[_T]:
        """Let time pass: decide the events whose end has not come in time. Call it once a second.

        Args:
            monotonic_ms: current time of the clock of `feed`; 0: there is no clock.
            log_ms: see `Detector.tick`.
        """
        expect_number("monotonic_ms", monotonic_ms)
        results = self.advance_clock(monotonic_ms) if log_ms is None else []
        if monotonic_ms:
            self.ring.expire(monotonic_ms)
            results += self.drain()
        return results

    @exclusive
    def flush(self) -> list[_T]:
        """Decide all open events, as at a gap in the records. More may be fed afterwards."""
        results: list[_T] = []
        done = False
        while not done:
            done = self.ring.finish()
            results += self.drain()
        return results

    def finish(self) -> list[_T]:
        """EventEnd the input and return what was open. More may be fed afterwards."""
        return self.flush()
