"""What changes when a detector goes on with other detections, and what stays.

Rule: a detection is the same when its windows are: its id, what it matches, how it counts. What it says, how
      its hits merge and what it makes an exception of may differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense.core.rule_table import Rule, RuleTable
    from auditsense.detections.model import Detection, DetectionException


def going_on(
    taken: Iterable[tuple[DetectionException, int]], detections: Sequence[Detection]
) -> tuple[int, ...]:
    """Return with how many events each exception begins: with those that the same one had taken before.

    Where it stands does not matter: a line above it may have come or gone. Of two that are the same, the
    first goes on.
    """
    before: dict[DetectionException, int] = {}
    for one, count in taken:
        same = replace(one, origin="")
        before[same] = before.get(same, 0) + count
    return tuple(
        before.pop(replace(one, origin=""), 0) for detection in detections for one in detection.exceptions
    )


def places(
    before: Sequence[Detection], old: RuleTable, after: Sequence[Detection], new: RuleTable
) -> list[int | None]:
    """Return for each of the detections before where it is now, None for one that is gone or another.

    Args:
        before: the detections.
        old: the rules they were compiled to.
        after: the detections of now.
        new: their rules.
    """
    now = {one.id: (place, _windows(rule)) for place, (one, rule) in enumerate(zip(after, new, strict=True))}
    found: list[int | None] = []
    for one, rule in zip(before, old, strict=True):
        place, windows = now.get(one.id, (None, None))
        found.append(place if windows == _windows(rule) else None)
    return found


def _windows(rule: Rule) -> Rule:
    return replace(rule, merge_ms=0, exceptions=())
