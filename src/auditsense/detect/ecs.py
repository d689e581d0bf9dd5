"""Documents of hits and alerts: nested objects with the names of the Elastic Common Schema.

A field that no record carried is left out, but the container of an alert is unknown. Nothing is looked up.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from auditsense import syscalls
from auditsense._digest import sha256
from auditsense.core.rule_table import Field
from auditsense.detect.compact_line import compact_text
from auditsense.detect.unknown import unknown_names
from auditsense.detections.event_table import EventKind, kind_of_event
from auditsense.detections.fields import RECORD_FIELDS, Form
from auditsense.detections.model import RISK_SCORES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from auditsense.core.hit import EventId, Hit
    from auditsense.detect.document_types import Document, SinkFields
    from auditsense.detect.host import Host
    from auditsense.detect.losses import LossReport
    from auditsense.detections.model import AttackEntry, Detection

_Object = dict[str, Any]  # a document, or a part of one, while it is made

EVENT_DATASET = "auditd_manager.auditd"
ALERT_DATASET = "auditsense.alert"
BURST_DATASET = "auditsense.burst"
WITHHELD_DATASET = "auditsense.withheld"
CLOCK_DATASET = "auditsense.clock"
LOSS_DATASET = "auditsense.loss"
TAMPER_DATASET = "auditsense.tamper"
SELF_TEST_DATASET = "auditsense.self_test"
SINK_DATASET = "auditsense.sink"

ECS_VERSION = "9.4.0"
"""Version of the Elastic Common Schema whose names the documents have."""

UNKNOWN = "unknown"
"""Value of what no record tells of a container; a sensor that may read /proc replaces it."""

UNSET = 0xFFFF_FFFF
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - UTC, and written with its Z
_LEAST_MS, _MOST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 and 9999
_OUTCOMES = {"yes": "success", "no": "failure"}
_FOLLOW_UPS = frozenset({"update", "closed"})  # documents of a burst whose alert was sent
_ENDS = {"egress": "destination", "ingress": "source"}
_RESULTS = {"yes": "success", "1": "success", "0": "failure", "no": "failure"}
_ACCOUNTS = {"authentication": "effective", "session": "effective", "iam": "target"}

_PLAIN = tuple(
    (row.name, row.field, row.form is Form.NUMBER)
    for row in RECORD_FIELDS
    if row.name and row.documents and row.form not in {Form.ID, Form.LIST}
)
_LISTS = tuple((row.name, row.field) for row in RECORD_FIELDS if row.form is Form.LIST)
_IDS = tuple((row.name, row.field) for row in RECORD_FIELDS if row.form is Form.ID)


def timestamp(ms: int) -> str:
    """Return ms since 1970 UTC as ISO 8601 with milliseconds; years past 9999 stay at its end.

    By a sum and not by the C library, whose time_t may have 32 bits.
    """
    moment = _EPOCH + timedelta(milliseconds=max(_LEAST_MS, min(ms, _MOST_MS)))
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def put(document: dict[str, Any], name: str, value: object) -> None:
    """Set a field by its dotted name; None leaves it out."""
    if value is None:
        return
    *parents, last = name.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[last] = value


def _call(hit: Hit) -> tuple[str | None, str | None]:
    arch = hit.text(Field.ARCH)
    number = hit.number(Field.SYSCALL)
    try:
        arch_name = syscalls.arch_name(int(arch or "", 16))
    except ValueError:
        arch_name = None
    if number is None:
        return arch_name, None
    if arch is None:  # only the record of an operation of io_uring names no architecture
        return None, syscalls.ring_operation_name(number) or str(number)
    # An unknown call keeps its number.
    return arch_name, (syscalls.name(number, arch_name) if arch_name else None) or str(number)


def _fields(hit: Hit, host: Host) -> _Object:
    document: _Object = {
        "@timestamp": timestamp(hit.ms),
        "ecs": {"version": ECS_VERSION},
        "event": {},
    }
    for name, field, decimal in _PLAIN:
        put(document, name, hit.number(field) if decimal else hit.text(field))
    for name, field in _LISTS:
        put(document, name, hit.list(field))
    process = document.get("process", {})
    for part in (process, process.get("parent", {})):
        if "args" in part:
            part["command_line"] = " ".join(part["args"])
    arch, call = _call(hit)
    put(document, "auditd.data.arch", arch or hit.text(Field.ARCH))
    put(document, "auditd.data.syscall", call)
    for name, field in _IDS:
        value = hit.number(field)
        put(document, name, "unset" if value == UNSET else hit.text(field))
    key = hit.text(Field.KEY)
    put(document, "tags", key.split("\x01") if key is not None else None)
    node = hit.text(Field.NODE)
    document["host"] = {"id": node or host.id, "name": node or host.name, "os": {"type": "linux"}}
    put(document, "event.outcome", _outcome(hit))
    put(document, "event.action", call)
    return document


def _outcome(hit: Hit) -> str:
    success = hit.text(Field.SUCCESS)
    if success is not None:
        return _OUTCOMES.get(success, "unknown")
    result = hit.text(Field.RESULT)
    if result is None:
        return "unknown"
    return _RESULTS.get(result, "success" if result.startswith("suc") else "failure")


def _add_kind(document: _Object, hit: Hit) -> None:
    """Add what the call, or the first record, says about the event: its names, and whose address it has."""
    call = document.get("auditd", {}).get("data", {}).get("syscall")
    kind = kind_of_event(hit.record_type, call) or EventKind((), (), ())
    event = document["event"]
    event["category"], event["type"] = [*kind.category], [*kind.type]
    put(event, "action", next(iter(kind.action), call))
    socket = document.get("auditd", {}).get("data", {}).get("socket", {})
    end = _ENDS.get(kind.direction)
    if end is not None and socket:
        address = socket.get("addr")
        document["network"] = {"direction": kind.direction}
        put(document, f"{end}.ip", address)
        put(document, f"{end}.port", hit.number(Field.SOCKET_PORT))
        put(document, f"{end}.address", address or socket.get("path"))
    account = next((_ACCOUNTS[name] for name in kind.category if name in _ACCOUNTS), None)
    if account is not None:
        user = document.setdefault("user", {})
        user.pop("id", None)  # the login is the user
        put(user, "id", _set_id(hit))
        put(user, f"{account}.name", hit.text(Field.ACCT))


def _set_id(hit: Hit) -> str | None:
    return None if hit.number(Field.AUID) == UNSET else hit.text(Field.AUID)


def event_document(hit: Hit, host: Host) -> Document:
    """Return one event as a document, from a hit of a rule that counts to one."""
    document = _fields(hit, host)
    document["event"] |= {"kind": "event", "dataset": EVENT_DATASET, "module": "auditsense"}
    _add_kind(document, hit)
    document["auditsense"] = {"events": [str(hit.ids[0])], "state": "event"}
    if hit.args_cut:
        document["auditsense"]["cut"] = ["process.args"]
    return cast("Document", document)


def _named(entry: AttackEntry) -> _Object:
    return {"id": entry.id, "name": entry.name, "reference": entry.reference}


def _threat(detection: Detection) -> list[_Object]:
    return [
        {
            "framework": "MITRE ATT&CK",
            "tactic": _named(threat.tactic),
            "technique": [_named(technique) for technique in threat.technique],
        }
        for threat in detection.threat
    ]


def stable_id(parts: Iterable[object]) -> str:
    """Return an id that is the same for the same parts, on every host and in every run."""
    return sha256("\0".join(str(part) for part in parts).encode())[:32]


def alert_document(  # noqa: PLR0913 - one value of the document each
    detection: Detection,
    hit: Hit,
    host: Host,
    *,
    state: str,
    count: int,
    ids: tuple[EventId, ...],
    lost: int,
    suppressed: int = 0,
    actors: Mapping[tuple[bytes | None, ...], int] | None = None,
    more_actors: int = 0,
    also: Sequence[str] = (),
) -> Document:
    """Return an alert, a sequence, an update or a closing document.

    Args:
        detection: what was detected.
        hit: the completed window; its fields are those of the event that completed it.
        host: this host, for events that name no node.
        state: sequence, alert, update or closed.
        count: matches of the burst so far.
        ids: the events of the window, oldest first.
        lost: records known to be lost since the sensor started.
        suppressed: sequences of the burst that made no alert.
        actors: matches of each actor (`rule_table.ACTOR`), where a burst may have several.
        more_actors: matches of actors that are not listed.
        also: ids of the detections whose windows were counted in the burst.
    """
    document = _fields(hit, host)
    pid = document.get("process", {}).get("pid")
    document["@timestamp"] = timestamp(hit.last_ms)
    again = [hit.last_ms, count] if state == "update" else []  # a burst can have several of them
    follow_up = state in _FOLLOW_UPS
    document["event"] |= {
        "id": stable_id([detection.id, document["host"]["id"], pid, state, *ids, *again]),
        "kind": "state" if follow_up else "alert",
        "dataset": BURST_DATASET if follow_up else ALERT_DATASET,
        "module": "auditsense",
        "category": ["process"],
        "type": ["info"],
        "risk_score": detection.risk_score,
        "severity": detection.risk_score,
        "start": timestamp(ids[0].ms),
        "end": timestamp(hit.last_ms),
    }
    document["rule"] = {
        "id": detection.id,
        "name": detection.name,
        "version": str(detection.version),
        "description": detection.description,
    }
    put(document, "rule.reference", next(iter(detection.references), None))
    document["threat"] = _threat(detection)
    document["tags"] = [*document.get("tags", []), *detection.tags]
    document["auditsense"] = {
        "state": state,
        "severity": str(detection.severity),
        "count": count,
        "events": [str(event) for event in ids],
        "lost": lost,
    }
    own = document["auditsense"]
    if hit.args_cut:
        own["cut"] = ["process.args"]
    if hit.others:
        own["others"] = hit.others
    if state in {"alert", "sequence"} and len(ids) > 1:
        own["rate"] = _rate(ids)
    if hit.unknown:
        own["unknown"] = unknown_names(hit)
    if state != "sequence":
        own["burst"] = {"id": stable_id([detection.id, document["host"]["id"], pid, "burst", *ids])}
    if follow_up:
        own["suppressed"] = suppressed
        _add_others(own, actors, more_actors, also)
    elif state == "alert":
        _advise(own, detection)
        document["container"] = {"id": UNKNOWN}
        own["container"] = {"pid_namespace": UNKNOWN, "procfs": UNKNOWN}
    described = cast("Document", document)
    set_message(described)
    return described


def _rate(ids: Sequence[EventId]) -> float:
    """Return the events a second of a window. Events of one moment count as of 1 ms."""
    return round((len(ids) - 1) * 1000 / max(ids[-1].ms - ids[0].ms, 1), 1)


def set_message(document: Document) -> None:
    """Set `message` of an alert to its compact line without the time. Call it again after a change."""
    document["message"] = compact_text(document)


def _add_others(
    own: _Object,
    actors: Mapping[tuple[bytes | None, ...], int] | None,
    more_actors: int,
    also: Sequence[str],
) -> None:
    """Add the actors of a burst, and the detections that joined it."""
    if actors is not None:
        own["actors"] = [_actor_row(actor, matches) for actor, matches in actors.items()]
    if more_actors:
        own["more_actors"] = more_actors
    if also:
        own["also"] = [*also]


def _actor_row(actor: tuple[bytes | None, ...], matches: int) -> _Object:
    row: _Object = {}
    for name, value in zip(("executable", "user", "login", "session"), actor, strict=True):
        if value is not None:
            unset = name in {"login", "session"} and value == str(UNSET).encode()
            row[name] = "unset" if unset else value.decode("utf-8", "backslashreplace")
    return {**row, "count": matches}


def _advise(own: _Object, detection: Detection) -> None:
    """Add the steps of the detection; updates and closing documents do not repeat them."""
    if detection.note:
        own["note"] = detection.note
    for name, steps in (("investigate", detection.investigate), ("respond", detection.respond)):
        if steps:
            own[name] = list(steps)


def narrow_lost(document: Document, lost: int) -> None:
    """Set `lost` to the loss in the alert's own window; `lost_total` keeps the loss since the start."""
    own = document["auditsense"]
    shown = own["lost"] or lost
    own["lost_total"] = own["lost"]
    own["lost"] = lost
    if shown:
        set_message(document)


