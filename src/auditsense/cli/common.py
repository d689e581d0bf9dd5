"""Functions that several commands use."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from auditsense.cli import open_output, print_message, raise_lost_interrupt
from auditsense.cli.style import painter
from auditsense.detections.event_table import EventMapping
from auditsense.detections.loader import only, quiet, shipped_detections
from auditsense.errors import AuditSenseError
from auditsense.sinks.format import Format
from auditsense.sinks.stream import StreamSink

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from auditsense.core.ring import Stats
    from auditsense.detections.model import Detection
    from auditsense.kernel.confinement import Confined, Confinement
    from auditsense.kernel.privileges import User
    from auditsense.sources.base import Source

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def selected_detections(arguments: argparse.Namespace) -> tuple[Detection, ...]:
    """Return the shipped detections and those of the flags, with the requested exceptions.

    The configuration of this host is not read: the same command gives the same result on each host.
    """
    if arguments.config is None and not arguments.detections and arguments.shipped is not False:
        detections = only(tuple(shipped_detections()), arguments.only or ())
        exceptions, harmless = (getattr(arguments, name, None) for name in ("exceptions", "known_harmless"))
        return quiet(detections, exceptions or (), known_harmless_too=bool(harmless))
    from auditsense.config.settings import selected_detections as configured  # noqa: PLC0415 - loads slowly

    return configured(arguments, print_message)


def selected_mapping(arguments: argparse.Namespace) -> str:
    """Return the mapping of the flag, else that of the named configuration, else the default one."""
    if arguments.mapping is not None or arguments.config is None:
        return arguments.mapping or EventMapping.NATIVE
    from auditsense.config.settings import configured_mapping  # noqa: PLC0415 - loads slowly

    return configured_mapping(arguments.config)


def standard_output(form: str | None, color: str) -> StreamSink:
    """Return standard output in the requested format, or by default compact on a terminal, else JSON lines.

    Args:
        form: None: the default.
        color: when to colour compact lines.

    Raises:
        UsageError: it is closed.
    """
    stream = open_output()
    form = form or (Format.COMPACT if stream.isatty() else Format.JSONL)
    return StreamSink(stream, Format(form), paint=painter(stream, color))


def report_restored(source: Source) -> None:
    """Report the changes of a killed sensor that were undone on entering."""
    if source.restored:
        print_message(
            f"an earlier sensor was killed; restored what it had changed: {'; '.join(source.restored)}"
        )


def drop_privileges(confinement: Confinement, user: User | None, *, own_process: bool) -> Confined | None:
    """Drop all privileges that a running sensor does not need. Call it after the takeover.

    Does nothing in a process that called `main` itself.

    Args:
        confinement: what stays.
        user: to run as; None: keep the user.
        own_process: see `main`.

    Returns:
        How much this kernel could do; None: nothing was done.

    Raises:
        AuditSenseError: the kernel refused.
    """
    if not own_process:
        return None
    from auditsense.kernel.confinement import confine  # noqa: PLC0415 - not for replay

    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - a thread keeps its privileges
        raise AuditSenseError("privileges can be dropped only while there is one thread")
    confined = confine(confinement, user)
    if confined.missing:
        print_message(f"this kernel or this machine has no {confined.missing}; continuing without")
    return confined


@contextmanager
def stop_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT, SIGTERM, SIGHUP and SIGALRM call *stop* instead of ending the process.

    An ignored SIGHUP, as under nohup, stays ignored. An ignored SIGINT does not: background jobs of a shell
    script start with it, and a SIGINT sent to one of them is intended.
    """
    before = {number: signal.getsignal(number) for number in _STOP_SIGNALS}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler is not signal.SIG_IGN:
            signal.signal(number, lambda number, _: _stop_after(number, stop))
    try:
        raise_lost_interrupt()
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_after(number: int, stop: Callable[[], None]) -> None:
    if number == signal.SIGINT and sys.stderr is not None and sys.stderr.isatty():
        with suppress(OSError):
            os.write(sys.stderr.fileno(), b"\n")  # the terminal has shown ^C
    stop()


def unknown_arches(stats: Stats) -> list[str]:
    """Return a sentence for each architecture whose events no detection by system call can match."""
    lines = [
        f"{count} events of architecture {arch:#x} have no call table: detections cannot match them"
        for arch, count in stats.unknown_arches
    ]
    rest = stats.unknown_arch - sum(count for _, count in stats.unknown_arches)
    if rest:
        lines.append(f"{rest} events of other architectures have no call table: detections cannot match them")
    return lines
