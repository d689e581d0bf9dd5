"""Long command lines: 10,000 execs with 8 KB of arguments each, all compared with what was executed.

    python bench/live/arguments.py [--execs N] [--json FILE]

arguments.c executes a program as the user 65534, with arguments that its number determines: many short ones,
a few long ones, one of 8,000 bytes, and some that the kernel writes in hex. The core returns each event. Each
argument has to be the one that was executed, or the event counts as cut (`args_cut`). Exit status 1: an event
is missing, or an argument is another one without a count.
"""

from __future__ import annotations

import argparse
import select
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.bench.c_helpers import compiled
from auditsense.bench.report import machine
from auditsense.core.ring import Ring
from auditsense.core.rule_table import Field, Rule, Selection
from auditsense.core.rule_table import select as table_of
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from auditsense.core.hit import Hit
    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json

PRODUCER: Final = Path(__file__).parent / "arguments.c"
RULES: Final = ["-a always,exit -F arch=b64 -S execve -F uid=65534 -k arguments"]
TABLE: Final = table_of([Selection(Rule(), calls=tuple(syscalls.calls("execve")))])
BYTES: Final = 8000
COUNTS: Final = (80, 1, 8, 800)
_LIMIT_S: Final = 600.0
_QUIET_S: Final = 10.0  # after the last exec, for what is still queued


@dataclass
class Result:
    """Outcome of all execs. `other`: events whose arguments are not those that were executed."""

    execs: int
    events: int = 0
    complete: int = 0
    other: int = 0
    cut: int = 0
    records: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    lost: int = 0

    @property
    def passed(self) -> bool:
        """Whether every exec is there, complete or counted as cut."""
        return self.events == self.execs and self.other == self.cut


def expected(number: int) -> tuple[str, ...]:
    """Return the arguments of an exec, as arguments.c makes them."""
    count = COUNTS[number % len(COUNTS)]
    size = BYTES // count
    arguments = ["arguments", str(number)]
    for index in range(count):
        text = chr(ord("a") + (number + index) % 26) * size
        if number % len(COUNTS) == 2:
            text = f"{text[: size // 2]} {text[size // 2 + 1 :]}"
        arguments.append(text)
    return tuple(arguments)


def judge(hit: Hit, result: Result) -> None:
    """Compare one event with what was executed."""
    arguments = (hit.text(Field.ARGS) or "").split("\0")
    if len(arguments) < 2 or arguments[0] != "arguments":
        return
    result.events += 1
    if tuple(arguments) == expected(int(arguments[1])):
        result.complete += 1
    else:
        result.other += 1


def run(source: Unicast, ring: Ring, command: list[str], result: Result) -> None:
    """Execute, and read until every event is there."""
    started_s, cpu_s, ended_s = time.monotonic(), time.process_time(), 0.0
    process = subprocess.Popen(command)
    poll = select.poll()
    poll.register(source.fileno(), select.POLLIN)
    while result.events < result.execs and time.monotonic() - started_s < _LIMIT_S:
        poll.poll(100)
        now_ms = time.monotonic_ns() // 1_000_000
        ring.receive(source.fileno(), now_ms, only_kernel=source.only_kernel)
        ring.expire(now_ms)
        for hit in ring.drain():
            judge(hit, result)
        if process.poll() is not None:
            ended_s = ended_s or time.monotonic()
            if time.monotonic() - ended_s > _QUIET_S:
                break
    if process.wait():
        sys.exit(f"arguments.c failed: {process.returncode}")
    stats = ring.stats()
    result.seconds = round(time.monotonic() - started_s, 2)
    result.cpu_s = round(time.process_time() - cpu_s, 2)
    result.records, result.cut = stats.records, stats.args_cut
    result.lost = source.kernel_lost() + stats.serials_missing + stats.incomplete + stats.truncated


def main() -> int:
    parser = argparse.ArgumentParser(description="Long command lines, compared with what was executed.")
    parser.add_argument("--execs", type=int, default=10_000)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    result = Result(arguments.execs)
    with ground() as (_, folder):
        folder.chmod(0o755)
        program = compiled(PRODUCER, folder)
        command = [program, "0", str(arguments.execs), shutil.which("true") or "/bin/true"]
        source = Unicast(RULES, guarded=True)
        with Ring(TABLE) as ring:
            source.attach(lambda: None, frozenset())
            with source:
                run(source, ring, command, result)
    print(result)
    write_json(arguments.json, {"bench": "arguments", "machine": machine(), **asdict(result)})
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
