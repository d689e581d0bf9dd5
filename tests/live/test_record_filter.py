"""A lean sensor on the kernel of this machine: fewer records, the same finds; see conftest.py."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import auditsense
from tests.live.workloads import OWN_RULE, PSPY, Scanner, of_process, running, watched, witnessing

if TYPE_CHECKING:
    from pathlib import Path

BURST = 50_000


@pytest.mark.parametrize("producers", [1, 2])
def test_two_records_of_five_come_and_every_event_is_counted(
    scanner: Scanner, witness_program: Path | None, producers: int
) -> None:
    with ExitStack() as stack:
        sensor = stack.enter_context(auditsense.Sensor(PSPY, audit_rules=[OWN_RULE], lean=True))
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


def test_the_command_finds_a_scanner_when_lean(scanner: Scanner) -> None:
    with running("run", "--lean") as sensor:
        pid = scanner.scan(10)
        assert sensor.end() == 0
        (alert,) = of_process(sensor.documents(), pid)
        assert alert["auditsense"]["count"] == 10
        assert not {"title", "working_directory"} & {*alert["process"]}
        assert "lost: kernel 0, serials 0, incomplete 0" in sensor.stderr
