"""What a caller gives as detections, checked before anything is made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.detections.model import Detection
from auditsense.errors import DetectionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def given(detections: Iterable[Detection] | None) -> tuple[Detection, ...]:
    """Return them as a tuple; None: the shipped ones. Raises what `several` does."""
    if detections is not None:
        return several(detections)
    from auditsense.detections.loader import shipped_detections  # noqa: PLC0415 - who has detections needs no TOML

    return tuple(shipped_detections())


def several(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """Return them as a tuple.

    Raises:
        UsageError: that is no sequence of detections.
        DetectionError: two have one id; the documents of one could not be told from those of the other.
    """
    if isinstance(detections, Detection | str):
        raise UsageError("detections are several, also when there is one: [detection]")
    found = tuple(detections)
    ids: set[str] = set()
    for one in found:
        if not isinstance(one, Detection):
            raise UsageError(f"a detection is what define(…) or load_detections(…) returns, not {one!r:.60}")
        if one.id in ids:
            raise DetectionError(f"two detections have the id {one.id!r}; give each its own")
        ids.add(one.id)
    return found
