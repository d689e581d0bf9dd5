"""Write the table of docs/proc-scan.md: each way to list processes, in each place, and what it makes.

    python scripts/scan_table.py [--write]

As root, on a host with kernel audit and without another sensor. It runs all ways three times: under Elastic's
audit rule, under those of `run`, and for alerts of `run`. Without --write it prints the table.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from auditsense.detections.loader import shipped_detections  # noqa: E402 - behind the path
from auditsense.sources.factory import rules_needed  # noqa: E402
from auditsense.sources.kernel_source import DEFAULT_AUDIT_RULE  # noqa: E402
from tests.live.scan_ways import PLACES, WAYS, Cell, Programs, of_cell, run_all  # noqa: E402
from tests.live.workloads import AUDITSENSE, command  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PAGE = ROOT / "docs" / "proc-scan.md"
BEGIN, END = "<!-- table -->\n", "<!-- end of table -->"
SETTLE_S = 3.0
Found = dict[tuple[str, str], list[dict[str, Any]]]


def main(arguments: Sequence[str]) -> int:
    """Measure, and print or write the table."""
    if os.geteuid() != 0:
        print("scan_table: needs root, because only root reads kernel audit", file=sys.stderr)
        return 1
    with Programs() as programs:
        by_rule = [
            recorded(programs, [DEFAULT_AUDIT_RULE]),
            recorded(programs, rules_needed(shipped_detections())),
        ]
        alerts, cells = alerted(programs)
    text = table(by_rule, alerts, cells)
    if "--write" in arguments:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}{text}{END}{rest.partition(END)[2]}", encoding="utf-8")
    else:
        print(text)
    return 0


def all_cells() -> list[Cell]:
    """Return every way in every place."""
    return [Cell(way, place) for way in WAYS for place in PLACES]


def attributed(cells: Sequence[Cell], documents: Sequence[dict[str, Any]], programs: Programs) -> Found:
    """Return the documents of each run."""
    return {
        (cell.way, cell.place): [one for one in documents if of_cell(one, cell, programs)]
        for cell in cells
        if not cell.failed
    }


def during(arguments: Sequence[str], programs: Programs, output: Callable[[str], str]) -> Found:
    """Run all ways during a command, and attribute the documents of its output."""
    with command(*arguments) as sensor:
        sensor.wait_until_ready()
        cells = run_all(programs, all_cells())
        time.sleep(SETTLE_S)
        printed = sensor.printed
    documents = [json.loads(line) for line in output(printed).splitlines()]
    return attributed(cells, documents, programs)


def recorded(programs: Programs, rules: Sequence[str]) -> Found:
    """Return the opens of procfs roots that audit rules report, for each run."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "capture")
        words = [word for rule in rules for word in ("--audit-rule", rule)]

        def events(_: str) -> str:
            replay = [*AUDITSENSE, "replay", "-o", "events", "--format", "jsonl", file]
            return subprocess.run(replay, capture_output=True, text=True, check=True).stdout

        return during(["record", "--to", file, *words], programs, events)


def alerted(programs: Programs) -> tuple[Found, list[Cell]]:
    """Return the alerts of each run, and all runs."""
    cells: list[Cell] = []
    with command("run", "--format", "jsonl", "--self-test", "0") as sensor:
        sensor.wait_until_ready()
        cells = run_all(programs, all_cells())
        time.sleep(SETTLE_S)
        documents = [one for one in map(json.loads, sensor.printed.splitlines()) if is_alert(one)]
    return attributed(cells, documents, programs), cells


def is_alert(document: dict[str, Any]) -> bool:
    """Return whether a document is an alert, and not the end of a burst."""
    return bool(document["event"]["kind"] == "alert")


def table(by_rule: Sequence[Found], alerts: Found, cells: Sequence[Cell]) -> str:
    """Return the table: rows are ways, and a cell names the alert."""
    kernel = platform.release().partition("-")[0]
    rows = [
        (
            f"Measured on Linux {kernel} by `python scripts/scan_table.py --write`. A cell has the events "
            "under `-w /proc/ -p r`, those under the rules of `run`, and the detection of the alert.\n"
        ),
        "| way | " + " | ".join(PLACES) + " |",
        "|---" * (len(PLACES) + 1) + "|",
    ]
    failed = {(cell.way, cell.place) for cell in cells if cell.failed}
    for way, facts in WAYS.items():
        told = []
        for place in PLACES:
            if (way, place) in failed:
                told.append("not here")
                continue
            counts = " / ".join(str(len(roots(found.get((way, place), ())))) for found in by_rule)
            names = [alert["rule"]["id"] for alert in alerts.get((way, place), ())]
            told.append(f"{counts}: {', '.join(names) or 'none'}")
        rows.append(f"| {facts.told} | " + " | ".join(told) + " |")
    return "\n".join(rows) + "\n"


def roots(events: Sequence[dict[str, Any]] | tuple[()]) -> list[dict[str, Any]]:
    """Return the events about the root of a procfs."""
    return [
        event
        for event in events
        if (event.get("file", {}).get("inode"), event.get("file", {}).get("mode")) == ("1", "040555")
    ]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
