"""One alert for one act: what several detections find of the same actor."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import AlertPolicy, Detector, Host
from auditsense.detections import define
from auditsense.testing import open_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense import Detection, Document

HOST = Host("0123456789abcdef0123456789abcdef", "here")
START = 1_795_493_114_674
LISTING = {"auditd.data.syscall": "openat", "file.path": "/proc"}


@pytest.fixture(name="detector")
def detector_fixture() -> Iterator[Callable[..., Detector]]:
    with ExitStack() as stack:
        yield lambda *detections, **more: stack.enter_context(Detector(detections, host=HOST, **more))


def detection(name: str, matches: int, joins: Sequence[str] = (), by: str = "process.pid") -> Detection:
    return define(name, name, match=LISTING, matches=matches, within="10s", by=(by,), joins=joins)


def listings(pid: int, at_ms: int = 0, times: int = 8, **fields: Any) -> bytes:  # noqa: ANN401 - those of open_event
    serial = 1 + at_ms + 1_000_000 * pid
    return b"".join(
        open_event(ms=START + at_ms + 10 * n, serial=serial + n, pid=pid, **fields).text for n in range(times)
    )


def told(documents: Sequence[Document]) -> list[tuple[str, str, int]]:
    return [
        (document["auditsense"]["state"], document["rule"]["id"], document["process"]["pid"])
        for document in documents
    ]


def alerts(detections: Sequence[Detection], *texts: bytes) -> list[tuple[str, str, int]]:
    with Detector(detections, host=HOST) as active:
        documents = [document for text in texts for document in active.feed_text(text)]
    return [one for one in told(documents) if one[0] == "alert"]


def test_second_detection_of_an_act_joins_the_alert_of_the_first(detector: Callable[..., Detector]) -> None:
    active = detector(detection("strict", 4), detection("wide", 6, ["strict"]))
    first = active.feed_text(listings(7, times=20))
    assert told(first) == [("alert", "strict", 7)]
    (end,) = active.finish()
    assert end["auditsense"]["also"] == ["wide"]
    assert end["auditsense"]["count"] == 20  # each listing once
    assert active.detection_counts["wide"].alerts == 0
    assert active.detection_counts["wide"].sequences == 15


def test_order_of_detections_does_not_matter_where_both_join() -> None:
    pair = [detection("slow", 6, ["fast"]), detection("fast", 4, ["slow"])]
    assert alerts(pair, listings(7)) == [("alert", "fast", 7)]
    assert alerts(pair[::-1], listings(7)) == [("alert", "fast", 7)]


def test_detection_that_joins_none_has_a_separate_alert() -> None:
    """Elastic's rule keeps its name, whatever was found before."""
    pair = [detection("wide", 4, ["strict"]), detection("strict", 6)]
    assert alerts(pair, listings(7)) == [("alert", "wide", 7), ("alert", "strict", 7)]


def test_another_actor_joins_nothing() -> None:
    pair = [detection("strict", 4), detection("wide", 6, ["strict"])]
    other = open_event(pid=7).text  # it makes no window of the other program complete
    assert alerts(pair, listings(7), other, listings(8, 500, 3), listings(8, 600, 3)) == [
        ("alert", "strict", 7),
        ("alert", "strict", 8),
    ]
    only_wide = [detection("strict", 64), detection("wide", 6, ["strict"])]
    assert alerts(only_wide, listings(7), listings(8)) == [("alert", "wide", 7), ("alert", "wide", 8)]


def test_program_that_was_started_later_by_the_same_process_has_a_separate_alert() -> None:
    strict = define("strict", "s", match={**LISTING, "process.name": "a"}, matches=4, within="10s")
    active = [strict, detection("wide", 6, ["strict"])]
    texts = [listings(7, comm="a", exe="/a", times=5), listings(7, 500, comm="b", exe="/b")]
    assert alerts(active, *texts) == [("alert", "strict", 7), ("alert", "wide", 7)]


def test_window_by_program_joins_the_burst_of_its_process() -> None:
    pair = [detection("strict", 4), detection("wide", 6, ["strict"], by="process.executable")]
    assert alerts(pair, listings(7), listings(8, 500, 3)) == [("alert", "strict", 7)]


def test_window_by_user_joins_any_burst_of_the_user() -> None:
    """It is about no program, so that the last one that it saw decides nothing."""
    pair = [detection("strict", 4), detection("wide", 6, ["strict"], by="user.id")]
    texts = [listings(7, exe="/a"), listings(8, 500, 3, exe="/b"), listings(9, 600, 3, exe="/b", uid=5)]
    assert alerts(pair, *texts) == [("alert", "strict", 7)]


def test_window_of_a_whole_host_joins_no_burst_of_another_program() -> None:
    """Nor does a sequence in EQL by a field that records lack, such as process.entity_id."""
    pair = [detection("strict", 4), detection("wide", 6, ["strict"], by="host.id")]
    assert alerts(pair, listings(7, exe="/a"), listings(8, 500, 3, exe="/b")) == [
        ("alert", "strict", 7),
        ("alert", "wide", 8),
    ]


def test_detection_may_be_named_twice(detector: Callable[..., Detector]) -> None:
    active = detector(detection("strict", 4), detection("wide", 6, ["strict", "strict"]))
    active.feed_text(listings(7))
    assert told(active.finish()) == [("closed", "strict", 7)]


def test_burst_that_is_over_takes_nothing_in(detector: Callable[..., Detector]) -> None:
    policy = AlertPolicy(suppress_ms=1000)
    strict = define("strict", "s", match=LISTING, matches=4, within="1s")
    pair = [strict, detection("wide", 6, ["strict"])]
    active = detector(*pair, policy=policy)
    documents = [*active.feed_text(listings(7))]
    # Three listings are too few for the strict one, and with those of before enough for the wide one.
    documents += active.feed_text(listings(7, 5000, 3))
    assert told(documents) == [("alert", "strict", 7), ("closed", "strict", 7), ("alert", "wide", 7)]


def test_batches_change_nothing(detector: Callable[..., Detector]) -> None:
    pair = [detection("strict", 4), detection("wide", 6, ["strict"])]
    text = listings(7, times=30) + listings(8, 2000, 30)
    whole, single = detector(*pair), detector(*pair)
    expected = [*whole.feed_text(text), *whole.finish()]
    lines = text.splitlines(keepends=True)
    assert [one for line in lines for one in single.feed_text(line)] + single.finish() == expected


def test_reload_keeps_the_bursts_that_others_join(detector: Callable[..., Detector]) -> None:
    pair = [detection("strict", 4), detection("wide", 6, ["strict"])]
    active = detector(*pair)
    active.feed_text(listings(7, times=5))
    active.reload([detection("new", 64), *pair])
    assert told(active.feed_text(listings(7, 500, 6))) == []
    active.reload([pair[1]])  # the burst ends with its detection
    assert told(active.feed_text(listings(7, 700, 6))) == [("alert", "wide", 7)]
