"""Argument types of the command line, and its parser class."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, NoReturn

from auditsense.errors import UsageError
from auditsense.sinks.format import printable

if TYPE_CHECKING:
    from auditsense.kernel.privileges import User
    from auditsense.sinks.config import SinkSettings

_MAX_DIGITS = 9


class _Formatter(argparse.HelpFormatter):
    """Formatter with its own width: argparse creates one per option and would import shutil for each."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:  # it is no terminal
        return 80


class Parser(argparse.ArgumentParser):
    """Parser that reports an error in one line."""

    def __init__(self, **more: Any) -> None:  # noqa: ANN401 - ArgumentParser's own
        super().__init__(**{"formatter_class": _Formatter, **more})

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"auditsense: error: {printable(message)}; try {self.prog} --help\n")


def positive(text: str) -> float:
    """Return a number of seconds above 0.

    Raises:
        ArgumentTypeError: it is not; the message states what is expected.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds above 0")
    return value


def count(text: str) -> int:
    """Return a whole number, 0 or more.

    Raises:
        ArgumentTypeError: it is not.
    """
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 0 or more")
    return int(text)


def seconds(text: str) -> float:
    """Return a number of seconds, or 0.

    Raises:
        ArgumentTypeError: it is not; the message states what is expected.
    """
    return 0.0 if text == "0" else positive(text)


def events(text: str) -> int:
    """Return a number of events of a bench.

    Raises:
        ArgumentTypeError: it is not; the message states what is expected.
    """
    if not text.isascii() or not text.isdigit() or not 1_000 <= int(text) <= 600_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number of events from 1000 to 600000")
    return int(text)


def user(name: str) -> User:
    """Return the user of this name, who is not root.

    Raises:
        ArgumentTypeError: it is not; the message states what is expected.
    """
    from auditsense.kernel.privileges import user_named  # noqa: PLC0415 - for this flag only, with ctypes

    try:
        return user_named(name)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def sink(text: str) -> SinkSettings:
    """Return the settings of a sink.

    Raises:
        ArgumentTypeError: it is not; the message states what is expected.
    """
    from auditsense.sinks.config import parse_sink  # noqa: PLC0415 - for this flag only

    try:
        return parse_sink(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
