"""Formats of documents: lines of JSON, and compact lines for people.

A compact line quotes values that a process may have chosen, so that one value cannot look like two
(`_escape`).
"""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING

from auditsense._escape import printable, quoted, title
from auditsense.sinks.fields import look_up

if TYPE_CHECKING:
    from auditsense.detect.document_types import Document

__all__ = ["Format", "compact", "jsonl", "printable"]


class Format(enum.StrEnum):
    """Format of written documents."""

    JSONL = "jsonl"
    """One JSON object per line."""
    COMPACT = "compact"
    """One readable line per document."""


def jsonl(document: Document) -> str:
    """Return a document as one line of JSON, ASCII only."""
    return json.dumps(document, separators=(",", ":"))


def _word(document: Document, name: str) -> str:
    value = look_up(document, name)
    return "?" if value in (None, "") else quoted(str(value))


def _seconds(events: list[str]) -> str:
    first, last = (events[i].partition(":")[0] for i in (0, -1))
    # Stamps are SECONDS.MILLIS; integers avoid rounding.
    span_ms = int(last.replace(".", "")) - int(first.replace(".", ""))
    return f"{span_ms / 1000:.1f} s"


def _actor(document: Document) -> str:
    return (
        f"{_word(document, 'process.name')}[{_word(document, 'process.pid')}]"
        f" {_word(document, 'process.executable')}"
        f" user {_word(document, 'user.id')} parent {_word(document, 'process.parent.pid')}"
    )


def _lost(document: Document) -> str:
    """Return the losses that may affect this alert; separate documents report all losses."""
    lost = look_up(document, "auditsense.lost")
    if not lost:
        return ""
    total = look_up(document, "auditsense.lost_total")
    if total is None:  # of a replay, which does not know the time of a loss
        return f", {lost} records or events lost so far"
    return f", {lost} records or events lost in that time, {total} since the start"


def _headline(document: Document, state: str) -> str:
    name = look_up(document, "rule.name")
    return f"{state} {_word(document, 'auditsense.severity')} {title(str(name)) if name else '?'}:"


def _text(document: Document) -> str:
    """Return a compact line without its time."""
    kind = _word(document, "event.kind")
    message = look_up(document, "message")
    if message is not None:  # a notice about the sensor itself
        return f"{_headline(document, kind)} {message}"
    path = _word(document, "file.path") if look_up(document, "file.path") else ""
    if kind == "event":
        call = f"{_word(document, 'auditd.data.syscall')} {path}".rstrip()
        return f"event {call} {_word(document, 'event.outcome')}: {_actor(document)}"
    state = _word(document, "auditsense.state")
    count = _word(document, "auditsense.count")
    events = look_up(document, "auditsense.events")
    is_total = state == "closed" or not events or int(count) > len(events)  # more than the listed window
    window = f"{count} in all" if is_total else f"{count} in {_seconds(events)}"
    call = f"{_word(document, 'event.action')} {path}".rstrip()
    return f"{_headline(document, state)} {_actor(document)}, {call} {window}{_lost(document)}"


def compact(document: Document) -> str:
    """Return any document of the sensor as one readable line."""
    time = str(look_up(document, "@timestamp") or "?").replace("T", " ").rstrip("Z")
    return printable(f"{time} {_text(document)}")
