"""The command line: parsing and wiring, one file a command.

Standard output carries data only; messages for a person go to standard error, one line each.

A standard stream that was closed at startup stays closed to the command, but its descriptor is occupied: a
file that the command opens must never become its standard output.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Final

from auditsense.errors import AuditSenseError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from types import FrameType
    from typing import NoReturn, TextIO


_LEVELS: Final = frozenset({"error", "warning", "note"})


class _MessageSettings:
    """Settings of the command that runs.

    Attributes:
        color: of messages.
        verbosity: -1 with --quiet, 1 with --verbose, else 0.
    """

    color = "auto"
    verbosity = 0


_message_settings: Final = _MessageSettings()


def print_message(text: str, level: str = "") -> None:
    """Print one line on standard error; a closed standard error is no reason to fail.

    Args:
        text: "SUBJECT: MESSAGE"; the subject is coloured.
        level: or severity, for the colour; by default the subject, if it is a level.
    """
    if sys.stderr is None:  # closed by the parent; print would use standard output instead
        return
    from auditsense.cli.style import painter  # noqa: PLC0415 - see main
    from auditsense.sinks.format import printable  # noqa: PLC0415 - see main

    paint = painter(sys.stderr, _message_settings.color)
    subject, colon, rest = printable(text).partition(":")
    level = level or (subject if subject in _LEVELS else "")
    line = f"{paint('faint', 'auditsense:')} {paint(level, subject)}{colon}{rest}"
    try:
        print(line, file=sys.stderr, flush=True)  # noqa: T201 - its purpose
    except OSError:
        return


def print_progress(text: str) -> None:
    """Print one line on standard error, unless --quiet was given."""
    if _message_settings.verbosity >= 0:
        print_message(text)


def print_detail(text: str) -> None:
    """Print one line on standard error if --verbose was given."""
    if _message_settings.verbosity > 0:
        print_message(text)


def print_data(line: str) -> None:
    """Write a line of data to standard output.

    Raises:
        UsageError: standard output is closed.
        SinkError: it cannot be written.
    """
    from auditsense.sinks.stream import StreamSink  # noqa: PLC0415 - see main

    StreamSink(open_output()).write_line(line)


def open_output() -> TextIO:
    """Return standard output.

    Raises:
        UsageError: it is closed or read-only.
    """
    if sys.stdout is None:
        raise UsageError("standard output is closed; redirect it to a file or a pipe, or to /dev/null")
    try:
        flags = fcntl.fcntl(sys.stdout.fileno(), fcntl.F_GETFL)
    except (OSError, ValueError):  # it is in memory
        return sys.stdout
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise UsageError("standard output is open to read from only; redirect it with > and not with <")
    return sys.stdout


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code.

    Args:
        argv: words of the command line. None: those of this process, which then may drop for good the
            privileges that the command does not need.
    """
    if argv is None:
        _occupy_closed_descriptors()
        _remember_interrupts()
        # Imported modules are never garbage: collecting during imports takes a tenth of a short command's
        # time. The collector resumes when the command begins.
        gc.disable()
    from auditsense.cli.parser import build_parser  # noqa: PLC0415

    words = sys.argv[1:] if argv is None else [*argv]
    try:
        arguments = build_parser(words[0] if words else "").parse_args(words)
        arguments.own_process = argv is None
        _message_settings.color = getattr(arguments, "color", "auto")
        _message_settings.verbosity = getattr(arguments, "verbosity", 0)
        return _code_of(arguments)
    finally:  # also when the parser has shown its help
        _drop_closed_output()


class _Interrupts:
    seen = False


def _remember_interrupts() -> None:
    """Have SIGINT raise KeyboardInterrupt as before, and be remembered.

    Python ignores an exception in some places, as in what its imports clean up: the signal would be lost.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)


def _interrupted(_number: int, _frame: FrameType | None) -> NoReturn:
    _Interrupts.seen = True
    raise KeyboardInterrupt


def raise_lost_interrupt() -> None:
    """Raise KeyboardInterrupt where SIGINT has come, and this process still runs."""
    if _Interrupts.seen:
        raise KeyboardInterrupt


def _code_of(arguments: argparse.Namespace) -> int:
    """Run the command. Returns its exit code and prints errors."""
    from auditsense.sinks import ReaderGoneError  # noqa: PLC0415 - see main

    try:
        return int(arguments.command(arguments))
    except ReaderGoneError as error:  # `| head`: an end, and no error
        return error.exit_code
    except AuditSenseError as error:
        print_message(f"error: {error}")
        for note in getattr(error, "__notes__", ()):
            print_message(f"error: {note}")
        return error.exit_code
    except KeyboardInterrupt:
        return 130  # as a shell reports a program that SIGINT ended


def _occupy_closed_descriptors() -> None:
    """Open /dev/null at each of 0, 1 and 2 that is closed: the next file opened would get it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)  # noqa: FBT003 - the standard library's own


def _drop_closed_output() -> None:
    """Keep the interpreter from complaining at exit about output that its reader closed."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        except ValueError:  # the caller has closed it
            continue
