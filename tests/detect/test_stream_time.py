"""Time of a stream: which stamps move it, at the exact bounds."""

from __future__ import annotations

import pytest

from auditsense.detect.stream_time import LATE_MS, LEAP_MS, StreamTime

START = 1_795_493_114_674
HOUR = 3_600_000


def observed(*stamps: int, confirmed: bool = False) -> StreamTime:
    time = StreamTime(START, 0)
    for stamp in stamps:
        time.observe(START + stamp, confirmed=confirmed)
    return time


@pytest.mark.parametrize(
    ("stamp", "passed", "pending"),
    [
        (0, 0, 0),
        (LEAP_MS, LEAP_MS, 0),
        (LEAP_MS + 1, 0, LEAP_MS + 1),
        (-LATE_MS, 0, 0),
        (-LATE_MS - 1, 0, 0),
    ],
)
def test_stamp_counts_at_once_up_to_the_bound(stamp: int, passed: int, pending: int) -> None:
    time = observed(stamp)
    assert (time.now_ms, time.pending_ms) == (passed, pending)


def test_bounds_are_ten_seconds_and_a_minute() -> None:
    assert observed(-10_000, -10_000, 7).now_ms == 7
    assert observed(-10_001, -10_001, -10_000).now_ms == 1
    assert (observed(60_000).now_ms, observed(60_001).now_ms) == (60_000, 0)


def test_late_stamp_is_no_step_and_a_later_one_is() -> None:
    assert observed(-LATE_MS, -LATE_MS, 5).now_ms == 5
    assert observed(-LATE_MS - 1, -LATE_MS - 1, -1).now_ms == LATE_MS


@pytest.mark.parametrize(("apart", "passed"), [(LEAP_MS, HOUR + LEAP_MS), (-LEAP_MS, HOUR - LEAP_MS)])
def test_leap_is_confirmed_by_a_stamp_within_the_bound(apart: int, passed: int) -> None:
    assert observed(HOUR, HOUR + apart).now_ms == passed
    beyond = apart + (1 if apart > 0 else -1)
    assert observed(HOUR, HOUR + beyond).now_ms == 0


def test_doubt_lasts_for_one_stamp() -> None:
    """A stamp near the newest one between two far ones means that both are wrong."""
    assert observed(HOUR, 1, HOUR).now_ms == 1


def test_rejected_leap_is_not_pending_again() -> None:
    time = observed(HOUR, 1)
    time.observe(START + HOUR - LEAP_MS, confirmed=False)
    assert time.pending_ms == 0
    time.observe(START + 2, confirmed=False)  # that one is rejected as well
    time.observe(START + HOUR - 2 * LEAP_MS - 1, confirmed=False)
    assert time.pending_ms == HOUR - 2 * LEAP_MS - 3


def test_stamp_before_the_doubtful_one_rejects_it_also_when_late() -> None:
    time = observed(HOUR, -5)
    time.observe(START + HOUR + 1, confirmed=False)
    assert time.pending_ms == 0


def test_step_back_that_is_doubted_rejects_no_leap() -> None:
    time = observed(-HOUR, 1)
    time.observe(START + HOUR, confirmed=False)
    assert time.pending_ms == HOUR - 1


def test_pending_time_ends_with_the_next_stamp() -> None:
    time = observed(HOUR)
    assert time.pending_ms == HOUR
    time.observe(START + 1, confirmed=False)
    assert (time.now_ms, time.pending_ms) == (1, 0)


def swung(back_ms: int, ahead_ms: int, between_ms: int = 0) -> int:
    """Return the time after a step back, some time, and a leap ahead, all confirmed."""
    time = StreamTime(START, 0)
    time.observe(START - back_ms, confirmed=True)
    time.observe(START - back_ms + between_ms, confirmed=True)
    time.observe(START - back_ms + between_ms + ahead_ms, confirmed=True)
    return time.now_ms


@pytest.mark.parametrize(("off", "passed"), [(0, 0), (LATE_MS, 0), (-LATE_MS, 0)])
def test_leap_to_where_a_step_led_away_from_passes_no_time(off: int, passed: int) -> None:
    assert swung(HOUR, HOUR + off) == passed
    assert swung(HOUR, HOUR + off, 20_000) == 20_000


@pytest.mark.parametrize("off", [LATE_MS + 1, -LATE_MS - 1])
def test_leap_to_another_place_is_time(off: int) -> None:
    assert swung(HOUR, HOUR + off) == HOUR + off
    assert swung(HOUR, HOUR + off, 20_000) == 20_000 + HOUR + off


def test_short_gain_is_always_time() -> None:
    """Also for a step back: a stamp that is not a leap is not compared with steps."""
    assert swung(LATE_MS + 1, LATE_MS) == LATE_MS
    assert swung(LATE_MS + 1, LATE_MS + 1) == 0


def test_step_back_forgets_the_newest_stamp() -> None:
    time = StreamTime(START, 7)
    time.observe(START - HOUR, confirmed=True)
    time.observe(START - HOUR + 100, confirmed=False)
    assert time.now_ms == 107


@pytest.mark.parametrize(("steps", "passed"), [(8, 0), (9, 9 * HOUR)])
def test_eight_steps_are_remembered(steps: int, passed: int) -> None:
    time = StreamTime(START, 0)
    for n in range(steps):
        time.observe(START - (n + 1) * HOUR, confirmed=True)
    time.observe(START, confirmed=True)
    assert time.now_ms == passed
