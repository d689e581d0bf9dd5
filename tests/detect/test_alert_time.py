"""Alerts while clocks step: stamps go back and ahead, single ones are wrong, and batches change nothing."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import AlertPolicy, Detector, Host, Sensor, shipped_detections
from auditsense.detect.stream_time import LATE_MS, LEAP_MS, StreamTime
from auditsense.detections.model import Window
from auditsense.sensor.text_feed import TextFeed
from auditsense.testing import FakeClock, FakeSource, burst, open_event
from tests.support.faults import NO_HOST, NOTHING, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense import Document
    from auditsense.kernel.tamper import Change
    from auditsense.testing import EventRecords

HOST = Host("0123456789abcdef0123456789abcdef", "here")
START = 1_795_493_114_674
HOUR = 3_600_000
YEAR_2096 = 4_000_000_000_000
STEPS = (-24 * HOUR, -HOUR, -360_000, -36_000, -11_000, 36_000, HOUR, 24 * HOUR)


def fed(detector: Detector, events: Iterable[EventRecords]) -> list[Document]:
    return [document for event in events for document in detector.feed_text(event.text)]


def alerted(documents: Iterable[Document]) -> list[int]:
    return [document["process"]["pid"] for document in documents if document["event"]["kind"] == "alert"]


# --- the time of a stream ------------------------------------------------------------------


@given(steps=st.lists(st.integers(0, LEAP_MS), max_size=30))
def test_stream_time_follows_stamps_in_order(steps: list[int]) -> None:
    time, stamp = StreamTime(START, 5), START
    for step in steps:
        stamp += step
        time.observe(stamp, confirmed=False)
    assert time.now_ms == 5 + sum(steps)


@given(stamps=st.lists(st.tuples(st.integers(0, 2**50), st.booleans()), max_size=50))
def test_stream_time_never_runs_backwards(stamps: list[tuple[int, bool]]) -> None:
    time = StreamTime(START, 0)
    for stamp, confirmed in stamps:
        before = time.now_ms
        time.observe(stamp, confirmed=confirmed)
        assert time.now_ms >= before
        assert time.pending_ms >= 0


@pytest.mark.parametrize("wrong", [YEAR_2096, START + 2 * LEAP_MS, START - 2 * LATE_MS, 0])
def test_single_wrong_stamp_moves_nothing(wrong: int) -> None:
    time = StreamTime(START, 0)
    for round_ in range(5):
        time.observe(wrong, confirmed=False)
        assert time.now_ms == round_ * 10
        time.observe(START + (round_ + 1) * 10, confirmed=False)
    assert time.now_ms == 50


def test_confirmed_leap_is_time() -> None:
    time = StreamTime(START, 0)
    time.observe(START + HOUR, confirmed=False)
    assert (time.now_ms, time.pending_ms) == (0, HOUR)
    time.observe(START + HOUR + 5, confirmed=False)
    assert (time.now_ms, time.pending_ms) == (HOUR + 5, 0)


def test_confirmed_step_back_is_no_time() -> None:
    time = StreamTime(START, 0)
    time.observe(START - HOUR, confirmed=True)
    time.observe(START - HOUR + 7, confirmed=False)
    assert time.now_ms == 7


def test_swinging_clock_passes_no_time_by_swinging() -> None:
    time = StreamTime(START, 0)
    for n in range(1, 100):
        time.observe(START - HOUR + n * 100, confirmed=True)
        time.observe(START + n * 100, confirmed=True)
    assert time.now_ms < 100 * 100 * 2 + LATE_MS


# --- a replay ------------------------------------------------------------------------------


@pytest.mark.parametrize("step_ms", STEPS)
def test_clock_step_neither_floods_nor_silences(step_ms: int, fault: Recorder) -> None:
    """A process scans on while its clock is set; ten others begin afterwards."""
    events = burst(40, ms=START, serial=1, pid=7)
    base = START + 4000 + step_ms
    events += burst(200, ms=base, serial=100, pid=7)
    for pid in range(100, 110):
        events += burst(12, ms=base + 21_000 + pid * 2000, serial=pid * 1000, pid=pid)
    with Detector(host=HOST) as detector:
        documents = fed(detector, events)
        assert detector.alert_counts.withheld == 0
    noisy = alerted(documents).count(7)
    # Ahead by more than the suppression, a replay cannot tell it from silence: one alert more.
    assert noisy == (2 if step_ms > 300_000 else 1)
    assert [pid for pid in alerted(documents) if pid != 7] == [*range(100, 110)]
    fault(
        "the clock that stamps records is set",
        how="by 11 seconds to a day, back and ahead, while a process opens /proc 10 times a second, replayed",
        did="continued the burst; processes that began later were named as well",
        lost=NOTHING,
        reported="one alert per process; one more where the clock went ahead by more than the suppression",
        host=NO_HOST,
    )


def test_stamps_that_swing_do_not_flood() -> None:
    with Detector(host=HOST) as detector:
        documents: list[Document] = []
        for n in range(60):
            at = START + n * 2000 - (HOUR if n % 2 else 0)
            documents += fed(detector, burst(20, ms=at, serial=1000 * n + 1, pid=7))
    assert len(alerted(documents)) <= 2


def single(pid: int, at_ms: int, serial: int) -> EventRecords:
    return open_event(ms=at_ms, serial=serial, pid=pid)


def test_single_wrong_stamps_of_an_event_rule_do_not_flood() -> None:
    rule = dataclasses.replace(shipped_detections()[0], window=Window(("process.pid", "host.id"), 1, 1000))
    events = [single(1 + n % 3, START + n * 1000, n + 1) for n in range(60)]
    for n in range(5, 60, 6):
        events[n] = single(1 + n % 3, YEAR_2096 + n * HOUR, n + 1)
    with Detector([rule], host=HOST) as detector:
        documents = fed(detector, events)
        assert len(alerted(documents)) <= 4
        assert all(
            document["event"]["kind"] == "alert" for document in documents
        )  # nothing was closed by them


def test_event_rule_alerts_again_after_real_silence() -> None:
    rule = dataclasses.replace(shipped_detections()[0], window=Window(("process.pid", "host.id"), 1, 1000))
    with Detector([rule], host=HOST) as detector:
        documents = fed(detector, [single(1, START, 1), single(1, START + HOUR, 2)])
    assert alerted(documents) == [1, 1]


def test_hosts_have_separate_times() -> None:
    """A host whose clock is an hour ahead closes nothing of another one."""
    events = []
    for n in range(100):
        events += [
            dataclasses.replace(event, node=node)
            for node, ahead_ms in (("web1", 0), ("web2", HOUR))
            for event in burst(1, ms=START + n * 200 + ahead_ms, serial=n + 1, pid=7)
        ]
    with Detector(host=HOST) as detector:
        documents = fed(detector, events)
        assert len(documents) == 2
        assert [document["host"]["name"] for document in documents] == ["web1", "web2"]


def test_hosts_beyond_the_bound_share_one_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditsense.detect.suppression._MOST_HOSTS", 2)

    def fed_by(detector: Detector, node: str, at_ms: int) -> list[tuple[str, str]]:
        events = burst(12, ms=START + at_ms, serial=1 + at_ms, pid=7)
        documents = fed(detector, [dataclasses.replace(event, node=node) for event in events])
        return [(document["auditsense"]["state"], document["host"]["name"]) for document in documents]

    with Detector(host=HOST) as detector:
        for node in ("web1", "web2", "web3", "web4"):
            assert fed_by(detector, node, 0) == [("alert", node)]
        assert fed_by(detector, "web2", HOUR) == [("closed", "web2"), ("alert", "web2")]
        shared = [("closed", "web3"), ("closed", "web4"), ("alert", "web3")]
        assert fed_by(detector, "web3", HOUR) == shared
        assert fed_by(detector, "web1", HOUR) == [("closed", "web1"), ("alert", "web1")]


def test_silent_host_is_closed_when_time_passes_elsewhere() -> None:
    events = [dataclasses.replace(event, node="web1") for event in burst(12, ms=START, serial=1, pid=7)]
    with Detector(host=HOST, policy=AlertPolicy(suppress_ms=20_000)) as detector:
        fed(detector, events)
        assert detector.tick(log_ms=START + 1000) == []
        (closed,) = [document for at in range(2, 40) for document in detector.tick(log_ms=START + at * 1000)]
        assert closed["auditsense"]["state"] == "closed"


def states(documents: Iterable[Document]) -> list[str]:
    return [document["auditsense"]["state"] for document in documents]


def test_owner_clock_that_goes_back_does_not_move_time() -> None:
    with Detector(host=HOST, policy=AlertPolicy(suppress_ms=10_000)) as detector:
        for now_ms in (1_000_000, 1_020_000, 1_000_000):
            detector.tick(now_ms)
        assert states(fed(detector, burst(12, ms=START, serial=1))) == ["alert"]
        assert detector.tick(1_030_000) == []
        assert states(detector.tick(1_030_001)) == ["closed"]


def test_burst_continues_at_exactly_the_suppression_time() -> None:
    with Detector(host=HOST, policy=AlertPolicy(suppress_ms=10_000)) as detector:
        detector.tick(1_000_000)
        assert states(fed(detector, burst(10, ms=START, serial=1))) == ["alert"]
        assert detector.tick(1_010_000) == []
        assert fed(detector, burst(10, ms=START + 10_000, serial=50)) == []
        assert detector.alert_counts.suppressed == 1


def test_host_behind_does_not_move_common_time_back() -> None:
    """Otherwise the next advance would count the difference as silence of that host."""
    behind = [dataclasses.replace(event, node="web1") for event in burst(12, ms=START, serial=1)]
    later = [dataclasses.replace(event, node="web1") for event in burst(12, ms=START + 5000, serial=50)]
    with Detector(host=HOST, policy=AlertPolicy(suppress_ms=20_000)) as detector:
        fed(detector, behind)
        for second in range(0, 101, 10):
            detector.tick(log_ms=START + second * 1000)
        assert states(fed(detector, later)) == ["alert"]
        assert detector.tick(log_ms=START + 110_000) == []
        assert detector.tick(log_ms=START + 120_000) == []
        assert states(detector.tick(log_ms=START + 121_000)) == ["closed"]


def test_host_behind_begins_no_interval_in_the_past() -> None:
    ahead = [
        dataclasses.replace(event, node="web1")
        for second in (0, 50, 100)
        for event in burst(12, ms=START + second * 1000, serial=1 + second * 100)
    ]
    with Detector(host=HOST, policy=AlertPolicy(interval_ms=40_000, max_alerts=5)) as detector:
        detector.tick(log_ms=START)
        fed(detector, ahead)
        detector.tick(log_ms=START + 5000)
        for pid in (1, 2):  # one alert, one withheld, in an interval that begins at 100 s
            fed(detector, burst(12, ms=START + 5100, serial=100_000 * pid, pid=pid))
        more = [
            dataclasses.replace(event, node="web1")
            for event in burst(12, ms=START + 110_000, serial=90_000, pid=3)
        ]
        assert "withheld" not in states(fed(detector, more))


# --- a sensor ------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [3600, -3600, 86_400, -7])
def test_wall_clock_step_does_not_end_a_burst(step_s: int, fault: Recorder) -> None:
    clock, source = FakeClock(), FakeSource()
    with Sensor(source=source, clock=clock) as sensor:
        documents: list[Document] = []
        for n, event in enumerate(burst(300, serial=1, pid=7)):
            clock.advance(0.2)
            clock.step(step_s if n == 100 else -step_s if n == 101 else 0)
            source.send(event)
            documents += sensor.poll()
        clock.step(step_s)
        clock.advance(1)
        documents += sensor.poll()
        assert sensor.alert_counts.withheld == 0
    assert [document["process"]["pid"] for document in documents if document["rule"]["id"] == "pspy"] == [7]
    steps = [
        document["auditsense"]["clock"]
        for document in documents
        if document["rule"]["id"] == "auditsense.clock"
    ]
    assert steps[-1]["step_ms"] == step_s * 1000
    assert steps[-1]["before"] != steps[-1]["after"]
    fault(
        "the wall clock of the host is set",
        how="a fake clock steps by seconds to a day, ahead and back, while a process scans",
        did="continued the burst: quiet time is measured on a clock that never steps",
        lost=NOTHING,
        reported="one alert, and each step (`auditsense.sensor.clock`)",
        host=NO_HOST,
    )


def test_clock_steps_are_reported_at_a_bounded_rate() -> None:
    clock, source = FakeClock(), FakeSource()
    with Sensor(source=source, clock=clock) as sensor:
        documents: list[Document] = []
        for _ in range(50):
            clock.step(-5)
            clock.advance(1)
            documents += sensor.poll()
        assert sensor.clock_steps == 50
    assert 3 <= len(documents) <= 5


def test_small_corrections_of_the_clock_are_no_steps() -> None:
    clock, source = FakeClock(), FakeSource()
    with Sensor(source=source, clock=clock) as sensor:
        for _ in range(50):
            clock.step(0.4)
            clock.advance(1)
            assert sensor.poll() == []
        assert sensor.clock_steps == 0


class SlowSource(FakeSource):
    """A source whose kernel takes its time to answer."""

    def __init__(self, clock: FakeClock, took_s: float) -> None:
        super().__init__()
        self._clock, self._took_s = clock, took_s

    def check(self) -> list[Change]:
        self._clock.advance(self._took_s)
        return super().check()


def test_kernel_that_answers_late_is_no_clock_step() -> None:
    clock = FakeClock()
    with Sensor(source=SlowSource(clock, 1.7), clock=clock) as sensor:
        documents = []
        for n in range(20):
            clock.step(60 if n == 10 else 0)
            clock.advance(1)
            documents += sensor.poll()
        assert sensor.clock_steps == 1
    assert [document["auditsense"]["clock"]["step_ms"] for document in documents] == [60_000]


class InterruptedClock(FakeClock):
    """A clock whose reader is stopped for some time each time it has read the wall clock."""

    stopped_s = 0.0

    def wall_ms(self) -> int:
        shown = super().wall_ms()
        self.advance(self.stopped_s)
        return shown


def test_reader_that_is_stopped_is_no_clock_step() -> None:
    clock = InterruptedClock()
    with Sensor(source=FakeSource(), clock=clock) as sensor:
        for n in range(20):
            clock.stopped_s = 30 if n % 3 == 1 else 0
            clock.advance(1)
            assert sensor.poll() == []
        clock.stopped_s = 0
        clock.step(-60)
        clock.advance(1)
        assert [document["auditsense"]["clock"]["step_ms"] for document in sensor.poll()] == [-60_000]
        assert sensor.clock_steps == 1


def test_sensor_ends_bursts_on_its_own_clock() -> None:
    clock, source = FakeClock(), FakeSource()
    with Sensor(source=source, clock=clock) as sensor:
        source.send(*burst(12))
        assert len(sensor.poll()) == 1
        clock.step(24 * 3600)
        assert [document["rule"]["id"] for document in sensor.poll()] in ([], ["auditsense.clock"])
        clock.step(-24 * 3600)
        clock.advance(299)
        assert all(document["rule"]["id"] == "auditsense.clock" for document in sensor.poll())
        clock.advance(2)
        assert "closed" in [document["auditsense"]["state"] for document in sensor.poll()]


# --- a source of text ----------------------------------------------------------------------


class FakeTextSource:
    """A text source that returns chunks of a test."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def fileno(self) -> int:
        return 0

    def read(self) -> bytes:
        return self.waiting.pop(0) if self.waiting else b""


