"""What sinks there are, and how one is asked for: as a word of the command line, or as a table of values.

    stdout                            type = "stdout"
    file:PATH[,size=10M][,keep=5]     type = "file", path = "PATH", size = "10M", keep = 5
    journald                          type = "journald"
    syslog                            type = "syslog"
    syslog:udp://HOST:PORT            type = "syslog", address = "udp://HOST:PORT"

The options of a table are those that may follow the word: `format` (stdout, file, syslog), `size` and `keep`
(file), `facility` and `most` (syslog).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.errors import UsageError
from auditsense.sinks.format import Format

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditsense.sinks import Sink

_OPTION = re.compile(r",(?=(?:format|size|keep|facility|most)=)")
_ADDRESS = re.compile(
    r"(udp|tcp)://(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):([0-9]{1,5})", re.ASCII
)
_SIZE = re.compile(r"([0-9]{1,15})([KMG]?)", re.ASCII)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_LEAST_SIZE = 4096
_MOST_KEPT = 999
_LEAST_MESSAGE, _MOST_MESSAGE = 480, 65_000  # RFC 5426, 3.2; what fits a UDP datagram
_KINDS = "stdout, file:PATH, journald, syslog, syslog:udp://HOST:PORT, syslog:tcp://HOST:PORT"


@dataclass(frozen=True, slots=True)
class StdoutSettings:
    """Standard output.

    Attributes:
        format: how; None: a readable line on a terminal, JSON elsewhere.
    """

    format: Format | None = None

    def __str__(self) -> str:
        """Return its name."""
        return "stdout"


@dataclass(frozen=True, slots=True)
class FileSettings:
    """A file; see `sinks.file`.

    Attributes:
        path: an absolute one.
        size: of the file in bytes when another one is begun, 4096 or more; 0: never.
        keep: how many older ones are kept then, 1 to 999.
        format: how.
    """

    path: Path
    size: int = 0
    keep: int = 5
    format: Format = Format.JSONL

    def __str__(self) -> str:
        """Return its name."""
        return f"file:{self.path}"


@dataclass(frozen=True, slots=True)
class JournaldSettings:
    """systemd's journal; see `sinks.journald`.

    Attributes:
        path: of its socket.
    """

    path: str = "/run/systemd/journal/socket"

    def __str__(self) -> str:
        """Return its name."""
        return "journald"


@dataclass(frozen=True, slots=True)
class SyslogSettings:
    """A syslog daemon; see `sinks.syslog`.

    Attributes:
        transport: local, udp or tcp.
        host: a name or an address; for local the path of its socket.
        port: of the host; 0 for local.
        facility: as syslog calls it.
        most: bytes of the longest message, 480 to 65,000.
        format: of the message's text.
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


Settings = StdoutSettings | FileSettings | JournaldSettings | SyslogSettings


def parse(text: str) -> Settings:
    """Return the settings of one ``--sink``.

    Raises:
        UsageError: it is none.
    """
    kind, colon, rest = text.partition(":")
    if colon:
        where, *options = _OPTION.split(rest)
        table: dict[str, object] = {"type": kind, "path" if kind == "file" else "address": where}
    else:
        kind, *options = text.split(",")
        table = {"type": kind}
    for option in options:
        name, _, value = option.partition("=")
        table[name] = value
    return settings(table)


def settings(table: Mapping[str, object]) -> Settings:
    """Return the settings of one table of plain values, such as ``[[sink]]`` of a configuration file.

    Raises:
        UsageError: a value is not what it must be, or there is no such value.
    """
    kind = table.get("type")
    made = _MAKERS.get(str(kind))
    if made is None:
        raise UsageError(f"there is no sink {kind!r}; use {_KINDS}")
    make, known = made
    if unknown := sorted(set(table) - known - {"type"}):
        has = f"it has {', '.join(sorted(known))}" if known else "it has no options"
        raise UsageError(f"the sink {kind} has no {unknown[0]}; {has}")
    return make({name: value for name, value in table.items() if name != "type"})


