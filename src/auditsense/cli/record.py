"""auditsense record: capture what the kernel sends."""

from __future__ import annotations

import select
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.cli import print_message
from auditsense.cli.common import drop_privileges, report_restored, stop_signals
from auditsense.core.ring import Limits, Ring, pack
from auditsense.core.rule_table import RuleTable
from auditsense.detect.host import this_host
from auditsense.errors import AuditSenseError
from auditsense.kernel import privileges
from auditsense.kernel.confinement import PARTS
from auditsense.replay import capture
from auditsense.sources.unicast import DEFAULT_AUDIT_RULE, Unicast

if TYPE_CHECKING:
    import argparse
    from typing import BinaryIO

_TICK_MS = 1000


class _Recorder:
    """Copies datagrams from the socket to the file, undecided."""

    def __init__(self, source: Unicast, ring: Ring, file: BinaryIO, path: Path) -> None:
        self._source = source
        self._ring = ring
        self._file = file
        self._path = path
        self.stopped = False
        self.size = file.tell()
        """Of the file, in bytes."""
        self.early = 0
        """Datagrams that did not arrive on the socket."""

    def stop(self) -> None:
        self.stopped = True

    def write(self, packed: bytes) -> None:
        rest = memoryview(packed)
        try:
            while rest:  # a disk that gets full takes a part first
                taken = self._file.write(rest)
                self.size += taken
                rest = rest[taken:]
        except OSError as error:
            raise AuditSenseError(f"cannot write to {self._path}: {error.strerror}") from None

    def write_early(self) -> None:
        """Write the datagrams that arrived while the source was entered."""
        early = self._source.take_early()
        self.early += len(early)
        self.write(pack(early, time.monotonic_ns() // 1_000_000))

    def copy(self) -> None:
        """Take all that waits."""
        now_ms = time.monotonic_ns() // 1_000_000
        while packed := self._ring.fetch_packed(self._source.fileno(), now_ms):
            self.write(packed)


def run(arguments: argparse.Namespace) -> int:
    """Capture until a signal or the end of `--duration`."""
    path = Path(arguments.to)
    rules = arguments.audit_rule or [DEFAULT_AUDIT_RULE]
    source = Unicast(rules, guarded=True)
    started = time.monotonic()
    deadline = started + (arguments.duration or float("inf"))
    with Ring(RuleTable(), Limits()) as ring:
        file = capture.create(path, this_host(), time.time_ns() // 1_000_000)
        recorder = _Recorder(source, ring, file, path)
        source.attach(recorder.copy)
        try:
            with file, stop_signals(recorder.stop), source:
                report_restored(source)
                kept = replace(PARTS["sensor"], capabilities=(privileges.CAP_AUDIT_CONTROL,))
                kept = kept.with_paths(remove=(str(path.absolute().parent),))  # of an empty capture
                kept = kept.with_signals([] if source.guardian is None else [source.guardian.pid])
                drop_privileges(kept, arguments.user, own_process=arguments.own_process)
                print_message(f"capturing to {path}; audit rules: {'; '.join(rules)}")
                recorder.write_early()
                waiter = select.poll()
                waiter.register(source.fileno(), select.POLLIN)
                while not recorder.stopped and (left := deadline - time.monotonic()) > 0:
                    waiter.poll(min(_TICK_MS, left * 1000))
                    recorder.copy()
        finally:
            datagrams = recorder.early + ring.stats().datagrams
            if not datagrams:  # for example because we may not listen
                with suppress(PermissionError):  # not allowed any more: it stays, with a header only
                    path.unlink(missing_ok=True)
                    recorder.size = 0
    seconds = time.monotonic() - started
    print_message(
        f"{seconds:.1f} s, {datagrams} datagrams, {recorder.size} bytes in {path}; {source.afterwards}"
    )
    return 0
