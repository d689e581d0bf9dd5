"""An open of /proc on purpose, by a process that the kernel reports: proof that records come.

A listed audit rule proves nothing (docs/loss.md says what it may miss). So a helper, forked when all
is set up, forks a child for each test; the child opens /proc by a spelling that nobody else uses and
ends. Whether that very open came through the pipeline is for the sensor to see.

Rule 1: the child is no copy that is kept from before: a process that starts now is what the kernel
        has to report, whatever was hidden since.
Rule 2: it is the host's /proc that is opened: where the one here is another, the test fails.
Rule 3: the helper has no capability and no descriptor but its end of a pair of sockets; it ends with
        the sensor, whatever ended that.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, Self

from auditsense import _child_process as child
from auditsense.errors import AuditSenseError
from auditsense.kernel import privileges, procfs

if TYPE_CHECKING:
    from types import TracebackType

DEFAULT_EVERY_S: Final = 300.0
DEFAULT_WITHIN_S: Final = 2.0
_PID: Final = struct.Struct("=i")
_TURNS: Final = 24
_END_S: Final = 1.0
_ANOTHER_PROC: Final = 0  # instead of a pid: nothing was opened

WHAT_IT_MAY_MEAN: Final = (
    "the audit rule may be listed and match nothing (loaded from another mount namespace, or behind a rule "
    "that takes its events), new processes may be hidden (-a task,never), records may be excluded or lost"
)


def spelling() -> str:
    """Return a name of /proc that nobody else uses: each turn after it is /. or //. by chance.

    By chance, so that no process can make the sensor work on purpose.
    """
    return "/proc" + "".join(secrets.choice(("/.", "//.")) for _ in range(_TURNS))


class SelfTest:
    """Opens /proc on purpose every now and then. A context manager.

    Pure towards the clock: the caller says what time it is, and what it saw.

    Args:
        every_s: from one test to the next, above 0.
        within_s: how long the record may take.
        path: what is opened.
    """

    def __init__(
        self,
        every_s: float = DEFAULT_EVERY_S,
        *,
        within_s: float = DEFAULT_WITHIN_S,
        path: str | None = None,
    ) -> None:
        self.path = path if path is not None else spelling()
        """What the record has to name."""
        self.passed = 0
        """Tests whose record came in time."""
        self.failed = 0
        """Tests whose record did not."""
        self._every_s = every_s
        self._within_s = within_s
        self._next_s = 0.0
        self._deadline_s: float | None = None
        self._pid: int | None = None
        self._seen: set[int] = set()
        self._ours: socket.socket | None = None
        self._helper = 0

    def __enter__(self) -> Self:
        """Fork the helper. The process should have one thread: in the child only this one goes on.

        Raises:
            AuditSenseError: no process or socket can be had.
        """
        try:
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            self._helper = os.fork()
        except OSError as error:
            raise AuditSenseError(f"cannot start the self-test: {error.strerror}") from None
        if self._helper == 0:
            _help(theirs.fileno(), self.path)
        theirs.close()
        self._ours.setblocking(False)  # noqa: FBT003 - the standard library's own
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the helper, and wait for that; for a second at most, for it may have been stopped."""
        if self._ours is not None:
            self._ours.close()
            self._ours = None
        if self._helper and not child.wait_for_exit(self._helper, _END_S):
            with suppress(PermissionError, ProcessLookupError):  # it stays root when the sensor does not
                os.kill(self._helper, signal.SIGKILL)
            child.wait_for_exit(self._helper, _END_S)
        self._helper = 0

    def saw(self, pid: int) -> None:
        """Tell that an open of `path` by this process came through the pipeline."""
        self._seen.add(pid)

    def step(self, now_s: float) -> str:
        """Begin a test when it is time, judge one that is under way.

        Args:
            now_s: a clock that never steps back.

        Returns:
            What is wrong; "" when nothing is, or not yet.
        """
        if self._ours is None:
            return ""
        if self._deadline_s is None:
            return self._begin(now_s) if now_s >= self._next_s else ""
        self._hear()
        if self._pid == _ANOTHER_PROC:
            return self._fail(
                "the self-test could not be made: /proc here is another procfs than the host's; "
                + procfs.REMEDY
            )
        if self._pid in self._seen:
            self.passed += 1
            self._deadline_s = None
            return ""
        if now_s < self._deadline_s:
            return ""
        return self._fail(
            f"no record came of an open of /proc that was made on purpose {self._within_s:g} s ago: "
            + WHAT_IT_MAY_MEAN
        )

    @property
    def pending(self) -> bool:
        """Whether a test is under way: then `step` wants to be called soon."""
        return self._deadline_s is not None

    def _begin(self, now_s: float) -> str:
        self._next_s = now_s + self._every_s
        self._deadline_s = now_s + self._within_s
        self._pid = None
        self._seen.clear()
        try:
            if self._ours is not None:
                self._ours.send(b"\n")
        except OSError as error:
            return self._fail(f"the self-test could not be made: its helper is gone ({error.strerror})")
        return ""

    def _hear(self) -> None:
        if self._pid is None and self._ours is not None:
            with suppress(OSError):  # nothing yet, or its helper has ended: then no answer comes
                answer = self._ours.recv(_PID.size)
                if len(answer) == _PID.size:
                    (self._pid,) = _PID.unpack(answer)

    def _fail(self, what: str) -> str:
        self.failed += 1
        self._deadline_s = None
        return what


def _help(descriptor: int, path: str) -> NoReturn:
    """Be the helper. Never returns, and never runs what the sensor has left to run at its exit."""
    code = 1
    try:
        os.setsid()
        child.ignore((*child.GROUP_SIGNALS, signal.SIGPIPE))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child.close_inherited(descriptor, stderr=False)
        child.set_name("audit-selftest")
        privileges.keep_only()
        while os.read(descriptor, 1):
            if path.startswith("/proc") and procfs.is_of_host() is False:
                os.write(descriptor, _PID.pack(_ANOTHER_PROC))
                continue
            pid = os.fork()
            if pid == 0:
                os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                os._exit(0)
            os.waitpid(pid, 0)
            os.write(descriptor, _PID.pack(pid))
        code = 0
    finally:
        os._exit(code)
