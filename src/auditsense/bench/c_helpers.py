"""The two C programs of the live part, compiled where they are used: a load, and a loop that drains."""

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
NO_COMPILER: Final = "there is no C compiler (cc, gcc or clang) in a folder of PATH that only root can change"
OWN_RULE: Final = "-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k audit_proc"
"""The audit rule of the detection, for our own loads only: they run as the user 65534."""
_COMPILE_LIMIT_S: Final = 60
_LOAD_LIMIT_S: Final = 60


def compiler() -> str | None:
    """Return the C compiler of this machine, if there is one."""
    return find("cc") or find("gcc") or find("clang")


def compiled(source: Path, folder: Path, *options: str) -> str:
    """Compile one C file into a folder that only we may write to; return the program.

    Raises:
        AuditSenseError: there is no compiler, or it says no.
    """
    program = folder / source.stem
    found = compiler()
    if found is None:
        raise AuditSenseError(NO_COMPILER)
    try:
        subprocess.run(
            [found, "-O2", *options, "-o", program, source],
            check=True,
            timeout=_COMPILE_LIMIT_S,
            capture_output=True,
            env=environment(),
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise AuditSenseError(f"{source.name} cannot be compiled: {said}") from None
    return str(program)


def scan(scanner: Sequence[str], opens: int, *, period_us: int = 0, timed: int = 0) -> subprocess.Popen[str]:
    """Start a process that opens /proc so often; it prints the moment of the open *timed*, if any.

    Args:
        scanner: the command of scanner.c, or of what understands the same words.
        opens: how often.
        period_us: from one open to the next, in microseconds; 0: at once.
        timed: which open's return is timed; 0: none.
    """
    command = [*scanner, "-n", str(opens), "-p", str(period_us), "-t", str(timed)]
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=environment()
    )


def stop(*loads: subprocess.Popen[str]) -> None:
    """End loads that still run."""
    for load in loads:
        load.kill()
        load.communicate()


def finish(load: subprocess.Popen[str]) -> str:
    """Wait until a load has ended well; return what it printed.

    Raises:
        AuditSenseError: it did not end well.
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
