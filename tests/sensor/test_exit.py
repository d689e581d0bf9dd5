"""State of a sensor after leaving, and errors of a second iteration."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from auditsense import ClosedError, Sensor, UsageError
from auditsense.detections import define
from auditsense.sensor.enrich import NameFile
from auditsense.testing import FakeClock, FakeSource, burst, call_event

if TYPE_CHECKING:
    from auditsense import Document


def test_counters_stay_readable_after_leaving() -> None:
    source = FakeSource()
    with Sensor(source=source, clock=FakeClock()) as sensor:
        source.send(*burst(12))
        source.lost = 7
        sensor.poll()
        sensor.finish()
        within = (sensor.stats(), sensor.losses, sensor.exceptions(), sensor.alert_counts)
    assert within[0].events == 12
    assert within[1].kernel_lost == 7
    assert (
        sensor.stats(),
        sensor.losses,
        sensor.exceptions(),
        sensor.alert_counts,
    ) == within
    with pytest.raises(ClosedError):
        sensor.poll()


def test_counters_restart_with_next_entering() -> None:
    source = FakeSource()
    sensor = Sensor(source=source, clock=FakeClock())
    source.send(*burst(3))
    with pytest.raises(ZeroDivisionError), sensor:
        _ = 1 / len(sensor.poll())
    assert sensor.stats().events == 3
    with sensor:
        assert sensor.stats().events == 0


def test_never_entered_sensor_has_no_counters() -> None:
    with pytest.raises(ClosedError, match="use it in a with statement"):
        _ = Sensor(source=FakeSource()).losses


def test_second_queue_is_refused_while_first_is_filling() -> None:
    async def main() -> None:
        async with Sensor(source=FakeSource()) as sensor:
            async with sensor.queue(1):
                with pytest.raises(UsageError, match="has a queue already; one at a time: share that one"):
                    sensor.queue(1)
            async with sensor.queue(1):
                pass

    asyncio.run(main())


def test_iterating_with_queue_is_refused_with_advice() -> None:
    async def main() -> Document | None:
        async with Sensor(source=FakeSource()) as sensor, sensor.queue(1):
            await asyncio.sleep(0)
            async for document in sensor:
                return document
        return None

    with pytest.raises(UsageError, match="one loop or one queue at a time, and pass its documents"):
        asyncio.run(main())


def test_stopped_queue_yields_rest_and_burst_ends() -> None:
    async def main() -> list[str]:
        source = FakeSource()
        async with Sensor(source=source) as sensor, sensor.queue(10) as queue:
            source.send(*burst(12))
            states = []
            async for document in queue:
                states.append(document["auditsense"]["state"])
                sensor.stop()
            return states

    assert asyncio.run(main()) == ["alert", "closed"]


def test_closing_document_has_names_of_alert(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NameFile, "name_of", lambda _, number: f"user {number}")
    source, clock = FakeSource(), FakeClock()
    with Sensor(source=source, clock=clock) as sensor:
        source.send(*burst(12))
        (alert,) = sensor.poll()
        clock.advance(302)
        (end,) = sensor.poll()
        source.send(*burst(12, ms=1_795_493_114_674 + 302_000, serial=100))
        sensor.poll()
        (last, _) = sensor.finish()  # and the loss of the serials between
    names = [document["user"]["name"] for document in (alert, end, last)]
    assert ([document["auditsense"]["state"] for document in (end, last)], names) == (
        ["closed", "closed"],
        ["user 65534"] * 3,
    )


@pytest.mark.parametrize("call", ["openat2", "truncate", "unlink", "execve"])
def test_alert_shows_path_that_matched(call: str) -> None:
    wanted = define("x", "x", match={"file.path": "/etc/shadow"}, audit_rule="-w /etc/shadow -p r -k x")
    source = FakeSource()
    with Sensor([wanted], source=source, clock=FakeClock()) as sensor:
        source.send(call_event(call, path="/etc/shadow"))
        (alert,) = sensor.poll()
    assert alert["file"]["path"] == "/etc/shadow"
