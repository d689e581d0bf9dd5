"""Alerts of bursts, and what is only counted."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import AlertPolicy, Detector, EventReader, Host, Limits, shipped_detections
from auditsense.detections.model import Window
from auditsense.testing import open_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense import Document
    from auditsense.testing import EventRecords

PSPY = shipped_detections()[:1]
HOST = Host("0123456789abcdef0123456789abcdef", "here")
START = 1_795_493_114_674
MINUTE = 60_000


def detector(policy: AlertPolicy | None = None, *, sequences: bool = False) -> Detector:
    return Detector(PSPY, host=HOST, sequences=sequences, policy=policy)


def summaries(documents: Iterable[Document]) -> list[tuple[Any, ...]]:
    """Return state, process and count of each document."""
    return [
        (document["auditsense"]["state"], document["process"]["pid"], document["auditsense"]["count"])
        for document in documents
    ]


def of_pspy(documents: Iterable[Document]) -> list[tuple[Any, ...]]:
    """Return `summaries` without reports about the sensor."""
    return summaries(document for document in documents if document["rule"]["id"] == "pspy")


def in_order(*events: Iterable[EventRecords]) -> list[EventRecords]:
    return sorted((event for some in events for event in some), key=lambda one: one.ms)


def feed(active: Detector, events: Iterable[EventRecords]) -> list[Document]:
    """Feed each event on its own, as a live sensor would."""
    return [document for event in events for document in active.feed_text(event.text)]


def scan(pid: int, at_ms: int, times: int = 10, every_ms: int = 100, **fields: Any) -> list[EventRecords]:  # noqa: ANN401 - those of open_event
    serial = 1 + at_ms + 10_000_000 * pid
    return [
        open_event(ms=START + at_ms + n * every_ms, serial=serial + n, pid=pid, **fields)
        for n in range(times)
    ]


# --- a burst -----------------------------------------------------------------------------


@pytest.mark.parametrize(("times", "alerts"), [(9, 0), (10, 1), (11, 1), (500, 1)])
def test_burst_makes_one_alert(times: int, alerts: int) -> None:
    with detector() as active:
        documents = feed(active, scan(1, 0, times))
        assert summaries(documents) == [("alert", 1, 10)] * alerts
        assert active.alert_counts.alerts == alerts
        assert active.alert_counts.suppressed == max(0, times - 10)


def test_tenth_open_makes_alert_with_all_ten_events() -> None:
    events = scan(1, 0)
    with detector() as active:
        assert feed(active, events[:9]) == []
        (alert,) = feed(active, events[9:])
    assert alert["auditsense"]["events"] == [event.id for event in events]


def test_closing_document_has_total_after_more_matches() -> None:
    with detector() as active:
        assert summaries(feed(active, scan(1, 0, 25))) == [("alert", 1, 10)]
        (closed,) = active.finish()
    assert summaries([closed]) == [("closed", 1, 25)]
    assert active.alert_counts.closed == 1
    assert closed["@timestamp"] == closed["event"]["end"]
    assert closed["auditsense"]["events"] == [event.id for event in scan(1, 0, 10)]


def test_updates_come_at_their_interval() -> None:
    with detector(AlertPolicy(update_ms=1000)) as active:
        documents = feed(active, scan(1, 0, 40))  # the tenth comes after 0.9 s, the last after 3.9 s
        updates = documents[1:]
        # An update comes where a second of the stamps ends, with all matches of that second.
        assert summaries(documents) == [("alert", 1, 10), ("update", 1, 24), ("update", 1, 34)]
        assert active.alert_counts.updates == 2
        assert len({update["event"]["id"] for update in updates}) == 2
        assert {update["event"]["kind"] for update in updates} == {"state"}
        assert summaries(active.finish()) == [("closed", 1, 40)]


def test_burst_without_more_matches_has_no_closing_document() -> None:
    with detector() as active:
        assert summaries(feed(active, scan(1, 0))) == [("alert", 1, 10)]
        assert active.finish() == []
        assert active.alert_counts.closed == 0


def test_second_finish_returns_nothing() -> None:
    with detector() as active:
        feed(active, scan(1, 0, 25))
        assert summaries(active.finish()) == [("closed", 1, 25)]
        assert active.finish() == []


def test_burst_after_finish_is_new() -> None:
    with detector() as active:
        feed(active, scan(1, 0, 25))
        active.finish()
        assert summaries(feed(active, scan(1, 2500))) == [("alert", 1, 10)]


# --- the suppression time ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quiet_ms", "states"),
    [(5 * MINUTE, ["alert"]), (5 * MINUTE + 1, ["alert", "alert"]), (60 * MINUTE, ["alert", "alert"])],
)
def test_burst_ends_after_the_suppression_time(quiet_ms: int, states: list[str]) -> None:
    first = scan(1, 0)
    # The burst is as old as its last sequence; the next one is complete with its tenth event.
    second = scan(1, 900 + quiet_ms - 900)
    with detector() as active:
        assert [state for state, _, _ in summaries(feed(active, first + second))] == states


def test_advance_closes_quiet_bursts() -> None:
    with detector(AlertPolicy(suppress_ms=1000)) as active:
        feed(active, scan(1, 0, 11) + scan(2, 500, 11))
        last = START + 1000
        assert active.tick(log_ms=last + 1000) == []
        assert summaries(active.tick(log_ms=last + 1001)) == [("closed", 1, 11)]
        assert summaries(active.tick(log_ms=last + 1501)) == [("closed", 2, 11)]
        assert active.tick(log_ms=last + 9999) == []


def test_hits_of_another_process_close_quiet_bursts() -> None:
    with detector(AlertPolicy(suppress_ms=1000)) as active:
        documents = feed(active, scan(1, 0, 20) + scan(2, 60_000))
        assert summaries(documents) == [("alert", 1, 10), ("closed", 1, 20), ("alert", 2, 10)]


@pytest.mark.parametrize(("later_ms", "closed"), [(300_000, []), (300_001, [("closed", 1, 11)])])
def test_burst_closes_at_first_later_hit(later_ms: int, closed: list[Any]) -> None:
    with detector() as active:
        feed(active, [*scan(1, 0), *scan(1, 2900, 1)])
        documents = feed(active, scan(2, 2900 + later_ms - 900))  # its tenth open comes then
        assert summaries(documents) == [*closed, ("alert", 2, 10)]


def test_first_update_counts_from_the_alert() -> None:
    with detector(AlertPolicy(update_ms=1000)) as active:
        feed(active, scan(1, 0))
        documents = feed(active, scan(2, 100_000, 40))
        assert summaries(documents) == [("alert", 2, 10), ("update", 2, 24), ("update", 2, 34)]


def test_finished_runs_keep_no_state() -> None:
    with detector() as active:
        feed(active, in_order(scan(1, 0, 100), scan(2, 10, 100)))
        assert len(active._alerts._touched) == 2  # of the last second


def test_updates_may_come_every_second() -> None:
    with detector(AlertPolicy(update_ms=1)) as active:
        feed(active, scan(1, 0, 40))
        assert active.alert_counts.updates == 3


def test_bursts_close_in_order_of_last_activity() -> None:
    with detector() as active:
        feed(active, in_order(scan(1, 0, 60), scan(2, 50, 20), scan(3, 70, 40)))
        assert summaries(active.finish()) == [("closed", 2, 20), ("closed", 3, 40), ("closed", 1, 60)]


# --- bounds ----------------------------------------------------------------------------------


def scans(pids: Sequence[int], at_ms: int, times: int = 10) -> list[EventRecords]:
    return [event for n, pid in enumerate(pids) for event in scan(pid, at_ms + n, times, every_ms=1)]


def test_alerts_over_the_limit_are_counted() -> None:
    policy = AlertPolicy(max_alerts=5, interval_ms=10_000)
    with detector(policy) as active:
        events = [event for uid in range(6) for event in scan(10 + uid, uid, uid=uid)]
        assert summaries(feed(active, events)) == [("alert", 10 + uid, 10) for uid in range(4)]
        assert (active.alert_counts.alerts, active.alert_counts.withheld) == (4, 2)
        withheld, *late, new = feed(active, scan(20, 10_010, uid=7))
        assert [row["pid"] for row in withheld["auditsense"]["withheld"]["processes"]] == [14, 15]
        assert summaries([*late, new]) == [("alert", 14, 10), ("alert", 15, 10), ("alert", 20, 10)]
        assert active.alert_counts.delayed == 2


def test_finish_reports_withheld_bursts() -> None:
    with detector(AlertPolicy(max_alerts=1)) as active:
        feed(active, scans([1, 2], 0, 30))
        closed, withheld = active.finish()
        assert summaries([closed]) == [("closed", 1, 30)]
        (row,) = withheld["auditsense"]["withheld"]["processes"]
        assert (row["pid"], row["count"], row["user"]) == (2, 30, "65534")
        assert active.alert_counts.withheld == 1
        assert active.finish() == []


def test_alert_limit_recovers_from_clock_step_back() -> None:
    """A clock set back by an hour must not withhold alerts of other processes until it catches up."""
    policy = AlertPolicy(max_alerts=1, interval_ms=10_000)
    with detector(policy) as active:
        documents = feed(active, scans([1, 2], 3_600_000) + scans([3, 4], 0) + scans([5], 20_000))
        assert [pid for state, pid, _ in of_pspy(documents) if state == "alert"] == [1, 2]  # the oldest waits
        documents = feed(active, scans([6], 40_000) + scans([7], 60_000))
        assert [pid for state, pid, _ in of_pspy(documents) if state == "alert"] == [3, 4]


def test_full_table_closes_least_recent_burst() -> None:
    with detector(AlertPolicy(max_bursts=2)) as active:
        documents = feed(active, in_order(scan(1, 0, 40), scan(2, 10, 12), scan(3, 2000)))
        assert summaries(documents) == [
            ("alert", 1, 10),
            ("alert", 2, 10),
            ("closed", 2, 12),
            ("alert", 3, 10),
        ]
        # An evicted burst is forgotten: the same process gets another alert.
        assert summaries(feed(active, scan(2, 4000)))[-1] == ("alert", 2, 10)


def test_full_table_closes_least_recent_burst_of_all_hosts() -> None:
    with detector(AlertPolicy(max_bursts=2)) as active:
        feed(active, in_order(on("web1", scan(1, 0, 12)), on("web2", scan(2, 2000, 12))))
        assert summaries(feed(active, on("web2", scan(3, 4000)))) == [("closed", 1, 12), ("alert", 3, 10)]
        assert summaries(feed(active, on("web1", scan(4, 6000)))) == [("closed", 2, 12), ("alert", 4, 10)]


# --- who ---------------------------------------------------------------------------------------


def test_two_processes_make_two_bursts() -> None:
    with detector() as active:
        documents = feed(active, in_order(scan(1, 0, 20), scan(2, 30, 20)))
        assert summaries(documents) == [("alert", 1, 10), ("alert", 2, 10)]
        assert summaries(active.finish()) == [("closed", 1, 20), ("closed", 2, 20)]


def on(node: str, events: Iterable[EventRecords]) -> list[EventRecords]:
    return [dataclasses.replace(event, node=node) for event in events]


def test_same_pid_on_two_hosts_makes_two_bursts() -> None:
    with detector() as active:
        halves = in_order(on("web1", scan(1, 0, 5)), on("web2", scan(1, 500, 5)))
        assert feed(active, halves) == []
        documents = feed(
            active, in_order(on("web1", scan(1, 1000)), on("web2", scan(1, 1050)), scan(1, 1070))
        )
        assert sorted(document["host"]["name"] for document in documents) == ["here", "web1", "web2"]
        assert len({document["event"]["id"] for document in documents}) == 3


def test_ten_matches_of_two_processes_make_no_alert() -> None:
    with detector() as active:
        assert feed(active, [*scan(1, 0, 9), *scan(2, 900, 1)]) == []


def test_window_by_user_covers_all_processes_of_the_user() -> None:
    shipped = shipped_detections()[0]
    by_user = dataclasses.replace(shipped, window=Window(("user.id", "host.id"), 10, 5000))
    events = [open_event(ms=START + n, serial=n, pid=n) for n in range(30)]
    for batch in (1, 30):
        with Detector([by_user], host=HOST) as detector:
            documents: list[Document] = []
            for at in range(0, 30, batch):
                text = b"".join(event.text for event in events[at : at + batch])
                documents += detector.feed_text(text)
            documents += detector.finish()
        assert summaries(documents) == [("alert", 9, 10), ("closed", 9, 30)]


# --- any batches ---------------------------------------------------------------------------------


def without_lost(documents: list[Document]) -> list[Document]:
    for document in documents:
        document["auditsense"].pop("lost")  # known at the time of the document
        document.pop("message")  # shows it
    return documents


@pytest.mark.parametrize("sequences", [False, True])
def test_batches_do_not_change_documents(*, sequences: bool) -> None:
    events = in_order(
        scan(1, 0, 200), scan(2, 30, 40), scan(3, 5000, 15), scan(1, 400_000, 20), scan(2, 401_000, 11)
    )
    results = []
    for batch in (1, 7, len(events)):
        with detector(sequences=sequences) as active:
            documents: list[Document] = []
            for at in range(0, len(events), batch):
                documents += active.feed(
                    part for event in events[at : at + batch] for part in event.datagrams
                )
            results.append((without_lost(documents + active.finish()), active.alert_counts))
    assert len(results[0][0]) > 5
    assert results[0] == results[1] == results[2]


def test_ids_are_reproducible_and_differ_by_state_and_burst() -> None:
    ids = []
    for _ in range(2):
        with detector() as active:
            documents = (
                feed(active, in_order(scan(1, 0, 20), scan(2, 30, 20), scan(1, 400_000))) + active.finish()
            )
            ids.append([document["event"]["id"] for document in documents])
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == len(ids[0]) == 5
    assert all(len(one) == 32 and int(one, 16) >= 0 for one in ids[0])


def test_merged_sequences_count_like_separate_ones() -> None:
    events = scan(1, 0, 300)
    with detector() as active:
        documents = active.feed_text(b"".join(event.text for event in events)) + active.finish()
        assert active.stats().hits < active.stats().sequences == 291
        assert (active.alert_counts.alerts, active.alert_counts.suppressed) == (1, 290)
    assert summaries(documents) == [("alert", 1, 10), ("closed", 1, 300)]
    alert, closed = documents
    assert alert["@timestamp"] < closed["@timestamp"]
    assert closed["event"]["end"] == "2026-11-24T04:05:44.574Z"


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize("pause_ms", [5_100, 60_000, 299_000])
def test_matches_after_a_pause_are_counted(pause_ms: int, size: int) -> None:
    """After a pause ten matches are one window: all ten are new."""
    events = in_order(*(scan(1, n * (pause_ms + 2000), 20) for n in range(4)))
    assert totals(events, size) == {1: 80}


@given(
    gaps=st.lists(st.sampled_from([0, 1, 40, 300, 480, 620, 900, 1700, 5100, 40_000]), max_size=80),
    size=st.sampled_from([1, 2, 7, 1 << 20]),
)
def test_count_is_matches_in_windows(gaps: list[int], size: int) -> None:
    stamps = list(itertools.accumulate(gaps, initial=START))
    in_windows = {
        stamp_at
        for end in range(9, len(stamps))
        if stamps[end] - stamps[end - 9] <= 5000
        for stamp_at in range(end - 9, end + 1)
    }
    events = [open_event(ms=ms, serial=1 + n, pid=7) for n, ms in enumerate(stamps)]
    assert totals(events, size) == ({7: len(in_windows)} if in_windows else {})


def totals(events: Sequence[EventRecords], size: int) -> dict[int, int]:
    """Return the last count of each process, with *size* events at a time."""
    with detector() as active:
        documents = [
            document
            for at in range(0, len(events), size)
            for document in active.feed_text(b"".join(event.text for event in events[at : at + size]))
        ]
        documents += active.finish()
        assert active.alert_counts.suppressed == max(0, active.stats().sequences - active.alert_counts.alerts)
    return {pid: count for _, pid, count in summaries(documents)}


def test_sequences_returns_each_sequence() -> None:
    events = scan(1, 0, 25)
    with detector(sequences=True) as active:
        documents = feed(active, events) + active.finish()
    assert summaries(documents) == [("sequence", 1, 10)] * 16
    for n, document in enumerate(documents):
        assert document["auditsense"]["events"] == [event.id for event in events[n : n + 10]]


# --- loss ----------------------------------------------------------------------------------------


def test_alerts_have_the_known_loss() -> None:
    events = scan(1, 0, 12)
    with detector() as active:
        active.lost_elsewhere = 1000
        # An open without its end, and three serials that never come.
        cut_short = open_event(ms=START - 5000, serial=events[0].serial - 4, pid=7)
        active.feed(cut_short.datagrams[:3], 1000)
        documents = active.feed((part for event in events for part in event.datagrams), 6000)
        (closed,) = active.finish()
        assert active.lost == 1004
    assert closed["auditsense"]["lost"] == 1004
    assert documents[0]["auditsense"]["lost"] >= 1001


def test_alerts_without_loss_have_zero() -> None:
    with detector() as active:
        (alert,) = active.feed(part for event in scan(1, 0) for part in event.datagrams)
        assert alert["auditsense"]["lost"] == 0


def test_full_hit_buffer_is_no_loss() -> None:
    limits = Limits(datagram_bytes=1024, hit_bytes=8 * 1024 + 262144)
    with Detector(PSPY, host=HOST, limits=limits) as detector:
        documents = detector.feed_text(b"".join(event.text for event in scans(range(1, 400), 0)))
        # A fifth of 100 for one executable of one user.
        assert [pid for _, pid, _ in summaries(documents)] == list(range(1, 21))
        assert (detector.alert_counts.alerts, detector.alert_counts.withheld) == (20, 379)


def test_buffer_text_leaves_results_in_the_core() -> None:
    limits = Limits(datagram_bytes=1024, hit_bytes=8 * 1024 + 262144)
    text = b"".join(event.text for event in scans(range(1, 400), 0))
    with (
        Detector(PSPY, host=HOST, limits=limits) as detector,
        Detector(PSPY, host=HOST, limits=limits) as other,
    ):
        documents = [
            document
            for at in range(0, len(text), 999)
            for document in detector.buffer_text(text[at : at + 999])
        ]
        assert documents  # what there was no room for
        assert documents + detector.drain() + detector.finish() == other.feed_text(text) + other.finish()


@pytest.mark.parametrize("form", ["text", "datagrams"])
def test_decided_events_do_not_wait_for_the_next_call(form: str) -> None:
    # Somewhere in this range the last record is taken, and the hits are too full to decide its event.
    limits = Limits(datagram_bytes=1024, hit_bytes=8 * 1024 + 262144)
    events = scan(1, 0, 400)
    took_all_at_once = set()
    for times in range(180, 400, 4):
        text = b"".join(event.text for event in events[:times])
        with EventReader(host=HOST, limits=limits) as reader:
            if form == "text":
                documents = reader.feed_text(text)
            else:
                documents = reader.feed(part for event in events[:times] for part in event.datagrams)
            assert len(documents) == times
        with EventReader(host=HOST, limits=limits) as reader:
            took_all_at_once.add(reader.ring.feed_text(text) == len(text))
    assert took_all_at_once == {True, False}
