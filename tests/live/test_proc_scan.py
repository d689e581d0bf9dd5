"""Each way to list processes has one alert, on the host and in containers; see conftest.py."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.live.scan_ways import PLACES, WAYS, Cell, Programs, of_cell, run_all
from tests.live.workloads import command

if TYPE_CHECKING:
    from collections.abc import Mapping

END_LIMIT_S = 120.0
EXPECTED: Mapping[str, str] = {
    **dict.fromkeys(WAYS, "proc-scan"),
    "openat": "pspy",
    "comm": "pspy",
    "child": "proc-scan-session",
    "slow": "proc-scan-slow",
    # No system call opens /proc again, or nothing lists it.
    **dict.fromkeys(("async", "kept", "number"), ""),
}
IN_CONTAINERS = ("opendir", "ring", "sqpoll")


def test_every_way_has_one_alert() -> None:
    cells = [Cell(way, "host") for way in WAYS]
    cells += [Cell(way, place) for place in PLACES[1:] for way in IN_CONTAINERS]
    with Programs() as programs:
        if programs.missing("openat", "host"):
            pytest.skip("there is no C compiler with a static library for listings.c")
        with command("run", "--format", "jsonl", "--self-test", "0") as sensor:
            sensor.wait_until_ready()
            cells = [cell for cell in run_all(programs, cells) if not cell.failed]
            expected = {(cell.way, cell.place): [EXPECTED[cell.way]] for cell in cells if EXPECTED[cell.way]}
            deadline = time.monotonic() + END_LIMIT_S
            while True:
                alerts = [one for one in sensor.documents() if one["event"]["kind"] == "alert"]
                found = {
                    (cell.way, cell.place): [
                        alert["rule"]["id"] for alert in alerts if of_cell(alert, cell, programs)
                    ]
                    for cell in cells
                }
                if len(alerts) >= len(expected):
                    break
                assert time.monotonic() < deadline, (found, sensor.stderr)
                time.sleep(0.05)
    assert {cell: names for cell, names in found.items() if names} == expected
    assert {cell.way for cell in cells if cell.place == "host"} >= {*WAYS} - {"i386", "hidepid"}
