"""Cost of reassembling an event.

Isolates the event stage: events of five records with a system call that no detection uses, so that the first
two fields decide. Alone, and with the records of four or 64 producers interleaved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.bench.inputs import EventKind, InputShape

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.core.ring import Stats

EVENTS = 200_000


@pytest.mark.parametrize("producers", [1, 4, 64])
def test_an_event_of_another_call(feed: Callable[..., Stats], producers: int) -> None:
    stats = feed(InputShape(EVENTS, kinds=(EventKind.OTHER_CALL,), producers=producers))
    assert (stats.events, stats.incomplete, stats.matches) == (EVENTS, 0, 0)
