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
    "source": "Origin of the records. Read at startup only.",
    "detections": "Detections, in addition to /etc/auditsense/detections.d, and exceptions.",
    "alerts": "Output and rate of alerts.",
    "limits": "Sizes of the core's tables, allocated once at startup. Read at startup only.",
    "process": "User and priority of the process. Read at startup only.",
    "status": "Socket for `auditsense status`. Read at startup only.",
}
"""The tables that appear once, in output order, and what each is for."""

REPEATED: Final = {
    "exception": "Matches to ignore: one table per exception. The exceptions of all "
    "files add up, also with those of `detections.exceptions`.",
    "sink": "Destination of documents instead of standard output: one table per sink. The sinks of all files "
    "add up. Read at startup only.",
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
        "Source of records. netlink: own the kernel's audit socket; multicast: listen next "
        "to another owner; auto: netlink if possible, else multicast. Without root, from auditd: audisp (as "
        "its plugin), unix:PATH (its af_unix socket), log:PATH (its log file).",
        choices=("auto", "netlink", "multicast", "audisp", "unix:PATH", "log:PATH"),
        flag="--source",
        metavar="SOURCE",
        startup_only=True,
    ),
    Key(
        "source.audit_rules",
        _STRINGS,
        (),
        "Audit rules in auditctl syntax that are active while the sensor runs, instead of the rules that the "
        "detections need.",
        flag="--audit-rule",
        metavar="TEXT",
        startup_only=True,
    ),
    Key(
        "source.costly_rules",
        _BOOLEAN,
        default=False,
        description="Include derived audit rules that report frequent calls, such as every creation of a "
        "file. auditsense rules derive --explain --with costly names them.",
        flag="--costly-rules",
        startup_only=True,
    ),
    Key(
        "source.on_tamper",
        _STRING,
        "report",
        "Reaction when another process changes the kernel's audit configuration: report it, or also "
        "repair it.",
        choices=("report", "repair"),
        flag="--on-tamper",
        startup_only=True,
    ),
    Key(
        "source.lean",
        _BOOLEAN,
        default=False,
        description="Filter out record types that no loaded detection compares (in-kernel). This costs less, "
        "but alerts lack their fields: the working directory, the title, and arguments, addresses and "
        "capabilities that no detection compares.",
        flag="--lean",
        startup_only=True,
    ),
    Key(
        "source.self_test",
        _DURATION,
        None,
        "Interval of the self-test, which opens /proc and waits for the record; 0: never; not set: 5m, but "
        "never with custom audit rules, or if no audit rule reports opens of /proc.",
        maximum=DAY_MS,
        flag="--self-test",
        metavar="TIME",
        example=300_000,
        startup_only=True,
    ),
    Key(
        "detections.paths",
        _STRINGS,
        (),
        "Files with detections, or folders of them, read in addition to the shipped ones.",
        flag="--detections",
        metavar="PATH",
    ),
    Key(
        "detections.shipped",
        _BOOLEAN,
        default=True,
        description="Use the detections that come with auditsense.",
        flag="--shipped",
    ),
    Key(
        "detections.only",
        _STRINGS,
        (),
        "Ids of the detections to use; the others are left out. pspy is Elastic's rule, and alone it has "
        "Elastic's audit rule.",
        flag="--only",
        metavar="ID",
        example=("pspy",),
    ),
    Key(
        "detections.mapping",
        _STRING,
        "native",
        "Fields that events have for detections: all that the sensor knows (native), or exactly those that "
        "Elastic's integration auditd_manager fills.",
        choices=("native", "auditd_manager"),
        flag="--mapping",
        startup_only=True,
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
        description="Suppress matches from the bundled list of known-benign collectors (listed by "
        "auditsense detections show).",
        flag="--known-harmless",
    ),
    Key(
        "alerts.output",
        _STRING,
        "alerts",
        "Documents to write: alerts, every completed sequence, or every event.",
        choices=("alerts", "sequences", "events"),
        flag="--output",
        startup_only=True,
    ),
    Key(
        "alerts.format",
        _STRING,
        None,
        "Format of standard output. jsonl: one JSON object per line; compact: one readable line; ocsf: a "
        "Detection Finding of OCSF 1.8 per line, of alerts and sequences; not set: "
        "compact on a terminal, else jsonl.",
        choices=("jsonl", "compact", "ocsf"),
        flag="--format",
        example="jsonl",
        startup_only=True,
    ),
    Key(
        "alerts.suppress",
        _DURATION,
        _POLICY.suppress_ms,
        "A burst sends one alert; it ends when no sequence completes for this time.",
        maximum=DAY_MS,
    ),
    Key(
        "alerts.by",
        _STRINGS,
        _POLICY.by,
        "Fields that group sequences into one burst, such as user.id or process.executable; empty: those of "
        "the detection's window.",
        startup_only=True,
    ),
    Key(
        "alerts.max_alerts",
        _INTEGER,
        _POLICY.max_alerts,
        "Maximum number of alerts per interval; further ones wait. Accounts share the limit fairly.",
        maximum=1_000_000,
        unit="alerts",
    ),
    Key(
        "alerts.interval",
        _DURATION,
        _POLICY.interval_ms,
        "Interval of max_alerts.",
        minimum=1,
        maximum=DAY_MS,
    ),
    Key(
        "alerts.max_bursts",
        _INTEGER,
        _POLICY.max_bursts,
        "Maximum number of bursts tracked at a time; beyond it, the burst that was quiet longest is closed "
        "early.",
        minimum=1,
        maximum=1_000_000,
        unit="bursts",
    ),
    Key(
        "alerts.updates",
        _DURATION,
        _POLICY.update_ms,
        "Interval of reports with the count of a continuing burst; 0: never.",
        maximum=DAY_MS,
    ),
    _limit("datagram_slots", 1, 1024, "datagrams", "Datagrams per system call."),
    _limit(
        "datagram_bytes", 1024, 65_536, "bytes", "Longest datagram; a longer one is truncated and counted."
    ),
    _limit("event_slots", 16, 1_048_576, "events", "Events reassembled or remembered at a time."),
    _limit("small_texts", 16, 1_048_576, "records", "Stored records of at most 512 bytes."),
    _limit("large_texts", 4, 4096, "records", "Stored records that are longer."),
    _limit("event_timeout_ms", 1, 60_000, "ms", "Time after which an event without an end is decided."),
    _limit("key_slots", 16, 4_194_304, "keys", "Processes with a window at a time; about 600 bytes each."),
    _limit(
        "window_slack",
        0,
        1024,
        "matches",
        "Matches stored beyond those that a window needs, for late records.",
    ),
    _limit(
        "process_slots",
        16,
        1_048_576,
        "processes",
        "Processes remembered at a time, for detections that ask for the parent; about 1.2 KiB each.",
    ),
    _limit(
        "hit_bytes",
        270_336,
        1 << 30,
        "bytes",
        "Hits waiting to be returned: at least 8 * datagram_bytes + 262144.",
    ),
    Key(
        "process.user",
        _STRING,
        None,
        "Drop privileges to this user after startup; use a dedicated account. Not set: auditsense if "
        "there is such an account, else an unused user id. root: stay root, with few capabilities.",
        flag="--user",
        metavar="NAME",
        example="auditsense",
        startup_only=True,
    ),
    Key(
        "process.priority_boost",
        _INTEGER,
        10,
        "Raise scheduling priority by N nice levels, so that alerts stay timely under load; 0: keep it.",
        maximum=20,
        unit="levels",
        flag="--priority-boost",
        metavar="N",
        startup_only=True,
    ),
    Key(
        "status.socket",
        _STRING,
        SOCKET_PATH,
        "Socket for auditsense status, in a folder that only root may write; off: none.",
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
    _exception("comment", _STRING, "Reason why the matches are harmless.", "our own collector, see the wiki"),
    _exception(
        "expires",
        ValueType.DATETIME,
        "Date or time from which the exception is inactive; not set: it does not expire.",
        date(2027, 1, 31),
        required=False,
    ),
    _sink(
        "type",
        _STRING,
        "Type of the sink.",
        "file",
        choices=("stdout", "file", "journald", "syslog", "spool"),
        required=True,
    ),
    _sink("path", _STRING, "Path (file), or folder (spool).", "/var/log/auditsense.jsonl"),
    _sink(
        "size",
        _STRING,
        "Size at which a new file begins (file), or at which documents are refused (spool), with K, M or G.",
        "10M",
    ),
    _sink(
        "keep",
        _INTEGER,
        "Number of older files to keep; needs a size (file).",
        5,
        minimum=1,
        maximum=999,
        unit="files",
    ),
    _sink(
        "format",
        _STRING,
        "Format of the lines (stdout, file, syslog).",
        "jsonl",
        choices=("jsonl", "compact", "ocsf"),
    ),
    _sink(
        "address",
        _STRING,
        "Receiver: udp://HOST:PORT, tcp://HOST:PORT, or the path of a socket (syslog).",
        "/dev/log",
    ),
    _sink("facility", _STRING, "Facility (syslog).", "authpriv"),
    _sink("most", _INTEGER, "Longest message (syslog).", 8192, minimum=480, maximum=65_000, unit="bytes"),
)

BY_PATH: Final = {key.path: key for key in KEYS}