class Seconds:
    """A monotonic clock that a test sets."""

    now_s = 0.0

    def monotonic_s(self) -> float:
        return self.now_s


def text_feed(source: FakeTextSource, clock: Seconds) -> TextFeed:
    return TextFeed(cast("Any", source), cast("Any", clock), 2000)


@pytest.mark.parametrize("wrong_ms", [YEAR_2096, 0])
def test_wrong_stamp_in_a_followed_log_moves_no_time(wrong_ms: int) -> None:
    source = FakeTextSource()
    clock = Seconds()
    feed = text_feed(source, clock)
    with Detector(host=HOST) as detector:
        stamps = [START, START + 125, wrong_ms, START + 250, START + 375]
        shown = []
        for n, ms in enumerate(stamps):
            source.waiting.append(single(7, ms, n + 1).text)
            clock.now_s = 10 + n / 8
            feed.read(detector, [])
            shown.append(feed.log_ms() - START)
        assert shown == [0, 125, 250, 375, 375]
        clock.now_s = 15.5
        assert feed.log_ms() - START == 5375


def test_time_of_a_followed_log_steps_back_with_it() -> None:
    source = FakeTextSource()
    clock = Seconds()
    feed = text_feed(source, clock)
    with Detector(host=HOST) as detector:
        documents: list[Document] = []
        for n in range(200):
            at = START + n * 100 - (HOUR if n >= 100 else 0)
            source.waiting.append(single(7, at, n + 1).text)
            clock.now_s = 10 + n / 10
            feed.read(detector, documents)
            documents += detector.tick(log_ms=feed.log_ms())
        assert feed.log_ms() == START + 19_900 - HOUR
    assert [document["event"]["kind"] for document in documents] == ["alert"]


