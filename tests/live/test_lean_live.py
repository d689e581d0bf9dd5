"""A lean sensor on the kernel of this machine: fewer records, the same finds; see conftest.py."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import auditsense
from auditsense.sources.multicast import Multicast
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from tests.live.loads import NOBODY, OWN_RULE, Scanner, of_process, running, watched, witnessing
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from loads import NOBODY, OWN_RULE, Scanner, of_process, running, watched, witnessing

BURST = 50_000

# Opens /proc ten times and stays, so that it can be asked for its title.
STAYS = f"""
import os, sys, time
os.setgroups([]); os.setresgid({NOBODY}, {NOBODY}, {NOBODY}); os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
for _ in range(10): os.close(os.open("/proc", os.O_RDONLY | os.O_CLOEXEC))
time.sleep(1)
"""


@pytest.mark.parametrize("producers", [1, 2])
def test_two_records_of_five_come_and_every_event_is_counted(
    scanner: Scanner, witness_program: Path | None, producers: int
) -> None:
    with ExitStack() as stack:
        sensor = stack.enter_context(auditsense.Sensor(audit_rules=[OWN_RULE], lean=True))
        witness = stack.enter_context(witnessing(witness_program)) if witness_program else None
        before = sensor.stats().datagrams
        loads = [scanner.start(BURST) for _ in range(producers)]
        documents = watched(sensor, *loads)
        stats, losses = sensor.stats(), sensor.losses
        made = witness.end(producers * BURST) if witness else None
    lost = losses.kernel_lost
    assert stats.matches + lost >= producers * BURST
    assert stats.incomplete <= lost
    assert stats.late == 0
    assert stats.datagrams - before <= 2 * producers * BURST + 100
    for load in loads:
        assert [one["auditsense"]["state"] for one in of_process(documents, load.pid)] == ["alert", "closed"]
    if made is not None:  # others hear all five
        assert made.refused_later <= lost


@pytest.mark.parametrize("source", ["netlink", "multicast"])
def test_an_alert_of_a_process_that_runs_has_its_title_where_asking_makes_no_records(source: str) -> None:
    with ExitStack() as stack:
        if source == "multicast":
            stack.enter_context(running("run", "--source", "netlink"))
        kind = Unicast if source == "netlink" else Multicast
        sensor = stack.enter_context(auditsense.Sensor(source=kind([OWN_RULE]), lean=True))
        load = subprocess.Popen([sys.executable, "-I", "-c", STAYS], stdout=subprocess.PIPE, text=True)
        documents = watched(sensor, load)
    (alert,) = of_process(documents, load.pid)
    assert "working_directory" not in alert["process"]
    if source == "netlink":
        assert alert["process"]["title"].startswith(f"{sys.executable} -I -c")
    else:
        assert "title" not in alert["process"]


def test_the_command_finds_a_scanner_when_lean(scanner: Scanner) -> None:
    with running("run", "--lean") as sensor:
        pid = scanner.scan(10)
        assert sensor.end() == 0
        (alert,) = of_process(sensor.documents(), pid)
        assert alert["auditsense"]["count"] == 10
        assert "lost: kernel 0, serials 0, incomplete 0" in sensor.said
