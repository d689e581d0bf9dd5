"""Who reads the kernel's records in a live bench: the sensor, or a loop that throws everything away.

Both own the audit socket with the same settings and the same audit rule. Both are processes of their
own, so that /proc says what they took, and both have put the host back when the block ends.
"""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from auditsense.bench.c_helpers import OWN_RULE
from auditsense.bench.interpreter import auditsense, environment
from auditsense.errors import AuditSenseError
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MODES: Final[dict[str, tuple[str, ...]]] = {"default": (), "lean": ("--lean",)}
"""What the sensor is told besides, by name; a mode that this build does not have is not measured."""
LIMITED: Final = ("--duration", "60")
"""For every sensor of a bench: if the bench is killed, it ends by itself, and puts the host back."""
START_LIMIT_S: Final = 20.0
END_LIMIT_S: Final = 20.0
_SUMMARY: Final = re.compile(
    r"(?P<records>\d+) records, (?P<events>\d+) events, (?P<matches>\d+) matches, (?P<alerts>\d+) alerts; "
    r"lost: kernel (?P<kernel>\d+), serials (?P<serials>\d+), incomplete (?P<incomplete>\d+)"
)


@dataclass(frozen=True, slots=True)
class Reader:
    """A process that reads, ready for the first record; `end` ends it and returns what it counted."""

    name: str
    pid: int
    end: Callable[[], dict[str, int]]


def has_mode(mode: str) -> bool:
    """Tell whether `auditsense run` of this build knows the words of a mode."""
    said = subprocess.run(
        auditsense("run", "--help"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    ).stdout
    return all(word in said for word in MODES[mode])


@contextmanager
def started(
    command: Sequence[str], *, stdout: IO[bytes] | int, pass_fds: Sequence[int] = ()
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """Start `auditsense run` in some form, and wait until it watches; it has ended when the block has.

    Yields:
        The process, and what ends it gently and returns its last word.

    Raises:
        AuditSenseError: it did not start; what it said is in the message.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=pass_fds,
        env=environment(),
    )

    def end() -> str:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=END_LIMIT_S)
        if process.returncode:
            raise AuditSenseError(f"the sensor ended with {process.returncode}: {_last(said)}")
        return _last(said)

    try:
        _wait_until_it_watches(process)
        yield process, end
    finally:
        _end_gently(process)


def _end_gently(process: subprocess.Popen[bytes]) -> None:
    """End a sensor, whatever is in flight here; on Ctrl-C it may be on its way already."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=END_LIMIT_S)
    except subprocess.TimeoutExpired:
        pass  # its guardian puts back what it cannot
    finally:
        process.kill()
        process.communicate()


def _wait_until_it_watches(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None  # noqa: S101 - a pipe was asked for
    deadline = time.monotonic() + START_LIMIT_S
    line = b""
    while select.select([process.stderr], [], [], max(0.0, deadline - time.monotonic()))[0]:
        line = process.stderr.readline()
        if b"watching" in line:
            return
        if not line:
            process.wait(END_LIMIT_S)
            break
    raise AuditSenseError(f"the sensor did not start: {_last(line) or 'it said nothing'}")


def _last(said: bytes) -> str:
    return said.decode(errors="replace").strip().rpartition("\n")[2]


@contextmanager
def sensor(mode: str = "default") -> Iterator[Reader]:
    """Run `auditsense run` for our own loads."""
    command = auditsense("run", "--source", "netlink", "--audit-rule", OWN_RULE, *LIMITED, *MODES[mode])
    with tempfile.TemporaryFile() as output, started(command, stdout=output) as (process, end):

        def counted() -> dict[str, int]:
            said = end()
            found = _SUMMARY.search(said)
            if found is None:
                raise AuditSenseError(f"the sensor said: {said}")
            return {name: int(value) for name, value in found.groupdict().items()}

        yield Reader("sensor" if mode == "default" else mode, process.pid, counted)


@contextmanager
def drain(program: str) -> Iterator[Reader]:
    """Run drain.c on a socket that this process owns, and puts back with all that belongs to it."""
    pipe = subprocess.PIPE
    with Unicast([OWN_RULE], guarded=True) as source:
        fd = source.fileno()
        process = subprocess.Popen(
            [program, str(fd)], stdin=pipe, stdout=pipe, text=True, pass_fds=[fd], env=environment()
        )
        try:
            assert process.stdout is not None  # noqa: S101 - a pipe was asked for
            if process.stdout.readline() != "ready\n":
                raise AuditSenseError("the draining loop did not start")

            def counted() -> dict[str, int]:
                printed, _ = process.communicate(timeout=END_LIMIT_S)
                figures: dict[str, int] = json.loads(printed)
                return {"records": figures["datagrams"], "calls": figures["calls"]}

            yield Reader("drain", process.pid, counted)
        finally:
            process.kill()
            process.communicate()
