"""Reading three fields of every event of a log: rows, `Event`, and Debian's python3-audit.

    python bench/events.py [--events N] [--turns N] [--root FOLDER] [--json FILE]

Each reader reads pid, exe and path of every event, decoded, from the same log. It runs in a separate process,
whose start is included, in turn with the others. The figure is the median of its CPU seconds, the ratio the
median of the turns' ratios. FOLDER has the unpacked Debian packages python3-audit, libaudit1 and libauparse0
(`apt-get download`, `dpkg -x`); default: /. An editable install makes the start several times as long.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditsense.bench.report import machine
from auditsense.testing import open_event

if TYPE_CHECKING:
    from collections.abc import Iterable

OURS = """
def read(log):
    count = total = 0
    with EventReader() as reader:
        while piece := log.read(1 << 19):
            for event in reader.feed_text(piece):
                count += 1
                total += event.pid + len(event.exe) + len(event.path)
        for event in reader.finish():
            count += 1
            total += event.pid + len(event.exe) + len(event.path)
    return count, total
"""
CHOSEN = OURS.replace("EventReader()", 'EventReader(fields=("pid", "exe", "path"))')
ROWS = """
def read(log):
    count = total = 0
    with RowReader(("pid", "exe", "path")) as reader:
        while piece := log.read(1 << 19):
            for pid, exe, path in reader.feed_text(piece):
                count += 1
                total += pid + len(exe) + len(path)
        for pid, exe, path in reader.finish():
            count += 1
            total += pid + len(exe) + len(path)
    return count, total
"""
AUPARSE = """
def read(log):
    count = total = 0
    parser = auparse.AuParser(auparse.AUSOURCE_FILE, log.name)
    while parser.parse_next_event():
        parser.first_record()
        count += 1
        total += int(parser.find_field("pid"))
        parser.find_field("exe")
        total += len(parser.interpret_field())
        parser.find_field("name")
        total += len(parser.interpret_field())
    return count, total
"""
# A reader is a function, because lookups of module names would take half the time of a row.
HEAD = """
import json, resource, sys
def cpu_s():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
"""
TAIL = """
begun = cpu_s()
with open(sys.argv[1], "rb") as log:
    count, total = read(log)
print(json.dumps({"count": count, "total": total, "cpu_s": cpu_s(), "start_s": begun}))
"""
IMPORT_OURS = "from auditsense import EventReader, RowReader"
IMPORT_THEIRS = "import auparse"
ROWS_NAME, AUPARSE_NAME = "rows (RowReader)", "python3-audit (auparse)"


def python3_audit(root: Path) -> tuple[str, dict[str, str], str] | str:
    """Return an interpreter, its environment and the folder of auparse, or why there is none."""
    module = next(iter(sorted(root.glob("usr/lib/python3/dist-packages/auparse.*.so"))), None)
    interpreter = shutil.which("python3", path="/usr/bin")
    if module is None:
        return f"there is no python3-audit below {root}"
    if interpreter is None:
        return "there is no /usr/bin/python3, which python3-audit is for"
    machine = os.uname().machine
    libraries = [str(root / name / f"{machine}-linux-gnu") for name in ("lib", "usr/lib")]
    return interpreter, {"LD_LIBRARY_PATH": ":".join(libraries)}, str(module.parent)


@dataclass(frozen=True)
class Reader:
    """A program that reads the three fields."""

    interpreter: str
    code: str
    environment: dict[str, str]


def all_readers(root: Path) -> tuple[dict[str, Reader], str]:
    """Return the readers by name, and why python3-audit is missing; "" if it is there."""

    def ours(code: str) -> Reader:
        return Reader(sys.executable, HEAD + IMPORT_OURS + code + TAIL, {})

    readers = {
        ROWS_NAME: ours(ROWS),
        "Event of three fields": ours(CHOSEN),
        "Event (EventReader)": ours(OURS),
    }
    theirs = python3_audit(root)
    if isinstance(theirs, str):
        return readers, theirs
    interpreter, environment, folder = theirs
    return {
        **readers,
        AUPARSE_NAME: Reader(
            interpreter,
            HEAD + f"import sys; sys.path.insert(0, {folder!r})\n" + IMPORT_THEIRS + AUPARSE + TAIL,
            environment,
        ),
    }, ""


def run(reader: Reader, log: Path) -> dict[str, float]:
    """Run one reader to its end; return its figures."""
    ended = subprocess.run(
        [reader.interpreter, "-I", "-c", reader.code, str(log)],
        env={**os.environ, **reader.environment},
        capture_output=True,
        text=True,
        check=True,
    )
    figures: dict[str, float] = json.loads(ended.stdout)
    return figures


def write_log(log: Path, events: int) -> int:
    """Write a log of opens of 100 paths by 500 processes of seven programs; return its size."""
    with log.open("wb") as file:
        for n in range(events):
            stamp, path = 1_795_493_114_674 + n, f"/etc/file-{n % 100}"
            exe = f"/usr/bin/program-{n % 7}"  # one program would need one lookup per batch
            record = open_event(ms=stamp, serial=n + 3, pid=1000 + n % 500, path=path, exe=exe)
            file.write(record.text)
    return log.stat().st_size


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the median, the minimum and the maximum."""
    values = sorted(values)
    return {"median": statistics.median(values), "low": values[0], "high": values[-1]}


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE; -: print them")
    arguments = parser.parse_args()
    known, missing = all_readers(arguments.root)
    if missing:
        print(f"python3-audit: skipped: {missing}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "audit.log"
        size = write_log(log, arguments.events)
        runs = [{name: run(reader, log) for name, reader in known.items()} for _ in range(arguments.turns)]
    for name in known:
        assert {turn[name]["count"] for turn in runs} == {arguments.events}, name
    assert len({turn[name]["total"] for turn in runs for name in known}) == 1
    rows = [
        {
            "name": name,
            "cpu_s": spread(turn[name]["cpu_s"] for turn in runs),
            "start_s": spread(turn[name]["start_s"] for turn in runs),
            # Of the same turn: load then affects both readers.
            "ratio": spread(turn[name]["cpu_s"] / turn[ROWS_NAME]["cpu_s"] for turn in runs),
        }
        for name in known
    ]
    figures = {
        "bench": "events",
        "machine": machine(),
        "events": arguments.events,
        "bytes": size,
        "turns": arguments.turns,
        "skipped": missing,
        "rows": rows,
    }
    text = json.dumps(figures, indent=1)
    if arguments.json == "-":
        print(text)
        return 0
    if arguments.json:
        Path(arguments.json).write_text(text + "\n", encoding="utf-8")
    for row in rows:
        print(line(row, arguments.events))
    return 0


def line(row: dict[str, Any], events: int) -> str:
    """Return one reader's figures."""
    cpu, ratio = row["cpu_s"], row["ratio"]
    return (
        f"{row['name']:30} {cpu['median']:7.3f} s CPU  {cpu['median'] / events * 1e6:6.2f} µs an event  "
        f"{ratio['median']:5.2f} × rows ({ratio['low']:.2f} to {ratio['high']:.2f})"
    )


if __name__ == "__main__":
    sys.exit(main())
