"""What changes when a detector goes on with other detections, and what stays.

Rule: a detection is the same when its windows are: its id, what it matches, how it counts. What it says, how
      its hits merge and what it makes an exception of may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.value import changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detections.model import Detection
    from auditsense.rule_table import Rule, RuleTable


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
    return changed(rule, merge_ms=0, exceptions=())
