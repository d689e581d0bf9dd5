"""Formats of documents: lines of JSON, and compact lines for people (`detect.compact_line`)."""

from __future__ import annotations

import enum
import json
from functools import partial
from typing import TYPE_CHECKING

from auditsense._escape import printable
from auditsense.detect.compact_line import COLUMNS, compact, compact_text, plain

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.document_types import Document

__all__ = ["COLUMNS", "Format", "compact", "compact_text", "jsonl", "line_of", "plain", "printable"]


class Format(enum.StrEnum):
    """Format of written documents."""

    JSONL = "jsonl"
    """One JSON object per line."""
    COMPACT = "compact"
    """One readable line per document."""
    OCSF = "ocsf"
    """One Detection Finding of OCSF per line, as JSON."""


def jsonl(document: Document) -> str:
    """Return a document as one line of JSON, ASCII only."""
    return json.dumps(document, separators=(",", ":"))


def line_of(form: Format, paint: Callable[[str, str], str] = plain) -> Callable[[Document], str]:
    """Return the function that makes the line of a document.

    Args:
        form: of the line.
        paint: colours compact lines.
    """
    if form is Format.COMPACT:
        return partial(compact, paint=paint)
    if form is Format.OCSF:
        from auditsense.sinks.ocsf import ocsf_line  # noqa: PLC0415 - few use it

        return ocsf_line
    return jsonl