def notice(  # noqa: PLR0913 - one value of the document each
    host: Host,
    *,
    kind: str,
    dataset: str,
    ms: int,
    rule: tuple[str, str],
    severity: str,
    state: str,
    message: str,
) -> Document:
    """Return a document about the sensor itself, which has no kernel event."""
    rule_id, name = rule
    return {
        "@timestamp": timestamp(ms),
        "ecs": {"version": ECS_VERSION},
        "message": message,
        "event": {
            "id": stable_id([rule_id, host.id, ms, message]),
            "kind": kind,
            "dataset": dataset,
            "module": "auditsense",
            "category": ["configuration" if dataset == TAMPER_DATASET else "host"],
            "type": ["change" if dataset == TAMPER_DATASET else "info"],
            "risk_score": RISK_SCORES[severity],
            "severity": RISK_SCORES[severity],
        },
        "rule": {"id": rule_id, "name": name},
        "host": {"id": host.id, "name": host.name, "os": {"type": "linux"}},
        "auditsense": {"state": state, "severity": severity, "events": []},
    }


def loss_document(report: LossReport, host: Host, *, lost_total: int) -> Document:
    """Return a document about a period in which something was lost.

    Args:
        report: the period and the losses.
        host: this host.
        lost_total: records and events known to be lost since the sensor started.
    """
    causes = report.losses.by_cause()
    listed = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in causes.items())
    seconds = (report.end_ms - report.start_ms) / 1000
    document = notice(
        host,
        kind="state",
        dataset=LOSS_DATASET,
        ms=report.end_ms,
        rule=("auditsense.loss", "Audit Records Were Lost"),
        severity="medium",
        state="loss",
        message=f"lost within {seconds:.1f} s: about {report.events} events ({listed})",
    )
    document["event"] |= {
        "start": timestamp(report.start_ms),
        "end": timestamp(report.end_ms),
        "duration": (report.end_ms - report.start_ms) * 1_000_000,  # ECS: nanoseconds
    }
    document["auditsense"] |= {
        "lost": report.known,
        "lost_total": lost_total,
        "loss": {"events": report.events, "records": report.records, "by_cause": causes},
    }
    return document


