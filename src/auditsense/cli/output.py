"""The sinks of a command: made of `--sink`, put apart for `run`, waited for by `replay`."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from auditsense.cli import open_output, say
from auditsense.detect.host import this_host
from auditsense.errors import UsageError
from auditsense.sinks import Sink, SinkError
from auditsense.sinks.config import FileSettings, SinkSettings, StdoutSettings, SyslogSettings, open_sink
from auditsense.sinks.format import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.detect.documents import Document
    from auditsense.kernel.privileges import User
    from auditsense.sinks.fanout import SinkSet


def wanted_sinks(given: Sequence[SinkSettings]) -> list[SinkSettings]:
    """Return the sinks that were asked for, or standard output.

    Raises:
        UsageError: two have the same place.
    """
    names = [str(one) for one in given]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the sink {name} is given twice")
    return list(given) or [StdoutSettings()]


def opened(one: SinkSettings, form: str | None) -> Sink:
    """Return a sink, open; standard output in the format asked for, or the one that suits it.

    Raises:
        UsageError: it cannot be opened; standard output is closed.
    """
    if isinstance(one, StdoutSettings):
        try:
            open_output()
        except UsageError as error:
            raise UsageError(f"{error}; or name another place for documents with --sink") from None
    readable = sys.stdout is not None and sys.stdout.isatty()
    try:
        return open_sink(one, Format(form or (Format.COMPACT if readable else Format.JSONL)))
    except SinkError as error:
        raise UsageError(str(error)) from None


class Output:
    """Where `run` writes: its sinks, and for what concerns the sensor itself the person at the terminal.

    Attributes:
        sinks: as they are running.
    """

    def __init__(self, sinks: SinkSet, *, shown: bool, named: bool, files: bool) -> None:
        self.sinks = sinks
        self._shown = shown
        self._named = named
        self._files = files

    def write(self, documents: Sequence[Document]) -> None:
        """Write documents out; what the sensor says of itself is said to the person too, unless shown."""
        self.sinks.send(documents)
        for one in documents:
            if "message" in one and not self._shown:
                say_document(one)

    def tend(self) -> float:
        """Look after the sinks between two turns of the sensor. Returns when to do so again, in seconds.

        Raises:
            SinkError: standard output is closed or full, or no sink is left.
        """
        for one in self.sinks.poll():
            say_document(one)  # whoever is shown documents may be shown none right now
        return self.sinks.timeout_s()

    def close(self) -> None:
        """Let the sinks write what they were given, and end them; see `SinkSet.close`."""
        self.sinks.close()

    def summary(self) -> str:
        """Return what became of the documents; "" when they all went to standard output, as usual."""
        return f"; {self.sinks.summary()}" if self._named or self.sinks.lossy() else ""

    @property
    def reopen(self) -> Callable[[], None] | None:
        """What has the files of the sinks opened again, for a signal handler; None: there are none."""
        return self.sinks.request_reopen if self._files else None


def say_document(one: Document) -> None:
    """Say what the sensor has to say of itself to the person at the terminal."""
    say(f"{one['rule']['name']} ({one['auditsense']['severity']}): {one['message']}")


@contextmanager
def running_sinks(  # noqa: PLR0913 - all that sinks are told, once
    wanted: Sequence[SinkSettings],
    form: str | None,
    *,
    shown: bool,
    user: User | None,
    boost: int,
    own_process: bool,
) -> Iterator[Output]:
    """Start the sinks of `run`, each apart, before anything is taken over; end them when the block ends.

    Args:
        wanted: which; see `wanted_sinks`.
        form: of standard output; None: what suits it.
        shown: whether documents on standard output are readable beside what is said.
        user: whom the processes of sinks become, except those of files: who owns a file opens the next one.
        boost: steps of nice by which the sensor and its sinks run before others, so that an alert is not late
            on its last step under full load.
        own_process: see `main`.

    Raises:
        UsageError: one cannot be opened; nothing was changed.
    """
    from auditsense.sinks.fanout import SinkSet  # noqa: PLC0415
    from auditsense.sinks.handle import InProcessSink, SinkHandle  # noqa: PLC0415
    from auditsense.sinks.subprocess_sink import SinkProcess  # noqa: PLC0415 - replay does without

    started: list[SinkHandle] = []
    with ExitStack() as stack:
        for one in wanted:
            sink = opened(one, form)
            if isinstance(one, StdoutSettings) and sys.stdout is not None and sink.fileno() < 0:
                started.append(InProcessSink(sink, str(one)))
                continue
            process = SinkProcess(sink, str(one))
            process.start(_confinement(one, user, boost) if own_process else None)
            started.append(process)
            stack.callback(process.close)
        sinks = SinkSet(started, this_host(), required=frozenset({"stdout"}))
        streams = [one for one in wanted if isinstance(one, StdoutSettings)]
        shown = shown and any(one.format is not Format.JSONL for one in streams)
        files = any(isinstance(one, FileSettings) for one in wanted)
        yield Output(sinks, shown=shown, named=len(streams) < len(wanted), files=files)


@contextmanager
def written_sinks(
    given: Sequence[SinkSettings], form: str | None
) -> Iterator[Callable[[Sequence[Document]], None]]:
    """Open the sinks of `replay`, which waits for them. Gives what writes documents to all of them."""
    with ExitStack() as stack:
        sinks = [opened(one, form) for one in wanted_sinks(given)]
        for sink in sinks:
            stack.callback(sink.close)

        def write(documents: Sequence[Document]) -> None:
            for sink in sinks:
                sink.write(documents)

        yield write


def _confinement(one: SinkSettings, user: User | None, boost: int) -> Callable[[], None]:
    """Return what gives up, in a sink's process, all that it does not need."""
    from auditsense.kernel import privileges, seccomp  # noqa: PLC0415 - replay does without

    remote = isinstance(one, SyslogSettings) and one.transport != "local"
    families = (int(socket.AF_INET), int(socket.AF_INET6)) if remote else ()
    prepared = seccomp.prepare(families, ("memfd_create",))

    def confine() -> None:
        with suppress(OSError):  # a container without CAP_SYS_NICE, which the sensor says
            os.nice(-boost)
        privileges.keep_only(user=None if isinstance(one, FileSettings) else user)
        if prepared is not None:
            seccomp.confine(prepared)

    return confine
