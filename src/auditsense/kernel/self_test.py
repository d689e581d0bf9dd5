"""Self-test: open /proc deliberately and wait for the record of that open.

A listed audit rule proves nothing (docs/loss.md lists what it may miss). A helper, forked when all is set
up, forks a child for each test. The child opens /proc by a random spelling and exits. The sensor checks
whether that open comes through the pipeline.

Rule 1: every test forks a new child, because the kernel may hide processes that start from now on.
Rule 2: the child opens the host's /proc; where /proc here is another one, the test fails.
Rule 3: the helper is confined, and has one descriptor, its end of a socket pair. It exits when the sensor
        does, for any reason.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NoReturn, Self

from auditsense import _child_process as child
from auditsense.errors import AuditSenseError
from auditsense.kernel import procfs
from auditsense.kernel.confinement import PARTS, confine, prepare

if TYPE_CHECKING:
    from types import TracebackType

    from auditsense.kernel.privileges import User

DEFAULT_EVERY_S: Final = 300.0
DEFAULT_WITHIN_S: Final = 2.0
_PID: Final = struct.Struct("=i")
_TURNS: Final = 24  # a multiple of 8
_END_S: Final = 1.0
_ANOTHER_PROC: Final = 0  # in place of a pid: /proc is not the host's, so nothing was opened

WHAT_IT_MAY_MEAN: Final = (
    "the audit rule may be listed and match nothing (loaded from another mount namespace, or behind a rule "
    "that takes its events), new processes may be hidden (-a task,never), records may be excluded or lost"
)


def spelling() -> str:
    """Return a name of /proc that no other process uses: followed by 24 times /. or //. at random.

    Random, so that no process can cause the sensor extra work on purpose.
    """
    random = int.from_bytes(os.urandom(_TURNS // 8), "little")  # the module secrets loads OpenSSL
    return "/proc" + "".join("/." if random >> turn & 1 else "//." for turn in range(_TURNS))


class SelfTest:
    """Periodic self-test. A context manager without a clock: the caller passes the time and the pids it saw.

    Args:
        every_s: from one test to the next, above 0.
        within_s: limit for the record to arrive.
        path: to open.
        user: that the helper becomes.
    """

    def __init__(
        self,
        every_s: float = DEFAULT_EVERY_S,
        *,
        within_s: float = DEFAULT_WITHIN_S,
        path: str | None = None,
        user: User | None = None,
    ) -> None:
        self.path = path if path is not None else spelling()
        """Path that the record has to name."""
        self.passed = 0
        """Tests whose record arrived in time."""
        self.failed = 0
        """All other tests."""
        self.events = 0
        """Opens of `path` that came through the pipeline."""
        self.user = user
        self._every_s = every_s
        self._within_s = within_s
        self._next_s = 0.0
        self._deadline_s: float | None = None
        self._pid: int | None = None
        self._seen: set[int] = set()
        self._socket: socket.socket | None = None
        self._helper = 0

    def __enter__(self) -> Self:
        """Fork the helper. The process should have one thread: the child has only the one that forks.

        Raises:
            AuditSenseError: no process or socket can be created.
        """
        prepare(PARTS["self-test"])
        try:
            self._socket, helper_socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            self._helper = os.fork()
        except OSError as error:
            raise AuditSenseError(f"cannot start the self-test: {error.strerror}") from None
        if self._helper == 0:
            _run_helper(helper_socket.fileno(), self.path, self.user)
        helper_socket.close()
        self._socket.settimeout(0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the helper and wait for its exit, at most 1 s each before and after SIGKILL."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._helper and not child.wait_for_exit(self._helper, _END_S):
            with suppress(PermissionError, ProcessLookupError):  # the helper is root, the sensor may not be
                os.kill(self._helper, signal.SIGKILL)
            child.wait_for_exit(self._helper, _END_S)
        self._helper = 0

    @property
    def signalled(self) -> tuple[int, ...]:
        """Process that `__exit__` may kill."""
        return (self._helper,) if self._helper else ()

    def saw(self, pid: int) -> None:
        """Report that an open of `path` by this process came through the pipeline."""
        self._seen.add(pid)
        self.events += 1

    def step(self, now_s: float) -> str:
        """Start a test when it is due; judge the one in progress.

        Args:
            now_s: a clock that never steps back.

        Returns:
            Why a test failed; "" otherwise.
        """
        if self._socket is None:
            return ""
        if self._deadline_s is None:
            return self._start(now_s) if now_s >= self._next_s else ""
        self._read_answer()
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
            f"no record came of a deliberate open of /proc {self._within_s:g} s ago: " + WHAT_IT_MAY_MEAN
        )

    @property
    def pending(self) -> bool:
        """Whether a test is in progress, so that `step` has to be called soon."""
        return self._deadline_s is not None

    def _start(self, now_s: float) -> str:
        self._next_s = now_s + self._every_s
        self._deadline_s = now_s + self._within_s
        self._pid = None
        self._seen.clear()
        try:
            if self._socket is not None:
                self._socket.send(b"\n")
        except OSError as error:
            return self._fail(f"the self-test could not be made: its helper is gone ({error.strerror})")
        return ""

    def _read_answer(self) -> None:
        if self._pid is None and self._socket is not None:
            with suppress(OSError):  # no answer yet, or none at all because the helper has exited
                answer = self._socket.recv(_PID.size)
                if len(answer) == _PID.size:
                    (self._pid,) = _PID.unpack(answer)

    def _fail(self, reason: str) -> str:
        self.failed += 1
        self._deadline_s = None
        return reason


def _run_helper(descriptor: int, path: str, user: User | None) -> NoReturn:
    """Run the helper. Never returns, so none of the sensor's exit handlers run here."""
    code = 1
    try:
        os.setsid()
        child.ignore((*child.GROUP_SIGNALS, signal.SIGPIPE))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        child.close_inherited(descriptor, stderr=False)
        child.set_name("audit-selftest")
        confine(PARTS["self-test"], user)
        while os.read(descriptor, 1):
            if path.startswith("/proc") and procfs.is_host_procfs() is False:
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
