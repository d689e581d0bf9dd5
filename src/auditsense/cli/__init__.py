"""The command line: parsing and wiring, one file a command.

Standard output carries data only; everything said to a person goes to standard error, one line
each.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING

from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Sequence


def say(text: str) -> None:
    """Say one line to the person at the terminal; a closed standard error is no reason to fail."""
    if sys.stderr is None:  # closed by whoever started us; print would take standard output instead
        return
    from auditsense.sinks.format import printable  # noqa: PLC0415 - see main

    try:
        print(f"auditsense: {printable(text)}", file=sys.stderr, flush=True)  # noqa: T201 - its purpose
    except OSError:
        return


def put(line: str) -> None:
    """Write a line of the data asked for to standard output.

    Raises:
        SinkError: it cannot be written.
    """
    from auditsense.sinks.stream import StreamSink  # noqa: PLC0415 - see main

    StreamSink(sys.stdout).write_line(line)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code.

    Args:
        argv: the words of the command line. None: this process was started for it, so it may give up
            for good what the command does not need.
    """
    if argv is None:
        # Modules are loaded to stay: looking for garbage in them takes a tenth of a short command's time.
        # That is why they are loaded from here on, and the collector goes on when the command begins.
        gc.disable()
    from auditsense.cli.parser import build_parser  # noqa: PLC0415

    words = sys.argv[1:] if argv is None else [*argv]
    arguments = build_parser(words[0] if words else "").parse_args(words)
    arguments.own_process = argv is None
    try:
        code = arguments.command(arguments)
    except AuditSenseError as error:
        say(f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            say(f"error: {note}")
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130  # as a shell reports a program that SIGINT ended
    _drop_closed_output()
    return int(code)


def _drop_closed_output() -> None:
    """Keep the interpreter from complaining at exit about output that its reader closed."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
