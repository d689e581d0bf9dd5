"""The same log through all peers: CPU time of whole processes, in several rounds.

    python bench/peers/run.py [--events N] [--rounds N] [--root FOLDER] [--json FILE]

The log is generated: 200,000 opens of /proc of five records each, including EOE, a million records in 150 MB,
one open per millisecond. A scanner is faster, but ausearch compares each record with all events of the last
two seconds, and needs minutes for 50 opens per millisecond. --root: a folder with unpacked Debian packages
instead of installed ones: apt-get download auditd libaudit1 libauparse0 libauparse-dev libaudit-dev
python3-audit laurel, then dpkg -x each of them FOLDER. Missing peers are skipped with a reason. Each round
runs all peers, so that a busy minute affects all of them.
"""

from __future__ import annotations

import argparse
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
    from bench.live.ground import write_json
    from bench.peers.peers import Packages, Peer, all_peers
else:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "live"))
    from ground import write_json
    from peers import Packages, Peer, all_peers

LIMIT_S = 300
BASE = "grep -c"


@dataclass(frozen=True)
class Run:
    """Seconds of one process from start to end, and the first line of its output."""

    cpu: float
    wall: float
    output: str


def run_peer(peer: Peer, log: Path) -> Run:
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
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stderr.close()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=errors)
        output.seek(0)
        start = output.read(300).decode(errors="replace")
    return Run(used.ru_utime + used.ru_stime, wall, start.partition("\n")[0])


def main() -> None:
    parser = argparse.ArgumentParser(description="One log through all peers.")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    runs: dict[str, list[Run]] = {}
    does: dict[str, str] = {}
    skipped: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="auditsense-peers-") as name:
        work = Path(name)
        log = work / "audit.log"
        size = write_log(InputShape(arguments.events, per_ms=1), log)
        peers: list[Peer] = []
        for peer_or_reason in all_peers(Packages(arguments.root.resolve(), work)):
            if isinstance(peer_or_reason, tuple):
                skipped[peer_or_reason[0]] = peer_or_reason[1]
            else:
                peers.append(peer_or_reason)
                does[peer_or_reason.name] = peer_or_reason.does
        for turn in range(arguments.rounds):
            for peer in peers if turn % 2 == 0 else peers[::-1]:
                if peer.name in skipped:
                    continue
                try:
                    runs.setdefault(peer.name, []).append(run_peer(peer, log))
                except subprocess.CalledProcessError as error:
                    message = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
                    skipped[peer.name] = f"ended with {error.returncode}: {message}"
                    runs.pop(peer.name, None)
                    print(f"{peer.name}: skipped: {skipped[peer.name]}", file=sys.stderr)
    rows = []
    print(f"{arguments.events:,} events, {size / 1e6:.0f} MB, {arguments.rounds} rounds")
    print(f"{'':<28}{'CPU s':>8}{'least':>8}{'most':>8}{'/ grep':>9}{'events/s':>12}")
    base = Spread.of([run.cpu for run in runs[BASE]]).median if BASE in runs else None
    for name, peer_runs in sorted(runs.items(), key=lambda item: min(run.cpu for run in item[1])):
        cpu = Spread.of([run.cpu for run in peer_runs])
        ratio = cpu.median / base if base else None
        print(
            f"{name:<28}{cpu.median:>8.3f}{cpu.low:>8.3f}{cpu.high:>8.3f}"
            f"{'' if ratio is None else f'{ratio:.1f}':>9}{arguments.events / cpu.median:>12,.0f}"
        )
        rows.append(
            {
                "name": name,
                "does": does[name],
                "cpu_s": asdict(cpu),
                "ratio": ratio,
                "wall_s": asdict(Spread.of([run.wall for run in peer_runs])),
                "output": peer_runs[0].output[:120],
            }
        )
    figures = {
        "bench": "peers",
        "machine": machine(),
        "events": arguments.events,
        "bytes": size,
        "rounds": arguments.rounds,
        "peers": rows,
        "skipped": skipped,
    }
    write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
