"""The sensor in an asyncio program: the same documents, and the host is restored however the program ends."""

from __future__ import annotations

import asyncio
import gc
import selectors
import signal
import subprocess
import sys
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from auditsense import AlertPolicy, ClosedError, Sensor, UsageError, View
from auditsense.errors import KernelCommandError
from auditsense.sensor.aio import Queue
from auditsense.testing import FakeClock, FakeSource, burst, open_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from auditsense import Document

CLOSE_AFTER_1_S = AlertPolicy(suppress_ms=1000)


def state(document: Document) -> object:
    return document["auditsense"]["state"]


async def first(sensor: Sensor) -> Document:
    """Return the first document, as a task that continues afterwards."""
    async for document in sensor:
        return document
    raise AssertionError("it ended without a document")


# --- what comes ----------------------------------------------------------------------------


def test_async_iteration_lets_other_tasks_run() -> None:
    async def main() -> list[object]:
        source = FakeSource()
        states = []
        async with Sensor(source=source, policy=CLOSE_AFTER_1_S) as sensor:
            asyncio.get_running_loop().call_later(0.05, source.send, *burst(12))
            async for document in sensor:
                states.append(state(document))
                sensor.stop()
        assert (source.entered, source.left) == (1, 1)
        return states

    assert asyncio.run(main()) == ["alert", "closed"]


def test_abatches_keeps_documents_together() -> None:
    async def main() -> list[list[int]]:
        source = FakeSource()
        source.send(*burst(10, pid=1), *burst(10, pid=2, serial=13))
        batches = []
        with Sensor(source=source) as sensor:
            async for batch in sensor.abatches():
                batches.append([document["process"]["pid"] for document in batch])
                sensor.stop()
        return batches

    assert asyncio.run(main()) == [[1, 2], []]


def test_async_iteration_lets_time_pass_in_silence() -> None:
    async def main() -> object:
        clock, source = FakeClock(), FakeSource()
        source.send(*burst(12, every_ms=1))
        async with Sensor(source=source, policy=CLOSE_AFTER_1_S, clock=clock) as sensor:
            assert state(await first(sensor)) == "alert"
            clock.advance(10)
            return state(await first(sensor))

    assert asyncio.run(main()) == "closed"


def test_async_events_are_values() -> None:
    async def main() -> list[int | None]:
        source = FakeSource()
        source.send(open_event(pid=1, serial=1), open_event(pid=2, serial=5))
        pids: list[int | None] = []
        notices: list[Document] = []
        async with Sensor(source=source, view=View.EVENTS) as sensor:
            async for event in sensor.events(notices.append):
                pids.append(event.pid)
                sensor.stop()
        assert [document["auditsense"]["state"] for document in notices] == ["loss"]
        return pids

    assert asyncio.run(main()) == [1, 2]


def test_async_events_require_events_view() -> None:
    async def main() -> None:
        async with Sensor(source=FakeSource()) as sensor:
            await anext(aiter(sensor.events()))

    with pytest.raises(UsageError, match=r"View\.EVENTS"):
        asyncio.run(main())


def test_stop_from_another_thread_ends_async_iteration() -> None:
    async def main() -> int:
        async with Sensor(source=FakeSource()) as sensor:
            timer = threading.Timer(0.05, sensor.stop)
            timer.start()
            count = 0
            async for _ in sensor:
                count += 1
            timer.join()
            return count

    assert asyncio.run(main()) == 0


def test_close_by_another_task_ends_async_iteration() -> None:
    async def main() -> int:
        source = FakeSource()
        sensor = Sensor(source=source)
        with sensor:
            asyncio.get_running_loop().call_later(0.05, sensor.close)
            count = 0
            async for _ in sensor:
                count += 1
            assert source.left == 1
            return count

    assert asyncio.run(main()) == 0


def test_second_task_cannot_iterate_same_sensor() -> None:
    async def main() -> None:
        async with Sensor(source=FakeSource()) as sensor:
            sensor.poll()
            task = asyncio.create_task(first(sensor))
            await asyncio.sleep(0.01)
            try:
                await first(sensor)
            finally:
                task.cancel()

    with pytest.raises(UsageError, match="iterated already"):
        asyncio.run(main())


def test_closed_sensor_cannot_be_iterated() -> None:
    async def main() -> None:
        async for _ in Sensor(source=FakeSource()):
            pass

    with pytest.raises(ClosedError):
        asyncio.run(main())


def test_busy_owner_leaves_nothing_in_event_loop() -> None:
    async def main() -> None:
        source = FakeSource()
        source.send(*burst(10))
        async with Sensor(source=source) as sensor, aclosing(sensor.abatches()) as batches:
            await anext(batches)
            before = sensor.stats().datagrams
            source.send(*burst(10, serial=13, pid=7))
            await asyncio.sleep(0.05)
            assert sensor.stats().datagrams == before
            loop = asyncio.get_running_loop()
            assert not loop.remove_reader(sensor.fileno())
            assert not loop.remove_reader(sensor._loop._wake)
            await anext(batches)
            assert sensor.stats().datagrams == 2 * before

    asyncio.run(main())


# --- the host is restored -------------------------------------------------------------------


