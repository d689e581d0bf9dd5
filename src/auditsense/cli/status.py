"""auditsense status: show the state of the running sensor."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from auditsense.cli import print_data, print_message
from auditsense.cli.style import painter
from auditsense.config.settings import status_settings
from auditsense.errors import AuditSenseError, UsageError
from auditsense.sinks.format import printable
from auditsense.status.client import ask
from auditsense.status.prometheus import sensor_metrics
from auditsense.status.table import lines, table_rows

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

_CLEAR = "\x1b[H\x1b[J"
_BAR = 20  # columns


def run(arguments: argparse.Namespace) -> int:
    """Ask once, or repeatedly until SIGINT."""
    path = status_settings(arguments.status_socket, arguments.config).socket
    if path is None:
        raise UsageError("there is no status socket: it is off")
    if arguments.prometheus:
        if arguments.watch is not None:
            raise UsageError("--prometheus and --watch exclude each other; Prometheus asks again by itself")
        print_data(sensor_metrics(_ask_or_none(path)))
        return 0
    if arguments.watch is None:
        print_data(_json(ask(path)) if arguments.json else Screen(arguments).text(ask(path)))
        return 0
    try:
        _watch(path, arguments)
    except KeyboardInterrupt:
        return 0
    return 0


def _ask_or_none(path: Path) -> dict[str, Any] | None:
    """Return the status document; None, with a message, if no sensor answers: that is a metric, too."""
    try:
        return ask(path)
    except UsageError:
        raise
    except AuditSenseError as error:
        print_message(str(error))
        return None


def _watch(path: Path, arguments: argparse.Namespace) -> None:
    screen = Screen(arguments, watches=True)
    clear = _CLEAR if not arguments.json and _can_clear() else ""
    separator = ""
    while True:
        now = ask(path)
        print_data(_json(now) if arguments.json else clear + separator + screen.text(now))
        separator = "" if clear else "\n"
        time.sleep(arguments.watch)


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


class Screen:
    """Tables of one sensor, for standard output.

    Args:
        arguments: of the command line.
        watches: whether there are several, with bars.
    """

    def __init__(self, arguments: argparse.Namespace, *, watches: bool = False) -> None:
        self._paint = painter(sys.stdout, arguments.color)
        self._details = arguments.verbosity > 0
        self._bar = _bar_of(sys.stdout) if watches else None
        self._before: dict[str, Any] | None = None
        self._peaks: dict[str, float] = {}

    def text(self, now: dict[str, Any]) -> str:
        """Return the table of a document, with rates since the one before.

        Raises:
            AuditSenseError: it lacks a field that the table needs.
        """
        before, self._before = self._before, now
        if before is not None and before.get("pid") != now.get("pid"):
            before = None  # another sensor: its counters began at 0
            self._peaks.clear()
        try:
            rows = table_rows(now, before, self._peaks, details=self._details)
            return "\n".join(lines(rows, bar=self._bar, show=printable, paint=self._paint))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
            raise AuditSenseError(
                "the answer lacks what a table needs; is the sensor of another version? try --json"
            ) from None


def _bar_of(stream: TextIO | None) -> Callable[[float], tuple[str, str]]:
    """Return a function that returns the two parts of a bar, of blocks where the encoding has them."""
    full, empty = "█", "░"
    try:
        (full + empty).encode(getattr(stream, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        full, empty = "#", "."

    def bar(share: float) -> tuple[str, str]:
        filled = min(_BAR, max(round(share * _BAR), int(share > 0)))  # at least one if it is not 0
        return full * filled, empty * (_BAR - filled)

    return bar


def _can_clear() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
