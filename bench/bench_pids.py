"""Does the cost of an event stay the same with many live processes?

1, 1,000 and 100,000 processes in turns, with room for a window of each; then the same where there is room
for 16,384 (the default), so that windows are given up; then a detection that never matches, which must not
see a difference. Only the core: hits stay in it. A flood of a million processes is looked at for memory,
in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from auditsense.bench.flood import FloodResult
from auditsense.bench.inputs import EventKind, InputShape
from auditsense.bench.interpreter import python
from auditsense.core.ring import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.core.ring import Stats

EVENTS = 200_000
FLOOD = 1_000_000
ROOM = Limits(key_slots=1 << 17, hit_bytes=1 << 23)
DEFAULT = Limits(hit_bytes=1 << 23)
PIDS = pytest.mark.parametrize("pids", [1, 1_000, 100_000])


@PIDS
def test_live_processes(feed: Callable[..., Stats], pids: int) -> None:
    stats = feed(InputShape(EVENTS, pids=pids), limits=ROOM)
    assert (stats.matches, stats.live_keys, stats.keys_evicted) == (EVENTS, pids, 0)


@PIDS
def test_processes_with_the_default_room(feed: Callable[..., Stats], pids: int) -> None:
    stats = feed(InputShape(EVENTS, pids=pids), limits=DEFAULT)
    assert stats.matches == EVENTS
    assert stats.live_keys <= DEFAULT.key_slots


@PIDS
def test_processes_that_never_match(feed: Callable[..., Stats], pids: int) -> None:
    stats = feed(InputShape(EVENTS, pids=pids, kinds=(EventKind.LISTING,)), limits=ROOM)
    assert (stats.matches, stats.live_keys) == (0, 0)


def test_a_flood_of_a_million_processes_stays_in_its_memory() -> None:
    command = python("from auditsense.bench.flood import main; main()", str(FLOOD))
    printed = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
    found = FloodResult(**json.loads(printed))
    print(found)
    assert found.counted == FLOOD
    assert found.core <= found.configured
