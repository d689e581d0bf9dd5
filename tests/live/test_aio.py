"""The sensor in an asyncio program on the real kernel: cancelled, with the host as it was."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from auditsense import Sensor, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.live.restore_host import HostState
    from tests.live.workloads import Scanner

RULE = "-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k audit_proc"


def test_cancelled_task_restores_host(scanner: Scanner, host_state: Callable[[], HostState]) -> None:
    before = host_state()
    opens: dict[int | None, int] = {}
    entered = asyncio.Event()

    async def watch() -> None:
        async with Sensor(view=View.EVENTS, audit_rules=[RULE]) as sensor:
            entered.set()
            async for event in sensor.events():
                if event.path == "/proc":
                    opens[event.pid] = opens.get(event.pid, 0) + 1

    async def main() -> None:
        task = asyncio.create_task(watch())
        await entered.wait()
        pid = await asyncio.to_thread(scanner.scan, 20)
        async with asyncio.timeout(10):
            while opens.get(pid, 0) < 20:  # noqa: ASYNC110 - the pid is known after the opens
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert opens[pid] == 20

    asyncio.run(main())
    assert host_state() == before
