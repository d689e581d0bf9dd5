"""Sinks of a command: in child processes for `run`, in this process for `replay`."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from auditsense.cli import open_output, print_message
from auditsense.cli.style import painter
from auditsense.detect.compact_line import is_notice
from auditsense.detect.host import this_host
from auditsense.errors import UsageError
from auditsense.sinks import Sink, SinkError
from auditsense.sinks.config import (
    FileSettings,
    JournaldSettings,
    SinkSettings,
    SpoolSettings,
    StdoutSettings,
    SyslogSettings,
    check_sink,
    local_socket,
    open_sink,
)
from auditsense.sinks.format import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from auditsense.detect.document_types import Document
    from auditsense.kernel.broker import Broker
    from auditsense.kernel.privileges import User
    from auditsense.kernel.sealed import Sealed
    from auditsense.sinks.fanout import SinkSet
    from auditsense.sinks.file import BrokeredOpener
    from auditsense.sinks.socket_sink import BrokeredConnector

    class _Connection(Protocol):
        def fileno(self) -> int: ...
        def close(self) -> None: ...


def wanted_sinks(settings: Sequence[SinkSettings], form: str | None = None) -> list[SinkSettings]:
    """Return the requested sinks, else standard output, or the journal if standard output leads there.

    Args:
        settings: the requested ones.
        form: requested format of standard output; None: the default.

    Raises:
        UsageError: two have the same destination.
    """
    names = [str(sink) for sink in settings]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the sink {name} is given twice")
    if settings:
        return list(settings)
    journal = JournaldSettings()
    if form is None and _is_journal(sys.stdout) and os.path.exists(journal.path):  # noqa: PTH110 - a string
        return [journal]
    return [StdoutSettings()]


def _is_journal(stream: TextIO | None) -> bool:
    """Return whether systemd has connected a stream to the journal. See JOURNAL_STREAM in systemd.exec(5)."""
    try:
        status = os.fstat(stream.fileno()) if stream is not None else None
    except (OSError, ValueError):  # closed, or in memory
        return False
    return status is not None and os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _open(settings: SinkSettings, form: str | None, color: str) -> Sink:
    """Open a sink; standard output by default compact on a terminal, else as JSON lines.

    Raises:
        UsageError: it cannot be opened; standard output is closed.
    """
    if isinstance(settings, StdoutSettings):
        _check_output()
    readable = sys.stdout is not None and sys.stdout.isatty()
    try:
        return open_sink(
            settings,
            Format(form or (Format.COMPACT if readable else Format.JSONL)),
            painter(sys.stdout, color),
        )
    except SinkError as error:
        raise UsageError(str(error)) from None


def check_sinks(settings: Sequence[SinkSettings]) -> None:
    """Check that sinks can be opened, without creating a file.

    Raises:
        UsageError: one cannot be opened.
    """
    for item in settings:
        if isinstance(item, StdoutSettings):
            _check_output()
        try:
            problem = check_sink(item)
        except SinkError as error:
            raise UsageError(str(error)) from None
        if problem:
            print_message(problem)


def _check_output() -> None:
    try:
        open_output()
    except UsageError as error:
        raise UsageError(f"{error}; or name another place for documents with --sink") from None


class RunOutput:
    """RunOutput of `run`: documents to its sinks, and notices about the sensor also to standard error.

    Attributes:
        sinks: running.
    """

    def __init__(self, sinks: SinkSet, *, shown: bool, named: bool, files: bool) -> None:
        self.sinks = sinks
        self._shown = shown
        self._named = named
        self._files = files

    def write(self, documents: Sequence[Document]) -> None:
        """Send documents to the sinks; print notices on standard error, unless standard output shows them."""
        self.sinks.send(documents)
        for document in documents:
            if is_notice(document) and not self._shown:
                _print_notice(document)

    def poll(self) -> float:
        """Monitor the sinks between two turns of the sensor. Returns when to call again, in seconds.

        Raises:
            SinkError: standard output is closed or full, or no sink is left.
        """
        for notice in self.sinks.poll():
            _print_notice(notice)  # always: standard output may be the sink in trouble
        return self.sinks.timeout_s()

    def close(self) -> None:
        """Report the last trouble of the sinks, then flush and close them; see `SinkSet.close`."""
        with suppress(SinkError):  # closing raises it too
            self.poll()
        self.sinks.close()

    def summary(self) -> str:
        """Return the delivery counters; "" when all documents went to standard output."""
        return f"; {self.sinks.summary()}" if self._named or self.sinks.lossy() else ""

    @property
    def reopen(self) -> Callable[[], None] | None:
        """Function for a signal handler that reopens the files of sinks; None: there are none."""
        return self.sinks.request_reopen if self._files else None


def _print_notice(notice: Document) -> None:
    severity = notice["auditsense"]["severity"]
    print_message(f"{notice['rule']['name']} ({severity}): {notice['message']}", severity)


@contextmanager
def running_sinks(  # noqa: PLR0913 - all options of sinks
    settings: Sequence[SinkSettings],
    form: str | None,
    *,
    shown: bool,
    user: User | None,
    boost: int,
    color: str,
    broker: Broker | None,
    own_process: bool,
) -> Iterator[RunOutput]:
    """Start the sinks of `run`, each in a child process, before the takeover; close them when the block ends.

    Args:
        settings: see `wanted_sinks`.
        form: of standard output; None: the default.
        shown: whether documents on standard output are readable next to standard error.
        user: that sinks run as, except that of a spool, which belongs to the user of `ship`.
        boost: nice levels by which priority is raised, as for the sensor: an alert must not be late on its
            last step.
        color: when to colour standard output.
        broker: opens files again in folders of root's; started here.
        own_process: see `main`.

    Raises:
        UsageError: a sink cannot be opened; nothing was changed.
    """
    from auditsense.sinks.acknowledged import sink_process  # noqa: PLC0415
    from auditsense.sinks.fanout import SinkSet  # noqa: PLC0415
    from auditsense.sinks.handle import InProcessSink, SinkHandle  # noqa: PLC0415 - not for replay

    started: list[SinkHandle] = []
    with ExitStack() as stack:
        opened = []
        for item in settings:
            with _as_owner(item, user if own_process else None):
                opened.append((item, _open(item, form, color)))
        keep: dict[str, Sequence[_Connection]] = {
            str(item): _use_broker(item, sink, user, broker) for item, sink in opened
        }
        if broker is not None:
            stack.callback(broker.close)
        for item, sink in opened:
            if isinstance(item, StdoutSettings) and sys.stdout is not None and sink.fileno() < 0:
                started.append(InProcessSink(sink, str(item)))
                continue
            process = sink_process(sink, str(item))
            if own_process and isinstance(item, SyslogSettings) and item.transport != "local":
                keep[str(item)] = [_use_connector(item, sink, user, stack)]
            connection = keep[str(item)]
            sealed = _seal(item, sink, brokered=bool(connection)) if own_process else None
            confine = None
            if own_process:
                confine = _confinement(item, user, boost, sealed, brokered=bool(connection))
            kept = [*connection, *([] if sealed is None or sealed.fileno() < 0 else [sealed])]
            process.start(confine, keep=[one.fileno() for one in kept])
            for one in kept:
                one.close()
            started.append(process)
            stack.callback(process.close)
        if broker is not None:
            broker.start()
        sinks = SinkSet(started, this_host(), required=frozenset({"stdout"}))
        streams = [item for item in settings if isinstance(item, StdoutSettings)]
        shown = shown and any(stream.format is not Format.JSONL for stream in streams)
        files = any(isinstance(item, FileSettings) for item in settings)
        yield RunOutput(sinks, shown=shown, named=len(streams) < len(settings), files=files)


@contextmanager
def written_sinks(
    settings: Sequence[SinkSettings], form: str | None, color: str
) -> Iterator[Callable[[Sequence[Document]], None]]:
    """Open the sinks of `replay`, which waits for them. Yields a function that writes to all of them."""
    with ExitStack() as stack:
        sinks = [_open(item, form, color) for item in wanted_sinks(settings)]
        for sink in sinks:
            stack.callback(sink.close)

        def write(documents: Sequence[Document]) -> None:
            for sink in sinks:
                sink.write(documents)

        yield write


def _use_broker(
    settings: SinkSettings, sink: Sink, user: User | None, broker: Broker | None
) -> list[BrokeredOpener] | list[BrokeredConnector]:
    """Let a sink ask the broker for its socket, or for files in a folder of root's."""
    if broker is None:
        return []
    path = local_socket(settings)
    if path:
        from auditsense.sinks.socket_sink import BrokeredConnector, SocketSink  # noqa: PLC0415 - as below

        if isinstance(sink, SocketSink):
            connector = BrokeredConnector(broker.add_socket(path))
            sink.connector = connector
            return [connector]
    if not isinstance(settings, FileSettings):
        return []
    from auditsense.kernel.broker import SinkFile  # noqa: PLC0415 - not for replay
    from auditsense.sinks.file import BrokeredOpener, FileSink, FolderOpener  # noqa: PLC0415 - not for replay

    if not isinstance(sink, FileSink) or not isinstance(sink.opener, FolderOpener):
        return []
    if user is None or _belongs_to(settings, user):
        return []
    if not _root_may_create(settings.path.parent.stat()):
        print_message(
            f"{settings} can be neither rotated nor reopened: its folder is another user's, and root has no "
            "capabilities for that; give the folder to root, or run as that user with --user"
        )
    file = SinkFile(sink.opener.open_folder(), str(settings.path.parent), sink.opener.names)
    opener = BrokeredOpener(settings.path, broker.add_file(file, sink.fileno()))
    sink.opener = opener
    return [opener]


