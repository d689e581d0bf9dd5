"""Argument types of the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

from auditsense._values import WrongValueError, duration_ms
from auditsense.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.kernel.privileges import User
    from auditsense.sinks.config import SinkSettings

_MAX_DIGITS: Final = 9
_MAX_BATCH: Final = 1000
_MAX_ROUNDS: Final = 100
_YEAR_MS: Final = 365 * 24 * 3_600_000


def path(text: str) -> str:
    """Return the path of a file or folder.

    Raises:
        ArgumentTypeError: it is empty, which would mean the current folder.
    """
    if not text:
        raise argparse.ArgumentTypeError("a path is missing; the value is empty")
    return text


def count(text: str) -> int:
    """Return a whole number, 0 or more.

    Raises:
        ArgumentTypeError: it is not.
    """
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more, not {text}")
    return int(text)


def batch(text: str) -> int:
    """Return a number of documents per request.

    Raises:
        ArgumentTypeError: it is not a number from 1 to 1000.
    """
    number = count(text)
    if not 0 < number <= _MAX_BATCH:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_MAX_BATCH}, not {text}")
    return number


def rounds(text: str) -> int:
    """Return a number of rounds of a bench.

    Raises:
        ArgumentTypeError: it is not a number from 1 to 100.
    """
    number = count(text)
    if not 0 < number <= _MAX_ROUNDS:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to {_MAX_ROUNDS}, not {text}")
    return number


def time(least_ms: int, most_ms: int = _YEAR_MS) -> Callable[[str], float]:
    """Return a function that parses a TIME within bounds, such as 30, 30s, 5m or 500ms, to seconds.

    The function raises ArgumentTypeError; the message states what is expected.
    """

    def parse(text: str) -> float:
        try:
            return duration_ms(text, least_ms, most_ms) / 1000
        except WrongValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def events(text: str) -> int:
    """Return a number of events of a bench.

    Raises:
        ArgumentTypeError: it is not; the message states what is expected.
    """
    if not text.isascii() or not text.isdigit() or not 1_000 <= int(text) <= 600_000:
        raise argparse.ArgumentTypeError(f"must be a number of events from 1000 to 600000, not {text}")
    return int(text)


def user_or_root(name: str) -> User | None:
    """Return the user of this name; None for root itself. Raises as `user`."""
    return None if name == "root" else user(name)


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
