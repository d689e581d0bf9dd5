"""Cost of many detections: ratios of CPU time in one run, and of both units against another build.

    python bench/detections.py [--rules FOLDER] [--baseline PYTHON] [--json FILE]

- opens: a stream of opens with all detections, relative to the shipped one alone;
- execs: a stream of ordinary commands with all detections, relative to one detection of execs;
- pspy alone, relative to another build of auditsense (`--baseline`: its interpreter): instructions, counted
  by valgrind, and CPU time, for each kind of event as packed datagrams and as text.

All detections are the shipped ones and those in FOLDER: by default the one that AUDITSENSE_ELASTIC_RULES
names. Rounds alternate between the two rule tables, each with a new core; the figure is the ratio of the
smallest times. Exit status 1: a ratio is above its limit.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.bench.inputs import FIRST_PID, FIRST_SERIAL, START_MS, EventKind, InputShape, chunks, packed
from auditsense.bench.report import machine
from auditsense.core.ring import PACKED_HEADER, Limits, Ring
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.compiler import compile_all
from auditsense.detections.loader import load_detections, shipped_detections
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.core.rule_table import RuleTable
    from auditsense.detections.model import Detection

if TYPE_CHECKING:
    from bench.live.ground import write_json
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent / "live"))
    from ground import write_json

HERE: Final = Path(__file__).parent
OPENS_LIMIT: Final = 1.2
EXECS_LIMIT: Final = 2.0
BASELINE_LIMIT: Final = 1.0
CORES: Final = 20
"""New cores that one process of a timed build feeds; its figure is the least of them."""
KINDS: Final = {
    "open that counts": EventKind.OPEN,
    "open with other flags": EventKind.LISTING,
    "event of another call": EventKind.OTHER_CALL,
}
LIMITS: Final = Limits(hit_bytes=1 << 24)
_NETLINK: Final = struct.Struct("=IHHII")
_COLLECTED: Final = re.compile(r"Collected *: (\d+)")

# Name, program, arguments: what a host runs in a minute of ordinary work.
COMMANDS: Final = (
    ("ls", "/usr/bin/ls", "ls -la /srv"),
    ("cat", "/usr/bin/cat", "cat /etc/hostname"),
    ("grep", "/usr/bin/grep", "grep -rn main src"),
    ("sed", "/usr/bin/sed", "sed -n 1,10p notes.txt"),
    ("bash", "/usr/bin/bash", "bash /usr/local/bin/backup daily"),
    ("sh", "/usr/bin/dash", "sh -c uptime"),
    ("python3", "/usr/bin/python3.11", "python3 -m http.server 8000 --bind 127.0.0.1"),
    ("git", "/usr/bin/git", "git status --porcelain --untracked-files=no"),
    ("make", "/usr/bin/make", "make -j4 all"),
    ("gcc", "/usr/bin/gcc", "gcc -O2 -g -Wall -Wextra -Iinclude -MMD -MP -c -o build/main.o src/main.c"),
    (
        "cc1",
        "/usr/libexec/gcc/x86_64-linux-gnu/13/cc1",
        "cc1 -quiet -I include -MMD build/main.d -MP src/main.c -quiet -dumpbase main.c -O2 -Wall",
    ),
    ("as", "/usr/bin/as", "as --gdwarf-5 -I include --64 -o build/main.o /tmp/ccA1.s"),
    ("sleep", "/usr/bin/sleep", "sleep 1"),
    ("systemctl", "/usr/bin/systemctl", "systemctl is-active cron"),
    ("run-parts", "/usr/bin/run-parts", "run-parts --report /etc/cron.hourly"),
)
ONE_EXEC: Final = """
[rule]
rule_id = "one-exec"
name = "one detection of an exec"
description = "It reads the arguments, as most do."
index = ["auditbeat-*"]
language = "eql"
type = "eql"
severity = "low"
risk_score = 21
query = '''
process where event.type == "start" and process.name == "no-such-name" and process.args == "nothing"
'''
"""


@dataclass(frozen=True)
class Ratio:
    """A ratio of costs, and the most it may be."""

    name: str
    unit: str
    cost: float
    base: float
    ratio: float
    limit: float


def execs(events: int, *, pids: int = 2_000) -> bytes:
    """Return execs of COMMANDS in turn as packed datagrams, 8 records each."""
    pieces: list[bytes] = []
    for n in range(events):
        ms = START_MS + n // 10
        stamp = f"audit({ms // 1000:010d}.{ms % 1000:03d}:{FIRST_SERIAL + n:08d}): "
        pieces += [_datagram(kind, stamp + body) for kind, body in _exec_records(n % len(COMMANDS), n % pids)]
    return b"".join(pieces)


def _exec_records(command: int, process: int) -> tuple[tuple[int, str], ...]:
    name, program, line = COMMANDS[command]
    words = line.split(" ")
    arguments = " ".join(f'a{index}="{word}"' for index, word in enumerate(words))
    pid = FIRST_PID + process
    path = (
        'item={} name="{}" inode=1311 dev=fe:00 mode=0100755 ouid=0 ogid=0 rdev=00:00 nametype=NORMAL '
        "cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0"
    )
    call = (
        "arch=c000003e syscall=59 success=yes exit=0 a0=55d8c1a3e2b0 a1=55d8c1a40c10 a2=55d8c1a3f4a0 a3=8 "
        f"items=2 ppid={pid - 1} pid={pid} auid=1000 uid=1000 gid=1000 euid=1000 suid=1000 fsuid=1000 "
        f'egid=1000 sgid=1000 fsgid=1000 tty=pts0 ses=3 comm="{name}" exe="{program}" key="exec"'
    )
    return (
        (1300, call),
        (1309, f"argc={len(words)} {arguments}"),
        (1307, 'cwd="/home/user"'),
        (1302, path.format(0, program)),
        (1302, path.format(1, "/lib64/ld-linux-x86-64.so.2")),
        (1327, "proctitle=" + line.replace(" ", "\0").encode().hex().upper()),
        (1320, ""),
    )


def _datagram(kind: int, record: str) -> bytes:
    text = record.encode()
    header = _NETLINK.pack(len(text), kind, 0, 0, 0)
    return PACKED_HEADER.pack(0, len(header) + len(text), 0) + header + text


def compiled(detections: Sequence[Detection]) -> RuleTable:
    """Return the rule table that a sensor uses for them."""
    return compile_all(detections, merge_ms=AlertPolicy().merge_ms(detections))


def compilable(detections: Sequence[Detection]) -> list[Detection]:
    """Return the detections that this build can run, and name the others."""
    able = []
    for detection in detections:
        try:
            compiled([detection])
        except DetectionError as error:
            print(f"left out: {detection.id}: {error}", file=sys.stderr)
        else:
            able.append(detection)
    return able


def _seconds(rules: RuleTable, data: bytes) -> float:
    with Ring(rules, LIMITS, seed=1) as ring:
        rest = memoryview(data)
        started = time.process_time()
        while rest:
            rest = rest[ring.feed(rest) :]
            ring.drain_bytes()
        return time.process_time() - started


def compare(  # noqa: PLR0913 - two sides of a comparison
    name: str, rules: RuleTable, base: RuleTable, data: bytes, *, events: int, rounds: int, limit: float
) -> Ratio:
    """Measure two rule tables on one stream, in turn."""
    costs, bases = [], []
    for _ in range(rounds):
        costs.append(_seconds(rules, data))
        bases.append(_seconds(base, data))
    cost, other = (min(times) / events * 1e9 for times in (costs, bases))
    return Ratio(name, "ns", round(cost), round(other), round(cost / other, 2), limit)


def _driven(interpreter: str, path: Path, *more: str, tool: Sequence[str] = ()) -> tuple[str, str]:
    """Run the driver with a build; return what it prints, and its standard error."""
    done = subprocess.run(
        [*tool, interpreter, "-E", "-s", str(HERE / "counts_driver.py"), str(path), *more],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    if done.returncode:
        sys.exit(f"{interpreter} failed:\n{done.stderr}")
    return done.stdout, done.stderr


def _instructions(interpreter: str, path: Path) -> int:
    tool = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
    match = _COLLECTED.search(_driven(interpreter, path, tool=tool)[1])
    assert match is not None
    return int(match[1])


def _instructions_per_event(interpreter: str, paths: Sequence[Path], events: int) -> float:
    """Return the instructions of an event, from files with `events` of them and with twice as many."""
    # Twice the events minus once: the interpreter, start and end cancel out.
    return (_instructions(interpreter, paths[1]) - _instructions(interpreter, paths[0])) / events


def _times(interpreters: Sequence[str], path: Path, events: int, rounds: int) -> list[float]:
    """Return the median CPU time of an event with each build, in ns. The builds run in turn."""
    times: list[list[float]] = [[] for _ in interpreters]
    for _ in range(rounds):
        for interpreter, of_build in zip(interpreters, times, strict=True):
            of_build.append(int(_driven(interpreter, path, str(CORES))[0]) / events)
    return [statistics.median(of_build) for of_build in times]


def against(baseline: str, events: int, rounds: int) -> list[Ratio]:
    """Compare what an event costs with pspy alone, here and in another build."""
    this = sys.executable
    interpreters = (this, baseline)
    counts: list[Ratio] = []
    clocked: list[Ratio] = []
    with tempfile.TemporaryDirectory(prefix="auditsense-detections-") as name:
        for (words, kind), form in itertools.product(KINDS.items(), ("packed", "text")):
            paths = []
            for times in (1, 2):
                paths.append(Path(name) / f"{times}.{form}")
                shape = InputShape(times * events, kinds=(kind,))
                paths[-1].write_bytes(b"".join(chunks(shape, text=form == "text")))
            title = f"pspy alone, {words}{', text' if form == 'text' else ''}"
            if shutil.which("valgrind"):
                costs = [_instructions_per_event(python, paths, events) for python in interpreters]
                counts.append(_against(title, "instructions", *costs))
            costs = _times(interpreters, paths[1], 2 * events, rounds)
            clocked.append(_against(title, "ns", *costs))
    return counts + clocked


def _against(name: str, unit: str, cost: float, base: float) -> Ratio:
    return Ratio(name, unit, round(cost), round(base), round(cost / base, 2), BASELINE_LIMIT)


def main() -> int:
    parser = argparse.ArgumentParser(description="Cost of many detections, as ratios.")
    parser.add_argument("--rules", metavar="FOLDER", default=os.environ.get("AUDITSENSE_ELASTIC_RULES", ""))
    parser.add_argument("--baseline", metavar="PYTHON", help="interpreter of another build of auditsense")
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    ratios: list[Ratio] = []
    shipped = shipped_detections()
    refused: list[DetectionError] = []
    if arguments.rules:
        detections = compilable([*shipped, *load_detections(arguments.rules, refused=refused.append)])
        print(f"{len(detections)} detections, {len(refused)} refused", file=sys.stderr)
        if refused:
            print(f"the first: {refused[0]}", file=sys.stderr)
        everything, alone = compiled(detections), compiled(shipped)
        events, rounds = arguments.events, arguments.rounds
        for kind, words in ((EventKind.OPEN, "opens that count"), (EventKind.LISTING, "other opens")):
            stream = packed(InputShape(events, pids=2_000, kinds=(kind,)))
            ratios.append(
                compare(words, everything, alone, stream, events=events, rounds=rounds, limit=OPENS_LIMIT)
            )
        with tempfile.TemporaryDirectory(prefix="auditsense-detections-") as name:
            path = Path(name) / "one.toml"
            path.write_text(ONE_EXEC, encoding="utf-8")
            one = compiled(load_detections(path))
        ratios.append(
            compare("execs", everything, one, execs(events), events=events, rounds=rounds, limit=EXECS_LIMIT)
        )
    else:
        print("no rules: name their folder with --rules or AUDITSENSE_ELASTIC_RULES", file=sys.stderr)
    if arguments.baseline:
        if not shutil.which("valgrind"):
            print("no instructions: valgrind is not installed (apt-get install valgrind)", file=sys.stderr)
        ratios += against(arguments.baseline, arguments.events // 20, arguments.rounds)
    print(f"{'an event':<48}{'unit':<14}{'cost':>8}{'base':>8}{'ratio':>8}{'limit':>8}")
    for row in ratios:
        print(f"{row.name:<48}{row.unit:<14}{row.cost:>8g}{row.base:>8g}{row.ratio:>8.2f}{row.limit:>8.2f}")
    write_json(
        arguments.json,
        {"bench": "detections", "machine": machine(), "ratios": [asdict(row) for row in ratios]},
    )
    return 1 if any(row.ratio > row.limit for row in ratios) else 0


if __name__ == "__main__":
    sys.exit(main())