def tamper_document(  # noqa: PLR0913 - one value of the document each
    host: Host,
    *,
    ms: int,
    rule_id: str,
    name: str,
    severity: str,
    message: str,
    repaired: str,
    harmless: bool = False,
) -> Document:
    """Return a document about a change of the kernel's audit that makes the sensor miss events.

    Args:
        host: this host.
        ms: when it was noticed, ms since 1970 UTC.
        rule_id: of the deviation (`kernel.tamper`), as what follows.
        name: its headline.
        severity: low, medium, high or critical.
        message: the state and its consequence.
        repaired: what was done about it; "" for nothing.
        harmless: whether no detection of this sensor is affected: then it is no alert.
    """
    document = notice(
        host,
        kind="state" if harmless else "alert",
        dataset=TAMPER_DATASET,
        ms=ms,
        rule=(rule_id, name),
        severity=severity,
        state="tamper",
        message=f"{message}; {repaired}" if repaired else message,
    )
    document["auditsense"]["repaired"] = repaired
    return document


def self_test_document(host: Host, *, ms: int, message: str) -> Document:
    """Return a document about a failed self-test: the sensor has missed its own event."""
    return notice(
        host,
        kind="alert",
        dataset=SELF_TEST_DATASET,
        ms=ms,
        rule=("auditsense.self-test", "The Sensor Does Not See Its Own Test"),
        severity="high",
        state="error",
        message=message,
    )


def sink_document(host: Host, *, ms: int, state: str, message: str, sink: SinkFields) -> Document:
    """Return a document about a sink that fails, or that has recovered.

    Args:
        host: this host.
        ms: when it was noticed, ms since 1970 UTC.
        state: failing, dropping, over or recovered.
        message: which sink, and the consequence.
        sink: its name and counters.
    """
    names = {"failing": "A Sink Fails", "dropping": "Documents Were Dropped", "over": "A Sink Is Over"}
    document = notice(
        host,
        kind="state",
        dataset=SINK_DATASET,
        ms=ms,
        rule=(f"auditsense.sink.{state}", names.get(state, "A Sink Writes Again")),
        severity={"recovered": "low", "failing": "medium"}.get(state, "high"),
        state="sink",
        message=message,
    )
    document["auditsense"]["sink"] = sink
    return document
