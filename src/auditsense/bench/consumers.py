"""Consumers of the kernel's records in a live bench: the sensor, and a loop that discards everything.

Both own the audit socket with the same settings and audit rule, run as separate processes (so that /proc has
their costs), and restore the host when the block ends.
"""

from __future__ import annotations

import json
import os
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
from auditsense.bench.inputs import MEASURED
from auditsense.bench.interpreter import auditsense, environment
from auditsense.errors import AuditSenseError
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

MODES: Final[dict[str, tuple[str, ...]]] = {"default": (), "lean": ("--lean",)}
"""Further options of the sensor by mode; a mode that this build lacks is not measured."""
ONLY: Final = ("--only", MEASURED)
"""Options of every sensor: with one detection each open counts once."""
LIMITED: Final = ("--duration", "60")
"""Options of every sensor: if the bench is killed, the sensor ends and restores the host."""
START_LIMIT_S: Final = 20.0
END_LIMIT_S: Final = 20.0
_SUMMARY: Final = re.compile(
    r"(?P<records>\d+) records, (?P<events>\d+) events, (?P<matches>\d+) matches, (?P<alerts>\d+) alerts?; "
    r"lost: kernel (?P<kernel>\d+), serials (?P<serials>\d+), incomplete (?P<incomplete>\d+)"
)


@dataclass(frozen=True, slots=True)
class Consumer:
    """A started consumer; `end` ends it and returns its counts."""

    name: str
    pid: int
    end: Callable[[], dict[str, int]]


def has_mode(mode: str) -> bool:
    """Return whether `auditsense run` of this build has the options of a mode."""
    usage = subprocess.run(
        auditsense("run", "--help"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
    ).stdout
    return all(word in usage for word in MODES[mode])


@contextmanager
def started(
    command: Sequence[str], *, stdout: IO[bytes] | int, pass_fds: Sequence[int] = ()
) -> Iterator[tuple[subprocess.Popen[bytes], Callable[[], str]]]:
    """Run `auditsense run` during the block; wait until it watches.

    Yields:
        The process, and a function that ends it gently and returns its last line.

    Raises:
        AuditSenseError: it did not start; the message has its last line.
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
        _, errors = process.communicate(timeout=END_LIMIT_S)
        if process.returncode:
            raise AuditSenseError(f"the sensor ended with {process.returncode}: {_last_line(errors)}")
        return _last_line(errors)

    try:
        _wait_until_it_watches(process)
        yield process, end
    finally:
        _end_gently(process)


def _end_gently(process: subprocess.Popen[bytes]) -> None:
    """End a sensor, even during an exception; after Ctrl-C it may be ending already."""
    try:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=END_LIMIT_S)
    except subprocess.TimeoutExpired:
        pass  # its guardian restores the host
    finally:
        process.kill()
        process.communicate()


def _wait_until_it_watches(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    deadline = time.monotonic() + START_LIMIT_S
    messages = b""
    while select.select([process.stderr], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(process.stderr.fileno(), 1 << 16)  # select sees no line that waits in a buffer
        messages += part
        if b"watching" in messages:
            return
        if not part:
            process.wait(END_LIMIT_S)
            break
    raise AuditSenseError(f"the sensor did not start: {_last_line(messages) or 'no message'}")


def _last_line(text: bytes) -> str:
    return text.decode(errors="replace").strip().rpartition("\n")[2]


@contextmanager
def sensor(mode: str = "default") -> Iterator[Consumer]:
    """Run `auditsense run`, restricted to our loads."""
    command = auditsense(
        "run", *ONLY, "--source", "netlink", "--audit-rule", OWN_RULE, *LIMITED, *MODES[mode]
    )
    with tempfile.TemporaryFile() as output, started(command, stdout=output) as (process, end):

        def counted() -> dict[str, int]:
            line = end()
            match = _SUMMARY.search(line)
            if match is None:
                raise AuditSenseError(f"the sensor printed no summary: {line}")
            return {name: int(value) for name, value in match.groupdict().items()}

        yield Consumer("sensor" if mode == "default" else mode, process.pid, counted)


@contextmanager
def drain(program: str) -> Iterator[Consumer]:
    """Run drain.c on a socket of this process, which restores the host afterwards."""
    with Unicast([OWN_RULE], guarded=True) as source, draining(program, source) as consumer:
        yield consumer


@contextmanager
def draining(program: str, source: Unicast) -> Iterator[Consumer]:
    """Run drain.c on the socket of an entered source during the block."""
    pipe, fd = subprocess.PIPE, source.fileno()
    process = subprocess.Popen(
        [program, str(fd)], stdin=pipe, stdout=pipe, text=True, pass_fds=[fd], env=environment()
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise AuditSenseError("the drain loop did not start")

        def counted() -> dict[str, int]:
            printed, _ = process.communicate(timeout=END_LIMIT_S)
            figures: dict[str, int] = json.loads(printed)
            return {"records": figures["datagrams"], "calls": figures["calls"]}

        yield Consumer("drain", process.pid, counted)
    finally:
        process.kill()
        process.communicate()