def _use_connector(settings: SyslogSettings, sink: Sink, user: User | None, stack: ExitStack) -> _Connection:
    """Let a sink ask another process for connections to its receiver."""
    import socket  # noqa: PLC0415 - as below

    from auditsense.kernel.connector import Connector  # noqa: PLC0415 - not for replay
    from auditsense.sinks.dialer import Dialer  # noqa: PLC0415 - as above
    from auditsense.sinks.syslog import SyslogSink  # noqa: PLC0415 - as above

    kind = socket.SOCK_STREAM if settings.transport == "tcp" else socket.SOCK_DGRAM
    connector = Connector(settings.host, settings.port, kind)
    connector.start(user)
    stack.callback(connector.close)
    dialer = Dialer(connector.connection)
    if isinstance(sink, SyslogSink):
        sink.dialer = dialer
    return dialer


def _seal(settings: SinkSettings, sink: Sink, *, brokered: bool) -> Sealed | None:
    """Let a sink open its own files only, or pass its own descriptor only; None: it does neither."""
    from auditsense.cli.sealing import can_seal, sealed_spool  # noqa: PLC0415 - not for replay
    from auditsense.kernel import sealed  # noqa: PLC0415 - as above

    if isinstance(settings, SpoolSettings):
        from auditsense.sinks.spool import SpoolSink  # noqa: PLC0415 - loads SQLite
        from auditsense.sinks.spool_store import names  # noqa: PLC0415 - as above

        files = sealed_spool(settings.path, str(settings), names(damaged=True))
        if isinstance(sink, SpoolSink):
            sink.files = files
        return files
    sealable = JournaldSettings if brokered else (JournaldSettings, FileSettings)
    if not isinstance(settings, sealable) or not can_seal(str(settings)):
        return None
    if isinstance(settings, JournaldSettings):
        from auditsense.sinks.journald import JournaldSink  # noqa: PLC0415 - as above

        if isinstance(sink, JournaldSink):
            message = sealed.SealedMessage()
            sink.passer = message
            return message
    from auditsense.sinks.file import FileSink, FolderOpener, SealedOpener  # noqa: PLC0415 - as above

    if not (
        isinstance(settings, FileSettings)
        and isinstance(sink, FileSink)
        and isinstance(sink.opener, FolderOpener)
    ):
        return None
    try:
        folder = sealed.SealedFolder(sink.opener.open_folder(), sink.opener.names)
    except OSError:  # the limit of descriptors is low
        return None
    sink.opener = SealedOpener(settings.path, sink.opener.names, folder)
    return folder