@pytest.mark.parametrize("step", [HOUR, 24 * HOUR])
def test_clock_of_a_followed_log_that_is_set_ahead_is_no_silence(step: int) -> None:
    """One process continues while the clock is set ahead every ten seconds; then it is silent for long."""
    source = FakeTextSource()
    clock = Seconds()
    feed = text_feed(source, clock)
    documents: list[Document] = []
    with Detector(host=HOST) as detector:
        for n in range(600):
            if n == 500:
                assert alerted(documents) == [7]
            at_s = 10 + n / 10 + (400 if n >= 500 else 0)
            at = START + int(at_s * 1000) + n // 100 * step
            source.waiting.append(single(7, at, n + 1).text)
            clock.now_s = at_s
            feed.read(detector, documents)
            documents += detector.tick(log_ms=feed.log_ms())
    assert alerted(documents) == [7, 7]


# --- any batches ---------------------------------------------------------------------------

_GAPS = st.sampled_from([0, 1, 40, 300, 400, 900, 1000, 1001, 6000, 20_000, 70_000, -50, -900, -9000])
_LEAPS = st.sampled_from([-24 * HOUR, -HOUR, -30_000, 30_000, HOUR, 24 * HOUR])


@st.composite
def stepping(draw: st.DrawFn) -> list[bytes]:
    """Opens of few processes whose stamps step, with single wrong ones, on one or two hosts."""
    at, serial, text = START, 0, []
    programs = [("/bin/a", 0), ("/bin/b", 65534)]
    nodes = draw(st.sampled_from([("",), ("", "web1")]))
    for _ in range(draw(st.integers(1, 60))):
        at += draw(_GAPS)
        if draw(st.integers(0, 9)) == 0:
            at += draw(_LEAPS)
        wrong = draw(st.integers(0, 19)) == 0
        exe, uid = draw(st.sampled_from(programs))
        pid, node = draw(st.integers(1, 3)), draw(st.sampled_from(nodes))
        for _ in range(draw(st.sampled_from([1, 1, 2, 7]))):
            serial += 1
            ms = draw(st.sampled_from([YEAR_2096, 0, at + HOUR])) if wrong else at
            text.append(open_event(ms=ms, serial=serial, pid=pid, uid=uid, exe=exe, node=node).text)
            at += draw(st.sampled_from([0, 1, 100]))
    return text


