"""The same log through everybody: whole processes, CPU time, the least and the middle of some rounds.

    python bench/peers/run.py [--events N] [--rounds N] [--root FOLDER] [--json FILE]

The log is made: 200,000 opens of /proc of five records each, EOE included, a million records in 150 MB, an
open every millisecond. Not faster, though a scanner is: ausearch looks through all events of the last two
seconds for each record, and with 50 opens a millisecond is not done in minutes.
--root: a folder with Debian's packages unpacked into it, instead of what is installed; nothing has to be
installed or started for it: apt-get download auditd libaudit1 libauparse0 libauparse-dev libaudit-dev
python3-audit laurel, then dpkg -x each of them FOLDER. A peer that is not there is skipped, with a word.
Rounds go in turns through all of them, so that a busy minute meets everybody.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.inputs import InputShape, write_log
from auditsense.bench.report import machine
from auditsense.bench.timing import Spread

if TYPE_CHECKING:
    from bench.peers.peers import Peer, Place, all_peers
else:
    from peers import Peer, Place, all_peers

LIMIT_S = 300
BASE = "grep -c"


@dataclass(frozen=True)
class Run:
    """One process from start to end, in s; `said` is the start of its standard output."""

    cpu: float
    wall: float
    said: str


def run(peer: Peer, log: Path) -> Run:
    command = peer.command if peer.reads_input else (*peer.command, str(log))
    environment = {**os.environ, **peer.environment}
    with tempfile.TemporaryFile() as output, log.open("rb") as file:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdin=file if peer.reads_input else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said)
        output.seek(0)
        start = output.read(300).decode(errors="replace")
    return Run(used.ru_utime + used.ru_stime, wall, start.partition("\n")[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="One log through everybody.")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    runs: dict[str, list[Run]] = {}
    does: dict[str, str] = {}
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="auditsense-peers-") as name:
        work = Path(name)
        log = work / "audit.log"
        size = write_log(InputShape(wanted.events, per_ms=1), log)
        peers: list[Peer] = []
        for one in all_peers(Place(wanted.root.resolve(), work)):
            if isinstance(one, tuple):
                skipped[one[0]] = one[1]
            else:
                peers.append(one)
                does[one.name] = one.does
        for turn in range(wanted.rounds):
            for peer in peers if turn % 2 == 0 else peers[::-1]:
                if peer.name in skipped:
                    continue
                try:
                    runs.setdefault(peer.name, []).append(run(peer, log))
                except subprocess.CalledProcessError as error:
                    said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                    skipped[peer.name] = f"ended with {error.returncode}: {said}"
                    runs.pop(peer.name, None)
                    print(f"{peer.name}: skipped: {skipped[peer.name]}", file=sys.stderr)
    rows = []
    print(f"{wanted.events:,} events, {size / 1e6:.0f} MB, {wanted.rounds} rounds")
    print(f"{'':<28}{'CPU s':>8}{'least':>8}{'most':>8}{'/ grep':>9}{'events/s':>12}")
    base = Spread.of([one.cpu for one in runs[BASE]]).median if BASE in runs else None
    for one_name, found in sorted(runs.items(), key=lambda item: min(one.cpu for one in item[1])):
        cpu = Spread.of([one.cpu for one in found])
        ratio = cpu.median / base if base else None
        print(
            f"{one_name:<28}{cpu.median:>8.3f}{cpu.low:>8.3f}{cpu.high:>8.3f}"
            f"{'' if ratio is None else f'{ratio:.1f}':>9}{wanted.events / cpu.median:>12,.0f}"
        )
        rows.append(
            {
                "name": one_name,
                "does": does[one_name],
                "cpu_s": asdict(cpu),
                "ratio": ratio,
                "wall_s": asdict(Spread.of([one.wall for one in found])),
                "said": found[0].said[:120],
            }
        )
    if wanted.json is not None:
        figures = {
            "bench": "peers",
            "machine": machine(),
            "events": wanted.events,
            "bytes": size,
            "rounds": wanted.rounds,
            "peers": rows,
            "skipped": skipped,
        }
        Path(wanted.json).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
