"""Unknown fields: those of processes that a detection compares and that the sensor does not know.

A condition on an absent field is false, so its negation is true: an exclusion by the parent does not exclude
an event whose parent is unknown. The alert tells which fields these are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from auditsense.core.rule_table import Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditsense.core.hit import Hit
    from auditsense.core.rule_table import RuleTable

# As as_hit.unknown: from PARENT_NAME on a bit each, then as_unknown.
_NAME_BIT: Final = 1 << 14
_ARGUMENTS_BIT: Final = 1 << 15
_BITS: Final[dict[Field, int]] = {
    **{
        field: 1 << (field - Field.PARENT_NAME)
        for field in Field
        if Field.PARENT_NAME <= field <= Field.LEADER_TYPE
    },
    Field.COMM: _NAME_BIT,
    Field.ARGS: _ARGUMENTS_BIT,
    Field.COMMAND_LINE: _ARGUMENTS_BIT,
}
_NAMES: Final = {
    Field.PARENT_NAME: "process.parent.name",
    Field.PARENT_EXECUTABLE: "process.parent.executable",
    Field.PARENT_ARGS: "process.parent.args",
    Field.PARENT_COMMAND_LINE: "process.parent.command_line",
    Field.PARENT_ENTITY_ID: "process.parent.entity_id",
    Field.ENTITY_ID: "process.entity_id",
    Field.LEADER_EXECUTABLE: "process.entry_leader.executable",
    Field.LEADER_ARGS: "process.entry_leader.args",
    Field.LEADER_TYPE: "process.entry_leader.entry_meta.type",
    Field.COMM: "process.name",
    Field.ARGS: "process.args",
}


def masks_of(table: RuleTable) -> tuple[int, ...]:
    """Return for each rule the bits of `Hit.unknown` that are about fields it reads."""
    masks = [0] * len(table.rules)
    for filter_ in table.filters():
        fields = {node.predicate.field for node in filter_.program}.union(filter_.keys)
        masks[filter_.rule] |= _bits(fields)
    return tuple(masks)


def _bits(fields: Iterable[Field]) -> int:
    bits = 0
    for field in fields:
        bits |= _BITS.get(field, 0)
    return bits


def of_own_rule(hits: Iterable[Hit], masks: Sequence[int]) -> Iterator[Hit]:
    """Yield the hits, each without fields that only other rules compare."""
    for hit in hits:
        yield replace(hit, unknown=hit.unknown & masks[hit.rule]) if hit.unknown else hit


def unknown_names(hit: Hit) -> list[str]:
    """Return the names of the compared fields that are unknown."""
    return [name for field, name in _NAMES.items() if hit.unknown & _BITS[field]]
