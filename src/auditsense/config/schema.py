"""All keys of the configuration, each declared once: whoever adds a setting adds its line here.

Defaults are those of the values they become, so that there is no second copy.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from auditsense.config.option import Key, Kind
from auditsense.core.ring import Limits
from auditsense.detect.alerts import AlertPolicy
from auditsense.status.config import DEFAULT_SOCKET

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
DEFAULT_BOOST: Final = 10
MOST_BOOST: Final = 20

_POLICY = AlertPolicy()
_LIMITS = Limits()

TABLES: Final = {
    "source": "Where records come from. What stands here is read at the start only.",
    "detections": "What is looked for.",
    "alerts": "What is said, and how often.",
    "limits": "What the core may hold; all of it is taken at the start, in one piece, and read then only.",
    "process": "What the running process is. Read at the start only.",
    "status": "Where a running sensor may be asked how it is. Read at the start only.",
}
"""The tables that stand once, in the order they are written, and what each is for."""

REPEATED: Final = {
    "exception": "What a detection is quiet about (docs/detections.md): one table an exception, those of all "
    "files together, beside those of `detections.exceptions`.",
    "sink": "Where documents go, instead of standard output: one table a sink, those of all files together. "
    "Read at the start only.",
}
"""The tables that may stand several times (`[[name]]`) and add up over all files."""


def _limit(name: str, least: int, most: int, unit: str, says: str) -> Key:
    return Key(
        "limits",
        name,
        Kind.WHOLE,
        getattr(_LIMITS, name),
        says,
        least=least,
        most=most,
        unit=unit,
        fixed=True,
    )


def _sink(name: str, kind: Kind, says: str, example: object, **more: Any) -> Key:  # noqa: ANN401 - of Key
    return Key("sink", name, kind, None, says, example=example, fixed=True, **more)


def _exception(name: str, kind: Kind, says: str, example: object, *, required: bool = True) -> Key:
    return Key("exception", name, kind, None, says, example=example, required=required)


KEYS: Final[tuple[Key, ...]] = (
    Key(
        "source",
        "name",
        Kind.TEXT,
        "auto",
        "netlink owns the kernel's audit socket, multicast listens beside another owner, auto takes the "
        "first where it may be had, else the second. audisp, unix:PATH and log:PATH read what auditd writes: "
        "to its plugin, to its af_unix socket, to its log (docs/sources.md).",
        choices=("auto", "netlink", "multicast", "audisp", "unix:PATH", "log:PATH"),
        flag="--source",
        fixed=True,
    ),
    Key(
        "source",
        "audit_rules",
        Kind.TEXTS,
        (),
        "Audit rules in auditctl syntax that must be in force meanwhile; empty: those the detections name.",
        flag="--audit-rule",
        fixed=True,
    ),
    Key(
        "source",
        "on_tamper",
        Kind.TEXT,
        "report",
        "What to do when somebody changes the kernel's audit: say it, or also set back what was set.",
        choices=("report", "repair"),
        flag="--on-tamper",
        fixed=True,
    ),
    Key(
        "source",
        "lean",
        Kind.FLAG,
        default=False,
        says="Have the kernel leave out records that no detection needs: costs less; alerts have no working "
        "directory, and no title.",
        flag="--lean",
        fixed=True,
    ),
    Key(
        "source",
        "self_test",
        Kind.DURATION,
        None,
        "Open /proc on purpose every so often and expect to see it; 0s: never; not set: 5m, and never when "
        "audit_rules are given.",
        most=DAY_MS,
        example=300_000,
        flag="--self-test",
        fixed=True,
    ),
    Key(
        "detections",
        "paths",
        Kind.TEXTS,
        (),
        "Detections, or folders of them, instead of the shipped ones.",
        flag="--detections",
    ),
    Key(
        "detections",
        "exceptions",
        Kind.TEXTS,
        (),
        "Files of exceptions: what the detections are quiet about.",
        flag="--exceptions",
    ),
    Key(
        "detections",
        "known_harmless",
        Kind.FLAG,
        default=False,
        says="Be quiet about the collectors that auditsense detections show lists as known harmless.",
        flag="--known-harmless",
    ),
    Key(
        "alerts",
        "output",
        Kind.TEXT,
        "alerts",
        "What is written: alerts, every completed sequence, or every event.",
        choices=("alerts", "sequences", "events"),
        flag="--output",
        fixed=True,
    ),
    Key(
        "alerts",
        "format",
        Kind.TEXT,
        None,
        "How standard output is written: one JSON object a line, or one readable line; not set: compact on a "
        "terminal, else jsonl.",
        choices=("jsonl", "compact"),
        example="jsonl",
        flag="--format",
        fixed=True,
    ),
    Key(
        "alerts",
        "suppress",
        Kind.DURATION,
        _POLICY.suppress_ms,
        "Further sequences of a burst are counted, not sent, until none came for so long.",
        most=DAY_MS,
    ),
    Key(
        "alerts",
        "by",
        Kind.TEXTS,
        _POLICY.by,
        "The fields that tell which sequences are one burst, as user.id or process.executable; empty: those "
        "of the detection's window.",
        fixed=True,
    ),
    Key(
        "alerts",
        "max_alerts",
        Kind.WHOLE,
        _POLICY.max_alerts,
        "Alerts sent in an interval at most; what is over it waits. No account gets all of them.",
        unit="alerts",
        most=1_000_000,
    ),
    Key(
        "alerts",
        "interval",
        Kind.DURATION,
        _POLICY.interval_ms,
        "That interval.",
        least=1,
        most=DAY_MS,
    ),
    Key(
        "alerts",
        "max_bursts",
        Kind.WHOLE,
        _POLICY.max_bursts,
        "Bursts followed at a time; when there are more, the one that was quiet longest is closed early.",
        least=1,
        most=1_000_000,
        unit="bursts",
    ),
    Key(
        "alerts",
        "updates",
        Kind.DURATION,
        _POLICY.update_ms,
        "While a burst goes on, say its count so far each time so much time has passed; 0s: never.",
        most=DAY_MS,
    ),
    _limit("datagram_slots", 1, 1024, "datagrams", "Datagrams that one system call may bring."),
    _limit("datagram_bytes", 1024, 65_536, "bytes", "Longest datagram; what is longer is cut and counted."),
    _limit("event_slots", 16, 1_048_576, "events", "Events put together or remembered at a time."),
    _limit("small_texts", 16, 1_048_576, "records", "Kept records of at most 512 bytes."),
    _limit("large_texts", 4, 4096, "records", "Kept records that are longer."),
    _limit("event_timeout_ms", 1, 60_000, "ms", "An event whose end does not come is decided after this."),
    _limit("key_slots", 16, 4_194_304, "keys", "Processes with a window at a time, about 600 bytes each."),
    _limit("window_slack", 0, 1024, "matches", "Matches kept beyond those a window needs, for late ones."),
    _limit(
        "hit_bytes",
        73_728,
        1 << 30,
        "bytes",
        "Hits waiting to be handed out: at least 8 * datagram_bytes + 65536.",
    ),
    Key(
        "process",
        "user",
        Kind.TEXT,
        None,
        "Become this user when all is set up, best one that nothing else runs as; not set: stay root, with "
        "few rights.",
        example="auditsense",
        flag="--user",
        fixed=True,
    ),
    Key(
        "process",
        "priority_boost",
        Kind.WHOLE,
        DEFAULT_BOOST,
        "Run before others by so many steps of nice(2), so that full load cannot delay an alert; 0: like "
        "all others.",
        most=MOST_BOOST,
        unit="steps",
        flag="--priority-boost",
        fixed=True,
    ),
    Key(
        "status",
        "socket",
        Kind.TEXT,
        str(DEFAULT_SOCKET),
        "The socket that auditsense status asks, in a folder that root alone may write; off: none.",
        flag="--status-socket",
        fixed=True,
    ),
    _exception("detection", Kind.TEXT, "The id of the detection.", "pspy"),
    _exception(
        "match",
        Kind.MATCH,
        "What it is quiet about: conditions as in a detection, that must all hold.",
        {"process.executable": "/usr/local/bin/collector", "user.id": "0"},
    ),
    _exception("comment", Kind.TEXT, "Why that is harmless.", "our own collector, see the wiki"),
    _exception(
        "expires",
        Kind.MOMENT,
        "From then on it takes nothing; not set: it does not expire.",
        date(2027, 1, 31),
        required=False,
    ),
    _sink(
        "type",
        Kind.TEXT,
        "What kind it is.",
        "file",
        choices=("stdout", "file", "journald", "syslog"),
        required=True,
    ),
    _sink("path", Kind.TEXT, "Of a file: where it is.", "/var/log/auditsense.jsonl"),
    _sink("size", Kind.TEXT, "Of a file: begin another one at this size, with K, M or G.", "10M"),
    _sink("keep", Kind.WHOLE, "Of a file with a size: older ones kept.", 5, least=1, most=999, unit="files"),
    _sink("format", Kind.TEXT, "Of stdout, file, syslog: how.", "jsonl", choices=("jsonl", "compact")),
    _sink(
        "address", Kind.TEXT, "Of syslog: udp://HOST:PORT, tcp://HOST:PORT, or a socket's path.", "/dev/log"
    ),
    _sink("facility", Kind.TEXT, "Of syslog: its facility.", "authpriv"),
    _sink("most", Kind.WHOLE, "Of syslog: longest message.", 8192, least=480, most=65_000, unit="bytes"),
)

BY_PATH: Final = {key.path: key for key in KEYS}
