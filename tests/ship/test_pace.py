"""Backoff and rate: how long, and never a time of a test's own clock."""

from __future__ import annotations

from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.ship.http_client import retry_after_s
from auditsense.ship.pace import FIRST_RATE, MAX_RETRY_AFTER_S, Backoff, RateCap


def test_backoff_doubles_to_a_minute_with_jitter() -> None:
    backoff = Backoff()
    waits = [backoff.after_failure() for _ in range(12)]
    for place, wait in enumerate(waits):
        longest = min(60.0, 0.5 * 2**place)
        assert longest / 2 <= wait <= longest
    backoff.after_success()
    assert backoff.after_failure() <= 0.5
    assert len({Backoff().after_failure() for _ in range(20)}) > 10


@given(asked=st.floats(0, 1e6), failures=st.integers(0, 10))
def test_retry_after_is_honoured_and_bounded(asked: float, failures: int) -> None:
    backoff = Backoff()
    for _ in range(failures):
        backoff.after_failure()
    wait = backoff.after_failure(asked)
    assert wait >= min(asked, MAX_RETRY_AFTER_S)
    assert wait <= max(60.0, 1.1 * MAX_RETRY_AFTER_S)


@given(batches=st.lists(st.integers(1, 100), min_size=1, max_size=50), rate=st.integers(1, 5000))
def test_rate_is_never_exceeded(batches: list[int], rate: int) -> None:
    """A model: with the waits of the cap, N documents take N / rate seconds, but for the last batch."""
    cap, now = RateCap(rate, 0.0), 0.0
    for count in batches:
        now += cap.wait_s(now)
        cap.sent(count, now)
    assert now >= (sum(batches) - batches[-1]) / rate - 1e-6


def test_rate_after_an_outage_begins_low_and_doubles() -> None:
    cap = RateCap(1000, 0.0)
    cap.outage_ended(100.0)
    assert [cap.current(100.0 + second) for second in (0, 9, 10, 20, 30, 39, 40)] == [
        FIRST_RATE,
        100,
        200,
        400,
        800,
        800,
        1000,
    ]
    assert cap.current(1000.0) == 1000


def test_no_rate_means_no_limit() -> None:
    cap = RateCap(0, 0.0)
    cap.sent(1_000_000, 0.0)
    assert cap.wait_s(0.0) == 0


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": " 0 "}, 0.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "9" * 400}, None),
        # The receiver's own clock decides, whatever this host's says.
        (
            {"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"},
            30.0,
        ),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT", "Date": "Thu, 22 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(fields: dict[str, str], expected: float | None) -> None:
    message = Message()
    for name, value in fields.items():
        message[name] = value
    assert retry_after_s(message) == expected  # type: ignore[arg-type]
