"""Sinks of a command: in child processes for `run`, in this process for `replay`."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

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
    open_sink,
)
from auditsense.sinks.format import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from auditsense.detect.document_types import Document
    from auditsense.kernel.privileges import User
    from auditsense.sinks.fanout import SinkSet


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
        """Flush and close the sinks; see `SinkSet.close`."""
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
    own_process: bool,
) -> Iterator[RunOutput]:
    """Start the sinks of `run`, each in a child process, before the takeover; close them when the block ends.

    Args:
        settings: see `wanted_sinks`.
        form: of standard output; None: the default.
        shown: whether documents on standard output are readable next to standard error.
        user: that sinks run as, except those of files and spools: the owner of a file must be able to create
            the next one, and a spool belongs to the user of `ship`.
        boost: nice levels by which priority is raised, as for the sensor: an alert must not be late on its
            last step.
        color: when to colour standard output.
        own_process: see `main`.

    Raises:
        UsageError: a sink cannot be opened; nothing was changed.
    """
    from auditsense.sinks.acknowledged import sink_process  # noqa: PLC0415
    from auditsense.sinks.fanout import SinkSet  # noqa: PLC0415
    from auditsense.sinks.handle import InProcessSink, SinkHandle  # noqa: PLC0415 - not for replay

    started: list[SinkHandle] = []
    with ExitStack() as stack:
        for item in settings:
            sink = _open(item, form, color)
            if isinstance(item, StdoutSettings) and sys.stdout is not None and sink.fileno() < 0:
                started.append(InProcessSink(sink, str(item)))
                continue
            process = sink_process(sink, str(item))
            process.start(_confinement(item, user, boost) if own_process else None)
            started.append(process)
            stack.callback(process.close)
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


def _confinement(settings: SinkSettings, user: User | None, boost: int) -> Callable[[], None]:
    """Return a function that drops, in a sink's process, the privileges it does not need."""
    from auditsense.kernel import privileges, seccomp  # noqa: PLC0415 - not for replay

    if isinstance(settings, FileSettings):
        user = None
    if isinstance(settings, SpoolSettings):
        status = settings.path.stat()
        user = privileges.User(status.st_uid, status.st_gid) if os.geteuid() == 0 and status.st_uid else None
    remote = isinstance(settings, SyslogSettings) and settings.transport != "local"
    families = (int(socket.AF_INET), int(socket.AF_INET6)) if remote else ()
    prepared = seccomp.prepare(families, ("memfd_create",))

    def confine() -> None:
        with suppress(OSError):  # a container without CAP_SYS_NICE; the sensor reports it
            os.nice(-boost)
        privileges.keep_only(user=user)
        if prepared is not None:
            seccomp.confine(prepared)

    return confine
