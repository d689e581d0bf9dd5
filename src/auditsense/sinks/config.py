"""Settings of sinks: from a word of the command line, or from a table of values.

    stdout                            type = "stdout"
    file:PATH[,size=10M][,keep=5]     type = "file", path = "PATH", size = "10M", keep = 5
    journald                          type = "journald"
    syslog                            type = "syslog"
    syslog:udp://HOST:PORT            type = "syslog", address = "udp://HOST:PORT"
    spool:DIR[,size=256M]             type = "spool", path = "DIR", size = "256M"

Both have the same options: `format` (stdout, file, syslog), `size` (file, spool), `keep` (file), `facility`
and `most` (syslog).

In a word, a comma and NAME= begin an option; any other comma belongs to the path. A path that contains such a
comma has to be written as a table.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense._frozen import Frozen
from auditsense._values import did_you_mean
from auditsense.errors import UsageError
from auditsense.sinks.format import Format, plain
from auditsense.sinks.stream import StreamSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from auditsense.sinks import Sink

_OPTION = re.compile(r",(?=[A-Za-z_-]+=)")
_ADDRESS = re.compile(
    r"(udp|tcp)://(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})", re.ASCII
)
_SIZE = re.compile(r"([0-9]{1,15})([KMG]?)", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_MIN_SIZE = 4096
_MAX_KEPT = 999
_MIN_MESSAGE, _MAX_MESSAGE = 480, 65_000  # RFC 5426, 3.2; what fits a UDP datagram
_MIN_SPOOL = 1 << 20
_KINDS = "stdout, file:PATH, journald, syslog, syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT, spool:DIR"


@dataclass(slots=True, eq=False, repr=False)
class StdoutSettings(Frozen):
    """Standard output.

    Attributes:
        format: None: compact lines on a terminal, JSON elsewhere.
    """

    format: Format | None = None

    def __str__(self) -> str:
        """Return its name."""
        return "stdout"


@dataclass(slots=True, eq=False, repr=False)
class FileSettings(Frozen):
    """A file; see `sinks.file`.

    Attributes:
        path: absolute.
        size: bytes at which the file is rotated, 4096 or more; 0: never.
        keep: number of rotated files, 1 to 999.
        format: of the lines.
    """

    path: Path
    size: int = 0
    keep: int = 5
    format: Format = Format.JSONL

    def __str__(self) -> str:
        """Return its name."""
        return f"file:{self.path}"


@dataclass(slots=True, eq=False, repr=False)
class JournaldSettings(Frozen):
    """systemd's journal; see `sinks.journald`.

    Attributes:
        path: journald's socket.
    """

    path: str = "/run/systemd/journal/socket"

    def __str__(self) -> str:
        """Return its name."""
        return "journald"


@dataclass(slots=True, eq=False, repr=False)
class SyslogSettings(Frozen):
    """A syslog daemon; see `sinks.syslog`.

    Attributes:
        transport: local, udp or tcp.
        host: a name or an address; for local the path of the socket.
        port: 0 for local.
        facility: syslog's name for the kind of program.
        most: bytes of the longest message, 480 to 65,000.
        format: of the message's text; jsonl is the complete document.
    """

    transport: str = "local"
    host: str = "/dev/log"
    port: int = 0
    facility: str = "authpriv"
    most: int = 8192
    format: Format = Format.JSONL

    def __str__(self) -> str:
        """Return its name."""
        if self.transport == "local":
            return "syslog" if self.host == "/dev/log" else f"syslog:{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"syslog:{self.transport}://{host}:{self.port}"


@dataclass(slots=True, eq=False, repr=False)
class SpoolSettings(Frozen):
    """A spool for `auditsense ship`; see `sinks.spool`.

    Attributes:
        path: of the folder, absolute.
        size: bytes at which documents are refused, 1 MiB or more.
    """

    path: Path
    size: int = 256 << 20

    def __str__(self) -> str:
        """Return its name."""
        return f"spool:{self.path}"


SinkSettings = StdoutSettings | FileSettings | JournaldSettings | SyslogSettings | SpoolSettings


def parse_sink(text: str) -> SinkSettings:
    """Return the settings of one ``--sink``.

    Raises:
        UsageError: the text is invalid.
    """
    target, *options = _OPTION.split(text)
    kind, colon, place = target.partition(":")
    table: dict[str, object] = {"type": kind}
    if colon:
        table["path" if kind in {"file", "spool"} else "address"] = place
    for option in options:
        name, _, value = option.partition("=")
        if name in {"type", "path", "address"} or name in table:
            raise UsageError(f"the sink {text!r} has {name} twice; write it once")
        table[name] = value
    return sink_settings(table)


def sink_settings(table: Mapping[str, object]) -> SinkSettings:
    """Return the settings of one table of plain values, such as ``[[sink]]`` of a configuration file.

    Raises:
        UsageError: a value or an option is invalid.
    """
    kind = table.get("type")
    if str(kind) not in _PARSERS:
        raise UsageError(f"there is no sink {kind!r}{did_you_mean(str(kind), _PARSERS) or f'; use {_KINDS}'}")
    parse, known = _PARSERS[str(kind)]
    if unknown := sorted(set(table) - known - {"type"}):
        has = f"it has {', '.join(sorted(known))}" if known else "it has no options"
        raise UsageError(
            f"the sink {kind} has no {unknown[0]}{did_you_mean(unknown[0], known) or f'; {has}'}"
        )
    return parse({name: value for name, value in table.items() if name != "type"})


def refuse_events_as_findings(sinks: Sequence[SinkSettings], form: str | None) -> None:
    """Raise when events would be written as findings of OCSF, which they are not.

    Raises:
        UsageError: a format is ocsf.
    """
    if Format.OCSF in {form, *(getattr(sink, "format", None) for sink in sinks)}:
        raise UsageError(
            "an event is not a finding, so -o events has no format ocsf; use jsonl, or -o alerts"
        )


def open_sink(settings: SinkSettings, form: Format, paint: Callable[[str, str], str] = plain) -> Sink:
    """Return the sink of settings. A file is open; sockets are opened with the first document.

    Args:
        settings: of the sink.
        form: format of standard output, if the settings have none.
        paint: colours compact lines on standard output; nothing else is coloured.

    Raises:
        SinkError: it cannot be opened.
    """
    # Late imports: most commands use one kind of sink, and the socket sinks need more modules than the
    # others.
    if isinstance(settings, FileSettings):
        from auditsense.sinks.file import FileSink  # noqa: PLC0415

        return FileSink(settings.path, size=settings.size, keep=settings.keep, form=settings.format)
    if isinstance(settings, JournaldSettings):
        from auditsense.sinks.journald import JournaldSink  # noqa: PLC0415

        return JournaldSink(settings.path)
    if isinstance(settings, SyslogSettings):
        from auditsense.sinks.syslog import SyslogSink  # noqa: PLC0415

        return SyslogSink(settings)
    if isinstance(settings, SpoolSettings):
        from auditsense.sinks.spool import SpoolSink  # noqa: PLC0415

        return SpoolSink(settings.path, size=settings.size)
    return StreamSink(sys.stdout, settings.format or form, paint=paint)


def check_sink(settings: SinkSettings) -> str:
    """Check a sink without creating a file. Returns why documents cannot be written yet, or "".

    Raises:
        SinkError: `open_sink` would fail.
    """
    if isinstance(settings, FileSettings):
        from auditsense.sinks.file import check_file  # noqa: PLC0415 - see open_sink

        check_file(settings.path)
        return ""
    if isinstance(settings, SpoolSettings):
        from auditsense.sinks.spool import check_spool  # noqa: PLC0415 - see open_sink

        check_spool(settings.path if settings.path.exists() else settings.path.parent)
        return ""
    socket = local_socket(settings)
    return (
        ""
        if not socket or Path(socket).exists()
        else f"the sink {settings} writes nothing until {socket} exists"
    )


def local_socket(settings: SinkSettings) -> str:
    """Return the path of the socket of this host that a sink sends to; "": there is none."""
    if isinstance(settings, JournaldSettings):
        return settings.path
    if isinstance(settings, SyslogSettings) and settings.transport == "local":
        return settings.host
    return ""


def _stdout(table: Mapping[str, object]) -> SinkSettings:
    return StdoutSettings(_format(table) if "format" in table else None)


def _file(table: Mapping[str, object]) -> SinkSettings:
    path = table.get("path")
    if not isinstance(path, str) or not path or "\0" in path or path.endswith("/"):
        raise UsageError("the sink file needs the path of a file, such as file:/var/log/auditsense.jsonl")
    size = _size(table["size"], _MIN_SIZE) if "size" in table else 0
    if "keep" in table and not size:
        raise UsageError("the sink file keeps older files only with a size, such as size=10M,keep=5")
    keep = _number(table, "keep", 1, _MAX_KEPT, 5)
    return FileSettings(Path(path).absolute(), size, keep, _format(table))


def _journald(_: Mapping[str, object]) -> SinkSettings:
    return JournaldSettings()


def _syslog(table: Mapping[str, object]) -> SinkSettings:
    from auditsense.sinks.syslog import FACILITIES  # noqa: PLC0415 - see open_sink

    facility = str(table.get("facility", "authpriv"))
    if facility not in FACILITIES:
        raise UsageError(f"there is no syslog facility {facility!r}; use one of {', '.join(FACILITIES)}")
    transport, host, port = _address(str(table.get("address", "/dev/log")))
    most = _number(table, "most", _MIN_MESSAGE, _MAX_MESSAGE, 8192)
    return SyslogSettings(transport, host, port, facility, most, _format(table))


def _spool(table: Mapping[str, object]) -> SinkSettings:
    path = table.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        raise UsageError("the sink spool needs the path of a folder, such as spool:/var/lib/auditsense-ship")
    if "size" not in table:
        return SpoolSettings(Path(path).absolute())
    return SpoolSettings(Path(path).absolute(), _size(table["size"], _MIN_SPOOL))


_PARSERS = {
    "stdout": (_stdout, {"format"}),
    "file": (_file, {"path", "size", "keep", "format"}),
    "journald": (_journald, set[str]()),
    "syslog": (_syslog, {"address", "facility", "most", "format"}),
    "spool": (_spool, {"path", "size"}),
}


def _address(text: str) -> tuple[str, str, int]:
    if text.startswith("/") and "\0" not in text:
        return "local", text, 0
    match = _ADDRESS.fullmatch(text)
    port = int(match[4]) if match else 0
    if match is None or not 0 < port < 1 << 16:
        raise UsageError(
            f"{text!r} is not an address of a syslog daemon; use udp://HOST:PORT, tcp://HOST:PORT or /PATH"
        )
    return match[1], match[2] or match[3], port


def _format(table: Mapping[str, object]) -> Format:
    value = table.get("format", Format.JSONL)
    try:
        return Format(str(value))
    except ValueError:
        raise UsageError(f"there is no format {value!r}; use {', '.join(Format)}") from None


def _size(value: object, least: int) -> int:
    match = _SIZE.fullmatch(str(value)) if isinstance(value, int | str) else None
    size = int(match[1]) * _UNITS[match[2]] if match else 0
    if size < least:
        raise UsageError(f"{value!r} is not a file size; use bytes, such as 10M, {least} or more")
    return size


def _number(table: Mapping[str, object], name: str, low: int, high: int, default: int) -> int:
    value = table.get(name, default)
    text = str(value)
    number = int(text) if not isinstance(value, bool) and re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else -1
    if not low <= number <= high:
        raise UsageError(f"{name} is {value!r}, and must be a number from {low} to {high}")
    return number
