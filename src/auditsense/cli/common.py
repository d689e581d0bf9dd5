"""What several commands need."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditsense.cli import open_output, say
from auditsense.detections.loader import load_detections, paths_of, quiet, shipped_detections
from auditsense.errors import AuditSenseError
from auditsense.sinks.format import Format
from auditsense.sinks.stream import StreamSink

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from auditsense.core.ring import Stats
    from auditsense.detections.model import Detection
    from auditsense.kernel.privileges import User
    from auditsense.sources.base import Source

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)


def wanted_detections(arguments: argparse.Namespace) -> tuple[Detection, ...]:
    """Return the detections of `--detections`, or the shipped ones, with the exceptions asked for."""
    paths = paths_of(arguments.detections)
    found = [one for path in paths for one in load_detections(path)] if paths else shipped_detections()
    return quiet(found, arguments.exceptions, known_harmless_too=bool(arguments.known_harmless))


def standard_output(form: str | None) -> StreamSink:
    """Return standard output in the format asked for, or the one that suits it.

    Raises:
        UsageError: it is closed.
    """
    stream = open_output()
    return StreamSink(stream, Format(form or (Format.COMPACT if stream.isatty() else Format.JSONL)))


def report_restored(source: Source) -> None:
    """Say what a sensor that was killed had left on this host, and is undone now."""
    if source.restored:
        say(f"an earlier sensor was killed; restored what it had changed: {'; '.join(source.restored)}")


def give_up_privileges(user: User | None, *also: int, own_process: bool) -> None:
    """Keep what a running sensor needs, and nothing else; call it when the takeover is done.

    That is CAP_AUDIT_CONTROL, which every command to the kernel's audit needs, those to put the host
    back too; the rights of *user*, when given; the system calls of `kernel.seccomp`. Does nothing
    when this process is not `auditsense` itself but one that called `main`.

    Args:
        user: to become; None: nobody else.
        also: capabilities to keep as well.
        own_process: see `main`.

    Raises:
        AuditSenseError: the kernel refused.
    """
    if not own_process:
        return
    from auditsense.kernel import privileges, seccomp  # noqa: PLC0415 - replay does without

    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - a thread keeps what it has already
        raise AuditSenseError("privileges can be given up only while there is one thread")
    prepared = seccomp.prepare()
    privileges.keep_only(privileges.CAP_AUDIT_CONTROL, *also, user=user)
    if prepared is None or not seccomp.confine(prepared):
        say("this kernel or this machine has no filter for system calls; going on without")


@contextmanager
def ending(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGINT, SIGTERM, SIGHUP and SIGALRM call *stop* instead of ending the process in the middle.

    A SIGHUP that is ignored, as under nohup, stays ignored. A SIGINT does not: a shell script makes
    its background jobs ignore it, and whoever sends it to one of them means it.
    """
    before = {number: signal.getsignal(number) for number in _ENDINGS}
    for number, handler in before.items():
        if number != signal.SIGHUP or handler is not signal.SIG_IGN:
            signal.signal(number, lambda *_: stop())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


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
