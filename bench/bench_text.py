"""Cost of an event as lines of audit.log.

The events of bench_feed.py as text, in pieces of 1 MiB as replay reads them. The difference is finding lines,
and reading the type by its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.bench.inputs import cold, hot, log
from auditsense.core.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.bench.inputs import InputShape
    from auditsense.core.rule_table import RuleTable

EVENTS = 200_000
PIECE = 1 << 20


@pytest.mark.parametrize("shape", [hot(EVENTS), cold(EVENTS)], ids=["hot", "cold"])
def test_an_event_as_text(timed: Callable[..., None], rules: RuleTable, shape: InputShape) -> None:
    text = log(shape)
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]
    rings: list[Ring] = []

    def setup() -> tuple[object, ...]:
        while rings:
            rings.pop().close()
        rings.append(Ring(rules, seed=1))
        return rings[0], pieces

    def work(ring: Ring, texts: Sequence[bytes]) -> None:
        for piece in texts:
            ring.feed_text(piece)

    timed(work, setup, EVENTS)
    assert rings[0].stats().events == EVENTS
    rings.pop().close()
