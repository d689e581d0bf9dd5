"""Completions of queries: as the sensor counts them, and as the model does."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from auditsense import Detector
from auditsense.detections.event_table import EventMapping
from auditsense.replay.replay import LIMITS, ORDER
from tests.support.audit_events import AuditEvent, Fields, Process, fields_of, learn, records_of
from tests.support.eql_model import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.detections.model import Detection

_DAY_MS: Final = 86_400_000
_FIRST_PID: Final = 1000


def apart(cases: Sequence[Sequence[AuditEvent]]) -> list[list[AuditEvent]]:
    """Return cases with other processes, and a day between them, so that none remembers another.

    Process ids below 1,000 stay; others must be less than ten apart in a case.
    """
    return [[_moved(event, number) for event in case] for number, case in enumerate(cases)]


def _moved(event: AuditEvent, number: int) -> AuditEvent:
    pid, ppid = (one + 10 * number if one >= _FIRST_PID else one for one in (event.pid, event.ppid))
    ms = event.ms + number * _DAY_MS
    return replace(event, ms=ms, serial=event.serial + number * 1000, pid=pid, ppid=ppid)


def sensor_counts(
    detections: Sequence[Detection], cases: Sequence[Sequence[AuditEvent]], mapping: EventMapping
) -> Iterator[Counter[str]]:
    """Yield for each case how often each detection was completed, by its id."""
    with Detector(detections, sequences=True, limits=LIMITS, order=ORDER, mapping=mapping) as detector:
        for case in cases:
            text = "".join(f"{line}\n" for event in case for line in records_of(event))
            documents = detector.feed_text(text.encode()) + detector.flush()
            yield Counter(document["rule"]["id"] for document in documents)


def model_fields(case: Sequence[AuditEvent], mapping: EventMapping) -> list[tuple[int, Fields]]:
    """Return the stamp and the fields of each event of a case, in their order."""
    native = mapping is EventMapping.NATIVE
    processes: dict[int, Process] = {}
    fields = []
    for event in sorted(case, key=lambda event: (event.ms, event.serial)):
        learn(event, processes)
        fields.append((event.ms, fields_of(event, processes, native=native)))
    return fields


def model_counts(
    detections: Sequence[Detection], case: Sequence[AuditEvent], mapping: EventMapping
) -> Counter[str]:
    """Return how often each detection is completed by a case, by its id."""
    fields = model_fields(case, mapping)
    counts = {
        detection.id: count(detection.query, fields)
        for detection in detections
        if detection.query is not None
    }
    return Counter({name: number for name, number in counts.items() if number})
