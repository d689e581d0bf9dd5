"""Cost of a hit until it is a Python document.

Every process opens /proc ten times, which is one hit and one document: with `-o sequences` for every
completed window, with alerts for each process. The unit is the event, a tenth of a document. The difference
to bench_feed.py is draining, unpacking and writing the document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense import AlertPolicy, Detector, Host
from auditsense.bench.inputs import InputShape, packed
from auditsense.sinks.format import jsonl

if TYPE_CHECKING:
    from collections.abc import Callable

DOCUMENTS = 5_000
EVENTS = DOCUMENTS * 10
HERE = Host("0" * 32, "bench")
POLICY = AlertPolicy(max_alerts=None)


@pytest.mark.parametrize("sequences", [True, False], ids=["sequences", "alerts"])
@pytest.mark.parametrize("written", [False, True], ids=["documents", "as JSON"])
def test_a_hit(timed: Callable[..., None], *, sequences: bool, written: bool) -> None:
    data = packed(InputShape(EVENTS, pids=DOCUMENTS))
    detectors: list[Detector] = []
    counts: list[int] = []

    def setup() -> tuple[object, ...]:
        while detectors:
            detectors.pop().close()
        detectors.append(Detector(sequences=sequences, host=HERE, policy=POLICY))
        return (detectors[0],)

    def work(detector: Detector) -> None:
        documents = detector.feed_packed(data)[0]
        if written:
            for document in documents:
                jsonl(document)
        counts.append(len(documents))

    timed(work, setup, EVENTS)
    detectors.pop().close()
    assert set(counts) == {DOCUMENTS}
