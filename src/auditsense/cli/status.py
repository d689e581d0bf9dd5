"""auditsense status: how the running sensor is; and the other end of it, for auditsense run."""

from __future__ import annotations

import json
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from auditsense.cli import put, say
from auditsense.config.settings import status_settings
from auditsense.errors import AuditSenseError, UsageError
from auditsense.sinks.format import printable
from auditsense.sources.base import Cleanup
from auditsense.status.client import ask
from auditsense.status.server import StatusServer, StatusSocketTakenError, discard
from auditsense.status.snapshot import Snapshot
from auditsense.status.table import table

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from auditsense.sensor.sensor import Sensor
    from auditsense.status.config import StatusSettings
    from auditsense.status.snapshot import StatusContext

_CLEAR = "\x1b[H\x1b[J"


class Serving:
    """Lets a sensor answer `auditsense status`. A context manager, to be entered when the sensor is.

    Made before the source, whose guardian removes the socket after SIGKILL (`cleanup`). Entered after the
    sensor, when there is a guardian, and before privileges are dropped; so at no moment a file could be left.

    Args:
        settings: path of the socket.

    Raises (on entering):
        StatusSocketError: there can be no socket at that path. That another sensor has it is only logged.
    """

    def __init__(self, settings: StatusSettings) -> None:
        self._control: StatusServer | None = None
        self._sensor: Sensor | None = None
        self.cleanup: Cleanup | None = None
        """For the source."""
        if settings.socket is not None:
            self._control = StatusServer(settings.socket)
            self.cleanup = Cleanup(self._control.close, partial(discard, settings.socket))

    def watch(self, context: StatusContext) -> None:
        """Answer with the state of this sensor. Before entering."""
        self._sensor = context.sensor
        if self._control is not None:
            self._control.answer = Snapshot(context).answer

    def __enter__(self) -> Self:
        if self._control is not None and self._sensor is not None:
            try:
                self._control.__enter__()
            except StatusSocketTakenError as problem:
                say(f"{problem}; this one has no status socket (--status-socket names another)")
            else:
                self._sensor.add_reader(self._control.fileno(), self._control.serve)
        return self

    def __exit__(self, *_: object) -> None:
        if self._control is not None:
            self._control.close()


def run(arguments: argparse.Namespace) -> int:
    """Ask once, or again and again until SIGINT."""
    path = status_settings(arguments.status_socket, arguments.config).socket
    if path is None:
        raise UsageError("there is no status socket to ask at: it is off")
    if arguments.watch is None:
        put(_text(ask(path), None, as_json=arguments.json))
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
            before = None  # another sensor: its counters began anew
        text = _text(now, before, as_json=as_json)
        put(clear + text if clear or as_json or before is None else "\n" + text)
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
