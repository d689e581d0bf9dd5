"""Delivery of spooled documents to other hosts: `auditsense ship` (ADR 33).

A destination is one file with one class (`Destination`). `ship.shipper` decides when to send, send again,
wait or set apart; destinations know nothing of the spool.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class ShippedDocument:
    """A document on its way.

    Attributes:
        id: unique, for receivers that ignore what they have already.
        line: as one line of JSON.
        fields: the parsed line.
    """

    id: str
    line: bytes
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of a batch at a receiver: delivered, unless stated otherwise.

    Attributes:
        refused: reason by the index of a document that the receiver will never take.
        again: indices of documents to send again later.
        duplicates: delivered documents that the receiver had already, as far as it reports that.
        problem: why documents have to be sent again; "" if none has to.
        warning: what the receiver tells the operator although it took the documents; "" for nothing.
    """

    refused: Mapping[int, str] = field(default_factory=dict)
    again: frozenset[int] = frozenset()
    duplicates: int = 0
    problem: str = ""
    warning: str = ""


class DeliveryError(AuditSenseError):
    """The receiver took nothing, and the documents are not the reason: send them again later.

    Args:
        message: in one line.
        retry_after_s: how long the receiver asks to wait; None: it does not.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BatchRefusedError(AuditSenseError):
    """The receiver refused the whole batch because of its content or size: send fewer documents at once."""


class Destination(Protocol):
    """A receiver of documents. May block, for a bounded time."""

    def send(self, documents: Sequence[ShippedDocument]) -> Outcome:
        """Send one batch, and wait until the receiver has acknowledged it.

        Raises:
            DeliveryError: nothing was acknowledged, and the batch is not the reason.
            BatchRefusedError: the batch is the reason.
        """

    def close(self) -> None:
        """Close connections. A second call does nothing."""
