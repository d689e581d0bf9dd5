"""The core's ring as a Python object: the only module that calls the compiled one.

Rule 1: every call goes through `_enter`, so a closed ring and a second thread get a clear error.
Rule 2: negative results become exceptions here and nowhere else.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NoReturn, Self, cast

from auditsense._digest import blake2b
from auditsense._ffi import ffi, lib  # noqa: TID251 - this is the border the ban draws
from auditsense.core.hit import Column, ColumnForm, Hit, read_hits
from auditsense.core.rule_table import ARRAYS, EventEnd, RuleTable, lay_out
from auditsense.core.stats import COUNTERS, Stats
from auditsense.errors import AuditSenseError, BusyError, ClosedError, UsageError, expect, expect_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from auditsense.core.process_facts import ProcessFacts
    from auditsense.core.rule_table import Field

__all__ = ["PACKED_HEADER", "Limits", "Ring", "Stats", "core_version", "pack", "text_buffer"]

PACKED_HEADER = struct.Struct("<QII")
"""Header of a packed datagram: receive time in ms (0: no clock), length, sender's port."""


def core_version() -> str:
    """Return the version that the compiled module was built as."""
    version = ffi.string(lib.as_version())
    return version.decode() if isinstance(version, bytes) else version


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of the tables of a ring, allocated at creation in one piece; see `Detector.memory_bytes`.

    Attributes:
        datagram_slots: datagrams per recvmmsg call, 1 to 1,024.
        datagram_bytes: longest datagram or log line, 1,024 to 65,536; longer ones are cut and counted as
            truncated. The kernel's longest record is about 9,500 bytes.
        event_slots: open and remembered events, 16 to 1,048,576; when all are open, the oldest is
            decided with the records it has (`evicted`).
        small_texts: stored records of at most 512 bytes, 16 to 1,048,576; bounded as event_slots.
        large_texts: stored records of at most datagram_bytes, 4 to 4,096; bounded as event_slots.
        event_timeout_ms: an event without an end is closed after this time, 1 to 60,000 ms.
        key_slots: processes with a window, 16 to 4,194,304, about 600 bytes each; a full table evicts
            one (ADR 6, `keys_evicted`).
        window_slack: matches that a window keeps in addition to those it needs, for late ones, 0 to 1,024.
        process_slots: processes that are remembered if a detection or a selected field needs them, 16 to
            1,048,576, about 1.2 KiB each; a full table forgets the least recently used
            (`processes_evicted`).
        hit_bytes: buffer for undrained hits, 8 * datagram_bytes + 262,144 to 2^30; when it is full, the
            ring accepts no input until it is drained.
    """

    datagram_slots: int = 256
    datagram_bytes: int = 16384
    event_slots: int = 4096
    small_texts: int = 8192
    large_texts: int = 64
    event_timeout_ms: int = 2000
    key_slots: int = 16384
    window_slack: int = 22
    process_slots: int = 16384
    hit_bytes: int = 1 << 20

    def __repr__(self) -> str:
        """Show the limits that differ from the defaults."""
        values = ((item.name, getattr(self, item.name), item.default) for item in fields(self))
        changed = ", ".join(f"{name}={value}" for name, value, default in values if value != default)
        return f"Limits({changed})"

    def __post_init__(self) -> None:
        for item in fields(self):
            expect_number(item.name, getattr(self, item.name))


class Ring:
    """The core: bytes in, hits out. No thread, no clock, no privilege. One thread at a time may use it.

    After a fork the child has a separate copy.

    Args:
        rules: the rule table.
        limits: sizes of its tables.
        end: which record ends an event.
        order: matching events held back to be decided by stamp and serial, for recorded input; at most
            half of event_slots and an eighth of small_texts.
        fields: fields that hits carry; all by default.
        actor: fields that identify an actor. Events of one key that differ in them never merge their
            windows (`Rule.merge_ms`), and `Hit.others` counts them. Without fields a key is one actor.
        seed: of the hash tables; random by default. With a fixed one, collisions can be computed.
        host: text that identifies the host, and its boot where it is known, for entity ids.
        read_process: reads a process that an event needs and that the core does not know, by its pid; None:
            there is none. It is called between two records, at most once for a pid that stays unknown, and
            must not use this ring. Without it such a process is unknown.

    Raises:
        UsageError: a limit or a rule is outside its bounds.
        MemoryError: not enough memory.
    """

    def __init__(  # noqa: PLR0913 - all but two are keywords
        self,
        rules: RuleTable,
        limits: Limits | None = None,
        *,
        end: EventEnd = EventEnd.EOE,
        order: int = 0,
        fields: Iterable[Field] | None = None,
        actor: Iterable[Field] = (),
        seed: int | None = None,
        host: str = "",
        read_process: Callable[[int], ProcessFacts | None] | None = None,
    ) -> None:
        self._handle: Any = None
        self._lock = threading.Lock()
        limits = limits if limits is not None else Limits()
        expect("limits", limits, Limits, "Limits(…)")
        expect_number("order", order)
        outside = f"a limit or a rule is outside its bounds: {limits}; {len(rules)} rules"
        try:
            seed = int.from_bytes(os.urandom(8), sys.byteorder) if seed is None else seed
            numbers = {
                "seed": seed,
                "end": end,
                "boot": _hash(host) if rules.processes else 0,
                "asks": read_process is not None,
            }
            config, table, keep = _to_c(rules, limits, numbers, actor)
        except OverflowError:  # negative, or too large for the core's type
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
        """The rules passed in."""
        self.seed = seed
        """Of the hash tables; keep it secret."""
        if fields is not None:
            _checked(lib.as_ring_select_fields(handle, sum({1 << field for field in fields})))
        self._limits = limits
        self._out = ffi.new("uint8_t[]", limits.hit_bytes)
        self.nearly_full = False
        """Whether the last drain found enough hits that input may have had to wait."""
        self._stats, self._arches = ffi.new("as_stats *"), ffi.new("as_unknown_arch[8]")
        self._exceptions = sum(len(rule.exceptions) for rule in rules.rules)
        self._columns: _Columns | None = None
        self._read_process = read_process

    def receive(self, fd: int, now_ms: int, rounds: int = 64, *, only_kernel: bool = False) -> int:
        """Receive the datagrams that are waiting on an audit socket, without blocking.

        Args:
            fd: the socket.
            now_ms: a monotonic clock in ms, not 0.
            rounds: maximum number of recvmmsg calls.
            only_kernel: the socket accepts datagrams from the kernel only (connected to it, in no group).
                Skips the per-datagram sender check, which is expensive.

        Returns:
            The number of datagrams received. A full hit buffer leaves some on the socket: drain, then call
            again.

        Raises:
            OSError: the socket failed.
        """
        with self._enter() as handle:
            flags = lib.AS_RECEIVE_TRUSTED if only_kernel else 0
            received = _checked(lib.as_ring_receive(handle, fd, now_ms, rounds, flags))
            while self._answer(handle):
                received += _checked(lib.as_ring_receive(handle, fd, now_ms, rounds, flags))
            return received

    def fetch_packed(self, fd: int, now_ms: int) -> bytes:
        """Receive up to datagram_slots waiting datagrams and return them packed, undecided."""
        size = self._limits.datagram_slots * (self._limits.datagram_bytes + PACKED_HEADER.size)
        out = ffi.new("uint8_t[]", size)
        with self._enter() as handle:
            if _checked(lib.as_ring_fetch(handle, fd)) == 0:
                return b""
            used = _checked(lib.as_ring_pack(handle, out, size, now_ms))
        return bytes(ffi.buffer(out, used))

    def feed(self, packed: bytes | memoryview) -> int:
        """Feed packed datagrams, with the times in their headers.

        Returns the bytes consumed: fewer if the hit buffer is full, or the rest is not a whole datagram.
        """
        with self._enter() as handle:
            buffer = ffi.from_buffer(packed)
            consumed = _checked(lib.as_ring_feed(handle, buffer, len(packed)))
            while self._answer(handle):
                consumed += _checked(lib.as_ring_feed(handle, buffer + consumed, len(packed) - consumed))
            return consumed

    def feed_text(self, text: bytes | memoryview) -> int:
        """Feed log text, split anywhere. Returns the bytes consumed: fewer if the hit buffer is full."""
        with self._enter() as handle:
            buffer = ffi.from_buffer(text)
            consumed = _checked(lib.as_ring_feed_text(handle, buffer, len(text)))
            while self._answer(handle):
                consumed += _checked(lib.as_ring_feed_text(handle, buffer + consumed, len(text) - consumed))
            return consumed

    def unread_line(self) -> bytes:
        """Return the start of the first line since the last call that was not a record; b"": none."""
        with self._enter() as handle:
            return bytes(ffi.buffer(self._out, _checked(lib.as_ring_unread_line(handle, self._out, 240))))

    def expire(self, now_ms: int) -> int:
        """Advance the clock: close events that have timed out. Returns their number."""
        expect_number("now_ms", now_ms)
        with self._enter() as handle:
            closed = _checked(lib.as_ring_expire(handle, now_ms))
            while self._answer(handle):
                closed += _checked(lib.as_ring_expire(handle, now_ms))
            return closed

    def finish(self) -> bool:
        """End the input: decide all open events. False: the hit buffer is full; drain, then call again."""
        with self._enter() as handle:
            finished = _checked(lib.as_ring_finish(handle))
            while self._answer(handle):
                finished = _checked(lib.as_ring_finish(handle))
            return finished == 1

    def drain(self) -> list[Hit]:
        """Remove and return all hits, oldest first."""
        return list(read_hits(self.drain_bytes()))

    def drain_bytes(self) -> bytes:
        """Remove and return all hits in the core's layout (`_ring.cdef.h`, as_hit)."""
        with self._enter() as handle:
            used = _checked(lib.as_ring_drain(handle, self._out, self._limits.hit_bytes))
            drained = bytes(ffi.buffer(self._out, used)) if used else b""
        self.nearly_full = used > self._limits.hit_bytes // _NEARLY_FULL
        return drained

    def drain_columns(self, wanted: Sequence[tuple[Field, ColumnForm]]) -> tuple[list[Column], bytes]:
        """Remove and return all hits as columns.

        Returns:
            The columns, none without hits; and, if one of them needs the fallback, the hits as
            `drain_bytes` returns them, to be read one by one.
        """
        with self._enter() as handle:
            if self._columns is None:  # allocated on first use
                self._columns = _Columns(self._limits.hit_bytes)
            borrowed = ffi.new("const uint8_t **")
            used = _checked(lib.as_ring_borrow(handle, borrowed))
            hits = borrowed[0]
            self.nearly_full = used > self._limits.hit_bytes // _NEARLY_FULL
            read = self._columns.read
            columns = [read(hits, used, field, form) for field, form in wanted] if used else []
            fallback = any(column.fallback for column in columns)
            return columns, bytes(ffi.buffer(hits, used)) if fallback else b""

    def stats(self) -> Stats:
        """Return the counters as they are now."""
        with self._enter() as handle:
            _checked(lib.as_ring_stats(handle, self._stats))
            known = _checked(lib.as_ring_unknown_arches(handle, self._arches, 8))
            arches = tuple((int(entry.arch), int(entry.records)) for entry in self._arches[0:known])
            return Stats(
                **{name: int(getattr(self._stats, name)) for name in COUNTERS}, unknown_arches=arches
            )

    def exception_counts(self) -> tuple[int, ...]:
        """Return the number of events that each exception excluded, in the order of the rule table."""
        out = ffi.new("uint64_t[]", self._exceptions)
        with self._enter() as handle:
            _checked(lib.as_ring_exception_counts(handle, out, self._exceptions))
        return tuple(int(count) for count in out)

    def migrate_from(self, older: Ring, rules: Sequence[int | None]) -> bool:
        """Continue from the state of another ring with this one's rules; nothing is lost or decided early.

        All counters continue except `exception_counts`. Close the other ring afterwards.

        Args:
            older: a ring with the same limits, end, actor and seed. This one must be unused.
            rules: for each rule of the older ring, its index in this one, None if it is gone. A rule that
                stays keeps its windows; a new one sees events whose SYSCALL record comes later.

        Returns:
            False: the older ring has hits; drain it, then call again.
        """
        indexes = ffi.new("uint32_t[]", [0xFFFF_FFFF if index is None else index for index in rules])
        with older._enter() as other, self._enter() as handle:
            migrated = _checked(lib.as_ring_migrate(handle, other, indexes))
            while older._answer(other):
                migrated = _checked(lib.as_ring_migrate(handle, other, indexes))
            return migrated == 1

    @property
    def remembers_processes(self) -> bool:
        """Whether a rule or a selected field needs the process table; without need it has no memory."""
        with self._enter() as handle:
            return _checked(lib.as_ring_remembers_processes(handle)) == 1

    def add_process(self, facts: ProcessFacts) -> None:
        """Add a process of this host to the process table. Values from its exec record stay."""
        with self._enter() as handle:
            _add_process(handle, facts)

    def _answer(self, handle: Any) -> bool:  # noqa: ANN401 - C's
        """Read the process that the input waits for. False: it waits for none."""
        pid = lib.as_ring_wanted_process(handle)
        if pid <= 0 or self._read_process is None:
            return False
        facts = self._read_process(pid)
        if facts is None or facts.pid != pid:
            absent = {"pid": pid, "flags": lib.AS_FACTS_ABSENT, "read_ms": time.time_ns() // 1_000_000}
            _checked(lib.as_ring_add_process(handle, ffi.new("as_process_facts *", absent)))
        else:
            _add_process(handle, facts)
        return True

    def close(self) -> None:
        """Free the memory and discard hits. A second call does nothing."""
        # Checked inside, where no other thread can close it.
        with suppress(ClosedError), self._enter() as handle:
            lib.as_ring_free(handle)
            self._handle = None

    def __repr__(self) -> str:
        state = "closed" if self._handle is None else f"{self.memory_bytes:,} bytes"
        return f"<Ring: {len(self.rules)} rules, {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: the memory belongs to one process."""
        raise TypeError("a Ring cannot be pickled or copied; send its rules and limits, and create another")

    def __del__(self) -> None:
        """Free an unclosed ring, with a warning."""
        if getattr(self, "_handle", None) is not None:
            warnings.warn("a Ring was not closed", ResourceWarning, source=self, stacklevel=1)
            lib.as_ring_free(self._handle)
            self._handle = None

    @contextmanager
    def _enter(self) -> Iterator[Any]:
        # cffi lets other threads run during a call. Only a guard on this side keeps close() out of a call
        # in progress.
        if not self._lock.acquire(blocking=False):
            raise BusyError("another thread is using this ring; create one per thread")
        try:
            if self._handle is None:
                raise ClosedError("this ring is closed")
            yield self._handle
        finally:
            self._lock.release()


# Input waits when the largest hit (hit.c) does not fit; it takes less than three quarters of the buffer.
_NEARLY_FULL = 8


def _checked(result: int) -> int:
    if result >= 0:
        return result
    if result == lib.AS_SYSTEM:
        raise OSError(ffi.errno, os.strerror(ffi.errno))
    if result == lib.AS_BUSY:
        raise BusyError("another thread is using this ring; create one per thread")
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


def _add_process(handle: Any, facts: ProcessFacts) -> None:  # noqa: ANN401 - C's
    texts = [facts.name, facts.executable, *(facts.arguments or ())]
    text = ffi.from_buffer(b"".join(text.replace(b"\0", b" ") + b"\0" for text in texts))
    flags = (
        (lib.AS_FACTS_AT_START if facts.at_start else 0)
        | (lib.AS_FACTS_ARGUMENTS if facts.arguments is not None else 0)
        | (lib.AS_FACTS_CUT if facts.cut else 0)
    )
    numbers = {name: getattr(facts, name) for name in ("pid", "parent", "start_ms", "read_ms")}
    entry = ffi.new("as_process_facts *", {**numbers, "flags": flags, "texts": text, "texts_len": len(text)})
    _checked(lib.as_ring_add_process(handle, entry))


def _hash(text: str) -> int:
    """Return a number that identifies a text, the same in every run."""
    return int.from_bytes(blake2b(text.encode(), 8), "little")


def _to_c(
    rules: RuleTable, limits: Limits, numbers: dict[str, int], actor: Iterable[Field]
) -> tuple[Any, ...]:
    """Return the table as C arrays; the list keeps them alive until the core has copied them."""
    config = ffi.new(
        "as_config *", {**numbers, **{item.name: getattr(limits, item.name) for item in fields(limits)}}
    )
    from auditsense.syscalls import ARCHES  # noqa: PLC0415 - only for a new ring

    laid_out = lay_out(rules, ARCHES.values())
    bits = sum({1 << field for field in actor})
    arrays = {name: ffi.new(f"{kind}[]", getattr(laid_out, name)) for name, kind in ARRAYS.items()}
    arrays["text"] = ffi.new("uint8_t[]", bytes(laid_out.text))
    table = ffi.new("as_rules *", {**arrays, **laid_out.counts, "actor_fields": bits})
    return config, table, list(arrays.values())


def pack(datagrams: Iterable[bytes], now_ms: int = 0) -> bytes:
    """Pack datagrams, as received from the kernel, for `Ring.feed`."""
    expect_number("now_ms", now_ms)
    return b"".join(PACKED_HEADER.pack(now_ms, len(datagram), 0) + datagram for datagram in datagrams)


def text_buffer(text: bytes | memoryview) -> memoryview:
    """Return log text as a buffer for `Ring.feed_text`.

    Raises:
        UsageError: not bytes.
    """
    try:
        return memoryview(text)
    except TypeError:
        raise UsageError(
            f"text: expected bytes, not {text!r:.60}: open the log with mode rb, or encode the text"
        ) from None
