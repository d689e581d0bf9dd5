"""auditsense run: watch this host."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.cli import print_data, print_detail, print_message, print_progress
from auditsense.cli.audit_rules import audit_rules_needed
from auditsense.cli.common import drop_privileges, report_restored, stop_signals
from auditsense.cli.output import check_sinks, running_sinks, wanted_sinks
from auditsense.cli.run_lock import RunLock
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.sighup import HangupHandler
from auditsense.cli.status_socket import StatusSocket
from auditsense.cli.summary import start_details, state, summary
from auditsense.config.settings import build_settings, load_config
from auditsense.detect.view import View
from auditsense.doctor.host_checks import JOURNALD_COST, JOURNALD_REMEDY
from auditsense.doctor.proc import journald_listens
from auditsense.errors import one_line
from auditsense.kernel import (
    privileges,
    seccomp,  # noqa: F401 - for drop_privileges: nothing is imported after the takeover
)
from auditsense.kernel.self_test import DEFAULT_EVERY_S, SelfTest
from auditsense.sensor.sensor import Sensor
from auditsense.sinks.config import refuse_events_as_findings
from auditsense.sinks.format import Format
from auditsense.sources.base import Cleanup
from auditsense.sources.factory import is_text, kernel_source, text_source
from auditsense.sources.host_guard import UNCHANGED
from auditsense.sources.kernel_source import DEFAULT_AUDIT_RULE, KernelSource
from auditsense.sources.multicast import Multicast
from auditsense.sources.text_source import TextSource
from auditsense.status.config import DEFAULT_SOCKET, StatusSettings
from auditsense.status.snapshot import StatusContext

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from auditsense.config.settings import RunSettings, SourceSettings

_MOST_LISTED: Final = 8
"""Audit rules that are listed one by one."""
_PRINT_RULES: Final = "auditsense rules print lists them"
_RULE_ADDED: Final = "added the audit rule "
_ALONE = frozenset({"auto", "netlink"})
"""Sources of a sensor that refuses to run next to another."""


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal or the end of `--duration`."""
    session = LiveSession(arguments)
    session.prepare()
    if arguments.dry_run:
        session.check()
        session.print_plan()
        return 0
    with ExitStack() as process:
        with ExitStack() as host:
            session.start(process, host)
            session.loop()
        session.stop()
    return 0


