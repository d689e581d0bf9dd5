"""auditsense status: show the state of the running sensor."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from auditsense.cli import print_data
from auditsense.config.settings import status_settings
from auditsense.errors import AuditSenseError, UsageError
from auditsense.sinks.format import printable
from auditsense.status.client import ask
from auditsense.status.table import table

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

_CLEAR = "\x1b[H\x1b[J"


def run(arguments: argparse.Namespace) -> int:
    """Ask once, or repeatedly until SIGINT."""
    path = status_settings(arguments.status_socket, arguments.config).socket
    if path is None:
        raise UsageError("there is no status socket: it is off")
    if arguments.watch is None:
        print_data(_text(ask(path), None, as_json=arguments.json))
        return 0
    try:
        _watch(path, arguments.watch, as_json=arguments.json)
    except KeyboardInterrupt:
        return 0
    return 0


def _watch(path: Path, every_s: float, *, as_json: bool) -> None:
    before: dict[str, Any] | None = None
    clear = _CLEAR if not as_json and _can_clear() else ""
    while True:
        now = ask(path)
        if before is not None and before.get("pid") != now.get("pid"):
            before = None  # another sensor: its counters began at 0
        text = _text(now, before, as_json=as_json)
        print_data(clear + text if clear or as_json or before is None else "\n" + text)
        before = now
        time.sleep(every_s)


def _text(now: dict[str, Any], before: dict[str, Any] | None, *, as_json: bool) -> str:
    if as_json:
        return json.dumps(now, separators=(",", ":"))
    try:
        return "\n".join(map(printable, table(now, before).split("\n")))
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise AuditSenseError(
            "the answer lacks what a table needs; is the sensor of another version? try --json"
        ) from None


def _can_clear() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