@contextmanager
def _as_owner(settings: SinkSettings, user: User | None) -> Iterator[None]:
    """Create a file in a folder of *user* as that user, who has to open it again."""
    if user is None or os.geteuid() != 0 or not isinstance(settings, FileSettings):
        yield
        return
    try:
        owned = _belongs_to(settings, user)
    except OSError:  # opening reports it
        owned = False
    if owned:
        os.seteuid(user.uid)
    try:
        yield
    finally:
        if owned:
            os.seteuid(0)


def _belongs_to(settings: FileSettings, user: User) -> bool:
    """Return whether a user may create files in the folder of a file."""
    return settings.path.parent.stat().st_uid == user.uid


def _root_may_create(folder: os.stat_result) -> bool:
    """Return whether root without capabilities may create files in a folder."""
    write = stat.S_IWUSR if folder.st_uid == 0 else stat.S_IWGRP if folder.st_gid == 0 else stat.S_IWOTH
    return bool(folder.st_mode & write)


def _confinement(
    settings: SinkSettings, user: User | None, boost: int, sealed: Sealed | None, *, brokered: bool
) -> Callable[[], None]:
    """Return a function that drops, in a sink's process, the privileges it does not need."""
    from auditsense.kernel import confinement, privileges  # noqa: PLC0415 - not for replay

    kept = confinement.PARTS[_part(settings, brokered=brokered)]
    if isinstance(settings, FileSettings) and not brokered:
        user = user if user is not None and _belongs_to(settings, user) else None
        kept = kept.with_paths(write=(str(settings.path.parent),))
    if isinstance(settings, SpoolSettings):
        status = settings.path.stat()
        user = privileges.User(status.st_uid, status.st_gid) if os.geteuid() == 0 and status.st_uid else None
        kept = kept.with_paths(write=(str(settings.path),))
    if sealed is not None:
        kept = kept.with_sealed(sealed)
    prepared = confinement.prepare(kept)

    def confine() -> None:
        if sealed is not None:
            sealed.seal()
        with suppress(OSError):  # a container without CAP_SYS_NICE; the sensor reports it
            os.nice(-boost)
        confinement.confine(kept, user, prepared=prepared)

    return confine


def _part(settings: SinkSettings, *, brokered: bool) -> str:
    """Return the name of a sink in `confinement.PARTS`."""
    if isinstance(settings, FileSettings):
        return "file" if brokered else "file in a folder of its user"
    if isinstance(settings, SpoolSettings):
        return "spool"
    if isinstance(settings, JournaldSettings):
        return "journald" if brokered else "journald without a broker"
    if isinstance(settings, SyslogSettings):
        return "syslog" if brokered else "syslog without a broker"
    return "stdout"
