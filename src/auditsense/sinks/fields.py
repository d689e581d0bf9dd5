"""Searchable fields and priority of a document, for journald and syslog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.detect.compact_line import look_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense.detect.document_types import Document

# RFC 5424, 6.2.1; journald's PRIORITY has the same numbers.
_CRITICAL, _ERROR, _WARNING, _NOTICE, _INFORMATIONAL = 2, 3, 4, 5, 6
_PRIORITIES = {"low": _NOTICE, "medium": _WARNING, "high": _ERROR, "critical": _CRITICAL}

NAMES = (
    "event.kind",
    "event.dataset",
    "event.action",
    "event.outcome",
    "rule.id",
    "rule.name",
    "process.pid",
    "process.name",
    "process.executable",
    "process.parent.pid",
    "user.id",
    "user.audit.id",
    "file.path",
    "auditsense.state",
    "auditsense.severity",
    "auditsense.count",
    "auditsense.lost",
)
"""Fields by which documents are searched."""


def priority(document: Document) -> int:
    """Return the severity as syslog numbers it: 2 (critical) to 6 (informational, for events)."""
    return _PRIORITIES.get(str(look_up(document, "auditsense.severity")), _INFORMATIONAL)


def named_fields(document: Document) -> Iterator[tuple[str, str]]:
    """Yield those of `NAMES` that the document has, as text."""
    for name in NAMES:
        value = look_up(document, name)
        if value not in (None, ""):
            yield name, str(value)
