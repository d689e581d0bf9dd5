"""SIGHUP during `run`: reload the configuration.

Rule 1: the new configuration is validated first. An error is reported, and the previous one stays active.
Rule 2: the signal handler only sets a flag; the work is done between two turns of the loop.
Rule 3: everything is imported at startup: later, privileges are dropped, and the files of this package and
        of Python may be unreadable.
Rule 4: the sensor continues with any content of the files: each error of a reload is reported, and reading
        is aborted after some seconds of CPU time.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final, Self

from auditsense.cli import print_message, print_progress
from auditsense.cli.audit_rules import audit_rules_needed
from auditsense.config.settings import build_settings, keys_needing_restart, load_config
from auditsense.detections.loader import read_known_harmless, shipped_detections
from auditsense.errors import AuditSenseError, ConfigError
from auditsense.sources.factory import is_text, rules_needed

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from auditsense.cli.sd_notify import ServiceNotifier
    from auditsense.config.settings import RunSettings
    from auditsense.sensor.sensor import Sensor

_MAX_CPU_S: Final = 5.0
_MOST_LISTED: Final = 8  # audit rules
_LAZY_MODULES: Final = (
    "difflib",
    "ipaddress",
    "auditsense.detections.eql.parser",
    "auditsense.detections.open_flags",
    "auditsense.detections.regex",
    "auditsense.kernel.privileges",
    "auditsense.sinks.syslog",
    "auditsense.detect.rule_migration",
)


def load_for_reload() -> None:
    """Load what a reload needs, see rule 3. Before processes are forked, which share it then."""
    for name in _LAZY_MODULES:
        import_module(name)
    shipped_detections()
    read_known_harmless()


class HangupHandler:
    """SIGHUP handler of one `run`. A context manager, inside `stop_signals`.

    SIGHUP reloads the configuration if a configuration file is in use or a service manager is present. It
    reopens the files of sinks if there are any. Otherwise, and always when the terminal of this process has
    hung up, it stops the loop, unless SIGHUP was ignored at startup, as under nohup.

    Args:
        arguments: of `run`; they override the files again.
        settings: at startup; a change that needs a restart is compared with them.
        notifier: notified of a reload.
        stop: ends the loop.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        settings: RunSettings,
        notifier: ServiceNotifier,
        stop: Callable[[], None],
    ) -> None:
        self._startup = settings
        self._arguments = arguments
        self._notifier = notifier
        self._stop = stop
        self._requested = False
        self._ignored = False
        self._terminal = -1
        self.reopen: Callable[[], None] | None = None
        """Reopens the files of sinks, if there are any: logrotate sends SIGHUP for that."""

    def __enter__(self) -> Self:
        self._ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        try:
            self._terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            self._terminal = -1  # without a terminal there is no hangup
        signal.signal(signal.SIGHUP, lambda *_: self._on_hangup())  # reset by `stop_signals`
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def poll(self, sensor: Sensor, status: Callable[[], str]) -> None:
        """Reload, if requested. Call between two turns of the sensor's loop."""
        if self._requested:
            self._requested = False
            self._notifier.reloading()
            self._reload(sensor)
            self._notifier.ready(status())

    def prepare(self) -> None:
        """Load what a reload needs, if SIGHUP may be one: it takes time and memory. See rule 3."""
        if self._reloads:
            load_for_reload()

    @property
    def _reloads(self) -> bool:
        return bool(self._startup.files) or self._notifier.active

    def _on_hangup(self) -> None:
        if (self._reloads or self.reopen is not None) and not self._terminal_gone():
            self._requested = self._reloads
            if self.reopen is not None:
                self.reopen()
        elif not self._ignored:
            self._stop()

    def _terminal_gone(self) -> bool:
        if self._terminal < 0:
            return False
        poll = select.poll()
        poll.register(self._terminal, 0)
        return bool(poll.poll(0))  # POLLHUP is always reported

    def _reload(self, sensor: Sensor) -> None:
        try:
            before = rules_needed(
                sensor.detections,
                costly=self._startup.source.costly_rules,
                mapping=self._startup.values["detections.mapping"],
            )
            with _bounded():
                new = build_settings(load_config(self._arguments))
                deferred = [*keys_needing_restart(self._startup, new)]
                rules = audit_rules_needed(new, active=self._startup)
            sensor.reload(new.detections, new.policy, audit_rules=rules)
        except Exception as error:  # noqa: BLE001 - see rule 4
            for problem in _problems(error):
                print_message(f"error: {problem}")
            print_message("the configuration was not reloaded; the previous one stays active")
            return
        needed = [line for line in rules if line not in before]
        for notice in new.notices:
            print_message(notice)
        for path in deferred:
            print_message(f"{path}: changed, needs a restart")
        if needed and not self._startup.source.audit_rules:
            state = "needed, for auditd to set" if is_text(self._startup.source.name) else "added"
            listed = "; ".join(needed) if len(needed) <= _MOST_LISTED else f"{len(needed)} of them"
            print_progress(f"audit rules {state}: {listed}")
        read = ", ".join(map(str, new.files)) or "no configuration file"
        ids = ", ".join(detection.id for detection in new.detections)
        print_progress(f"configuration reloaded: {read}; detections: {ids}")


class _TooLongError(AuditSenseError):
    """Reading the configuration takes too much CPU time."""


@contextmanager
def _bounded() -> Iterator[None]:
    """Abort after `_MAX_CPU_S`. CPU time, because a busy machine delays a correct reload as well."""

    def abort(*_: object) -> None:
        raise _TooLongError(f"reading the configuration took more than {_MAX_CPU_S:g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, abort)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MAX_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _problems(error: Exception) -> list[str]:
    """Return an error as lines to print."""
    if isinstance(error, ConfigError):
        return list(error.problems)
    if isinstance(error, AuditSenseError):
        return [str(error)]
    if isinstance(error, MemoryError):
        return ["no memory"]
    reason = error.strerror or "" if isinstance(error, OSError) else str(error)
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return [f"the configuration could not be read: {where}{reason or type(error).__name__}"]
