"""What a caller gives as detections, checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable

from auditsense.detections.model import Detection
from auditsense.errors import DetectionError, UsageError


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
    if isinstance(detections, Detection):
        raise UsageError("expected a list of detections, got one: pass [detection]")
    if isinstance(detections, str | bytes) or not isinstance(detections, Iterable):
        raise UsageError(
            f"expected a list of detections, not {detections!r:.50}: pass load_detections(…) or [define(…)]"
        )
    checked = tuple(detections)
    ids: set[str] = set()
    for detection in checked:
        if not isinstance(detection, Detection):
            raise UsageError(
                f"expected a detection, as define(…) and load_detections(…) return, not {detection!r:.60}"
            )
        if detection.id in ids:
            raise DetectionError(f"two detections have the id {detection.id!r}: give each a different one")
        ids.add(detection.id)
    return checked
