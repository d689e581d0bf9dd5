"""Status fields about activity: newest record, newest alert, counts per detection, self-test."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import AlertPolicy, Sensor, View
from auditsense.detections.loader import shipped_detections
from auditsense.kernel.self_test import SelfTest
from auditsense.sensor.side_ring import SELF_TEST
from auditsense.status.snapshot import Snapshot, StatusContext
from auditsense.testing import EventRecords, FakeClock, FakeSource, burst, open_event

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_ACTIVITY = {"last_record": None, "last_alert": None}


class Watched:
    """A sensor in memory, with its clock and its status document."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - those of Sensor
        self.clock = FakeClock()
        self.source = FakeSource()
        self.sensor = Sensor(source=self.source, clock=self.clock, **options)

    def feed(self, *events: EventRecords | bytes) -> list[Any]:
        self.source.send(*events)
        return self.sensor.poll()

    def status(self, self_test: SelfTest | None = None) -> dict[str, Any]:
        context = StatusContext(
            self.sensor, self.source, "", [], lambda: self.clock.wall_ms() / 1000, self_test
        )
        document: dict[str, Any] = json.loads(Snapshot(context).answer())
        return document


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    with watched.sensor:
        yield watched


def activity(status: dict[str, Any]) -> dict[str, Any]:
    return {name: status[name] for name in NO_ACTIVITY}


def test_new_sensor_has_no_record_and_no_alert(watched: Watched) -> None:
    assert activity(watched.status()) == NO_ACTIVITY


def test_last_record_is_the_time_of_the_newest_read(watched: Watched) -> None:
    watched.feed(*burst(1))
    read_s = watched.clock.wall_ms() / 1000
    watched.clock.advance(5)
    watched.sensor.poll()
    assert activity(watched.status()) == {"last_record": read_s, "last_alert": None}


def test_last_record_ignores_datagrams_that_are_no_records(watched: Watched) -> None:
    watched.feed(b"\x14\0\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")
    assert watched.status()["last_record"] is None


def test_last_alert_is_the_newest_one(watched: Watched) -> None:
    watched.feed(*burst(10, pid=5))
    watched.clock.advance(1)
    (alert,) = watched.feed(*burst(10, pid=6, serial=50))
    assert watched.status()["last_alert"] == {
        "time": watched.clock.wall_ms() / 1000,
        "event_id": alert["event"]["id"],
        "rule_id": "pspy",
        "process": {
            "pid": 6,
            "name": alert["process"]["name"],
            "executable": alert["process"]["executable"],
        },
    }


def test_documents_about_the_sensor_are_no_alerts(watched: Watched) -> None:
    watched.clock.step(100)
    watched.clock.advance(2)
    assert watched.sensor.poll()[0]["event"]["dataset"] == "auditsense.clock"
    assert watched.status()["last_alert"] is None


def test_reopened_sensor_starts_without_activity() -> None:
    watched = Watched()
    with watched.sensor:
        watched.feed(*burst(10))
        assert watched.status()["last_alert"] is not None
    with watched.sensor:
        assert activity(watched.status()) == NO_ACTIVITY


def test_sequences_count_as_last_alert() -> None:
    watched = Watched(view=View.SEQUENCES)
    with watched.sensor:
        documents = watched.feed(*burst(12))
        status = watched.status()
    assert status["last_alert"]["event_id"] == documents[-1]["event"]["id"]
    assert status["detection_counts"][0] == {"id": "pspy", "sequences": 3, "alerts": 0}


def test_counts_of_each_detection_survive_a_reload() -> None:
    pspy = shipped_detections()[0]
    other = dataclasses.replace(pspy, id="other", match=pspy.match)
    watched = Watched(detections=[pspy], policy=AlertPolicy())
    with watched.sensor:
        watched.feed(*burst(12))
        assert watched.status()["detection_counts"] == [{"id": "pspy", "sequences": 3, "alerts": 1}]
        watched.sensor.reload([other, pspy])
        watched.feed(*burst(10, pid=9, serial=100))
        assert watched.status()["detection_counts"] == [
            {"id": "other", "sequences": 1, "alerts": 1},
            {"id": "pspy", "sequences": 4, "alerts": 2},
        ]
        watched.sensor.reload([other])
        assert [counts["id"] for counts in watched.status()["detection_counts"]] == ["other"]


def test_events_of_the_self_test_are_counted_separately() -> None:
    test = SelfTest(1, path="/proc/./.")
    watched = Watched(self_test=test)
    with watched.sensor:
        before = watched.status(test)
        watched.feed(*burst(10), open_event(path="/proc/./.", pid=77, serial=900))
        watched.sensor.poll()
        status = watched.status(test)
    assert SELF_TEST not in [counts["id"] for counts in status["detection_counts"]]
    assert (before["self_test"]["events"], status["self_test"]["events"]) == (0, 1)
    assert status["counters"]["sequences"] - status["self_test"]["events"] == 1
    assert status["detection_counts"][0] == {"id": "pspy", "sequences": 1, "alerts": 1}
