"""A rule table as C source, for a program that embeds the core without Python (docs/c.md)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.core.rule_table import (
    ACTOR,
    ARRAYS,
    FALSE,
    NO_CALL_CLASS,
    NO_END,
    TRUE,
    Field,
    Op,
    RuleKind,
    lay_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from auditsense.core.rule_table import RuleTable

_HEAD = """/* Made by `auditsense detections compile`: {ids}. Do not edit; compile again. */
#ifndef AUDITSENSE_DETECTIONS_H
#define AUDITSENSE_DETECTIONS_H

#include <auditsense.h>

/* By as_hit.rule. */
static const char *const as_detection_ids[] = {{{names}}};
"""
_TAIL = """
/* as_ring_new copies it all. */
static inline as_rules as_detections(void) {{
    as_rules table = {{0}};
{members}
    return table;
}}

#endif
"""
_BYTES_A_LINE = 16
# Also when 0.
_ALWAYS_WRITTEN = {"field", "op", "len", "number", "count", "predicate", "class_index", "filters", "start"}
_LARGE = {"number", "mask", "until_ms"}
_ENDS = {TRUE: "AS_NODE_TRUE", FALSE: "AS_NODE_FALSE"}


def _place(value: int) -> str:
    return _ENDS.get(value, str(value))


_NAMES: Final[dict[str, Callable[[int], str]]] = {
    "field": lambda value: f"AS_FIELD_{Field(value).name}",
    "op": lambda value: f"AS_OP_{Op(value).name}",
    "kind": lambda value: f"AS_RULE_{RuleKind(value).name}",
    "arch": hex,
    "start": _place,
    "yes": _place,
    "no": _place,
    "call_class": lambda value: "AS_CLASS_NONE" if value == NO_CALL_CLASS else str(value),
}
"""Members that are not written as plain numbers."""


def _c_value(name: str, value: int | list[int]) -> str:
    """Return a member's value in C: fields and operations by name, masks in hex."""
    if isinstance(value, list):
        return "{" + ", ".join(f"AS_FIELD_{Field(field).name}" for field in value) + "}"
    if name in _NAMES:
        return _NAMES[name](value)
    if name in _LARGE:
        return "UINT64_MAX" if value == NO_END else f"UINT64_C({value:#x})"
    return str(value)


def _array(kind: str, array: str, rows: Sequence[Mapping[str, int | list[int]] | int]) -> str:
    if not rows:
        return ""
    lines = []
    for row in rows:
        if isinstance(row, int):
            lines.append(f"    {row},\n")
            continue
        written = {name: value for name, value in row.items() if value or name in _ALWAYS_WRITTEN}
        members = ", ".join(f".{name} = {_c_value(name, value)}" for name, value in written.items())
        lines.append(f"    {{{members}}},\n")
    return f"\nstatic const {kind} {array}[] = {{\n{''.join(lines)}}};\n"


def as_c(rules: RuleTable, ids: Sequence[str]) -> str:
    """Return a header in C11 of these rules, with the actors that a `Detector` tells apart.

    Args:
        rules: the compiled detections.
        ids: of the detections, in the same order; the header has them as names of hits.
    """
    layout = lay_out(rules, syscalls.ARCHES.values())
    # Ids come from files and must not end the comment or the string.
    plain = [re.sub(r"[^\w.-]", "_", id_, flags=re.ASCII) for id_ in ids]
    parts = [
        _HEAD.format(
            ids=", ".join(plain),
            names=", ".join(f'"{id_}"' for id_ in plain),
        )
    ]
    members = []
    for name, kind in ARRAYS.items():
        rows: Sequence[Mapping[str, int | list[int]] | int] = getattr(layout, name)
        if name == "arches":
            continue
        parts.append(_array(kind, f"as_detection_{name}", rows))
        if rows:
            members.append(f"    table.{name} = as_detection_{name};")
    if layout.text:
        chunks = [layout.text[at : at + _BYTES_A_LINE] for at in range(0, len(layout.text), _BYTES_A_LINE)]
        lines = "".join(f"    {', '.join(str(byte) for byte in chunk)},\n" for chunk in chunks)
        parts.append(f"\nstatic const uint8_t as_detection_text[] = {{\n{lines}}};\n")
        members.append("    table.text = as_detection_text;")
    arches = "".join(f"    {arch:#x},\n" for arch in layout.arches)
    parts.append(
        f"\n/* Whose calls are known. */\nstatic const uint32_t as_detection_arches[] = {{\n{arches}}};\n"
    )
    members.append("    table.arches = as_detection_arches;")
    members += [f"    table.{name} = {count};" for name, count in layout.counts.items()]
    members += [f"    table.actor_fields |= UINT64_C(1) << AS_FIELD_{field.name};" for field in ACTOR]
    parts.append(_TAIL.format(members="\n".join(members)))
    return "".join(parts)
