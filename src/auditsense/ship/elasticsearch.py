"""Elasticsearch, OpenSearch and stores that speak their bulk API: data streams, operation `create`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from auditsense.errors import one_line
from auditsense.ship import DeliveryError, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.ship import ShippedDocument
    from auditsense.ship.http_client import HttpClient

STREAM: Final = "logs-auditsense.alert-default"
_KNOWN: Final = 409  # the receiver has the id already
# Of an item, not of the request: full, read-only or missing index, rights. Documents are not the reason.
_NOT_THE_DOCUMENT: Final = frozenset({401, 403, 404, 429})
_SHOWN: Final = 300


class ElasticsearchDestination:
    """Create documents in a data stream; the id of a document is its `_id`.

    Args:
        client: to the receiver.
        path: of the bulk API, with its query.
        stream: name of the data stream.
    """

    def __init__(self, client: HttpClient, path: str, stream: str) -> None:
        self._client = client
        self._path = path
        self._stream = stream

    def send(self, documents: Sequence[ShippedDocument]) -> Outcome:
        """Send one batch; see `Destination.send`."""
        answer = self._client.post(self._path, bulk(documents, self._stream), "application/x-ndjson")
        try:
            items = json.loads(answer.body)["items"]
            results = [next(iter(item.values())) for item in items]
            statuses = [int(result["status"]) for result in results]
        except (ValueError, KeyError, TypeError, AttributeError, StopIteration, RecursionError):
            statuses = []
        if len(statuses) != len(documents):
            raise DeliveryError(f"{self._client.name} did not answer as a bulk API; check the address")
        return _outcome(statuses, results)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def bulk(documents: Sequence[ShippedDocument], stream: str) -> bytes:
    """Return a request: for each document a line with the operation and its own."""
    lines = []
    for document in documents:
        operation = {"create": {"_index": stream, "_id": document.id}}
        lines += [json.dumps(operation, separators=(",", ":")).encode(), document.line]
    return b"\n".join(lines) + b"\n"


def _outcome(statuses: list[int], results: list[dict[str, Any]]) -> Outcome:
    refused: dict[int, str] = {}
    again: set[int] = set()
    problem = ""
    for index, (status, result) in enumerate(zip(statuses, results, strict=True)):
        if 200 <= status < 300 or status == _KNOWN:
            continue
        reason = f"{status}: {_reason(result)}"
        if status >= 500 or status in _NOT_THE_DOCUMENT:
            again.add(index)
            problem = problem or reason
        else:
            refused[index] = reason
    return Outcome(refused, frozenset(again), statuses.count(_KNOWN), problem)


def _reason(result: dict[str, Any]) -> str:
    error = result.get("error")
    if isinstance(error, dict):
        cause = error.get("caused_by")
        more = f" ({cause.get('reason')})" if isinstance(cause, dict) else ""
        error = f"{error.get('type')}: {error.get('reason')}{more}"
    return one_line(str(error))[:_SHOWN]
