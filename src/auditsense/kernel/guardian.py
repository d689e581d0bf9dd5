"""A small process that puts the host back when the sensor dies.

Forked before the first change, it holds the reading end of a pipe and the journal that comes
through it. The pipe ends with the sensor, whatever ended it, SIGKILL included: no polling, no pid
that could be another's by now. When the journal is empty then, there is nothing to do.

Rule 1: it does nothing while the sensor lives, and lives no longer than putting back takes.
Rule 2: it leaves the sensor's process group and ignores what a terminal or a service manager sends
        to all, so that what ends the sensor does not end it as well.
Rule 3: it keeps the capability to change the audit configuration, and gives up every other.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, NoReturn

from auditsense.errors import AuditSenseError
from auditsense.kernel import privileges
from auditsense.kernel.commands import Commands
from auditsense.kernel.journal import Entry, decode, encode
from auditsense.kernel.undo import undo_all

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.kernel.plan import Step

_TRIES = 5
_PAUSE_S = 0.2
_NAME = b"audit-guardian"


class Guardian:
    """The sensor's side of it: a `Journal`. Start it, give it to the takeover, close it last.

    Args:
        commands: makes the command client that the guardian uses, in its own process.
        done: called in the guardian when the host is put back, for example to remove a file.
    """

    def __init__(
        self, commands: Callable[[], Commands] = Commands, done: Callable[[], None] | None = None
    ) -> None:
        self._make = commands
        self._done = done
        self._pipe = -1
        self.pid = 0
        """Of the guardian; 0 when there is none."""

    def start(self) -> None:
        """Fork. The process should have one thread: in the child only this one goes on.

        Raises:
            AuditSenseError: no process or pipe can be had.
        """
        owner = os.getpid()
        try:
            reading, writing = os.pipe2(os.O_CLOEXEC)
            self.pid = os.fork()
        except OSError as error:
            raise AuditSenseError(f"cannot start the guardian: {error.strerror}") from None
        if self.pid == 0:
            os.close(writing)
            _guard(reading, owner, self._make, self._done)
        os.close(reading)
        self._pipe = writing

    def write(self, steps: Sequence[Step]) -> None:
        """Tell the guardian what may be in effect now.

        Raises:
            AuditSenseError: the guardian is gone; nothing must be changed without it.
        """
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, encode(Entry(os.getpid(), tuple(steps))))
        except BrokenPipeError:
            self.alive()
            if steps:
                raise AuditSenseError("the guardian is gone; start auditsense again") from None

    def alive(self) -> bool:
        """Return whether the guardian still watches; collects it when not."""
        if self.pid and os.waitpid(self.pid, os.WNOHANG) != (0, 0):
            self.pid = 0
        return self.pid != 0

    def close(self) -> None:
        """End the guardian, and wait for that. It puts back what the last journal still names."""
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1
        if self.pid:
            os.waitpid(self.pid, 0)
            self.pid = 0


def _guard(
    reading: int, owner: int, make: Callable[[], Commands], done: Callable[[], None] | None
) -> NoReturn:
    """Be the guardian. Never returns, and never runs what the sensor has left to run at its exit."""
    code = 1
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        privileges.rename(_NAME)
        _close_all_but(reading)
        privileges.keep_only(privileges.CAP_AUDIT_CONTROL)
        code = _wait_and_put_back(reading, owner, make, done)
    finally:
        os._exit(code)


def _close_all_but(reading: int) -> None:
    """Close what was inherited: the sensor's sockets and output must not live on in here."""
    os.closerange(3, reading)
    os.closerange(reading + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)


def _wait_and_put_back(
    reading: int, owner: int, make: Callable[[], Commands], done: Callable[[], None] | None
) -> int:
    unread = b""
    last = b""
    while chunk := os.read(reading, 65536):
        *whole, unread = (unread + chunk).split(b"\n")
        last = whole[-1] if whole else last
    steps = decode(last).steps if last else ()
    if not steps:
        return 0
    failures: dict[Step, Exception] = {}
    for _ in range(_TRIES):
        with make() as commands:
            failures = undo_all(commands, steps, owner)
        if not failures:
            break
        time.sleep(_PAUSE_S)
    for step, failure in failures.items():
        _say(f"error: not put back: {step} ({failure})")
    if failures:
        return 1
    if done is not None:
        done()
    _say(f"the sensor ({owner}) died; the host is as it was")
    return 0


def _say(text: str) -> None:
    """Say it on the sensor's standard error, which may be closed by now."""
    with contextlib.suppress(OSError):
        os.write(2, f"auditsense: {text}\n".encode())
