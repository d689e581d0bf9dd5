"""CPU profile of `auditsense replay -o count`: the start step by step, and perf by shared object.

    python bench/replay_cpu_profile.py [--events N] [--rounds N] [--json FILE]

Each step is a separate process; the difference to the previous step is its cost. The steps alternate. Measure
an installed wheel: an editable install starts more slowly. Without perf, its part is skipped.
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
    printed = subprocess.run(report, check=True, capture_output=True, text=True, timeout=120).stdout
    matches = [OBJECT.match(line) for line in printed.splitlines()]
    objects = [(float(match[1]), match[2]) for match in matches if match is not None]
    return {
        kind: sum(share for share, name in objects if re.search(pattern, name)) / 100
        for kind, pattern in KINDS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU profile of a replay.")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as name:
        log, short = Path(name) / "audit.log", Path(name) / "short.log"
        write_log(hot(arguments.events), log)
        write_log(hot(1), short)
        steps: dict[str, tuple[str, ...]] = {
            "grep -c of the log": ("grep", "-c", 'key="audit_proc"', str(log)),
            "Python alone": bare_python("-c", "pass"),
            "import auditsense": python("import auditsense"),
            "replay of one event": auditsense(*COUNT, str(short)),
            "replay of the log": auditsense(*COUNT, str(log)),
        }
        times: dict[str, list[float]] = {step: [] for step in steps}
        for _ in range(arguments.rounds):
            for step, command in steps.items():
                times[step].append(cpu_of_program(command)[0])
        spreads = {step: Spread.of(values) for step, values in times.items()}
        objects = by_object(steps["replay of the log"], Path(name))
    for step, spread in spreads.items():
        print(f"{spread.median * 1e3:7.1f} ms ({spread.low * 1e3:.1f} to {spread.high * 1e3:.1f})  {step}")
    for kind, share in objects.items():
        print(f"{share * 100:7.1f} %  {kind}")
    write_json(
        arguments.json,
        {
            "bench": "replay-spent",
            "machine": machine(),
            "events": arguments.events,
            "steps": {step: asdict(spread) for step, spread in spreads.items()},
            "objects": objects,
        },
    )


if __name__ == "__main__":
    main()
