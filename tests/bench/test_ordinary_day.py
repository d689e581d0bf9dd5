"""bench/live/ordinary_day.py: which listings count, and which steps share a sensor."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]

if TYPE_CHECKING:
    from bench.live.ordinary_day import PIECE_S, STEPS, Listings, pieces
else:
    sys.path.insert(0, str(ROOT / "bench/live"))
    from ordinary_day import PIECE_S, STEPS, Listings, pieces

    sys.path.pop(0)

DEVICE = Path("/proc").stat().st_dev
PROC = f"{os.major(DEVICE):02x}:{os.minor(DEVICE):02x}"


def an_open(
    listings: Listings, at: float, serial: int, *, pid: int = 7, ses: int = 3, dev: str = PROC
) -> None:
    stamp = f"audit({at:.3f}:{serial}): "
    listings.take(1300, f"{stamp}arch=c000003e syscall=257 ppid=1 pid={pid} auid=65534 tty=(none) ses={ses}")
    listings.take(1302, f'{stamp}item=0 name="/proc" inode=1 dev={dev} mode=040555 ouid=0')


def test_densest_five_seconds_of_a_process_and_of_its_session_count() -> None:
    listings = Listings()
    for number, at in enumerate((0.0, 1.0, 5.0, 5.1, 10.2)):
        an_open(listings, 100 + at, number)
    an_open(listings, 105.2, 10, pid=8)
    an_open(listings, 105.2, 11, pid=9, ses=4)
    assert listings.most(3) == (3, 4)
    assert listings.most(4) == (1, 1)
    assert listings.most(5) == (0, 0)


def test_roots_of_other_file_systems_are_no_listing() -> None:
    listings = Listings()
    an_open(listings, 100, 1, dev="ff:ff")
    listings.take(
        1302, f'audit(1.0:9): item=0 name="/proc" inode=1 dev={PROC} mode=040555'
    )  # without its call
    assert listings.most(3) == (0, 0)


def test_steps_are_done_in_pieces_that_leave_the_kernel_to_others() -> None:
    groups = [*pieces([*STEPS])]
    assert [step for group in groups for step in group] == [*STEPS]
    assert all(sum(step.seconds for step in group) <= PIECE_S for group in groups)
    assert len({step.name for step in STEPS}) == len(STEPS)
