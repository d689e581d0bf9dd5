"""auditsense status: how the running sensor is; and the other end of it, for auditsense run."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from auditsense.cli import put, say
from auditsense.errors import UsageError
from auditsense.status.client import ask
from auditsense.status.control import Control, ControlTakenError
from auditsense.status.snapshot import Snapshot
from auditsense.status.spec import StatusSettings
from auditsense.status.table import table

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from auditsense.sources.kernel_source import KernelSource
    from auditsense.status.snapshot import Watched

_CLEAR = "\x1b[H\x1b[J"


@contextmanager
def serving(settings: StatusSettings, watched: Watched, source: KernelSource) -> Iterator[None]:
    """Let the sensor answer `auditsense status` for as long as the block lasts; enter it before the sensor.

    Raises:
        ControlError: there can be no socket at that path. That another sensor has it is only said.
    """
    if settings.socket is None:
        yield
        return
    control = Control(settings.socket, Snapshot(watched).answer)
    with ExitStack() as stack:
        try:
            stack.enter_context(control)
        except ControlTakenError as problem:
            say(f"{problem}; this one has no status socket (--status-socket names another)")
        else:
            source.at_end = control.remove
            watched.sensor.also(control.fileno(), control.serve)
        yield


def run(arguments: argparse.Namespace) -> int:
    """Ask once, or again and again until SIGINT."""
    path = StatusSettings.of(arguments.status_socket).socket
    if path is None:
        raise UsageError("there is no status socket to ask at")
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
        if before is not None and before["pid"] != now["pid"]:
            before = None  # another sensor: its counters began anew
        text = _text(now, before, as_json=as_json)
        put(clear + text if clear or as_json or before is None else "\n" + text)
        before = now
        time.sleep(every_s)


def _text(now: dict[str, Any], before: dict[str, Any] | None, *, as_json: bool) -> str:
    return json.dumps(now, separators=(",", ":")) if as_json else table(now, before)


def _can_clear() -> bool:
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
