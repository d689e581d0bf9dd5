"""What does an event cost that comes as lines of audit.log?

The same events as in bench_feed.py, as text, in pieces of 1 MiB as replay reads them. The difference is
finding the lines and reading the type by its name.
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
    made: list[Ring] = []

    def setup() -> tuple[object, ...]:
        while made:
            made.pop().close()
        made.append(Ring(rules, seed=1))
        return made[0], pieces

    def work(ring: Ring, given: Sequence[bytes]) -> None:
        for piece in given:
            ring.feed_text(piece)

    timed(work, setup, EVENTS)
    assert made[0].stats().events == EVENTS
    made.pop().close()
