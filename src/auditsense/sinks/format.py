"""Documents as lines of text."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auditsense.documents import Document


class Format(enum.StrEnum):
    """How a document is written."""

    JSONL = "jsonl"
    """One JSON object a line."""
    COMPACT = "compact"
    """One line a person can read."""


def jsonl(document: Document) -> str:
    """Return a document as one line of JSON, ASCII only."""
    return json.dumps(document, separators=(",", ":"))


def _get(document: Document, name: str) -> Any:  # noqa: ANN401 - a document holds what it holds
    value: Any = document
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def printable(text: str) -> str:
    """Return text that cannot steer a terminal: control characters are escaped."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _seconds(document: Document) -> str:
    first, last = (_get(document, "auditsense.events")[i].partition(":")[0] for i in (0, -1))
    # Stamps are SECONDS.MILLIS: whole milliseconds again, so that nothing is rounded.
    span_ms = int(last.replace(".", "")) - int(first.replace(".", ""))
    return f"{span_ms / 1000:.1f} s"


def compact(document: Document) -> str:
    """Return a document as one readable line."""
    name = _get(document, "process.name") or "?"
    who = (
        f"{name}[{_get(document, 'process.pid')}] {_get(document, 'process.executable') or '?'}"
        f" user {_get(document, 'user.id')} parent {_get(document, 'process.parent.pid')}"
    )
    time = str(document["@timestamp"]).replace("T", " ").rstrip("Z")
    if _get(document, "event.kind") == "event":
        what = f"{_get(document, 'auditd.data.syscall')} {_get(document, 'file.path') or ''}"
        return printable(f"{time} event {what.rstrip()} {_get(document, 'event.outcome')}: {who}")
    count = _get(document, "auditsense.count")
    state = _get(document, "auditsense.state")
    lost = _get(document, "auditsense.lost")
    window = f"{count} in all" if state == "closed" else f"{count} in {_seconds(document)}"
    what = f"{_get(document, 'event.action')} {_get(document, 'file.path')}"
    return printable(
        f"{time} {state} {_get(document, 'auditsense.severity')} "
        f"{_get(document, 'rule.name')}: {who}, {what} {window}"
        + (f", {lost} records lost so far" if lost else "")
    )