def build(one: Settings, form: Format) -> Sink:
    """Return the sink of settings, open where it can be.

    Args:
        one: which.
        form: of standard output, where the settings leave it open.

    Raises:
        SinkError: it cannot be opened.
    """
    # One of them is needed, mostly. The journal's and syslog's need what the others do not.
    if isinstance(one, FileSettings):
        from auditsense.sinks.file import FileSink  # noqa: PLC0415

        return FileSink(one.path, size=one.size, keep=one.keep, form=one.format)
    if isinstance(one, JournaldSettings):
        from auditsense.sinks.journald import JournaldSink  # noqa: PLC0415

        return JournaldSink(one.path)
    if isinstance(one, SyslogSettings):
        from auditsense.sinks.syslog import Receiver, SyslogSink  # noqa: PLC0415

        receiver = Receiver(one.transport, one.host, one.port, one.most)
        return SyslogSink(receiver, facility=one.facility, form=one.format)
    import sys  # noqa: PLC0415

    from auditsense.sinks.stream import StreamSink  # noqa: PLC0415

    return StreamSink(sys.stdout, one.format or form)


def _stdout(table: Mapping[str, object]) -> Settings:
    return StdoutSettings(_format(table) if "format" in table else None)


def _file(table: Mapping[str, object]) -> Settings:
    path = table.get("path")
    if not isinstance(path, str) or not path or "\0" in path or path.endswith("/"):
        raise UsageError("the sink file needs the path of a file, such as file:/var/log/auditsense.jsonl")
    size = _size(table["size"]) if "size" in table else 0
    if "keep" in table and not size:
        raise UsageError("the sink file keeps older files only with a size, such as size=10M,keep=5")
    keep = _number(table, "keep", 1, _MOST_KEPT, 5)
    return FileSettings(Path(path).absolute(), size, keep, _format(table))


def _journald(_: Mapping[str, object]) -> Settings:
    return JournaldSettings()


def _syslog(table: Mapping[str, object]) -> Settings:
    from auditsense.sinks.syslog import FACILITIES  # noqa: PLC0415 - see build

    facility = str(table.get("facility", "authpriv"))
    if facility not in FACILITIES:
        raise UsageError(f"there is no syslog facility {facility!r}; use one of {', '.join(FACILITIES)}")
    transport, host, port = _address(str(table.get("address", "/dev/log")))
    most = _number(table, "most", _LEAST_MESSAGE, _MOST_MESSAGE, 8192)
    return SyslogSettings(transport, host, port, facility, most, _format(table))


_MAKERS = {
    "stdout": (_stdout, {"format"}),
    "file": (_file, {"path", "size", "keep", "format"}),
    "journald": (_journald, set[str]()),
    "syslog": (_syslog, {"address", "facility", "most", "format"}),
}


def _address(text: str) -> tuple[str, str, int]:
    if text.startswith("/") and "\0" not in text:
        return "local", text, 0
    found = _ADDRESS.fullmatch(text)
    port = int(found[4]) if found else 0
    if found is None or not 0 < port < 1 << 16:
        raise UsageError(
            f"{text!r} is no address of a syslog daemon; use udp://HOST:PORT, tcp://HOST:PORT or /PATH"
        )
    return found[1], found[2] or found[3], port


def _format(table: Mapping[str, object]) -> Format:
    value = table.get("format", Format.JSONL)
    try:
        return Format(str(value))
    except ValueError:
        raise UsageError(f"there is no format {value!r}; use {' or '.join(Format)}") from None


def _size(value: object) -> int:
    found = _SIZE.fullmatch(str(value)) if isinstance(value, int | str) else None
    size = int(found[1]) * _UNITS[found[2]] if found else 0
    if size < _LEAST_SIZE:
        raise UsageError(f"{value!r} is no size of a file; use bytes, such as 10M, {_LEAST_SIZE} or more")
    return size


def _number(table: Mapping[str, object], name: str, least: int, most: int, default: int) -> int:
    value = table.get(name, default)
    text = str(value)
    number = int(text) if not isinstance(value, bool) and re.fullmatch(r"[0-9]{1,9}", text, re.ASCII) else -1
    if not least <= number <= most:
        raise UsageError(f"{name} is {value!r}, and must be a number from {least} to {most}")
    return number
