"""All configuration keys, each declared once. To add a setting, add its line here.

Defaults come from the classes that the settings create, so there is no second copy.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from auditsense.config.option import Key, ValueType
from auditsense.core.ring import Limits
from auditsense.detect.alert_policy import AlertPolicy
from auditsense.status import SOCKET_PATH

DAY_MS: Final = 24 * 3_600_000

_STRING, _STRINGS, _INTEGER = ValueType.STRING, ValueType.STRINGS, ValueType.INTEGER
_BOOLEAN, _DURATION = ValueType.BOOLEAN, ValueType.DURATION
_POLICY = AlertPolicy()
_LIMITS = Limits()

TABLES: Final = {
    "source": "Where records come from. Read at startup only.",
    "detections": "What to detect.",
    "alerts": "What to report, and how often.",
    "limits": "Sizes of the core's tables, allocated once at startup. Read at startup only.",
    "process": "User and priority of the process. Read at startup only.",
    "status": "Where `auditsense status` reaches a running sensor. Read at startup only.",
}
"""The tables that appear once, in output order, and what each is for."""

REPEATED: Final = {
    "exception": "Matches to ignore (docs/detections.md): one table per exception. The exceptions of all "
    "files add up, also with those of `detections.exceptions`.",
    "sink": "Where documents go, instead of standard output: one table per sink. The sinks of all files add "
    "up. Read at startup only.",
}
"""The tables that may be repeated (`[[name]]`) and add up over all files."""


def _limit(name: str, minimum: int, maximum: int, unit: str, description: str) -> Key:
    bounds: dict[str, Any] = {"minimum": minimum, "maximum": maximum, "unit": unit, "startup_only": True}
    return Key(f"limits.{name}", _INTEGER, getattr(_LIMITS, name), description, **bounds)


def _sink(name: str, type_: ValueType, description: str, example: object, **more: Any) -> Key:  # noqa: ANN401 - of Key
    return Key(f"sink.{name}", type_, None, description, example=example, startup_only=True, **more)


def _exception(
    name: str, type_: ValueType, description: str, example: object, *, required: bool = True
) -> Key:
    return Key(f"exception.{name}", type_, None, description, example=example, required=required)


KEYS: Final[tuple[Key, ...]] = (
    Key(
        "source.name",
        _STRING,
        "auto",
        "netlink: the kernel's audit socket, owned by this process; multicast: a listener next to another "
        "owner; auto: netlink where possible, else multicast. As any user, what auditd writes: audisp: to "
        "its plugin; unix:PATH: to its af_unix socket; log:PATH: to its log (docs/sources.md).",
        choices=("auto", "netlink", "multicast", "audisp", "unix:PATH", "log:PATH"),
        flag="--source",
        metavar="SOURCE",
        startup_only=True,
    ),
    Key(
        "source.audit_rules",
        _STRINGS,
        (),
        "Audit rules in auditctl syntax that must be active while the sensor runs, instead of those of the "
        "detections.",
        flag="--audit-rule",
        metavar="TEXT",
        startup_only=True,
    ),
    Key(
        "source.on_tamper",
        _STRING,
        "report",
        "What to do when another process changes the kernel's audit configuration: report it, or also "
        "restore it.",
        choices=("report", "repair"),
        flag="--on-tamper",
        startup_only=True,
    ),
    Key(
        "source.lean",
        _BOOLEAN,
        default=False,
        description="Filter out record types that no loaded detection needs (in-kernel): costs less; alerts "
        "have no "
        "working directory and no title.",
        flag="--lean",
        startup_only=True,
    ),
    Key(
        "source.self_test",
        _DURATION,
        None,
        "Open /proc on purpose at this interval and expect to see it; 0: never; not set: every 5 minutes, "
        "but never with own audit rules.",
        maximum=DAY_MS,
        flag="--self-test",
        metavar="SECONDS",
        example=300_000,
        startup_only=True,
    ),
    Key(
        "detections.paths",
        _STRINGS,
        (),
        "Detections, or folders of them, instead of the shipped ones.",
        flag="--detections",
        metavar="PATH",
    ),
    Key(
        "detections.exceptions",
        _STRINGS,
        (),
        "Files with exceptions (matches to ignore).",
        flag="--exceptions",
        metavar="PATH",
    ),
    Key(
        "detections.known_harmless",
        _BOOLEAN,
        default=False,
        description="Suppress matches from the bundled list of known-benign collectors (see auditsense "
        "detections "
        "show).",
        flag="--known-harmless",
    ),
    Key(
        "alerts.output",
        _STRING,
        "alerts",
        "What to print: alerts, every completed sequence, or every event.",
        choices=("alerts", "sequences", "events"),
        flag="--output",
        startup_only=True,
    ),
    Key(
        "alerts.format",
        _STRING,
        None,
        "Format of standard output: jsonl: one JSON object a line; compact: one readable line; not set: "
        "compact on a terminal, else jsonl.",
        choices=("jsonl", "compact"),
        flag="--format",
        example="jsonl",
        startup_only=True,
    ),
    Key(
        "alerts.suppress",
        _DURATION,
        _POLICY.suppress_ms,
        "Further sequences of a burst are counted, not sent, until none came for this time.",
        maximum=DAY_MS,
    ),
    Key(
        "alerts.by",
        _STRINGS,
        _POLICY.by,
        "The fields that make sequences one burst, as user.id or process.executable; empty: those of the "
        "detection's window.",
        startup_only=True,
    ),
    Key(
        "alerts.max_alerts",
        _INTEGER,
        _POLICY.max_alerts,
        "Maximum number of alerts per interval; further ones wait. No account gets all of them.",
        maximum=1_000_000,
        unit="alerts",
    ),
    Key("alerts.interval", _DURATION, _POLICY.interval_ms, "That interval.", minimum=1, maximum=DAY_MS),
    Key(
        "alerts.max_bursts",
        _INTEGER,
        _POLICY.max_bursts,
        "Maximum number of bursts followed at a time; when there are more, the longest quiet one is closed "
        "early.",
        minimum=1,
        maximum=1_000_000,
        unit="bursts",
    ),
    Key(
        "alerts.updates",
        _DURATION,
        _POLICY.update_ms,
        "While a burst continues, report its count at this interval; 0s: never.",
        maximum=DAY_MS,
    ),
    _limit("datagram_slots", 1, 1024, "datagrams", "Datagrams per system call."),
    _limit("datagram_bytes", 1024, 65_536, "bytes", "Longest datagram; a longer one is cut and counted."),
    _limit("event_slots", 16, 1_048_576, "events", "Events reassembled or remembered at a time."),
    _limit("small_texts", 16, 1_048_576, "records", "Stored records of at most 512 bytes."),
    _limit("large_texts", 4, 4096, "records", "Stored records that are longer."),
    _limit("event_timeout_ms", 1, 60_000, "ms", "An event without an end is decided after this time."),
    _limit("key_slots", 16, 4_194_304, "keys", "Processes with a window at a time, about 600 bytes each."),
    _limit("window_slack", 0, 1024, "matches", "Matches stored beyond those a window needs, for late ones."),
    _limit(
        "hit_bytes",
        73_728,
        1 << 30,
        "bytes",
        "Hits waiting to be returned: at least 8 * datagram_bytes + 65536.",
    ),
    Key(
        "process.user",
        _STRING,
        None,
        "Drop privileges to this user after startup; use a dedicated account; not set: stay root, with few "
        "rights.",
        flag="--user",
        metavar="NAME",
        example="auditsense",
        startup_only=True,
    ),
    Key(
        "process.priority_boost",
        _INTEGER,
        10,
        "Raise scheduling priority by this number of nice levels so alerts stay timely under load; 0: do "
        "not.",
        maximum=20,
        unit="steps",
        flag="--priority-boost",
        metavar="STEPS",
        startup_only=True,
    ),
    Key(
        "status.socket",
        _STRING,
        SOCKET_PATH,
        "Socket that auditsense status connects to, in a folder that only root may write; off: none.",
        flag="--status-socket",
        metavar="PATH",
        startup_only=True,
    ),
    _exception("detection", _STRING, "Id of the detection.", "pspy"),
    _exception(
        "match",
        ValueType.MATCH,
        "Matches to ignore: conditions as in a detection; all must hold.",
        {"process.executable": "/usr/local/bin/collector", "user.id": "0"},
    ),
    _exception("comment", _STRING, "Why that is harmless.", "our own collector, see the wiki"),
    _exception(
        "expires",
        ValueType.DATETIME,
        "From then on the exception is inactive; not set: it does not expire.",
        date(2027, 1, 31),
        required=False,
    ),
    _sink(
        "type",
        _STRING,
        "Type of the sink.",
        "file",
        choices=("stdout", "file", "journald", "syslog"),
        required=True,
    ),
    _sink("path", _STRING, "Of a file: its path.", "/var/log/auditsense.jsonl"),
    _sink("size", _STRING, "Of a file: start a new one at this size, with K, M or G.", "10M"),
    _sink(
        "keep",
        _INTEGER,
        "Of a file with a size: number of older ones to keep.",
        5,
        minimum=1,
        maximum=999,
        unit="files",
    ),
    _sink("format", _STRING, "Of stdout, file, syslog: line format.", "jsonl", choices=("jsonl", "compact")),
    _sink(
        "address",
        _STRING,
        "Of syslog: udp://HOST:PORT, tcp://HOST:PORT, or the path of a socket.",
        "/dev/log",
    ),
    _sink("facility", _STRING, "Of syslog: its facility.", "authpriv"),
    _sink("most", _INTEGER, "Of syslog: longest message.", 8192, minimum=480, maximum=65_000, unit="bytes"),
)

BY_PATH: Final = {key.path: key for key in KEYS}
