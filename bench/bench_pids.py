"""Cost of an event with many live processes.

1, 1,000 and 100,000 processes in turn: with a window slot for each; with the default of 16,384 slots, so that
windows are evicted; and with a detection that never matches, whose cost must not change. Only the core: hits
stay in it. A separate process checks the memory of a flood of a million processes.
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
SLOTS = Limits(key_slots=1 << 17, hit_bytes=1 << 23)
DEFAULT = Limits(hit_bytes=1 << 23)
PIDS = pytest.mark.parametrize("pids", [1, 1_000, 100_000])


@PIDS
def test_live_processes(feed: Callable[..., Stats], pids: int) -> None:
    stats = feed(InputShape(EVENTS, pids=pids), limits=SLOTS)
    assert (stats.matches, stats.live_keys, stats.keys_evicted) == (EVENTS, pids, 0)


@PIDS
def test_processes_with_the_default_room(feed: Callable[..., Stats], pids: int) -> None:
    stats = feed(InputShape(EVENTS, pids=pids), limits=DEFAULT)
    assert stats.matches == EVENTS
    assert stats.live_keys <= DEFAULT.key_slots


@PIDS
def test_processes_that_never_match(feed: Callable[..., Stats], pids: int) -> None:
    stats = feed(InputShape(EVENTS, pids=pids, kinds=(EventKind.LISTING,)), limits=SLOTS)
    assert (stats.matches, stats.live_keys) == (0, 0)


def test_a_flood_of_a_million_processes_stays_in_its_memory() -> None:
    command = python("from auditsense.bench.flood import main; main()", str(FLOOD))
    printed = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout
    result = FloodResult(**json.loads(printed))
    print(result)
    assert result.counted == FLOOD
    assert result.core <= result.configured
