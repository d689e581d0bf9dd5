"""What fanotify sees of scans of /proc, next to audit, and what both cost: the figures of ADR 37.

    python bench/live/fanotify.py [--json FILE]

Each way of tests/live/listings.c lists /proc 20 times, while the events of audit rules and of a fanotify mark
are counted. Then calls are measured without and with a mark.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense.bench.c_helpers import CALLS, compiled
from auditsense.bench.report import machine
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.live.ground import ROOT, ground, write_json
else:
    from ground import ROOT, ground, write_json

LISTINGS: Final = 20
PAUSE_US: Final = 10_000
FLOOD: Final = 100_000
SETTLE_S: Final = 0.5
ROUNDS: Final = 5
WAYS: Final = ("openat", "ring", "sqpoll", "async", "kept")
RULES: Final = {
    "-w /proc/ -p r": ("-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k audit_proc",),
    "rules on inode 1": (
        "-a always,exit -F arch=b64 -S openat,io_uring_enter -F inode=1 -F uid=65534 -k proc_root",
        "-a always,exit -S 0 -F inode=1 -F uid=65534 -k proc_root",
    ),
}
CALLED: Final = {"getpid": 10_000, "stat": 5_000, "open": 2_000, "proc": 1_000, "exec": 20}
UNPRIVILEGED: Final = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
_SERIAL: Final = re.compile(r":(\d+)\)")
_PATH, _SYSCALL, _URINGOP = 1302, 1300, 1336


@dataclass
class Records:
    """Records of opens of the root of a procfs, read from an entered source."""

    serials: set[str] = field(default_factory=set)
    kinds: dict[str, int] = field(default_factory=dict)

    def read(self, descriptor: int, stopped: threading.Event) -> None:
        """Read until *stopped*."""
        while not stopped.is_set():
            if select.select([descriptor], [], [], 0.05)[0]:
                datagram = os.read(descriptor, 1 << 16)
                self.take(
                    int.from_bytes(datagram[4:6], sys.byteorder), datagram[16:].decode(errors="replace")
                )

    def take(self, kind: int, text: str) -> None:
        """Take one record."""
        serial = _SERIAL.search(text)
        if serial is None:
            return
        if kind in {_SYSCALL, _URINGOP}:
            self.kinds[serial[1]] = kind
        if kind == _PATH and " inode=1 " in text and " mode=040555 " in text:
            self.serials.add(serial[1])

    def count(self) -> int:
        """Return how many opens of it had records."""
        return sum(serial in self.kinds for serial in self.serials)


@contextmanager
def marked(program: str, *contained: str) -> Iterator[subprocess.Popen[str]]:
    """Run fanotify.c during the block."""
    pipe = subprocess.PIPE
    process = subprocess.Popen([program, *contained], stdin=pipe, stdout=pipe, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def seen(rules: Sequence[str], program: str, command: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Run a command; return the opens that audit rules reported, and what fanotify reported of it."""
    records, stopped = Records(), threading.Event()
    with Unicast([*rules], guarded=True) as source, marked(program) as mark:
        thread = threading.Thread(target=records.read, args=(source.fileno(), stopped))
        thread.start()
        load = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        load.wait(60)
        time.sleep(SETTLE_S)
        stopped.set()
        thread.join()
        printed, _ = mark.communicate(f"{load.pid}\n")
    figures: dict[str, int] = json.loads(printed)
    return records.count(), figures


def costs(program: str, calls: str) -> dict[str, dict[str, float]]:
    """Return ns of CPU per call without and with a mark, the fastest of some rounds."""
    best: dict[str, dict[str, float]] = {"no mark": {}, "mark": {}}
    for _ in range(ROUNDS):
        _keep(best["no mark"], calls)
        with marked(program):
            _keep(best["mark"], calls)
    return best


def _keep(best: dict[str, float], calls: str) -> None:
    for name, count in CALLED.items():
        done = subprocess.run([calls, name, str(count)], capture_output=True, text=True, check=True)
        best[name] = min(float(done.stdout), best.get(name, float("inf")))


def main() -> int:
    parser = argparse.ArgumentParser(description="What fanotify sees of scans of /proc, and what it costs.")
    parser.add_argument("--json", metavar="FILE", help="write all figures to this file")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with ground() as (_, folder):
        folder.chmod(0o711)
        program = compiled(Path(__file__).parent / "fanotify.c", folder)
        listings = compiled(ROOT / "tests/live/listings.c", folder, "-static")
        calls = compiled(CALLS, folder)
        for way in WAYS:
            row: dict[str, Any] = {"way": way}
            command = [*UNPRIVILEGED, listings, way, str(LISTINGS), str(PAUSE_US)]
            for name, rules in RULES.items():
                row[name], row["fanotify"] = seen(rules, program, command)
            rows.append(row)
            print(row, flush=True)
        with marked(program) as mark:
            load = subprocess.Popen([calls, "proc", str(FLOOD // 5)], stdout=subprocess.DEVNULL)
            load.wait(60)
            flood = json.loads(mark.communicate(f"{load.pid}\n")[0])
        print(f"{FLOOD} opens at full speed: {flood}")
        ns = costs(program, calls)
        print(ns)
    result = {"bench": "fanotify", "machine": machine(), "rows": rows, "flood": flood, "ns": ns}
    write_json(arguments.json, result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
