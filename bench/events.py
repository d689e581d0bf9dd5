"""Reading three fields of every event of a log: rows, `Event`, documents, and Debian's python3-audit.

    python bench/events.py [--events 200000] [--root FOLDER] [--json]

Each reader reads pid, exe and path of every event, decoded, from the same log, in a process of its own; in
turns, five times; the median of its CPU seconds. FOLDER is where the Debian packages python3-audit,
libaudit1 and libauparse0 were unpacked (`apt-get download …`, `dpkg -x … FOLDER`); / unless given.
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
from pathlib import Path

from auditsense.testing import open_event

OURS = """
import json, resource, sys
from auditsense import Detector, View
count = total = 0
with open(sys.argv[1], "rb") as log, Detector(view=View.EVENTS) as detector:
    while piece := log.read(1 << 19):
        for event in detector.text_events(piece):
            count += 1
            total += event.pid + len(event.exe) + len(event.path)
    for event in detector.last_events():
        count += 1
        total += event.pid + len(event.exe) + len(event.path)
"""
ROWS = """
import json, resource, sys
from auditsense import Detector, View
count = total = 0
with open(sys.argv[1], "rb") as log, Detector(view=View.EVENTS, fields=("pid", "exe", "path")) as detector:
    while piece := log.read(1 << 19):
        for pid, exe, path in detector.text_rows(piece):
            count += 1
            total += pid + len(exe) + len(path)
    for pid, exe, path in detector.last_rows():
        count += 1
        total += pid + len(exe) + len(path)
"""
CORE = """
import json, resource, sys
from auditsense import Detector, View
count = total = 0
with open(sys.argv[1], "rb") as log, Detector(view=View.EVENTS) as detector:
    while piece := log.read(1 << 19):
        while piece:
            piece = piece[detector.ring.feed_text(piece):]
            detector.ring.drain_bytes()
    detector.ring.finish()
    count = detector.stats().hits
"""
CHOSEN = OURS.replace("View.EVENTS", 'View.EVENTS, fields=("pid", "exe", "path")')
DOCUMENTS = """
import json, resource, sys
from auditsense import Detector, View
count = total = 0
def read(documents):
    global count, total
    for one in documents:
        count += 1
        total += one["process"]["pid"] + len(one["process"]["executable"]) + len(one["file"]["path"])
with open(sys.argv[1], "rb") as log, Detector(view=View.EVENTS) as detector:
    while piece := log.read(1 << 19):
        read(detector.feed_text(piece))
    read(detector.finish())
"""
AUPARSE = """
import json, resource, sys
import auparse
count = total = 0
parser = auparse.AuParser(auparse.AUSOURCE_FILE, sys.argv[1])
while parser.parse_next_event():
    parser.first_record()
    count += 1
    total += int(parser.find_field("pid"))
    parser.find_field("exe")
    total += len(parser.interpret_field())
    parser.find_field("name")
    total += len(parser.interpret_field())
"""
REPORT = """
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"count": count, "total": total, "cpu_s": used.ru_utime + used.ru_stime}))
"""
TURNS = 5


def python3_audit(root: Path) -> tuple[str, dict[str, str]] | str:
    """Return an interpreter and an environment that import auparse, or the word why there is none."""
    module = next(iter(sorted(root.glob("usr/lib/python3/dist-packages/auparse.*.so"))), None)
    interpreter = shutil.which("python3", path="/usr/bin")
    if module is None:
        return f"there is no python3-audit below {root}"
    if interpreter is None:
        return "there is no /usr/bin/python3, which python3-audit is for"
    machine = os.uname().machine
    libraries = [str(root / name / f"{machine}-linux-gnu") for name in ("lib", "usr/lib")]
    return interpreter, {"PYTHONPATH": str(module.parent), "LD_LIBRARY_PATH": ":".join(libraries)}


def run(interpreter: str, code: str, log: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run one reader to its end. Returns what it printed."""
    ended = subprocess.run(
        [interpreter, "-c", code + REPORT, str(log)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(ended.stdout)
    return found


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    readers: dict[str, tuple[str, str, dict[str, str]]] = {
        "rows (Detector.text_rows)": (sys.executable, ROWS, {}),
        "Event (Detector.text_events)": (sys.executable, OURS, {}),
        "Event of three fields": (sys.executable, CHOSEN, {}),
        "the core alone, no field read": (sys.executable, CORE, {}),
        # DOC        "documents (View.EVENTS)": (sys.executable, DOCUMENTS, {}),
    }
    found = python3_audit(arguments.root)
    if isinstance(found, str):
        print(f"python3-audit: left out: {found}", file=sys.stderr)
    else:
        readers["python3-audit (auparse)"] = (found[0], AUPARSE, found[1])
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "audit.log"
        with log.open("wb") as file:
            for n in range(arguments.events):
                stamp, path = 1_795_493_114_674 + n, f"/etc/file-{n % 100}"
                exe = f"/usr/bin/program-{n % 7}"  # a batch of one program would be read by one look
                record = open_event(ms=stamp, serial=n + 3, pid=1000 + n % 500, path=path, exe=exe)
                file.write(record.text)
        runs = [
            {name: run(interpreter, code, log, more) for name, (interpreter, code, more) in readers.items()}
            for _ in range(TURNS)
        ]
    for name in readers:
        assert {one[name]["count"] for one in runs} == {arguments.events}, name
    assert len({one[name]["total"] for one in runs for name in readers} - {0}) == 1
    seconds = {name: statistics.median(one[name]["cpu_s"] for one in runs) for name in readers}
    ours = seconds["rows (Detector.text_rows)"]
    if arguments.json:
        print(json.dumps({"events": arguments.events, "cpu_s": seconds, "turns": TURNS}))
        return 0
    for name, cpu_s in seconds.items():
        print(f"{name:32} {cpu_s:7.3f} s CPU  {cpu_s / ours:5.2f} × rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