def documents_of(text: Sequence[bytes], size: int, policy: AlertPolicy, count: int) -> list[Any]:
    rule = dataclasses.replace(
        shipped_detections()[0], window=Window(("process.pid", "host.id"), count, 2000)
    )
    with Detector([rule], host=HOST, policy=policy) as detector:
        documents: list[Document] = []
        for at in range(0, len(text), size):
            documents += detector.feed_text(b"".join(text[at : at + size]))
        documents += detector.finish()
        for document in documents:
            document["auditsense"].pop("lost", None)  # it is what was known when it was made
        return [documents, detector.alert_counts]


@given(
    text=stepping(),
    count=st.sampled_from([1, 2, 3]),
    policy=st.builds(
        AlertPolicy,
        suppress_ms=st.sampled_from([500, 1000, 5000, 300_000]),
        max_alerts=st.sampled_from([None, 1, 2, 5, 10]),
        interval_ms=st.sampled_from([1000, 10_000, 300_000]),
        update_ms=st.sampled_from([0, 1, 1000, 5000]),
        by=st.sampled_from([(), ("user.id",), ("process.executable",)]),
    ),
)
def test_batches_change_nothing_whatever_the_stamps_do(
    text: list[bytes], count: int, policy: AlertPolicy
) -> None:
    at_once = documents_of(text, len(text), policy, count)
    for size in (1, 3, 17):
        assert documents_of(text, size, policy, count) == at_once
