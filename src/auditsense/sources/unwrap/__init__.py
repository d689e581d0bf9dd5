"""Unwrap audit records that a program has put into JSON, CSV, quotes, colours or the journal's export format.

One object per line: `message` of Filebeat and others, `event.original` of the Elastic agent, `log` of Docker,
`MESSAGE` of `journalctl -o json`. The output is text for the core, one line per object. An object without a
record passes unchanged, so that the core counts it. Text before an object on its line, such as the time and
tag of Fluentd, stays before its record, and the core judges it.

Only fields that hold a whole line of a log are read. In others, such as a command line, any user can write
something that looks like a record.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from auditsense.sources.unwrap.journal import JournalExport
from auditsense.sources.unwrap.json_lines import JsonLines, starts_object
from auditsense.sources.unwrap.text_lines import QUOTED, Coloured, QuotedLines, Tabbed, record_column

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detect.host import Host

_INSPECTED = 4096  # bytes of an input, for formats that do not begin with its first line
_TABBED = re.compile(rb"(?:\xef\xbb\xbf)?(?:node=\S+\s+)?type=\S+\s+msg=audit\(\S+\t")
_EXPORTED = re.compile(rb"(?:\xef\xbb\xbf)?\s*[A-Z_][A-Z0-9_]*=")


class Unwrapper(Protocol):
    """Turns wrapped records into lines, however the input is split."""

    format: str
    """Name of the format, for messages."""

    def feed(self, chunk: bytes | memoryview) -> bytes:
        """Accept the next bytes. Returns complete lines."""

    def finish(self) -> bytes:
        """Return the rest at the end."""


def unwrapper_for(start: bytes, host: Host, on_found: Callable[[str], object]) -> Unwrapper | None:
    """Return the unwrapper for an input that starts with these bytes; None: plain records.

    Args:
        start: some of its first bytes.
        host: records of another host get a node= prefix.
        on_found: called once, with the name of the field that holds the first record.
    """
    if starts_object(start) or b'\n{"' in start[:_INSPECTED]:
        return JsonLines(host, on_found)
    if _EXPORTED.match(start):
        return JournalExport(host, on_found)
    if b"\x1b[" in start[:_INSPECTED]:
        return Coloured(host, on_found)
    if _TABBED.match(start):
        return Tabbed(host, on_found)
    column = record_column(start.partition(b"\n")[0])
    return QuotedLines(host, on_found, column) if column is not None or QUOTED.match(start) else None
