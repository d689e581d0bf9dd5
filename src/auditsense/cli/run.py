"""auditsense run: watch this host."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense import syscalls
from auditsense.cli import print_data, print_detail, print_message, print_progress
from auditsense.cli.audit_rules import audit_rules_of_run
from auditsense.cli.common import drop_privileges, report_restored, stop_signals
from auditsense.cli.output import check_sinks, running_sinks, wanted_sinks
from auditsense.cli.run_lock import RunLock, users_of_sensors
from auditsense.cli.sd_notify import ServiceNotifier
from auditsense.cli.sighup import HangupHandler
from auditsense.cli.status_socket import StatusSocket
from auditsense.cli.summary import start_details, state, summary
from auditsense.config.settings import build_settings, load_config
from auditsense.detect.view import View
from auditsense.detections.loader import OPTIONAL
from auditsense.doctor.proc import journald_listens
from auditsense.errors import AuditSenseError, InputError, one_line
from auditsense.kernel import privileges, undo_journal_file
from auditsense.kernel.access import has_capability
from auditsense.kernel.broker import Broker, LogFile
from auditsense.kernel.confinement import PARTS
from auditsense.kernel.landlock import existing_folders
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.covering import covers
from auditsense.kernel.self_test import DEFAULT_EVERY_S, SelfTest
from auditsense.sensor.sensor import Sensor
from auditsense.sinks.config import refuse_events_as_findings
from auditsense.sinks.format import Format
from auditsense.sources.af_unix import AuditdSocket
from auditsense.sources.base import Cleanup
from auditsense.sources.factory import is_text, kernel_source, text_source
from auditsense.sources.host_guard import UNCHANGED
from auditsense.sources.kernel_source import DEFAULT_AUDIT_RULE, KernelSource
from auditsense.sources.multicast import Multicast
from auditsense.sources.tail import MOST_ROTATED, BrokeredOpener, LogTail
from auditsense.sources.text_source import TextSource
from auditsense.status.config import DEFAULT_SOCKET, StatusSettings
from auditsense.status.snapshot import StatusContext

if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Sequence

    from auditsense.config.settings import RunSettings, SourceSettings
    from auditsense.kernel.confinement import Confined, Confinement
    from auditsense.kernel.privileges import User

_64_BIT: Final = 0x8000_0000  # of audit's number of an architecture
_MOST_LISTED: Final = 8
"""Audit rules that are listed one by one."""
_NO_BROKER: Final = (
    "the broker has died: files of sinks cannot be rotated, sockets of sinks and a renamed log cannot be "
    "opened again, and the files of this sensor stay in /run/auditsense; restart the sensor"
)
_PRINT_RULES: Final = "auditsense rules derive lists them"
_RULE_ADDED: Final = "added the audit rule "
_REOPENED: Final = ("log:", "unix:")
"""Sources that open a path again: without a broker, this process has to."""
_TO_BECOME: Final = (privileges.CAP_SETUID, privileges.CAP_SETGID)
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
        self._confined: Confined | None = None
        self._sinks = wanted_sinks(arguments.sink or settings.sinks, settings.format)
        if settings.view is View.EVENTS:
            refuse_events_as_findings(self._sinks, settings.format)
        self._rules: list[str] = []  # with a text source, auditd sets the rules
        others: list[str] = []
        if not is_text(settings.source.name):
            # Where nothing can be added, the rules that `rules print` shows are enough.
            self._rules, others = audit_rules_of_run(settings)
        self._user, self._why_root = _user(settings) if arguments.own_process else (None, "")
        status = _status_settings(settings)
        self._status_socket = StatusSocket(status)
        unnamed = self._user.uid if self._user is not None and not self._user.name else 0
        self._lock = RunLock(alone=settings.source.name in _ALONE, unnamed=unnamed)
        self._broker = self._make_broker(status)
        cleanup = Cleanup(
            self._before_release,
            self._after_restore,
            once_guarded=self._lock.__enter__,
            folders=tuple(map(str, status.socket.parents[:2])) if status.socket is not None else (),
            broker=lambda: None if self._broker is None else self._broker.fileno(),
            user=self._user,
        )
        self._source, self._why = _source(
            settings.source, self._rules, others, cleanup, own_process=arguments.own_process
        )

    def _make_broker(self, status: StatusSettings) -> Broker | None:
        """Return the process that removes the files of this sensor; None: other processes may."""
        if self._user is None or os.geteuid() != 0:
            return None
        run_folder = undo_journal_file.DEFAULT_FOLDER
        files, folders = [self._lock.path, *undo_journal_file.paths()], [run_folder]
        if status.socket is not None:
            files.append(status.socket)
            if status.socket.parent != run_folder and not status.socket.parent.exists():
                folders.append(status.socket.parent)
        else:
            files.append(run_folder / "control")
        return Broker([*map(str, files)], [*map(str, folders)])

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
        if self._self_test is not None:
            self._self_test.user = self._user
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
            details = start_details(settings, self._sinks, self._source.name, self._why, self._self_test)
            for line in (*details, f"user: {self._user_text}"):
                print_detail(line)
        self._journal_note = ""
        if isinstance(self._source, KernelSource) and journald_listens(Path("/")):
            from auditsense.doctor.host_checks import JOURNALD_COST, JOURNALD_REMEDY  # noqa: PLC0415 - rarely

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
        self._let_source_ask(host)
        self._hangup.prepare()
        if own_process:
            gc.freeze()  # else each process that is forked copies all objects when it collects garbage
        # The sinks first: their processes must not inherit what is opened from here on.
        self._output = process.enter_context(
            running_sinks(
                self._sinks,
                settings.format,
                shown=_shown(settings.format),
                user=self._user,
                boost=settings.boost,
                color=self._arguments.color,
                broker=self._broker,
                own_process=own_process,
            )
        )
        if self._why_root:
            print_progress(f"stays root{self._why_root}")
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
                self._privileges,
            )
        )
        self._started_s = time.monotonic()
        self._lock.check()  # before anything is changed
        if isinstance(self._source, TextSource):  # the others take it once the guardian runs
            self._lock_without_guardian(host)
        host.enter_context(self._sensor)
        if self._broker is not None:
            self._broker.before()
        host.enter_context(self._status_socket)
        if self._broker is not None and self._status_socket.entered:
            self._broker.keep()
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

    def _let_source_ask(self, host: ExitStack) -> None:
        """Have the broker open again what the source reads; *host* ends it."""
        if self._broker is not None:
            connection = let_reopen(self._source, self._broker)
            if connection is not None:
                host.callback(connection.close)

    def _lock_without_guardian(self, host: ExitStack) -> None:
        """Take the lock; have the files of this sensor removed at the end, also after an error."""
        if self._broker is not None:
            host.callback(self._broker.clean)
        host.enter_context(self._lock)

    def loop(self) -> None:
        """Write documents until a signal."""
        for documents in self._sensor.batches(self._poll):
            self._output.write(documents)
        self._summary = summary(self._sensor, self._self_test, time.monotonic() - self._started_s)

    def stop(self) -> None:
        """Close the sinks and report what was counted. The host is restored."""
        self._output.close()
        if self._broker is not None:
            self._broker.close()
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
        if self._broker is not None:
            self._broker.clean()
            return
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
        if self._broker is not None and self._broker.has_ended():
            print_message(_NO_BROKER)
        if isinstance(self._source, TextSource):
            for message in self._source.take_messages():
                print_message(message)
        return self._output.poll()

    def _drop_privileges(self) -> None:
        own = [] if self._broker is not None else [str(self._lock.path), *self._status_socket.paths]
        kept = confinement_of(self._settings, own, self._signalled())
        self._confined = drop_privileges(kept, self._user, own_process=self._arguments.own_process)

    def _signalled(self) -> list[int]:
        """Return the processes that this one may have to continue or to kill."""
        guardian = None if isinstance(self._source, TextSource) else self._source.guardian
        test = () if self._self_test is None else self._self_test.signalled
        return [*self._output.sinks.signalled, *test, *([guardian.pid] if guardian is not None else [])]

    def _privileges(self) -> dict[str, Any]:
        """Return what this process kept, for the status document."""
        confined, user = self._confined, self._user
        kept = user.name if user is not None else "root" if os.geteuid() == 0 else ""
        found: dict[str, Any] = {"user_id": os.geteuid(), "user": kept}
        if confined is not None:
            found |= {"landlock": confined.landlock, "system_calls_limited": confined.filtered}
        return found | {"missing": "" if confined is None else confined.missing}

    @property
    def _user_text(self) -> str:
        """User that the sensor becomes, for people."""
        if self._user is not None:
            return self._user.name or f"{self._user.uid}, which no account has"
        return f"root, with few capabilities{self._why_root}" if os.geteuid() == 0 else "unchanged"


def let_reopen(source: KernelSource | TextSource, broker: Broker) -> socket.socket | None:
    """Let a source ask the broker for the log or the socket that it opens again.

    Returns:
        The connection, to be closed at the end; None: the source opens nothing again.

    Raises:
        InputError: the log has no folder.
    """
    if isinstance(source, AuditdSocket):
        source.broker = broker.add_socket(source.path)
        return source.broker
    if not isinstance(source, LogTail):
        return None
    folder, name = os.path.split(os.path.realpath(source.path))
    try:
        place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise InputError(f"{source.path}: {error.strerror}") from None
    names = (name, *(f"{name}.{number}" for number in range(1, MOST_ROTATED)))
    connection = broker.add_log(LogFile(place, folder, names))
    source.opener = BrokeredOpener(connection)
    return connection


def _may_become_another() -> bool:
    """Return whether this process may become another user."""
    return all(has_capability(number) is not False for number in _TO_BECOME)


def confinement_of(
    settings: RunSettings, own_files: Sequence[str], processes: Sequence[int] = ()
) -> Confinement:
    """Return what a running sensor keeps.

    Args:
        settings: name the files that it reads again.
        own_files: which a sensor without a guardian removes itself.
        processes: its own, which it may continue and kill.
    """
    detections = [path for path in settings.values["detections.paths"] if not path.startswith(OPTIONAL)]
    configured = [*map(str, settings.files), *detections]
    if own_files and settings.source.name.startswith(_REOPENED):
        configured.append(settings.source.name.partition(":")[2])
    read = existing_folders(str(Path(path).absolute()) for path in configured)
    if not is_text(settings.source.name):
        return PARTS["sensor"].with_paths(read=read).with_signals(processes)
    folders = {str(folder) for path in own_files for folder in [*Path(path).parents][:2]}
    return PARTS["sensor of a text source"].with_paths(read=read, remove=folders).with_signals(processes)


def _user(settings: RunSettings) -> tuple[User | None, str]:
    """Return the user to become, or None and, if that is root, why."""
    if os.geteuid() != 0:
        return settings.user, ""
    if settings.stay_root:
        return None, ", as configured"
    if settings.user is not None:
        if not _may_become_another():
            raise AuditSenseError(
                f"cannot become user {settings.user.name}: this process has no CAP_SETUID or CAP_SETGID; "
                "give it both, or run as root with --user root"
            )
        return settings.user, ""
    if not _may_become_another():
        return None, ", because it has no CAP_SETUID or CAP_SETGID"
    return privileges.service_user(users_of_sensors()), ""


def _source(
    source: SourceSettings, rules: list[str], others: list[str], cleanup: Cleanup, *, own_process: bool
) -> tuple[KernelSource | TextSource, str]:
    """Return the source, and for "auto" why it is not the usual one; *others*: see `Multicast`."""
    if not is_text(source.name):
        return kernel_source(source.name, rules, others, guarded=True, repair=source.repair, cleanup=cleanup)
    if source.name == "audisp" and own_process:  # auditd sends it when it reloads its configuration
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return text_source(source.name), ""


def _self_test(settings: SourceSettings, rules: list[str]) -> SelfTest | None:
    """Return the self-test; by default none with own audit rules, or without one on /proc."""
    every_s = settings.self_test_s
    if every_s is None:
        every_s = DEFAULT_EVERY_S if _report_opens_of_proc(rules) and not settings.audit_rules else 0
    return SelfTest(every_s) if every_s else None


def _report_opens_of_proc(rules: Sequence[str]) -> bool:
    """Return whether audit rules report every open of /proc, as Elastic's does, or those of proc-scan."""
    if DEFAULT_AUDIT_RULE in rules:
        return True
    width = "b64" if syscalls.ARCHES.get(syscalls.native_arch(), 0) & _64_BIT else "b32"
    opening = auditctl.parse(f"-a always,exit -F arch={width} -S openat -F inode=1")
    return any(covers(auditctl.parse(rule), opening) for rule in rules)


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
