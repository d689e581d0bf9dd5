"""Coverage of a detection in each mapping: it can match fully, in part, or never.

A detection that compiles may still never match: an integration can lack the fields that it compares. This is
decided by the compiler, which folds what each class of events fixes; nothing is guessed here.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense.detections.compiler import compile_all
from auditsense.detections.dead_parts import dead_parts
from auditsense.detections.event_fields import NATIVE_FIELDS
from auditsense.detections.event_table import EventMapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detections.model import Detection


class Reach(enum.StrEnum):
    """Share of a detection that can match."""

    FULL = "runs"
    PARTIAL = "limits"
    """It runs, but some comparisons are always decided the same way."""
    NONE = "never"
    """No event can complete it."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """Reach of a detection in one mapping.

    Attributes:
        reach: of it.
        reasons: why it is not full; one sentence each.
    """

    reach: Reach
    reasons: tuple[str, ...] = ()


_LIMITED: Final = {
    "process.entry_leader.": "process.entry_leader is known as far as the table of processes reaches",
    "user.name": "user.name is that of this host's accounts",
    "related.user": "related.user has the names of this host's accounts",
}


def coverages_of(detections: Sequence[Detection], mapping: EventMapping) -> list[Coverage]:
    """Return the reach of each detection.

    Raises:
        DetectionError: they do not compile together.
    """
    table = compile_all(detections, merge_ms=0, mapping=mapping)
    reached: list[set[int]] = [set() for _ in detections]
    for entry in table.filters():
        if not entry.until:
            reached[entry.rule] |= {*range(entry.first_stage, entry.first_stage + entry.stages)}
    return [
        _coverage(_reasons(detection, mapping), completable=stages.issuperset(range(rule.stages)))
        for detection, stages, rule in zip(detections, reached, table.rules, strict=True)
    ]


def _coverage(reasons: tuple[str, ...], *, completable: bool) -> Coverage:
    if not completable:
        return Coverage(Reach.NONE, reasons or ("no event has the words that it compares",))
    return Coverage(Reach.PARTIAL if reasons else Reach.FULL, reasons)


def _reasons(detection: Detection, mapping: EventMapping) -> tuple[str, ...]:
    fields = detection.compared_fields | detection.key_fields
    reasons: list[str] = []
    if mapping is EventMapping.AUDITD_MANAGER and (absent := sorted(fields & NATIVE_FIELDS.keys())):
        reasons.append(f"{mapping} has no {', '.join(absent)}")
    for prefix, reason in _LIMITED.items():
        if any(field.startswith(prefix) for field in fields - (NATIVE_FIELDS.keys() if reasons else set())):
            reasons.append(reason)
    if detection.query is not None:
        reasons += dead_parts(detection.query)
    return tuple(reasons)
