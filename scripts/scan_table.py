"""Write the table of docs/proc-scan.md: each way to list processes, in each place, and what it makes.

    python scripts/scan_table.py [--write]

As root, on a host with kernel audit and without another sensor. It runs all ways twice and records what the
kernel reports: under Elastic's audit rule, and under those of `run`. The alerts are those of the second
recording.
Without --write it prints the table.
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
    from collections.abc import Sequence

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
        elastic, _, _ = measured(programs, [DEFAULT_AUDIT_RULE])
        ours, alerts, cells = measured(programs, rules_needed(shipped_detections()))
    text = table([elastic, ours], alerts, cells)
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


def measured(programs: Programs, rules: Sequence[str]) -> tuple[Found, Found, list[Cell]]:
    """Run all ways under audit rules. Returns the events and the alerts of each run, and all runs."""
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "capture")
        with command(
            "record", "--to", file, *(word for rule in rules for word in ("--audit-rule", rule))
        ) as sensor:
            sensor.wait_until_ready()
            cells = run_all(programs, all_cells())
            time.sleep(SETTLE_S)
        events = attributed(cells, replayed(file, "events"), programs)
        alerts = [one for one in replayed(file, "alerts") if is_alert(one)]
        return events, attributed(cells, alerts, programs), cells


def replayed(file: str, view: str) -> list[dict[str, Any]]:
    """Return the documents of a capture."""
    words = [*AUDITSENSE, "replay", "-o", view, "--format", "jsonl", file]
    printed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [json.loads(line) for line in printed.splitlines()]


def is_alert(document: dict[str, Any]) -> bool:
    """Return whether a document is an alert, and not the end of a burst."""
    return bool(document["event"]["kind"] == "alert")


def table(by_rule: Sequence[Found], alerts: Found, cells: Sequence[Cell]) -> str:
    """Return the table: rows are ways, and a cell names the alert."""
    kernel = platform.release().partition("-")[0]
    rows = [
        (
            f"Measured on Linux {kernel} by `python scripts/scan_table.py --write`. A cell has the events "
            "under `-w /proc/ -p r`, those under the rules of `run`, and the detection of the alert in a "
            "replay.\n"
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
