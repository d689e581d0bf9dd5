"""A hit as Python sees it: the value that crosses from the core."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.rule_table import Field

if TYPE_CHECKING:
    from collections.abc import Iterator

# as_hit, as_event_id and as_hit_field of _ring.cdef.h, in the machine's own byte order.
_HIT = struct.Struct("=IIIIQQ")
_ID = struct.Struct("=QII")
_FIELDS = struct.Struct(f"={2 * len(Field)}I")
_LONGEST_NUMBER = len(str(-(2**63)))  # a log may hold anything, and Python refuses to read 4,301 digits


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
    """A completed window.

    Attributes:
        rule: index of the rule in the rule table.
        ids: the events of the window, oldest first.
        values: the decoded fields of the event that completed it, indexed by `Field`; None: absent.
        more: further windows of the same key that completed before this hit was drained.
        last_ms: stamp of the newest of them, or of this hit's own last event.
    """

    rule: int
    ids: tuple[EventId, ...]
    values: tuple[bytes | None, ...]
    more: int
    last_ms: int

    def text(self, field: Field) -> str | None:
        """Return a field as text, undecodable bytes as hex escapes; None: absent."""
        value = self.values[field]
        return None if value is None else value.decode("utf-8", "backslashreplace")

    def number(self, field: Field) -> int | None:
        """Return a field that the kernel prints in decimal as a number; None: absent or no number."""
        value = self.values[field]
        if value is None or len(value) > _LONGEST_NUMBER or not value.removeprefix(b"-").isdigit():
            return None
        return int(value)


def unpack(drained: bytes) -> Iterator[Hit]:
    """Read the hits that lie one after another in the bytes that the core handed out."""
    at = 0
    while at < len(drained):
        size, rule, count, _, more, last_ms = _HIT.unpack_from(drained, at)
        ids_at = at + _HIT.size
        fields_at = ids_at + count * _ID.size
        ids = [EventId(ms, serial) for ms, serial, _ in _ID.iter_unpack(drained[ids_at:fields_at])]
        places = _FIELDS.unpack_from(drained, fields_at)
        values = [
            drained[at + start : at + start + length] if start else None
            for start, length in zip(places[::2], places[1::2], strict=True)
        ]
        yield Hit(rule, tuple(ids), tuple(values), more, last_ms)
        at += size
