"""Alert limit: fair between accounts, with a report of all withheld bursts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditsense import AlertPolicy, Detector, Host
from auditsense.detect.fair_limit import FairLimit
from auditsense.testing import open_event
from tests.support.faults import NO_HOST, NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense import Document
    from auditsense.testing import EventRecords

HOST = Host("0123456789abcdef0123456789abcdef", "here")
START = 1_795_493_114_674
MINUTE = 60_000
UNPRIVILEGED = 65534


def opens(pid: int, at_ms: int, times: int = 10, every_ms: int = 1, **fields: Any) -> list[EventRecords]:  # noqa: ANN401 - those of open_event
    serial = 100_000 * pid
    return [
        open_event(ms=START + at_ms + n * every_ms, serial=serial + n, pid=pid, **fields)
        for n in range(times)
    ]


def throwaways(count: int, at_ms: int = 0, times: int = 10, **fields: Any) -> list[EventRecords]:  # noqa: ANN401 - those of open_event
    return [event for pid in range(count) for event in opens(1000 + pid, at_ms + pid, times, **fields)]


def fed(detector: Detector, events: Iterable[EventRecords]) -> list[Document]:
    return [
        document
        for event in sorted(events, key=lambda one: one.ms)
        for document in detector.feed_text(event.text)
    ]


def alerts(documents: Iterable[Document]) -> list[Document]:
    return [document for document in documents if document["event"]["kind"] == "alert"]


def pids(documents: Iterable[Document]) -> set[int]:
    return {alert["process"]["pid"] for alert in alerts(documents)}


def withheld(documents: Iterable[Document]) -> list[Any]:
    return [
        document["auditsense"]["withheld"]
        for document in documents
        if document["rule"]["id"] == "auditsense.withheld"
    ]


# --- attacks -------------------------------------------------------------------------------


@pytest.mark.parametrize("burned", [100, 120, 1000])
def test_burned_limit_still_names_scanner(burned: int, fault: Recorder) -> None:
    """Throwaway processes of the same user and program use up the limit; then the scanner begins."""
    with Detector(host=HOST) as detector:
        documents = fed(detector, throwaways(burned))
        documents += fed(detector, opens(5, 10_000, 600, 50))
        (scanner,) = [alert for alert in alerts(documents) if alert["process"]["pid"] == 5]
    assert scanner["process"]["executable"] == "/usr/local/bin/pspy64"
    assert scanner["user"]["id"] == str(UNPRIVILEGED)
    assert scanner["auditsense"]["count"] >= 100
    if burned == 1000:
        fault(
            "throwaway processes use up the limit of alerts before a scanner begins",
            how="1,000 processes of the scanner's user and program complete a window each, replayed",
            did="sent 20 alerts for them, and one for the scanner when it had grown tenfold",
            lost=NOTHING,
            reported="the scanner's process, program and user, in an alert",
            host=NO_HOST,
        )


def test_equally_large_scanner_is_reported_with_the_interval() -> None:
    """Only its duration distinguishes it from the throwaways: in the next interval it is the largest."""
    with Detector(host=HOST) as detector:
        documents = fed(detector, throwaways(120) + opens(5, 1000, 90, 500))
        assert 5 not in pids(documents)
        documents += fed(detector, opens(6, 5 * MINUTE + 200, uid=0))
        assert 5 in pids(documents)
        (listed,) = withheld(documents)
    assert listed["processes"][0]["pid"] == 5
    assert listed["count"] == len(listed["processes"]) + listed["more"] == 120 - 20 + 1


@pytest.mark.parametrize(
    "attack",
    [
        {"uid": UNPRIVILEGED},
        {"uid": UNPRIVILEGED, "times": 110},
    ],
)
def test_one_account_leaves_alerts_to_others(attack: dict[str, Any]) -> None:
    """Many processes, programs and sizes of one account never use up what other accounts have."""
    with Detector(host=HOST) as detector:
        events = [
            event
            for n in range(150)
            for event in opens(1000 + n, n, attack.get("times", 10), exe=f"/tmp/{n}", uid=attack["uid"])  # noqa: S108
        ]
        fed(detector, events)
        for interval in range(3):
            documents = fed(
                detector,
                [
                    event
                    for n in range(15)
                    for event in opens(
                        10 + n + 100 * interval, 2000 + interval * 6 * MINUTE + n, uid=1000 + n
                    )
                ],
            )
            assert pids(documents) >= {10 + n + 100 * interval for n in range(15)}


def test_never_more_alerts_than_the_limit_in_an_interval() -> None:
    policy = AlertPolicy(max_alerts=20, interval_ms=10_000)
    with Detector(host=HOST, policy=policy) as detector:
        for interval in range(6):
            events = [
                event
                for n in range(40)
                for event in opens(
                    100 * interval + n + 1, interval * 10_000 + n, 10 + 30 * (n % 5), uid=n % 9
                )
            ]
            assert len(alerts(fed(detector, events))) <= 20


def test_every_withheld_burst_is_reported() -> None:
    policy = AlertPolicy(max_alerts=8, interval_ms=1000, suppress_ms=3_600_000)
    with Detector(host=HOST, policy=policy) as detector:
        documents = fed(detector, throwaways(40, times=12))
        for second in range(1, 40):
            documents += fed(detector, opens(7, second * 2000))
    assert pids(documents) == {7, *range(1000, 1040)}


def test_oldest_burst_is_reported_among_larger_ones() -> None:
    policy = AlertPolicy(max_alerts=5, interval_ms=1000, suppress_ms=3_600_000)
    with Detector(host=HOST, policy=policy) as detector:
        fed(detector, opens(1, 0))
        fed(detector, opens(2, 1))  # withheld: the oldest and the smallest
        documents = []
        for second in range(1, 6):
            events = [opens(1000 * second + n, 1500 * second + n, 50) for n in range(20)]
            documents += fed(detector, [event for some in events for event in some])
        assert 2 in pids(documents)


def test_ended_and_evicted_bursts_are_still_named() -> None:
    policy = AlertPolicy(max_alerts=5, suppress_ms=1000, max_bursts=3)
    with Detector(host=HOST, policy=policy) as detector:
        fed(detector, throwaways(10))
        fed(detector, opens(5, 5000))
        (listed,) = withheld(detector.finish())
    assert {row["pid"] for row in listed["processes"]} == {5, *range(1001, 1010)}


def test_grown_and_evicted_burst_is_reported_as_withheld() -> None:
    """A withheld burst grows tenfold and makes room for others, all before the run of its hits is over."""
    policy = AlertPolicy(max_alerts=5, max_bursts=2)
    with Detector(host=HOST, policy=policy) as detector:
        documents = fed(detector, opens(1, 0))
        text = b"".join(event.text for event in (*opens(2, 20, 150), *opens(3, 200), *opens(4, 220)))
        documents += detector.feed_text(text)
        documents += detector.finish()
    assert pids(documents) == {1}
    (listed,) = withheld(documents)
    assert {row["pid"]: row["count"] for row in listed["processes"]} == {2: 150, 3: 10, 4: 10}


def test_ended_bursts_beyond_the_bound_are_counted() -> None:
    policy = AlertPolicy(max_alerts=5, suppress_ms=1000, max_bursts=3)
    with Detector(host=HOST, policy=policy) as detector:
        fed(detector, throwaways(3000))
        assert detector._alerts._limit.waiting <= 2 * 1024 + policy.max_bursts
        (listed,) = withheld(detector.finish())
    assert listed["count"] == 2999
    assert len(listed["processes"]) == 100
    assert listed["more"] == 2899


def test_without_a_limit_nothing_is_withheld() -> None:
    with Detector(host=HOST, policy=AlertPolicy(max_alerts=None)) as detector:
        documents = fed(detector, throwaways(300)) + detector.finish()
        assert len(alerts(documents)) == 300
        assert detector.alert_counts.withheld == 0
        assert withheld(documents) == []


def test_live_interval_ends_without_records() -> None:
    policy = AlertPolicy(max_alerts=5, interval_ms=10_000)
    with Detector(host=HOST, policy=policy) as detector:
        assert detector.tick(1_000_000) == []
        fed(detector, throwaways(3))
        assert detector.tick(1_009_999) == []
        listed, *late = detector.tick(1_010_000)
        assert listed["rule"]["id"] == "auditsense.withheld"
        assert pids(late) == {1001, 1002}


def test_reload_keeps_waiting_bursts() -> None:
    policy = AlertPolicy(max_alerts=5, interval_ms=10_000)
    with Detector(host=HOST, policy=policy) as detector:
        fed(detector, throwaways(4))
        assert detector.reload(detector.detections, AlertPolicy(max_alerts=9, interval_ms=10_000)) == []
        documents = fed(detector, opens(5, 20_000, uid=0))
        assert pids(documents) == {1001, 1002, 1003, 5}


def test_reload_reports_waiting_bursts_of_removed_detection() -> None:
    with Detector(host=HOST, policy=AlertPolicy(max_alerts=5)) as detector:
        fed(detector, throwaways(3))
        documents = detector.reload([])
        (listed,) = withheld(documents)
        assert {row["pid"] for row in listed["processes"]} == {1001, 1002}
        assert detector.finish() == []


# --- the account ---------------------------------------------------------------------------


def test_user_ids_of_one_login_share_its_limit() -> None:
    """A user namespace gives one login many user ids; they use the right of that login together."""
    text = [
        event.text.replace(b"auid=4294967295", b"auid=1000")
        for n in range(200)
        for event in opens(1000 + n, n, uid=100_000 + n)
    ]
    with Detector(host=HOST) as detector:
        documents = [document for one in text for document in detector.feed_text(one)]
        assert len(alerts(documents)) == 40
        documents = fed(detector, opens(5, 1000, uid=100_000) + opens(6, 1000, uid=0))
        assert pids(documents) == {5, 6}


@pytest.mark.parametrize("most", [1, 2, 3, 5, 8, 9, 10, 100, 1000])
def test_shares_never_exceed_the_limit(most: int) -> None:
    limit = FairLimit(most)
    assert limit.begin_interval() == []
    with Detector(host=HOST, policy=AlertPolicy(max_alerts=most)) as detector:
        events = [event for n in range(120) for event in opens(1 + n, n, 10, uid=n)]
        sent = len(alerts(fed(detector, events)))
    assert sent == min(120, most - most // 5)
