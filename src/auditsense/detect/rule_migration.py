"""Mapping of detections and exceptions to those that replace them.

Rule: a detection is the same if its id, its matches and its windows are. Its texts, its exceptions and the
      merging of its hits may differ.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense.core.rule_table import Filter, Rule, RuleTable
    from auditsense.detections.model import Detection, DetectionException


def carried_counts(
    excepted: Iterable[tuple[DetectionException, int]], detections: Sequence[Detection]
) -> tuple[int, ...]:
    """Return the initial event count of each exception: that of the same exception before.

    Its origin does not matter: a line above it may have been added or removed. Of two equal exceptions the
    first one gets the count.
    """
    before: dict[DetectionException, int] = {}
    for exception, count in excepted:
        same = replace(exception, origin="")
        before[same] = before.get(same, 0) + count
    return tuple(
        before.pop(replace(exception, origin=""), 0)
        for detection in detections
        for exception in detection.exceptions
    )


def new_indexes(
    before: Sequence[Detection], old: RuleTable, after: Sequence[Detection], new: RuleTable
) -> list[int | None]:
    """Return the new index of each earlier detection; None if it was removed or has changed.

    Args:
        before: the detections.
        old: their rules.
        after: those that replace them.
        new: their rules.
    """
    now = {
        detection.id: (index, windows)
        for index, (detection, windows) in enumerate(zip(after, _windows(new), strict=True))
    }
    indexes: list[int | None] = []
    for detection, windows in zip(before, _windows(old), strict=True):
        index, same = now.get(detection.id, (None, None))
        indexes.append(index if same == windows else None)
    return indexes


def _windows(table: RuleTable) -> list[tuple[Rule, set[tuple[object, Filter]]]]:
    """Return what the windows of each rule depend on."""
    rules = [replace(rule, merge_ms=0, exceptions=()) for rule in table.rules]
    return list(zip(rules, table.selections(), strict=True))
