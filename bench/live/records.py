"""Records a second that audit rules make: without rules, with those of `run`, and with `-w /proc/ -p r`.

    python bench/live/records.py [--seconds N] [--files N] [--json FILE]

In one run, for each set of rules: the host is idle; the user 65534 runs `ps aux` twice a second; and compiles
a program in the root of a tmpfs. That root has inode 1, as that of a procfs, so rules on inode 1 report files
that are made there, and the core rejects them. The rules are not limited to a user: other programs of this
host count. Exit status 1: a record was lost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from auditsense import Sensor
from auditsense.bench.report import machine
from auditsense.detections.loader import shipped_detections
from auditsense.sources.factory import rules_needed
from auditsense.sources.unicast import DEFAULT_AUDIT_RULE, Unicast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.live.compiling import Load, watch, write_program
    from bench.live.ground import ground, write_json
else:
    from compiling import watch, write_program
    from ground import ground, write_json

LOADS: Final = ("idle", "ps aux", "compiling")


def command_of(load: str, seconds: float) -> list[str] | None:
    """Return the command that makes a load; None: nothing is run."""
    rounds = round(2 * seconds)
    return {
        "ps aux": ["sh", "-c", f"for i in $(seq {rounds}); do ps aux; sleep 0.5; done"],
        "compiling": ["make", "-j2"],
    }.get(load)


@contextmanager
def tmpfs(folder: Path) -> Iterator[Path]:
    """Mount a new tmpfs for the block."""
    mounted = folder / "tmpfs"
    mounted.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(mounted)], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


def measured(lines: list[str], folder: Path, seconds: float, files: int) -> list[Load]:
    """Measure each load with these audit rules."""
    found = []
    for name in LOADS:
        with tmpfs(folder) as place, Sensor(source=Unicast(lines, guarded=True)) as sensor:
            write_program(place, files)
            found.append(watch(sensor, name, command_of(name, seconds), place, seconds))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Records a second by audit rules and load.")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    rules = {"none": [], "run": rules_needed(shipped_detections()), "-w /proc/ -p r": [DEFAULT_AUDIT_RULE]}
    results = {}
    with ground() as (_, folder):
        for name, lines in rules.items():
            loads = measured(lines, folder, arguments.seconds, arguments.files)
            results[name] = [asdict(load) for load in loads]
            rates = "  ".join(
                f"{load.name} {load.records / load.seconds:,.1f}/s ({load.records:,})" for load in loads
            )
            print(f"{name:<16}{rates}", flush=True)
    write_json(arguments.json, {"bench": "records", "machine": machine(), "rules": results})
    return int(any(load["lost"] for loads in results.values() for load in loads))


if __name__ == "__main__":
    sys.exit(main())
