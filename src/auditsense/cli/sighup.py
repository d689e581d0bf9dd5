"""SIGHUP while `run` runs: read the configuration again and go on with it.

Rule 1: the new configuration is read and checked first. When anything is wrong it is said, and the one before
        stays.
Rule 2: a signal handler only notes; the work is done between two turns of the loop, when nothing is half
        done.
Rule 3: what was loaded at the start is all there is: privileges are gone, and the files of this package and
        of Python may be out of reach.
Rule 4: whatever the files hold, the sensor goes on: what a reload raises is said, and reading that takes more
        than some seconds of CPU time is given up.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Final, Self

from auditsense.cli import say
from auditsense.config.settings import found_for, needs_restart, settings
from auditsense.detections.loader import known_harmless, shipped_detections
from auditsense.detections.model import audit_rules_of
from auditsense.errors import AuditSenseError, ConfigError
from auditsense.sources.factory import is_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from auditsense.cli.sd_notify import Manager
    from auditsense.config.settings import Settings
    from auditsense.sensor.sensor import Sensor

_MOST_CPU_S: Final = 5.0
_LOADED_LATE: Final = (
    "difflib",
    "auditsense.kernel.privileges",
    "auditsense.sinks.syslog",
    "auditsense.detect.rule_migration",
)


class Reloading:
    """What SIGHUP means to one `run`. A context manager, inside `ending`.

    With a configuration file in use, or under a service manager, it means to read the configuration again;
    with sinks that are files, to open those again.
    Otherwise, and always when the terminal has hung up that this process was started from, it ends it, unless
    SIGHUP was ignored at the start, as under nohup.

    Args:
        arguments: of `run`, read again with the files.
        asked: what was at the start: what needs a restart is compared with that.
        manager: told of a reload.
        stop: ends the loop.
    """

    def __init__(
        self, arguments: argparse.Namespace, asked: Settings, manager: Manager, stop: Callable[[], None]
    ) -> None:
        self._start = asked
        self._arguments = arguments
        self._manager = manager
        self._stop = stop
        self._wanted = False
        self._ignored = False
        self._terminal = -1
        self.reopen: Callable[[], None] | None = None
        """Has the files of sinks opened again, if there are any: that is what SIGHUP means to logrotate."""

    def __enter__(self) -> Self:
        for name in _LOADED_LATE:  # see rule 3
            import_module(name)
        shipped_detections()
        known_harmless()
        self._ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        try:
            self._terminal = os.open("/dev/tty", os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            self._terminal = -1  # there is none, so none can hang up
        signal.signal(signal.SIGHUP, lambda *_: self._hung_up())  # put back by `ending`
        return self

    def __exit__(self, *_: object) -> None:
        if self._terminal >= 0:
            os.close(self._terminal)
            self._terminal = -1

    def turned(self, sensor: Sensor, status: Callable[[], str]) -> None:
        """Reload, if it was asked for; between two turns of the sensor's loop."""
        if self._wanted:
            self._wanted = False
            self._manager.reloading()
            self._reload(sensor)
            self._manager.ready(status())

    @property
    def _reloads(self) -> bool:
        return bool(self._start.files) or self._manager.listens

    def _hung_up(self) -> None:
        if (self._reloads or self.reopen is not None) and not self._terminal_gone():
            self._wanted = self._reloads
            if self.reopen is not None:
                self.reopen()
        elif not self._ignored:
            self._stop()

    def _terminal_gone(self) -> bool:
        if self._terminal < 0:
            return False
        asking = select.poll()
        asking.register(self._terminal, 0)
        return bool(asking.poll(0))  # POLLHUP, which is told without being asked for

    def _reload(self, sensor: Sensor) -> None:
        try:
            before = audit_rules_of(sensor.detections)
            with _bounded():
                new = settings(found_for(self._arguments))
                later = [*needs_restart(self._start, new)]
            rules = new.source.audit_rules or None
            sensor.reload(new.detections, new.policy, audit_rules=rules)
        except Exception as error:  # noqa: BLE001 - see rule 4
            for problem in _problems(error):
                say(f"error: {problem}")
            say("the configuration was not reloaded; the one before stays in force")
            return
        needed = [line for line in audit_rules_of(new.detections) if line not in before]
        for path in later:
            say(f"{path}: changed, needs a restart")
        if needed and rules is None:
            done = "needed, for auditd to set" if is_text(self._start.source.name) else "added"
            say(f"audit rules {done}: {'; '.join(needed)}")
        read = ", ".join(map(str, new.files)) or "no configuration file"
        say(f"configuration reloaded: {read}; detections: {', '.join(one.id for one in new.detections)}")


class _TooLongError(AuditSenseError):
    """Reading the configuration takes too long."""


@contextmanager
def _bounded() -> Iterator[None]:
    """End what takes too long. By CPU time: on a busy machine a reload may wait, and the sensor with it."""

    def give_up(*_: object) -> None:
        raise _TooLongError(f"reading the configuration took more than {_MOST_CPU_S:g} s of CPU time")

    before = signal.signal(signal.SIGVTALRM, give_up)
    signal.setitimer(signal.ITIMER_VIRTUAL, _MOST_CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _problems(error: Exception) -> list[str]:
    """Return what to say of an error: what files are wrong about has its own words."""
    if isinstance(error, ConfigError):
        return list(error.problems)
    if isinstance(error, AuditSenseError):
        return [str(error)]
    if isinstance(error, MemoryError):
        return ["no memory"]
    what = error.strerror or "" if isinstance(error, OSError) else str(error)
    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    return [f"the configuration could not be read: {where}{what or type(error).__name__}"]
