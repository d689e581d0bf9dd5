"""Cost of a record that no detection uses.

Isolates the record stage: each event is one USER_LOGIN record. The rest is unpacking the datagram, reading
the stamp, and counting the event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.bench.inputs import EventKind, InputShape

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.core.ring import Stats

EVENTS = 500_000


def test_a_record_of_no_interest(feed: Callable[..., Stats]) -> None:
    stats = feed(InputShape(EVENTS, kinds=(EventKind.USER,)))
    assert (stats.records, stats.events, stats.matches) == (EVENTS, EVENTS, 0)
