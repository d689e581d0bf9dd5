"""The core's handle: the only module that touches the compiled one.

Rule 1: every call goes through `_enter`, so a closed ring and a second thread get a clear error.
Rule 2: a negative result becomes one exception, here and nowhere else.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from auditsense._ffi import ffi, lib  # noqa: TID251 - this is the border the ban draws
from auditsense.core.hit import Column, ColumnForm, Hit, unpack
from auditsense.core.rule_table import EventEnd, RuleTable, lay_out
from auditsense.core.stats import COUNTERS, Stats
from auditsense.errors import AuditSenseError, BusyError, ClosedError, UsageError, expect, expect_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditsense.core.rule_table import Field

__all__ = ["PACKED_HEADER", "Limits", "Ring", "Stats", "core_version", "pack", "piece"]

PACKED_HEADER = struct.Struct("<QII")
"""Header of a packed datagram: receive time in ms (0: no clock), length, sender's port."""


def core_version() -> str:
    """Return the version that the compiled module was built as."""
    version = ffi.string(lib.as_version())
    return version.decode() if isinstance(version, bytes) else version


@dataclass(frozen=True, slots=True)
class Limits:
    """What a ring may hold. All of it is taken at creation, in one piece; see `Ring.memory_bytes`.

    Attributes:
        datagram_slots: datagrams one recvmmsg call may bring, 1 to 1,024.
        datagram_bytes: longest datagram or log line, 1,024 to 65,536; what is longer is cut and counted
            as truncated. The kernel's longest record is about 9,500 bytes.
        event_slots: events put together or remembered at a time, 16 to 1,048,576; when all are open
            the oldest is decided with what it has (`evicted`).
        small_texts: kept records of at most 512 bytes, 16 to 1,048,576; bounded as event_slots.
        large_texts: kept records of at most datagram_bytes, 4 to 4,096; bounded as event_slots.
        event_timeout_ms: an event whose end does not come is closed after this, 1 to 60,000 ms.
        key_slots: processes with a window at a time, 16 to 4,194,304, about 600 bytes each; a full table
            gives up one of them (ADR 6, `keys_evicted`).
        window_slack: matches a window keeps beyond those it needs, for late ones, 0 to 1,024.
        hit_bytes: hits waiting to be drained, 8 * datagram_bytes + 65,536 to 2^30; when they are full
            the ring takes no more input until they are drained.
    """

    datagram_slots: int = 256
    datagram_bytes: int = 16384
    event_slots: int = 4096
    small_texts: int = 8192
    large_texts: int = 64
    event_timeout_ms: int = 2000
    key_slots: int = 16384
    window_slack: int = 22
    hit_bytes: int = 1 << 20

    def __post_init__(self) -> None:
        for item in fields(self):
            expect_number(item.name, getattr(self, item.name))


