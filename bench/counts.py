"""Instructions and allocations per event: counts that do not depend on the load of the machine.

    python bench/counts.py [--events N] [--json FILE]

valgrind's callgrind counts instructions; a preloaded library, compiled here, counts calls of malloc and its
variants. Both compare two runs of the same program, one with twice the events, so that the interpreter, start
and end cancel out. The column of a missing tool stays empty. Exit status 1: an event allocates memory.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.c_helpers import compiled, compiler
from auditsense.bench.inputs import EventKind, InputShape, chunks, cold, hot
from auditsense.bench.report import machine

if TYPE_CHECKING:
    from bench.live.ground import write_json
else:
    sys.path.insert(0, str(Path(__file__).resolve().parent / "live"))
    from ground import write_json

HERE = Path(__file__).parent
DRIVER = HERE / "counts_driver.py"
COUNTER = HERE / "counts_malloc.c"
COLLECTED = re.compile(r"Collected *: (\d+)")
SETS = {
    "record of no interest": lambda events: InputShape(events, kinds=(EventKind.USER,)),
    "event of another call": lambda events: InputShape(events, kinds=(EventKind.OTHER_CALL,)),
    "open with other flags": lambda events: InputShape(events, kinds=(EventKind.LISTING,)),
    "open that counts, hot": hot,
    "open that counts, 1,000 processes": lambda events: InputShape(events, pids=1_000),
    "cold set": cold,
}
AS_TEXT = {"open that counts, hot", "cold set"}


@dataclass(frozen=True)
class Count:
    """Counts of one event; None: the tool is missing."""

    name: str
    form: str
    instructions: float | None
    allocations: float | None


def drive(path: Path, before: list[str], **environment: str) -> tuple[int, str]:
    """Feed a file in one piece; return the allocations of the driver, and its standard error."""
    done = subprocess.run(
        [*before, sys.executable, "-E", "-s", str(DRIVER), str(path)],
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return int(done.stdout), done.stderr


def instructions(path: Path) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    match = COLLECTED.search(drive(path, command)[1])
    assert match is not None
    return int(match[1])


def count(name: str, form: str, events: int, folder: Path, counter: str | None) -> Count:
    paths: list[Path] = []
    for times in (1, 2):
        path = folder / f"{times}.{form}"
        with path.open("wb") as file:
            file.writelines(chunks(SETS[name](times * events), text=form == "text"))
        paths.append(path)
    spent = allocated = None
    if shutil.which("valgrind"):
        once, twice = (instructions(path) for path in paths)
        spent = round((twice - once) / events, 1)
    if counter is not None:
        once, twice = (drive(path, [], LD_PRELOAD=counter)[0] for path in paths)
        allocated = (twice - once) / events
    return Count(name, form, spent, allocated)


def library(folder: Path) -> str | None:
    """Compile the counting library; None: there is no compiler."""
    if compiler() is None:
        print("no allocations: there is no C compiler", file=sys.stderr)
        return None
    shutil.copy(COUNTER, folder)
    return compiled(folder / COUNTER.name, folder, "-shared", "-fPIC")


def main() -> int:
    parser = argparse.ArgumentParser(description="Instructions and allocations per event.")
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        print("no instructions: valgrind is not installed (apt-get install valgrind)", file=sys.stderr)
    print(f"{'an event':<36}{'form':<8}{'instructions':>14}{'allocations':>14}", flush=True)
    counts: list[Count] = []
    with tempfile.TemporaryDirectory(prefix="auditsense-counts-") as name:
        folder = Path(name)
        counter = library(folder)
        for event in SETS:
            for form in ("packed", "text") if event in AS_TEXT else ("packed",):
                counts.append(count(event, form, arguments.events, folder, counter))
                cells = [
                    "-" if cell is None else f"{cell:g}"
                    for cell in (counts[-1].instructions, counts[-1].allocations)
                ]
                print(f"{event:<36}{form:<8}{cells[0]:>14}{cells[1]:>14}", flush=True)
    rows = [asdict(row) for row in counts]
    write_json(arguments.json, {"bench": "counts", "machine": machine(), "counts": rows})
    failed = [row for row in counts if row.allocations]
    for row in failed:
        print(f"FAILED: {row.name} ({row.form}) allocates {row.allocations:g} times per event")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
