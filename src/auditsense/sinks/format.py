"""Documents as lines of text.

In a compact line no value can be read as two: what a process may have chosen is quoted (`_escape`).
"""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING

from auditsense._escape import printable, quoted, title
from auditsense.sinks.fields import look_up

if TYPE_CHECKING:
    from auditsense.detect.ecs import Document

__all__ = ["Format", "compact", "jsonl", "printable"]


class Format(enum.StrEnum):
    """How a document is written."""

    JSONL = "jsonl"
    """One JSON object a line."""
    COMPACT = "compact"
    """One line a person can read."""


def jsonl(document: Document) -> str:
    """Return a document as one line of JSON, ASCII only."""
    return json.dumps(document, separators=(",", ":"))


def _word(document: Document, name: str) -> str:
    value = look_up(document, name)
    return "?" if value in (None, "") else quoted(str(value))


def _seconds(events: list[str]) -> str:
    first, last = (events[i].partition(":")[0] for i in (0, -1))
    # Stamps are SECONDS.MILLIS: whole milliseconds again, so that nothing is rounded.
    span_ms = int(last.replace(".", "")) - int(first.replace(".", ""))
    return f"{span_ms / 1000:.1f} s"


def _who(document: Document) -> str:
    return (
        f"{_word(document, 'process.name')}[{_word(document, 'process.pid')}]"
        f" {_word(document, 'process.executable')}"
        f" user {_word(document, 'user.id')} parent {_word(document, 'process.parent.pid')}"
    )


def _lost(document: Document) -> str:
    """Say what was lost as far as it concerns this alert; the rest has documents of its own."""
    lost = look_up(document, "auditsense.lost")
    if not lost:
        return ""
    total = look_up(document, "auditsense.lost_total")
    if total is None:  # of a replay: nobody knows when it was lost
        return f", {lost} records or events lost so far"
    return f", {lost} records or events lost meanwhile, {total} since the start"


def _headline(document: Document, state: str) -> str:
    name = look_up(document, "rule.name")
    return f"{state} {_word(document, 'auditsense.severity')} {title(str(name)) if name else '?'}:"


def _what(document: Document) -> str:
    """Return all of a line but its time."""
    kind = _word(document, "event.kind")
    message = look_up(document, "message")
    if message is not None:  # the sensor about itself: no process stands behind it
        return f"{_headline(document, kind)} {message}"
    path = _word(document, "file.path") if look_up(document, "file.path") else ""
    if kind == "event":
        call = f"{_word(document, 'auditd.data.syscall')} {path}".rstrip()
        return f"event {call} {_word(document, 'event.outcome')}: {_who(document)}"
    state = _word(document, "auditsense.state")
    count = _word(document, "auditsense.count")
    events = look_up(document, "auditsense.events")
    whole = state == "closed" or not events or int(count) > len(events)  # more than the window it names
    window = f"{count} in all" if whole else f"{count} in {_seconds(events)}"
    call = f"{_word(document, 'event.action')} {path}".rstrip()
    return f"{_headline(document, state)} {_who(document)}, {call} {window}{_lost(document)}"


def compact(document: Document) -> str:
    """Return a document as one readable line, whichever the sensor made."""
    time = str(look_up(document, "@timestamp") or "?").replace("T", " ").rstrip("Z")
    return printable(f"{time} {_what(document)}")