class LiveSession:
    """One run of the sensor, in four phases: prepare, start, loop, stop.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments = arguments
        config = load_config(arguments)
        self._config_files = [str(file.absolute()) for file in config.files]
        self._settings = settings = build_settings(config)
        for notice in settings.notices:
            print_message(notice)
        self._changes: tuple[str, ...] = ()  # of this host
        self._sinks = wanted_sinks(arguments.sink or settings.sinks, settings.format)
        if settings.view is View.EVENTS:
            refuse_events_as_findings(self._sinks, settings.format)
        self._rules: list[str] = []  # with a text source, auditd sets the rules
        if not is_text(settings.source.name):
            self._rules = audit_rules_needed(settings)
        self._status_socket = StatusSocket(_status_settings(settings))
        self._lock = RunLock(alone=settings.source.name in _ALONE)
        cleanup = Cleanup(self._before_release, self._after_restore, once_guarded=self._lock.__enter__)
        self._source, self._why = _source(
            settings.source, self._rules, cleanup, own_process=arguments.own_process
        )

    def print_plan(self) -> None:
        """Print what `start` would change on this host."""
        steps = self._source.plan()
        if self._why:
            print_progress(f"source {self._source.name}: {self._why}")
        for step in steps:
            print_data(one_line(step))
        if not steps:
            print_progress("nothing would be changed on this host")

    def check(self) -> None:
        """Raise what `start` would raise, without changing the host. The plan checks the kernel's audit."""
        check_sinks(self._sinks)
        self._lock.check()
        self._status_socket.check()
        if isinstance(self._source, TextSource):
            with self._source:
                pass

    def prepare(self) -> None:
        """Create the sensor and what notifies the service manager; the host stays unchanged."""
        settings = self._settings
        self._self_test = _self_test(settings.source, self._rules)
        self._sensor = Sensor(
            settings.detections,
            view=settings.view,
            policy=settings.policy,
            limits=settings.limits,
            source=self._source,
            self_test=self._self_test,
            lean=settings.source.lean,
            mapping=settings.values["detections.mapping"],
        )
        if self._arguments.verbosity > 0:
            for line in start_details(settings, self._sinks, self._source.name, self._why, self._self_test):
                print_detail(line)
        self._journal_note = ""
        if isinstance(self._source, KernelSource) and journald_listens(Path("/")):
            self._journal_note = f"{JOURNALD_COST}; {JOURNALD_REMEDY}"
        self._notifier = ServiceNotifier()
        self._hangup = HangupHandler(self._arguments, settings, self._notifier, self._request_stop)

    def start(self, process: ExitStack, host: ExitStack) -> None:
        """Start the sinks, take over the kernel's audit, drop privileges.

        Args:
            process: ends the sinks and resets signal handlers.
            host: closes the sensor, which restores the host.
        """
        settings, own_process = self._settings, self._arguments.own_process
        # The sinks first: their processes must not inherit what is opened from here on.
        self._output = process.enter_context(
            running_sinks(
                self._sinks,
                settings.format,
                shown=_shown(settings.format),
                user=settings.user,
                boost=settings.boost,
                color=self._arguments.color,
                own_process=own_process,
            )
        )
        process.enter_context(self._notifier)
        process.enter_context(stop_signals(self._request_stop))
        process.enter_context(self._hangup)
        self._hangup.reopen = self._output.reopen
        self._status_socket.serve(
            StatusContext(
                self._sensor,
                self._source,
                self._why,
                self._rules,
                time.time,
                self._self_test,
                settings.limits,
                self._output.sinks.counts,
                self._config_files,
            )
        )
        self._started_s = time.monotonic()
        self._lock.check()  # before anything is changed
        if isinstance(self._source, TextSource):  # the others take it once the guardian runs
            host.enter_context(self._lock)
        host.enter_context(self._sensor)
        host.enter_context(self._status_socket)
        report_restored(self._source)
        self._report_changes()
        if own_process:
            _raise_priority(settings.boost)
        self._drop_privileges()
        source = f"{self._source.name} ({self._why})" if self._why else self._source.name
        print_progress(f"watching; source {source}, {_listed(self._rules)}")
        if self._journal_note:
            print_progress(self._journal_note)
        if isinstance(self._source, Multicast) and self._source.off:
            print_message("audit is off (enabled 0): no record comes until its owner turns it on")
        if self._arguments.duration is not None:
            # Not a thread: the guardian may have to be forked again.
            signal.setitimer(signal.ITIMER_REAL, self._arguments.duration)
        self._notifier.ready(f"watching; source {source}")

    def loop(self) -> None:
        """Write documents until a signal."""
        for documents in self._sensor.batches(self._poll):
            self._output.write(documents)
        self._summary = summary(self._sensor, self._self_test, time.monotonic() - self._started_s)

    def stop(self) -> None:
        """Close the sinks and report what was counted. The host is restored."""
        self._output.close()
        source = self._source
        afterwards = UNCHANGED if isinstance(source, TextSource) else source.afterwards
        reverted = f"; reverted the {len(self._changes)} changes" if self._changes else ""
        print_progress(f"{self._summary}{self._output.summary()}{reverted}; {afterwards}")
        if self._arguments.verbosity < 0 and afterwards != UNCHANGED:
            print_message(afterwards)

    def _before_release(self) -> None:
        self._status_socket.close()
        self._lock.release()

    def _after_restore(self) -> None:
        """Remove the files of this sensor, also after SIGKILL: the guardian calls it."""
        self._status_socket.discard()
        self._lock.discard()

    def _report_changes(self) -> None:
        if not isinstance(self._source, TextSource):
            self._changes = self._source.changes
            rules = [change for change in self._changes if change.startswith(_RULE_ADDED)]
            for change in self._changes:
                if len(rules) <= _MOST_LISTED or change not in rules:
                    print_progress(f"changed on this host: {change}")
            if len(rules) > _MOST_LISTED:
                print_progress(f"changed on this host: added {len(rules)} audit rules; {_PRINT_RULES}")

    def _request_stop(self) -> None:
        self._notifier.stopping()
        self._sensor.stop()

    def _poll(self) -> float:
        """Do what is due between two turns of the sensor's loop. Returns when to call again, in seconds."""
        self._hangup.poll(self._sensor, lambda: state(self._sensor))
        self._notifier.alive(lambda: state(self._sensor))
        if isinstance(self._source, TextSource):
            for message in self._source.take_messages():
                print_message(message)
        return self._output.poll()

    def _drop_privileges(self) -> None:
        user, own_process = self._settings.user, self._arguments.own_process
        if not isinstance(self._source, TextSource):
            # CAP_AUDIT_READ: to continue with multicast when another process takes the socket.
            drop_privileges(user, privileges.CAP_AUDIT_READ, own_process=own_process)
        elif own_process:  # no capability, but no filter either: a log or a socket has to be opened again
            privileges.keep_only(user=user)


def _source(
    settings: SourceSettings, rules: list[str], cleanup: Cleanup, *, own_process: bool
) -> tuple[KernelSource | TextSource, str]:
    """Return the source, and for "auto" why it is not the usual one."""
    if not is_text(settings.name):
        return kernel_source(settings.name, rules, guarded=True, repair=settings.repair, cleanup=cleanup)
    if settings.name == "audisp" and own_process:  # auditd sends it when it reloads its configuration
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return text_source(settings.name), ""


def _self_test(settings: SourceSettings, rules: list[str]) -> SelfTest | None:
    """Return the self-test; by default none with own audit rules, or without one on /proc."""
    every_s = settings.self_test_s
    if every_s is None:
        every_s = DEFAULT_EVERY_S if DEFAULT_AUDIT_RULE in rules and not settings.audit_rules else 0
    return SelfTest(every_s) if every_s else None


def _status_settings(settings: RunSettings) -> StatusSettings:
    """Return the status socket; none where the user may not create the default one."""
    if is_text(settings.source.name) and os.geteuid() != 0 and settings.status.socket == DEFAULT_SOCKET:
        return StatusSettings(None)
    return settings.status


def _raise_priority(levels: int) -> None:
    """Raise the priority of the sensor, after the guardian was forked: that one may wait."""
    if not levels:
        return
    try:
        os.nice(-levels)
    except OSError as error:  # a container without CAP_SYS_NICE
        print_message(f"cannot raise priority: {error.strerror}; alerts may be delayed under load")


def _listed(rules: Sequence[str]) -> str:
    """Return audit rules in a few words: each one, or how many."""
    if not rules:
        return "no audit rule set"
    return f"audit rules: {'; '.join(rules)}" if len(rules) <= _MOST_LISTED else f"{len(rules)} audit rules"


def _shown(form: str | None) -> bool:
    """Return whether documents are readable on the same terminal as standard error."""
    if form not in (None, Format.COMPACT):
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))
