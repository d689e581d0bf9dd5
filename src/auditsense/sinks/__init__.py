"""Sinks: where documents go.

A sink is one object with two methods; the next one is one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.documents import Document


class Sink(Protocol):
    """Takes documents, in order."""

    def write(self, documents: Iterable[Document]) -> None:
        """Write documents out; when it returns, they have left this process.

        Raises:
            SinkError: they could not be written; the message says where and why.
        """

    def close(self) -> None:
        """Give up what the sink holds. A second call does nothing."""
