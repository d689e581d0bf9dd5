"""OpenTelemetry collectors and stores: logs as JSON by OTLP over HTTP (opentelemetry.io/docs/specs/otlp)."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from auditsense.core.ring import core_version
from auditsense.errors import one_line
from auditsense.ship import DeliveryError, Outcome
from auditsense.sinks.format import compact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.ship import ShippedDocument
    from auditsense.ship.http_client import HttpClient

PATH: Final = "/v1/logs"
SEVERITIES: Final = {"low": 9, "medium": 13, "high": 17, "critical": 21}  # INFO, WARN, ERROR, FATAL
_SHOWN: Final = 300  # characters of a reason
_EVENT: Final = 5  # DEBUG: an event is no alert
_OUTSIDE: Final = frozenset({"@timestamp", "message", "host"})  # have a place of their kind in a record


class OtlpDestination:
    """Send logs to an OTLP endpoint.

    A receiver that rejects some records of a batch does not tell which. So the whole batch is set apart, with
    the number in the reason, and OTLP forbids to send it again.

    Args:
        client: to the receiver.
        path: of the endpoint.
    """

    def __init__(self, client: HttpClient, path: str = PATH) -> None:
        self._client = client
        self._path = path

    def send(self, documents: Sequence[ShippedDocument]) -> Outcome:
        """Send one batch; see `Destination.send`."""
        body = json.dumps(request(documents, time.time_ns()), separators=(",", ":")).encode()
        answer = self._client.post(self._path, body, "application/json")
        rejected, reason = _partial_success(self._client.name, answer.body)
        if not rejected:
            return Outcome(warning=reason)
        text = f"rejected {rejected} of a batch of {len(documents)}: {reason or 'no reason'}"
        return Outcome(refused=dict.fromkeys(range(len(documents)), text))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _partial_success(name: str, body: bytes) -> tuple[int, str]:
    """Return how many records were rejected, and why; with none, what the receiver warns of.

    Raises:
        DeliveryError: the body is no answer of OTLP.
    """
    if not body.strip():
        return 0, ""
    try:
        partial = json.loads(body).get("partialSuccess") or {}
        reason = one_line(str(partial.get("errorMessage") or ""))[:_SHOWN]
        return int(partial.get("rejectedLogRecords") or 0), reason
    except (ValueError, AttributeError, TypeError, RecursionError):
        raise DeliveryError(f"{name} did not answer as an OTLP receiver; check the address") from None


def request(documents: Sequence[ShippedDocument], now_ns: int) -> dict[str, Any]:
    """Return an ExportLogsServiceRequest. Documents of one host share a resource."""
    hosts: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for document in documents:
        host = document.fields.get("host")
        host = host if isinstance(host, dict) else {}
        key = (str(host.get("id", "")), str(host.get("name", "")))
        hosts.setdefault(key, []).append(log_record(document, now_ns))
    return {"resourceLogs": [_resource_logs(*key, records) for key, records in hosts.items()]}


def _resource_logs(host_id: str, host_name: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    attributes = {
        "service.name": "auditsense",
        "service.version": core_version(),
        "host.id": host_id,
        "host.name": host_name,
        "os.type": "linux",
    }
    return {
        "resource": {"attributes": [_attribute(*item) for item in attributes.items()]},
        "scopeLogs": [{"scope": {"name": "auditsense", "version": core_version()}, "logRecords": records}],
    }


def log_record(document: ShippedDocument, now_ns: int) -> dict[str, Any]:
    """Return a document as a log record.

    The body is the readable line, the event's name is `event.dataset`, and each other field is an attribute
    with its ECS name. `log.record.uid` is the document's id.
    """
    fields = document.fields
    own, event = fields.get("auditsense"), fields.get("event")
    severity = own.get("severity") if isinstance(own, dict) else None
    record: dict[str, Any] = {
        "observedTimeUnixNano": str(now_ns),
        "severityNumber": SEVERITIES.get(str(severity), _EVENT),
        "severityText": str(severity or "event"),
        "body": {"stringValue": _readable(fields)},
        "attributes": [
            _attribute("log.record.uid", document.id),
            *(_attribute(name, value) for name, value in flattened(fields)),
        ],
    }
    stamp = _nanoseconds(fields.get("@timestamp"))
    if stamp is not None:
        record["timeUnixNano"] = str(stamp)
    if isinstance(event, dict) and isinstance(event.get("dataset"), str):
        record["eventName"] = event["dataset"]
    return record


def flattened(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the fields below `host` and others that have no other place, by dotted name."""
    waiting = [(name, value) for name, value in reversed(fields.items()) if name not in _OUTSIDE]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{name}.{below}", deeper) for below, deeper in reversed(value.items())]
        else:
            yield name, value


def _readable(fields: dict[str, Any]) -> str:
    message = fields.get("message")
    if isinstance(message, str):
        return message
    try:
        return compact(fields)  # type: ignore[arg-type]  # any document of ours, and else what follows
    except (KeyError, TypeError, AttributeError, ValueError):
        return "document of auditsense"


def _nanoseconds(stamp: object) -> int | None:
    """Return a time in ns since 1970; None when it cannot be one of OTLP, which are 0 or more."""
    try:
        moment = datetime.fromisoformat(str(stamp))
        ms = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
    return ms * 1_000_000 if ms >= 0 else None


def _attribute(name: str, value: object) -> dict[str, Any]:
    return {"key": name, "value": _any_value(value)}


def _any_value(value: object) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        # An integer of 64 bits, as text; larger ones are text for the receiver too.
        return {"intValue": str(value)} if -(1 << 63) <= value < 1 << 63 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [_attribute(name, item) for name, item in value.items()]}}
    return {"stringValue": "" if value is None else str(value)}
