"""Where the CPU of `auditsense replay -o count` goes: the start step by step, and perf by what runs.

    python bench/replay_spent.py [--events N] [--rounds N] [--json FILE]

Each step is a process of its own, in turns through all of them; what a step has more than the one before is
what it adds. Measure an installed wheel: an editable install starts slower. perf's part is left
out where it is not.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.bench.inputs import hot, write_log
from auditsense.bench.interpreter import auditsense, bare_python, python
from auditsense.bench.report import machine
from auditsense.bench.timing import Spread, cpu_of_program

if TYPE_CHECKING:
    from bench.live.ground import write_json
else:
    sys.path.insert(0, str(Path(__file__).parent / "live"))
    from ground import write_json

COUNT: Final = ("replay", "-o", "count")
OBJECT: Final = re.compile(r"^\s*([\d.]+)%\s+(\S+)")
KINDS: Final = {
    "the core": r"_ffi\.",
    "Python": r"libpython|^python|_cffi_backend|^_\w+\.cpython",
    "the kernel": r"kernel",
    "libc": r"libc\.|ld-linux|libz|libm\.",
}


def by_object(command: tuple[str, ...], folder: Path) -> dict[str, float]:
    """Return the share of the samples in each kind of object, 0 to 1; empty without perf."""
    if shutil.which("perf") is None:
        return {}
    data = str(folder / "perf.data")
    record = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "5000", "-o", data, *command]
    subprocess.run(record, check=True, capture_output=True, timeout=120)
    report = ["perf", "report", "-i", data, "--stdio", "--sort", "dso"]
    said = subprocess.run(report, check=True, capture_output=True, text=True, timeout=120).stdout
    lines = [OBJECT.match(line) for line in said.splitlines()]
    found = [(float(one[1]), one[2]) for one in lines if one is not None]
    return {
        kind: sum(share for share, name in found if re.search(pattern, name)) / 100
        for kind, pattern in KINDS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the CPU of a replay goes.")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as name:
        log, short = Path(name) / "audit.log", Path(name) / "short.log"
        write_log(hot(wanted.events), log)
        write_log(hot(1), short)
        steps: dict[str, tuple[str, ...]] = {
            "grep -c of the log": ("grep", "-c", 'key="audit_proc"', str(log)),
            "Python alone": bare_python("-c", "pass"),
            "import auditsense": python("import auditsense"),
            "replay of one event": auditsense(*COUNT, str(short)),
            "replay of the log": auditsense(*COUNT, str(log)),
        }
        taken: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(wanted.rounds):
            for step, command in steps.items():
                taken[step].append(cpu_of_program(command)[0])
        spreads = {step: Spread.of(values) for step, values in taken.items()}
        objects = by_object(steps["replay of the log"], Path(name))
    for step, spread in spreads.items():
        print(f"{spread.median * 1e3:7.1f} ms ({spread.low * 1e3:.1f} to {spread.high * 1e3:.1f})  {step}")
    for kind, share in objects.items():
        print(f"{share * 100:7.1f} %  {kind}")
    write_json(
        wanted.json,
        {
            "bench": "replay-spent",
            "machine": machine(),
            "events": wanted.events,
            "steps": {step: asdict(spread) for step, spread in spreads.items()},
            "objects": objects,
        },
    )


if __name__ == "__main__":
    main()
