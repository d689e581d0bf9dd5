"""The newest record and the newest alert of a sensor, for its status."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from auditsense.detect.ecs import ALERT_DATASET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detect.document_types import Document


class SentAlert(NamedTuple):
    """An alert or a sequence, and when the sensor returned it, in ms since 1970 UTC."""

    ms: int
    document: Document


class Activity:
    """Updated by the sensor. Two assignments a batch, whatever the load."""

    def __init__(self) -> None:
        self.last_record_ms: int | None = None
        """When the newest input was read, ms since 1970 UTC; None: none yet."""
        self.last_alert: SentAlert | None = None
        """The newest alert, or sequence; None: none yet. No document of the sensor about itself."""

    def add_alerts(self, documents: Sequence[Document], ms: int) -> None:
        """Keep the newest alert among documents that the sensor returns at *ms*."""
        for document in reversed(documents):
            if document["event"]["dataset"] == ALERT_DATASET:
                self.last_alert = SentAlert(ms, document)
                return
