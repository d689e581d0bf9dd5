"""Hits and columns of the core as Python values."""

from __future__ import annotations

import enum
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from auditsense.core.rule_table import Field

if TYPE_CHECKING:
    from collections.abc import Iterator

# as_hit, as_event_id and as_hit_field of _ring.cdef.h, in the machine's own byte order.
_HIT = struct.Struct("=IIIIQQIIII")
_ID = struct.Struct("=QIHH")
_PLACE = struct.Struct("=II")
_KEPT = struct.Struct("<BBH")  # of as_hit.members
HIT_BYTES = _HIT.size
ID_BYTES = _ID.size
PLACE_BYTES = _PLACE.size
_ARGS_CUT = 1  # AS_EVENT_ARGS_CUT
_LONGEST_NUMBER = len(str(-(2**63)))  # Python refuses to convert 4,301 digits, which a log may hold


@dataclass(frozen=True, slots=True, order=True)
class EventId:
    """An event's stamp in ms since 1970 UTC and its serial, as the kernel printed them."""

    ms: int
    serial: int

    def __str__(self) -> str:
        """Return the kernel's own form, SECONDS.MILLIS:SERIAL."""
        return f"{self.ms // 1000}.{self.ms % 1000:03}:{self.serial}"


@dataclass(frozen=True, slots=True)
class Hit:
    """A completed window. Its parts are read from the core's bytes on access.

    Attributes:
        rule: index of the rule in the rule table.
        more: further windows of the same key and actor that completed before this hit was drained.
        last_ms: stamp of the newest of them, or of this hit's own last event.
        count: events of the window, 1 or more.
        others: of these, events of another actor than the event that the fields come from (`Ring`).
        unknown: bits of the unknown process fields of the last event that rules compare (as_hit.unknown).
        members_at: where the fields of the earlier events of a sequence or sample are; 0: nowhere.
        rest: ids, fields and text in the core's layout, after `as_hit`.
    """

    rule: int
    more: int
    last_ms: int
    count: int
    others: int
    unknown: int
    members_at: int
    rest: bytes

    def __repr__(self) -> str:
        counts = f"more={self.more}, last_ms={self.last_ms}, count={self.count}, others={self.others}"
        return f"Hit(rule={self.rule}, {counts})"

    @property
    def ids(self) -> tuple[EventId, ...]:
        """The events of the window, oldest first."""
        ids = self.rest[: self.count * _ID.size]
        return tuple(EventId(ms, serial) for ms, serial, _, _ in _ID.iter_unpack(ids))

    @property
    def members(self) -> tuple[dict[Field, bytes], ...]:
        """The fields of the earlier events of a sequence or sample, in the order of `ids`; else empty.

        About 480 bytes are kept of each event: fields that do not fit are absent, and one may be cut. A list
        is joined with NUL.
        """
        if not self.members_at:
            return ()
        start = self.members_at - _HIT.size
        places = self.rest[start : start + (self.count - 1) * _PLACE.size]
        return tuple(
            _member(self.rest[at - _HIT.size : at - _HIT.size + length])
            for at, length in _PLACE.iter_unpack(places)
        )

    @property
    def ms(self) -> int:
        """The stamp of the event that completed the window."""
        ms: int = _ID.unpack_from(self.rest, (self.count - 1) * _ID.size)[0]
        return ms

    @property
    def values(self) -> tuple[bytes | None, ...]:
        """All fields, indexed by `Field`; see `value`."""
        return tuple(self.value(field) for field in Field)

    def value(self, field: Field) -> bytes | None:
        """Return a field of the event that completed the window, decoded; None: absent."""
        at, length = _PLACE.unpack_from(self.rest, self.count * _ID.size + field * _PLACE.size)
        if not at:
            return None
        start = at - _HIT.size
        return self.rest[start : start + length]

    def text(self, field: Field) -> str | None:
        """Return a field as text; None: absent.

        Undecodable bytes become hex escapes; in PROCTITLE, NULs become blanks.
        """
        value = self.value(field)
        if value is None:
            return None
        text = value.decode("utf-8", "backslashreplace")
        return text.replace("\0", " ") if field is Field.PROCTITLE else text

    def list(self, field: Field) -> list[str] | None:
        """Return the values of a list field as texts; None: absent."""
        value = self.value(field)
        return None if value is None else value.decode("utf-8", "backslashreplace").split("\0")

    @property
    def record_type(self) -> int:
        """The type of the first record of the event that completed the window; 1500: AVC of AppArmor."""
        record_type: int = _ID.unpack_from(self.rest, (self.count - 1) * _ID.size)[2]
        return record_type

    @property
    def args_cut(self) -> bool:
        """Whether `Field.ARGS` is not complete."""
        flags: int = _ID.unpack_from(self.rest, (self.count - 1) * _ID.size)[3]
        return flags & _ARGS_CUT != 0

    def number(self, field: Field) -> int | None:
        """Return a field that the kernel prints in decimal as a number; None: absent or not a number."""
        value = self.value(field)
        if value is None or len(value) > _LONGEST_NUMBER or not value.removeprefix(b"-").isdigit():
            return None
        return int(value)


def _member(kept: bytes) -> dict[Field, bytes]:
    fields: dict[Field, bytes] = {}
    at = 0
    while at < len(kept):
        number, _, length = _KEPT.unpack_from(kept, at)
        at += _KEPT.size
        fields[Field(number)] = kept[at : at + length]
        at += length
    return fields


class ColumnForm(enum.IntEnum):
    """Form of a column's values: as_column_form of `_ring.cdef.h`, texts before numbers."""

    TEXT = 0
    DICT = 1
    """Dictionary-encoded, for values that repeat."""
    ARGUMENTS = 2
    """The arguments of all titles, one after another."""
    NUMBER = 3
    """A field that is printed in decimal."""
    MS = 4
    """The stamp, regardless of the field."""
    SERIAL = 5
    ARGUMENT_COUNTS = 6
    """Number of arguments of each title; None: no arguments, while ARGUMENTS holds one empty text."""


class Column(NamedTuple):
    """One field of many hits."""

    values: list[Any]
    """A text or a number each; None where it is absent."""
    fallback: bool = False
    """Whether to read the hits one by one: a text holds a NUL, or a number is not in kernel form."""
    dictionary: list[str | None] | None = None
    """The distinct values, if there are few. The first is always None, for rows without the field."""
    codes: bytes = b""
    """Index into `dictionary` for each row."""


def read_hits(drained: bytes) -> Iterator[Hit]:
    """Read the hits in the bytes that the core returned."""
    at = 0
    while at < len(drained):
        size, rule, count, others, more, last_ms, _, unknown, members, _ = _HIT.unpack_from(drained, at)
        yield Hit(rule, more, last_ms, count, others, unknown, members, drained[at + _HIT.size : at + size])
        at += size


def partition_hits(drained: bytes, rule: int) -> tuple[bytes, bytes]:
    """Separate the hits of one rule from the bytes that the core returned. Returns the others, and them."""
    others: list[bytes] = []
    hits: list[bytes] = []
    offset = 0
    while offset < len(drained):
        size, hit_rule = _HIT.unpack_from(drained, offset)[:2]
        (hits if hit_rule == rule else others).append(drained[offset : offset + size])
        offset += size
    return (b"".join(others) if hits else drained), b"".join(hits)
