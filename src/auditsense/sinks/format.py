"""Formats of documents: lines of JSON, and compact lines for people (`detect.compact_line`)."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING

from auditsense._escape import printable
from auditsense.detect.compact_line import COLUMNS, compact, compact_text, plain

if TYPE_CHECKING:
    from auditsense.detect.document_types import Document

__all__ = ["COLUMNS", "Format", "compact", "compact_text", "jsonl", "plain", "printable"]


class Format(enum.StrEnum):
    """Format of written documents."""

    JSONL = "jsonl"
    """One JSON object per line."""
    COMPACT = "compact"
    """One readable line per document."""


def jsonl(document: Document) -> str:
    """Return a document as one line of JSON, ASCII only."""
    return json.dumps(document, separators=(",", ":"))
