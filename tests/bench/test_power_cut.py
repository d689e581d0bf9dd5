"""The recorder's log of bench/power_cut.py, and what a cut leaves on a disk."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from bench import power_cut
from bench.power_cut import DISCARD, ENTRY, FLUSH, MAGIC, SECTOR, SUPER, Write
from tests.support.faults import NO_HOST, NOTHING, Recorder

if TYPE_CHECKING:
    from pathlib import Path

WANTED = os.environ.get("AUDITSENSE_POWER_CUTS", "")


def log_of(*entries: tuple[int, int, bytes]) -> bytes:
    """Return a log: sector, flags and data of each entry."""
    text = SUPER.pack(MAGIC, 1, len(entries), SECTOR).ljust(SECTOR, b"\0")
    for sector, flags, data in entries:
        text += ENTRY.pack(sector, len(data) // SECTOR, flags, 0).ljust(SECTOR, b"\0")
        text += b"" if flags & DISCARD else data
    return text


def sector(letter: str) -> bytes:
    return letter.encode() * SECTOR


def test_log_is_read_in_order_with_offsets_of_entries(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(
        log_of(
            (3, 0, sector("a") + sector("b")), (0, FLUSH, b""), (7, DISCARD, sector("x")), (1, 0, sector("c"))
        )
    )
    assert list(power_cut.read_log(log)) == [
        Write(512, 3 * SECTOR, sector("a") + sector("b")),
        Write(2048, 0, b""),
        Write(2560, 7 * SECTOR, bytes(SECTOR)),
        Write(3072, SECTOR, sector("c")),
    ]


def test_log_without_its_mark_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(bytes(4096))
    with pytest.raises(AssertionError):
        list(power_cut.read_log(log))


def test_some_sectors_survive_whole_and_the_others_not_at_all(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(64 * SECTOR))
    writes = [Write(0, 0, sector("a") * 32), Write(0, 32 * SECTOR, sector("b") * 32)]
    descriptor = os.open(disk, os.O_RDWR)
    power_cut.apply(descriptor, writes, random.Random(1))  # noqa: S311 - no secret
    os.close(descriptor)
    content = disk.read_bytes()
    found = [content[at : at + SECTOR] for at in range(0, len(content), SECTOR)]
    assert {*found[:32]} == {bytes(SECTOR), sector("a")}
    assert {*found[32:]} == {bytes(SECTOR), sector("b")}


@pytest.mark.skipif(not WANTED, reason="AUDITSENSE_POWER_CUTS names no number of cuts, such as 10")
def test_spool_has_what_it_has_acknowledged_after_power_cuts(fault: Recorder) -> None:
    if lacks := power_cut.missing_programs("ext4"):
        pytest.skip(f"missing on this host: {', '.join(lacks)}")
    result = power_cut.measure("ext4", int(WANTED), seed=1)
    assert (result.lost, result.damaged) == (0, 0)
    assert result.lost_by_liar > 0
    fault(
        "power is cut",
        how="60 cuts below ext4 after a commit: no later write survives, or half of the later sectors do",
        did="recovered the spool on each of 120 disks",
        lost=NOTHING,
        reported="nothing",
        host=NO_HOST,
    )
