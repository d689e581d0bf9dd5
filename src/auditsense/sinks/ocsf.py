"""Documents as Detection Findings of OCSF, the Open Cybersecurity Schema Framework, version 1.8.0.

A burst is one finding: its uid is the burst's id, so that updates and the closing document belong to the
alert. A report of the sensor about itself is a finding as well, with the report's id. Fields without a place
in a finding are in `unmapped`, under their ECS names. Events have no form here.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from auditsense.core.ring import core_version
from auditsense.detect.compact_line import look_up

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditsense.detect.document_types import Document

VERSION: Final = "1.8.0"
_CATEGORY: Final = 2  # Findings
_CLASS: Final = 2004  # Detection Finding
_CREATE, _UPDATE, _CLOSE = 1, 2, 3
_ACTIVITIES: Final = {"update": _UPDATE, "closed": _CLOSE}
_STATUSES: Final = {_CREATE: 1, _UPDATE: 2, _CLOSE: 4}  # New, In Progress, Resolved
_SEVERITIES: Final = {"low": 2, "medium": 3, "high": 4, "critical": 5}
_INFORMATIONAL: Final = 1
_RULE: Final = 1  # type of an analytic
_SERVER: Final = 1  # type of a device
_LINUX: Final = 200  # type of an operating system
_REGULAR_FILE, _FOLDER = 1, 2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - as datetime.UTC, by its older name
_MAPPED: Final = frozenset(
    {
        "@timestamp",
        "ecs",
        "message",
        "host",
        "rule",
        "threat",
        "process",
        "user",
        "file",
        "container",
        "event",
    }
)


def ocsf_line(document: Document) -> str:
    """Return a document as one line of JSON, ASCII only."""
    return json.dumps(detection_finding(document), separators=(",", ":"))


def detection_finding(document: Document) -> dict[str, Any]:
    """Return a document of any dataset of auditsense as a Detection Finding."""
    state = str(look_up(document, "auditsense.state"))
    activity = _ACTIVITIES.get(state, _CREATE)
    severity = _SEVERITIES.get(str(look_up(document, "auditsense.severity")), _INFORMATIONAL)
    finding: dict[str, Any] = {
        "activity_id": activity,
        "category_uid": _CATEGORY,
        "class_uid": _CLASS,
        "type_uid": 100 * _CLASS + activity,
        "severity_id": severity,
        "status_id": _STATUSES[activity],
        "is_alert": look_up(document, "event.kind") == "alert",
        "time": _ms(look_up(document, "@timestamp")),
        "message": look_up(document, "message"),
        "count": look_up(document, "auditsense.count"),
        "start_time": _ms(look_up(document, "event.start")),
        "end_time": _ms(look_up(document, "event.end")),
        "metadata": {
            "version": VERSION,
            "profiles": ["host"],
            "uid": look_up(document, "event.id"),
            "original_time": look_up(document, "@timestamp"),
            "log_name": look_up(document, "event.dataset"),
            "product": {"name": "auditsense", "vendor_name": "auditsense", "version": core_version()},
        },
        "device": _present(
            {
                "uid": look_up(document, "host.id"),
                "hostname": look_up(document, "host.name"),
                "name": look_up(document, "host.name"),
                "type_id": _SERVER,
                "os": {"name": "Linux", "type_id": _LINUX},
            }
        ),
        "finding_info": _finding_info(document),
        "evidences": _evidences(document),
        "unmapped": {name: value for name, value in document.items() if name not in _MAPPED},
    }
    return _present(finding)


def _finding_info(document: Document) -> dict[str, Any]:
    uid = look_up(document, "auditsense.burst.id") or look_up(document, "event.id")
    related = [{"uid": event} for event in look_up(document, "auditsense.events") or []]
    return _present(
        {
            "uid": uid or "unknown",
            "title": look_up(document, "rule.name"),
            "desc": look_up(document, "rule.description"),
            "src_url": look_up(document, "rule.reference"),
            "analytic": _present(
                {
                    "uid": look_up(document, "rule.id"),
                    "name": look_up(document, "rule.name"),
                    "type_id": _RULE,
                    "version": look_up(document, "rule.version"),
                }
            )
            if look_up(document, "rule.id")
            else None,
            "attacks": [attack for threat in document.get("threat", []) for attack in _attacks(threat)],
            "related_events": related,
            "related_events_count": len(related) or None,
        }
    )


def _attacks(threat: Mapping[str, Any]) -> list[dict[str, Any]]:
    tactic = {"uid": threat["tactic"]["id"], "name": threat["tactic"]["name"]}
    techniques = [{"uid": entry["id"], "name": entry["name"]} for entry in threat.get("technique", [])]
    return [{"tactic": tactic, "technique": technique} for technique in techniques] or [{"tactic": tactic}]


def _evidences(document: Document) -> list[dict[str, Any]]:
    process = _process(document)
    path = look_up(document, "file.path")
    evidence = _present(
        {
            "process": process,
            "file": _file(path, _FOLDER if str(look_up(document, "file.mode"))[:3] == "040" else 0),
            "container": _present({"uid": look_up(document, "container.id")}),
        }
    )
    return [evidence] if "process" in evidence or "file" in evidence else []


def _process(document: Document) -> dict[str, Any] | None:
    pid = look_up(document, "process.pid")
    if pid is None:
        return None
    parent = look_up(document, "process.parent.pid")
    name = look_up(document, "process.parent.name")
    return _present(
        {
            "pid": pid,
            "name": look_up(document, "process.name"),
            "cmd_line": look_up(document, "process.title"),
            "working_directory": look_up(document, "process.working_directory"),
            "file": _file(look_up(document, "process.executable"), _REGULAR_FILE),
            "user": _user(document),
            "parent_process": None if parent is None else _present({"pid": parent, "name": name}),
        }
    )


def _user(document: Document) -> dict[str, Any] | None:
    user = _present({"uid": look_up(document, "user.id"), "name": look_up(document, "user.name")})
    return user or None


def _file(path: object, type_id: int) -> dict[str, Any] | None:
    if not isinstance(path, str) or not path:
        return None
    return {"path": path, "name": path.rstrip("/").rpartition("/")[2] or path, "type_id": type_id}


def _ms(stamp: object) -> int | None:
    """Return a time in ms since 1970."""
    try:
        return (datetime.fromisoformat(str(stamp)) - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, TypeError):
        return None


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    """Return fields without those that are None or empty."""
    return {name: value for name, value in fields.items() if value is not None and value not in ({}, [])}
