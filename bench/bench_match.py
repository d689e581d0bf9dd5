"""What does it cost to look at an event and not want it?

Isolates the match stage, together with the texts kept for it: opens with the flags of opendir, as ls and
ps make them. Against bench_event.py the difference is what keeping and comparing cost.
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