def test_cancelled_task_restores_host() -> None:
    async def watch(source: FakeSource) -> None:
        async with Sensor(source=source) as sensor:
            async for _ in sensor:
                pass

    async def main() -> None:
        source = FakeSource()
        task = asyncio.create_task(watch(source))
        await asyncio.sleep(0.05)
        assert (source.entered, source.left) == (1, 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert source.left == 1

    asyncio.run(main())


def test_task_running_at_program_end_restores_host() -> None:
    source = FakeSource()

    async def watch() -> None:
        with Sensor(source=source) as sensor:
            async for _ in sensor:
                pass

    tasks = []

    async def main() -> None:
        tasks.append(asyncio.create_task(watch()))
        await asyncio.sleep(0.05)

    asyncio.run(main())
    assert source.left == 1


def test_abandoned_iteration_restores_host() -> None:
    source = FakeSource()

    async def main() -> None:
        source.send(*burst(10))
        async with Sensor(source=source) as sensor:
            async for _ in sensor:
                raise OverflowError

    with pytest.raises(OverflowError):
        asyncio.run(main())
    assert source.left == 1


@pytest.mark.parametrize("asynchronous", [True, False])
def test_closed_event_loop_restores_host(*, asynchronous: bool) -> None:
    source = FakeSource()

    async def watch() -> None:
        if asynchronous:
            async with Sensor(source=source) as sensor:
                await first(sensor)
        else:
            with Sensor(source=source) as sensor:
                await first(sensor)

    def begin(watching: Coroutine[object, object, None]) -> None:
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)  # it reports that a task was destroyed while pending
        task = loop.create_task(watching)
        loop.run_until_complete(asyncio.sleep(0.05))
        assert not task.done()
        loop.close()

    begin(watch())
    gc.collect()
    assert (source.entered, source.left) == (1, 1)


ENDINGS = """
import asyncio, os, signal, sys
from auditsense import Sensor
from auditsense.testing import FakeSource

class Source(FakeSource):
    def __exit__(self, *exception):
        if self.fileno() >= 0:
            os.write(1, b"restored\\n")
        super().__exit__(*exception)

async def watch():
    sensor = Sensor(source=Source())
    await sensor.__aenter__() if {bare} else None
    if {bare}:
        async for _ in sensor: pass
    async with sensor:
        os.write(1, b"watching\\n")
        async for _ in sensor: pass

async def ctrl_c():
    await watch()

if {bare}:
    loop = asyncio.new_event_loop()
    task = loop.create_task(watch())
    loop.run_until_complete(asyncio.sleep(0.05))
    loop.close()
    if not os.fork():
        sys.exit()
    os.wait()
    os.write(1, b"the end\\n")
    sys.stderr = None
else:
    asyncio.run(watch())
"""


def test_ctrl_c_restores_host() -> None:
    code = ENDINGS.format(bare=False)
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"watching\n"
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=300)
    assert out == b"restored\n"
    assert process.returncode == -signal.SIGINT


def test_interpreter_exit_restores_host_once_not_in_child() -> None:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", ENDINGS.format(bare=True)], capture_output=True, check=False, timeout=300
    )
    assert ended.stdout == b"the end\nrestored\n"


# --- a queue for who must not be waited for ----------------------------------------------------


def test_full_queue_drops_and_counts_new_documents() -> None:
    async def main() -> None:
        source = FakeSource()
        async with Sensor(source=source) as sensor, sensor.queue(3) as queue:
            for pid in range(1, 6):
                source.send(*burst(10, pid=pid, serial=10 * pid))
                await asyncio.sleep(0.02)  # the consumer is away, the sensor is not
            assert sensor.stats().sequences == 5
            assert (len(queue), queue.dropped) == (3, 2)
            assert [(await anext(queue))["process"]["pid"] for _ in range(3)] == [1, 2, 3]
            source.send(*burst(10, pid=6, serial=60))
            assert (await anext(queue))["process"]["pid"] == 6
            sensor.stop()
            assert [document async for document in queue if state(document) == "alert"] == []
            assert queue.dropped == 2
        assert source.left == 1

    asyncio.run(main())


def test_leaving_queue_keeps_sensor_open() -> None:
    async def main() -> None:
        source = FakeSource()
        async with Sensor(source=source) as sensor:
            async with sensor.queue(10):
                await asyncio.sleep(0)
            source.send(*burst(10))
            assert state(await first(sensor)) == "alert"

    asyncio.run(main())


def test_queue_raises_errors_of_sensor() -> None:
    async def broken() -> AsyncGenerator[list[int], None]:
        yield [1, 2]
        raise KernelCommandError("no answer")

    async def main() -> None:
        async with Queue(broken(), 5) as queue:
            assert [await anext(queue), await anext(queue)] == [1, 2]
            with pytest.raises(KernelCommandError):
                await anext(queue)

    asyncio.run(main())


def test_queue_requires_size_and_entering() -> None:
    async def main() -> None:
        async with Sensor(source=FakeSource()) as sensor:
            with pytest.raises(UsageError, match="1 or more, not 0"):
                sensor.queue(0)
            with pytest.raises(UsageError, match="async with"):
                await anext(sensor.queue(1))

    asyncio.run(main())


# --- a loop of one's own -----------------------------------------------------------------------


def test_timeout_s_shows_when_poll_is_due() -> None:
    clock, source = FakeClock(), FakeSource()
    documents = []
    sensor = Sensor(source=source, policy=CLOSE_AFTER_1_S, clock=clock)
    with sensor, selectors.DefaultSelector() as selector:
        selector.register(sensor, selectors.EVENT_READ)
        assert sensor.timeout_s() == 0
        assert sensor.poll() == []
        assert 0 < sensor.timeout_s() <= 1
        assert selector.select(0) == []
        source.send(*burst(12, every_ms=1))
        assert selector.select(0)
        documents += sensor.poll()
        assert selector.select(0) == []
        clock.advance(0.4)
        assert sensor.timeout_s() < 0.7
        clock.advance(2)
        assert sensor.timeout_s() == 0
        documents += sensor.poll()
    assert [state(document) for document in documents] == ["alert", "closed"]
    with pytest.raises(ClosedError):
        sensor.timeout_s()
