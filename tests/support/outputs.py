"""Readers of each kind of output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from auditsense import Detector, Event, EventReader, View

if TYPE_CHECKING:
    from auditsense import Document
    from auditsense.detect.record_reader import RecordReader


def reader_of(view: View, **options: Any) -> RecordReader[Any]:  # noqa: ANN401 - those of the reader
    """Return the reader that gives what *view* names."""
    if view is View.EVENTS:
        options.pop("policy", None)
        return EventReader(**options)
    return Detector(sequences=view is View.SEQUENCES, **options)


def as_documents(results: list[Any]) -> list[Document]:
    """Return what a reader returned as documents."""
    return [result.document() if isinstance(result, Event) else result for result in results]


def fake_document(**fields: object) -> Document:
    """Return an object that is no real document, for sinks, which write any."""
    return cast("Document", fields)
