"""The C programs of the live part, compiled on use: a load, single calls, a loop that drains the socket."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.bench.interpreter import environment
from auditsense.bench.interpreter import program as find
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES: Final = Path(__file__).parent
SCANNER: Final = SOURCES / "scanner.c"
DRAIN: Final = SOURCES / "drain.c"
CALLS: Final = SOURCES / "calls.c"
NO_COMPILER: Final = "there is no C compiler (cc, gcc or clang) in a folder of PATH that only root can change"
OWN_RULE: Final = "-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k audit_proc"
"""The audit rule of the detection, restricted to our loads: they run as the user 65534."""
_COMPILE_LIMIT_S: Final = 60
_LOAD_LIMIT_S: Final = 60


def compiler() -> str | None:
    """Return the C compiler of this machine; None: there is none."""
    return find("cc") or find("gcc") or find("clang")


def compiled(source: Path, folder: Path, *options: str) -> str:
    """Compile a C file into a folder that only we can write; return the program.

    Raises:
        AuditSenseError: there is no compiler, or it failed.
    """
    program = folder / source.stem
    command = compiler()
    if command is None:
        raise AuditSenseError(NO_COMPILER)
    try:
        subprocess.run(
            [command, "-O2", *options, "-o", program, source],
            check=True,
            timeout=_COMPILE_LIMIT_S,
            capture_output=True,
            env=environment(),
        )
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise AuditSenseError(f"{source.name} cannot be compiled: {message}") from None
    return str(program)


def scan(scanner: Sequence[str], opens: int, *, period_us: int = 0, timed: int = 0) -> subprocess.Popen[str]:
    """Start a process that opens /proc *opens* times, and prints the time of the open *timed*.

    Args:
        scanner: the command of scanner.c, or of a program with the same options.
        opens: number of opens.
        period_us: microseconds from one open to the next; 0: no pause.
        timed: number of the open whose return is timed; 0: none.
    """
    command = [*scanner, "-n", str(opens), "-p", str(period_us), "-t", str(timed)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment()
    )


def stop(*loads: subprocess.Popen[str]) -> None:
    """Kill loads."""
    for load in loads:
        load.kill()
        load.communicate()


def finish(load: subprocess.Popen[str]) -> str:
    """Wait for a load; return its output.

    Raises:
        AuditSenseError: it failed, or did not end in time.
    """
    try:
        printed, _ = load.communicate(timeout=_LOAD_LIMIT_S)
    except BaseException as error:
        stop(load)
        if isinstance(error, subprocess.TimeoutExpired):
            raise AuditSenseError(f"a load did not end within {_LOAD_LIMIT_S} s") from None
        raise
    if load.returncode != 0:
        raise AuditSenseError(f"a load ended with {load.returncode}")
    return printed
