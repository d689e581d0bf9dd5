"""Cost of inspecting and rejecting an event.

Isolates the match stage, including the storage of record texts: opens with the flags of opendir, as ls and ps
make them. The difference to bench_event.py is storing and comparing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.bench.inputs import EventKind, InputShape

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.core.ring import Stats

EVENTS = 200_000


@pytest.mark.parametrize("producers", [1, 4])
def test_an_open_with_other_flags(feed: Callable[..., Stats], producers: int) -> None:
    stats = feed(InputShape(EVENTS, kinds=(EventKind.LISTING,), producers=producers))
    assert (stats.events, stats.matches) == (EVENTS, 0)