class Ring:
    """The core: bytes in, hits out. No thread, no clock, no privilege; not to be shared by threads.

    After a fork the child has a copy of its own.

    Args:
        rules: what to look for.
        limits: what it may hold.
        end: what tells that all records of an event have come.
        order: matching events held back to be decided by stamp and serial, for recorded input; half of
            event_slots and an eighth of small_texts at most.
        fields: those that hits carry; all of them unless given.
        actor: the fields that tell actors apart. Events of one key that differ in them never merge
            their windows (`Rule.merge_ms`), and `Hit.others` counts them; without any a key is one actor.
        seed: of the hash tables; random unless given. A fixed one makes collisions computable.

    Raises:
        UsageError: a limit or a rule outside its bounds.
        MemoryError: the memory cannot be had.
    """

    def __init__(  # noqa: PLR0913 - what a ring is made with, all but two by name
        self,
        rules: RuleTable,
        limits: Limits | None = None,
        *,
        end: EventEnd = EventEnd.EOE,
        order: int = 0,
        fields: Iterable[Field] | None = None,
        actor: Iterable[Field] = (),
        seed: int | None = None,
    ) -> None:
        self._handle: Any = None
        self._lock = threading.Lock()
        limits = limits if limits is not None else Limits()
        expect("limits", limits, Limits, "Limits(…)")
        expect_number("order", order)
        outside = f"a limit or a rule is outside its bounds: {limits}; {len(rules)} rules"
        try:
            seed = int.from_bytes(os.urandom(8), sys.byteorder) if seed is None else seed
            config, table, keep = _to_c(rules, limits, end, seed, actor)
        except OverflowError:  # below 0, or past the bits that the core has for it
            raise UsageError(outside) from None
        self.memory_bytes: int = lib.as_ring_bytes(config, table)
        if self.memory_bytes == 0:
            raise UsageError(outside)
        handle = lib.as_ring_new(config, table)
        del keep  # the core has copied what these arrays held
        if handle == ffi.NULL:
            raise MemoryError(f"the ring needs {self.memory_bytes} bytes")
        if not 0 <= order < 1 << 32 or lib.as_ring_order(handle, order) < 0:
            lib.as_ring_free(handle)
            raise UsageError(f"an order of {order} is outside its bounds for {limits}")
        self._handle = handle
        self.rules = rules
        """As they were given."""
        self.seed = seed
        """Of the hash tables; not to be shown to anybody."""
        if fields is not None:
            _checked(lib.as_ring_select_fields(handle, sum({1 << field for field in fields})))
        self._limits = limits
        self._out = ffi.new("uint8_t[]", limits.hit_bytes)
        self.crowded = False
        """Whether so many hits lay there at the last drain that input may have had to wait for it."""
        self._stats, self._arches = ffi.new("as_stats *"), ffi.new("as_unknown_arch[8]")
        self._exceptions = sum(len(rule.exceptions) for rule in rules)
        self._columns: _Columns | None = None

    def receive(self, fd: int, now_ms: int, rounds: int = 64, *, only_kernel: bool = False) -> int:
        """Take what waits on an audit socket, without waiting for more.

        Args:
            fd: the socket.
            now_ms: a clock that never steps back, in ms; not 0.
            rounds: recvmmsg calls at most.
            only_kernel: the socket accepts datagrams from the kernel only (connected to it, in no group).
                Skips the per-datagram sender check, which is expensive.

        Returns:
            The datagrams taken. Fewer than waited when the hits are full: drain, then call again.

        Raises:
            OSError: the socket failed.
        """
        with self._enter() as handle:
            flags = lib.AS_RECEIVE_TRUSTED if only_kernel else 0
            return _checked(lib.as_ring_receive(handle, fd, now_ms, rounds, flags))

    def fetch_packed(self, fd: int, now_ms: int) -> bytes:
        """Take what waits on an audit socket, up to datagram_slots, and return it packed, undecided."""
        size = self._limits.datagram_slots * (self._limits.datagram_bytes + PACKED_HEADER.size)
        out = ffi.new("uint8_t[]", size)
        with self._enter() as handle:
            if _checked(lib.as_ring_fetch(handle, fd)) == 0:
                return b""
            used = _checked(lib.as_ring_pack(handle, out, size, now_ms))
        return bytes(ffi.buffer(out, used))

    def feed(self, packed: bytes | memoryview) -> int:
        """Take packed datagrams; the time is what their headers say.

        Returns the bytes consumed: fewer when the hits are full, or when the rest is no whole datagram.
        """
        with self._enter() as handle:
            given = ffi.from_buffer(packed)
            return _checked(lib.as_ring_feed(handle, given, len(packed)))

    def feed_text(self, text: bytes | memoryview) -> int:
        """Take log text, cut anywhere. Returns the bytes consumed: fewer when the hits are full."""
        with self._enter() as handle:
            given = ffi.from_buffer(text)
            return _checked(lib.as_ring_feed_text(handle, given, len(text)))

    def unread_line(self) -> bytes:
        """Return the start of the first line since the last call that was no record; b"": none was."""
        with self._enter() as handle:
            return bytes(ffi.buffer(self._out, _checked(lib.as_ring_unread_line(handle, self._out, 240))))

    def expire(self, now_ms: int) -> int:
        """Let time pass: close the events that waited too long. Returns how many."""
        expect_number("now_ms", now_ms)
        with self._enter() as handle:
            return _checked(lib.as_ring_expire(handle, now_ms))

    def finish(self) -> bool:
        """End the input: decide all that is open. False: the hits are full; drain, then call again."""
        with self._enter() as handle:
            return _checked(lib.as_ring_finish(handle)) == 1

    def drain(self) -> list[Hit]:
        """Take the waiting hits, oldest first."""
        return list(unpack(self.drain_bytes()))

    def drain_bytes(self) -> bytes:
        """Take the waiting hits as the core laid them out, one after another (`_ring.cdef.h`, as_hit)."""
        with self._enter() as handle:
            used = _checked(lib.as_ring_drain(handle, self._out, self._limits.hit_bytes))
            drained = bytes(ffi.buffer(self._out, used)) if used else b""
        self.crowded = used > self._limits.hit_bytes // _CROWDED
        return drained

    def drain_columns(self, wanted: Sequence[tuple[Field, ColumnForm]]) -> tuple[list[Column], bytes]:
        """Take the waiting hits as columns.

        Returns:
            The columns, none when no hit waits; and, if one of them needs the fallback, the hits as of
            `drain_bytes`, to be read one by one.
        """
        with self._enter() as handle:
            if self._columns is None:  # allocated on first use
                self._columns = _Columns(self._limits.hit_bytes)
            borrowed = ffi.new("const uint8_t **")
            used = _checked(lib.as_ring_borrow(handle, borrowed))
            hits = borrowed[0]
            self.crowded = used > self._limits.hit_bytes // _CROWDED
            read = self._columns.read
            columns = [read(hits, used, field, form) for field, form in wanted] if used else []
            fallback = any(column.fallback for column in columns)
            return columns, bytes(ffi.buffer(hits, used)) if fallback else b""

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        with self._enter() as handle:
            _checked(lib.as_ring_stats(handle, self._stats))
            found = self._arches[0 : _checked(lib.as_ring_unknown_arches(handle, self._arches, 8))]
            arches = tuple((int(one.arch), int(one.records)) for one in found)
            return Stats(
                **{name: int(getattr(self._stats, name)) for name in COUNTERS}, unknown_arches=arches
            )

    def exception_counts(self) -> tuple[int, ...]:
        """Return how many events each exception took, in the order of the rule table."""
        out = ffi.new("uint64_t[]", self._exceptions)
        with self._enter() as handle:
            _checked(lib.as_ring_exception_counts(handle, out, self._exceptions))
        return tuple(int(count) for count in out)

    def migrate_from(self, older: Ring, rules: Sequence[int | None]) -> bool:
        """Go on where another ring was, with this one's rules; nothing is lost or decided early by it.

        All counters go on, but those of `exception_counts`. Afterwards the other one is of no use; close it.

        Args:
            older: of the same limits, end, actor and seed. This one must not have been fed yet.
            rules: for each rule of the older one, its place in this one, None when it is gone. A rule that
                stays keeps its windows; a new one sees events whose SYSCALL record comes from now on.

        Returns:
            False: the older one has hits; drain it, then call again.
        """
        places = ffi.new("uint32_t[]", [0xFFFF_FFFF if place is None else place for place in rules])
        with older._enter() as other, self._enter() as handle:
            return _checked(lib.as_ring_migrate(handle, other, places)) == 1

    def close(self) -> None:
        """Give the memory back. Waiting hits are gone. A second call does nothing."""
        # Whether it is closed is asked inside, where no other thread is closing it.
        with suppress(ClosedError), self._enter() as handle:
            lib.as_ring_free(handle)
            self._handle = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: the memory belongs to one process."""
        raise TypeError("a Ring cannot be pickled or copied; send its rules and limits, and make another")

    def __del__(self) -> None:
        """Give back what was forgotten, and say so."""
        if getattr(self, "_handle", None) is not None:
            warnings.warn("a Ring was not closed", ResourceWarning, source=self, stacklevel=1)
            lib.as_ring_free(self._handle)
            self._handle = None

    @contextmanager
    def _enter(self) -> Iterator[Any]:
        # cffi lets other threads run during a call, so the handle is guarded on this side as well:
        # only here can a close() be kept out of a call that is under way.
        if not self._lock.acquire(blocking=False):
            raise BusyError("another thread is inside this ring; give each thread its own")
        try:
            if self._handle is None:
                raise ClosedError("this ring is closed")
            yield self._handle
        finally:
            self._lock.release()


# Input waits when the largest hit (hit.c) has no room; it takes less than three quarters of all room.
_CROWDED = 8


def _checked(result: int) -> int:
    if result >= 0:
        return result
    if result == lib.AS_SYSTEM:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    if result == lib.AS_BUSY:
        raise BusyError("another thread is inside this ring; give each thread its own")
    raise AuditSenseError(f"the core refused a call ({result}): this is a defect of auditsense")


class _Columns:
    """Reads columns of hits, with buffers as large as the hits may be."""

    def __init__(self, hit_bytes: int) -> None:
        self._rows = ffi.new("uint8_t[]", hit_bytes // 256)  # a hit is larger than 256 bytes
        self._out = ffi.new("uint8_t[]", hit_bytes)
        self._numbers = ffi.cast("int64_t *", self._out)
        self._column: Any = ffi.new("as_column *")

    def read(self, hits: Any, size: int, field: Field, form: ColumnForm) -> Column:  # noqa: ANN401 - C's
        column = self._column
        if form is ColumnForm.TEXT:
            encoded = self._dictionary(hits, size, field)
            if encoded is not None:
                return encoded
        values: list[Any]
        if form <= ColumnForm.ARGUMENTS:
            used = _checked(lib.as_hits_texts(hits, size, field, form, self._rows, self._out, size, column))
            values = cast(
                "list[Any]", str(ffi.buffer(self._out, used), "utf-8", "backslashreplace").split("\0")
            )
            values.pop()  # behind the last NUL
            if form is ColumnForm.ARGUMENTS:
                return Column(values)
            fallback = len(values) != column.rows
        else:
            rows = _checked(
                lib.as_hits_numbers(hits, size, field, form, self._rows, self._numbers, size, column)
            )
            values = cast("list[Any]", memoryview(ffi.buffer(self._out, 8 * rows)).cast("q").tolist())
            fallback = column.fallback > 0
        if column.absent and not fallback:
            present = bytes(ffi.buffer(self._rows, column.rows))
            values = [value if there else None for value, there in zip(values, present, strict=True)]
        return Column(values, fallback)

    def _dictionary(self, hits: Any, size: int, field: Field) -> Column | None:  # noqa: ANN401 - C's
        """Read a dictionary-encoded column. None: it has too many distinct texts for that."""
        column = self._column
        used = _checked(
            lib.as_hits_texts(hits, size, field, ColumnForm.DICT, self._rows, self._out, size, column)
        )
        if column.fallback:
            return None
        codes = bytes(ffi.buffer(self._rows, column.rows))
        texts = str(ffi.buffer(self._out, used), "utf-8", "backslashreplace").split("\0")
        if len(texts) != column.dict_size + 1:
            return Column([], fallback=True)
        dictionary = [None, *texts[:-1]]
        if len(dictionary) == 2 and not column.absent:
            return Column(dictionary[1:] * column.rows, dictionary=dictionary, codes=codes)
        return Column([dictionary[code] for code in codes], dictionary=dictionary, codes=codes)


def _to_c(
    rules: RuleTable, limits: Limits, end: EventEnd, seed: int, actor: Iterable[Field]
) -> tuple[Any, ...]:
    """Lay the table out as C arrays; the list keeps them alive until the core has copied them."""
    config = ffi.new(
        "as_config *",
        {"seed": seed, "end": end, **{item.name: getattr(limits, item.name) for item in fields(limits)}},
    )
    from auditsense.syscalls import ARCHES  # noqa: PLC0415 - only for who makes one

    laid_out = lay_out(rules, ARCHES.values())
    bits = sum({1 << field for field in actor})
    arrays = {
        "rules": ffi.new("as_rule[]", laid_out.rules),
        "calls": ffi.new("as_call[]", laid_out.calls),
        "tests": ffi.new("as_test[]", laid_out.tests),
        "operands": ffi.new("as_operand[]", laid_out.operands),
        "exceptions": ffi.new("as_exception[]", laid_out.exceptions),
        "text": ffi.new("uint8_t[]", bytes(laid_out.text)),
        "arches": ffi.new("uint32_t[]", laid_out.arches),
    }
    table = ffi.new("as_rules *", {**arrays, **laid_out.counts, "actor_fields": bits})
    return config, table, list(arrays.values())


def pack(datagrams: Iterable[bytes], now_ms: int = 0) -> bytes:
    """Pack datagrams, as received from the kernel, for `Ring.feed`."""
    expect_number("now_ms", now_ms)
    return b"".join(PACKED_HEADER.pack(now_ms, len(datagram), 0) + datagram for datagram in datagrams)


def piece(text: bytes | memoryview) -> memoryview:
    """Return a piece of log text as the core takes it.

    Raises:
        UsageError: not bytes.
    """
    try:
        return memoryview(text)
    except TypeError:
        raise UsageError(
            f"text: expected bytes, not {text!r:.60}: open the log with mode rb, or encode the text"
        ) from None
