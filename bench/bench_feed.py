"""Cost of an event in the complete core.

Packed datagrams, as in a capture and from recvmmsg, through every stage: one process whose burst is one hit
("hot": all tables in the cache), and many processes, programs, producers and kinds of events ("cold"). The
reference is one scan of every byte of the same memory. Both read the input once from memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.bench.inputs import cold, hot, packed

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.bench.inputs import InputShape
    from auditsense.core.ring import Stats

EVENTS = 200_000
SETS = pytest.mark.parametrize("shape", [hot(EVENTS), cold(EVENTS)], ids=["hot", "cold"])


@SETS
def test_an_event(feed: Callable[..., Stats], shape: InputShape) -> None:
    stats = feed(shape)
    assert stats.events == EVENTS
    assert stats.incomplete == stats.malformed == stats.serials_missing == 0


@SETS
def test_a_scan_of_the_same_memory(timed: Callable[..., None], shape: InputShape) -> None:
    data = packed(shape)
    timed(lambda packets: packets.count(b"\n"), lambda: (data,), EVENTS)
