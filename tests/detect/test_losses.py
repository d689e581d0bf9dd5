"""Losses: sums without double counts, periods, and the rate of reports."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.core.ring import Limits
from auditsense.detect.detector import Detector
from auditsense.detect.ecs import loss_document
from auditsense.detect.host import Host
from auditsense.detect.losses import Losses, LossLedger, RateLimiter

FIVE = 5.0  # records of an event
T0 = 1_795_493_114_674
COUNTS = st.builds(Losses, **{field.name: st.integers(0, 10**6) for field in dataclasses.fields(Losses)})


# --- sums --------------------------------------------------------------------------------


def test_no_loss_is_false_without_causes() -> None:
    assert not Losses()
    assert Losses().by_cause() == {}
    assert (Losses().known, Losses().events(FIVE), Losses().records(FIVE)) == (0, 0, 0)


def test_core_counters_become_losses() -> None:
    with Detector([]) as detector:
        losses = Losses.of(detector.stats(), kernel_lost=3, socket_drops=4, alerts_withheld=5)
    assert losses.by_cause() == {"kernel_lost": 3, "socket_drops": 4, "alerts_withheld": 5}


def test_cut_records_are_lost() -> None:
    with Detector(limits=Limits(datagram_bytes=1024)) as detector:
        detector.feed_text(b"type=SYSCALL msg=audit(1.000:1): " + b"a" * 2000 + b"\n")
        before = detector.stats()
        assert before.truncated == 1
        assert detector.lost == before.serials_missing + before.incomplete + 1


@pytest.mark.parametrize(
    ("losses", "events", "records"),
    [
        (Losses(serials_missing=10), 10, 50),
        (Losses(incomplete=10), 10, 10),
        # Refused with its first record: counted once, and the other four are never made.
        (Losses(kernel_lost=100), 100, 500),
        # Refused with later ones: ten incomplete events explain forty of the hundred.
        (Losses(kernel_lost=100, incomplete=10), 70, 350),
        (Losses(kernel_lost=40, incomplete=10), 10, 50),
        # Evicted from the core's table: the kernel has counted none of those.
        (Losses(kernel_lost=100, incomplete=10, evicted=10), 110, 510),
        # Dropped by the socket, and not seen as missing yet; then seen.
        (Losses(socket_drops=50), 10, 50),
        (Losses(socket_drops=50, serials_missing=10), 10, 50),
        (Losses(socket_drops=53, serials_missing=10, incomplete=1), 11, 53),
        (Losses(truncated=3, foreign=4, keys_evicted=5, stale=7, alerts_withheld=6), 0, 0),
    ],
)
def test_loss_estimates_count_nothing_twice(losses: Losses, events: int, records: int) -> None:
    assert (losses.events(FIVE), losses.records(FIVE)) == (events, records)


def test_drops_of_filtered_socket_are_two_records_an_event() -> None:
    assert Losses(socket_drops=50).events(FIVE, unsent=3) == 25


@given(COUNTS, st.floats(1, 20))
def test_event_estimate_never_exceeds_known_loss(losses: Losses, per_event: float) -> None:
    assert 0 <= losses.events(per_event) <= losses.known


@given(COUNTS, COUNTS)
def test_difference_of_losses_is_by_cause(before: Losses, more: Losses) -> None:
    after = Losses(
        *(a + b for a, b in zip(dataclasses.astuple(before), dataclasses.astuple(more), strict=True))
    )
    assert after - before == more


# --- windows -----------------------------------------------------------------------------


def test_loss_since_window_start() -> None:
    ledger = LossLedger(T0)
    ledger.update(Losses(kernel_lost=5), T0 + 1000)
    ledger.update(Losses(kernel_lost=5), T0 + 2000)
    ledger.update(Losses(kernel_lost=7), T0 + 3000)
    assert ledger.since(T0 + 3000) == 0
    assert ledger.since(T0 + 2500) == 2
    assert ledger.since(T0 + 1000) == 2
    assert ledger.since(T0 + 999) == 7
    assert ledger.since(0) == 7  # before it began: rather too much


def test_drops_seen_again_as_missing_are_no_new_loss() -> None:
    ledger = LossLedger(T0)
    ledger.update(Losses(socket_drops=50), T0 + 1000)
    ledger.update(Losses(socket_drops=50, serials_missing=10), T0 + 5000)
    assert ledger.since(T0 + 2000) == 0


def test_window_older_than_samples_gets_the_total() -> None:
    ledger = LossLedger(T0)
    for n in range(1, 5000):
        ledger.update(Losses(kernel_lost=n), T0 + n)
    assert ledger.since(T0) == 4999


# --- reports --------------------------------------------------------------------------------


def test_loss_report_spans_the_checks_around_the_loss() -> None:
    ledger = LossLedger(T0)
    ledger.update(Losses(), T0 + 1000)
    ledger.update(Losses(kernel_lost=3), T0 + 2000)
    report = ledger.report(0.0, FIVE)
    assert report is not None
    assert (report.start_ms, report.end_ms, report.known, report.events, report.records) == (
        T0 + 1000,
        T0 + 2000,
        3,
        3,
        15,
    )
    assert ledger.report(1.0, FIVE) is None


def test_loss_report_includes_notice_time_of_counters() -> None:
    ledger = LossLedger(T0, notice_ms=4000)
    ledger.update(Losses(), T0 + 9000)
    ledger.update(Losses(serials_missing=1), T0 + 10_000)
    report = ledger.report(0.0, FIVE)
    assert report is not None
    assert report.start_ms == T0 + 5000


def test_loss_reports_are_rate_limited() -> None:
    ledger = LossLedger(T0)
    reports: list[tuple[int, int]] = []
    for second in range(1, 120):
        ledger.update(Losses(kernel_lost=second), T0 + second * 1000)
        report = ledger.report(float(second), FIVE)
        if report is not None:
            reports.append((second, report.known))
    assert [second for second, _ in reports[:3]] == [1, 2, 3]
    assert len(reports) == 3 + 3
    last = ledger.report(120.0, FIVE, final=True)
    assert last is not None
    assert sum(known for _, known in reports) + last.known == 119


def test_loss_reports_add_up_to_the_estimate() -> None:
    ledger = LossLedger(T0)
    events = 0
    for n, losses in enumerate(
        (
            Losses(kernel_lost=100),
            Losses(kernel_lost=100, socket_drops=50),
            Losses(kernel_lost=100, socket_drops=50, serials_missing=10),
            Losses(kernel_lost=100, socket_drops=50, serials_missing=30),
        )
    ):
        ledger.update(losses, T0 + n)
        report = ledger.report(0.0, FIVE, final=True)
        events += report.events if report is not None else 0
    assert events == 130


def test_rate_limiter_refills() -> None:
    limiter = RateLimiter(every_s=10, burst=2)
    assert [limiter.allow(now) for now in (0, 0, 0, 9.9, 10, 10, 1000, 1000, 1000)] == [
        *(True, True, False, False, True, False),
        *(True, True, False),
    ]


def test_loss_document() -> None:
    ledger = LossLedger(T0)
    ledger.update(Losses(kernel_lost=3), T0 + 2000)
    report = ledger.report(0.0, FIVE)
    assert report is not None
    document = loss_document(report, Host("id", "name"), lost_total=3)
    event = document["event"]
    assert (event["kind"], event["dataset"], event["duration"]) == ("state", "auditsense.loss", 2_000_000_000)
    assert (event["start"], event["end"]) == ("2026-11-24T04:05:14.674Z", "2026-11-24T04:05:16.674Z")
    assert document["@timestamp"] == event["end"]
    assert document["rule"]["id"] == "auditsense.loss"
    own = document["auditsense"]
    assert (own["lost"], own["lost_total"]) == (3, 3)
    assert own["loss"] == {"events": 3, "records": 15, "by_cause": {"kernel_lost": 3}}
