"""What asyncio needs of a sensor: waiting for its descriptors, and a queue that never holds the loop up.

Loaded when a sensor is first iterated with `async for`, so that nobody else loads asyncio.

Rule 1: nothing stays with the loop between two waits. While its owner is busy the sensor does not read, and
        a loop that is torn down has nothing of it left.
Rule 2: nothing here waits without being told when to stop, and a cancellation goes through.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from auditsense.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

T = TypeVar("T")


class Readable:
    """Waits until one of some descriptors is readable. One wait at a time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fds: tuple[int, ...] = ()
        # Weak: through it the sensor, which `at_exit` holds on to, would keep a task that all others forgot.
        self._came: weakref.ref[asyncio.Future[bool]] | None = None

    async def wait(self, fds: Sequence[int], timeout_s: float) -> bool:
        """Wait until one is readable. False: the time is over, or `release` was called."""
        if self._came is not None:
            raise UsageError(
                "this sensor is iterated already; one loop or one queue at a time, and whoever iterates "
                "hands on what several readers want"
            )
        self._loop = loop = asyncio.get_running_loop()
        self._fds = tuple(fds)
        came: asyncio.Future[bool] = loop.create_future()
        self._came = weakref.ref(came)
        timer = loop.call_later(max(0.0, timeout_s), _settle, came, False)  # noqa: FBT003 - the future's value
        try:
            for fd in self._fds:
                loop.add_reader(fd, _settle, came, True)  # noqa: FBT003 - the same
            return await came
        finally:
            timer.cancel()
            self.release()

    def release(self) -> None:
        """Let go of the descriptors at once: before they are closed, and their numbers are another's."""
        loop, fds, came = self._loop, self._fds, self._came
        self._loop, self._fds, self._came = None, (), None
        if loop is None or loop.is_closed():
            return
        for fd in fds:
            loop.remove_reader(fd)
        if came is not None and (future := came()) is not None:
            _settle(future, False)  # noqa: FBT003 - the same


def at_exit(close: Callable[[], object]) -> Callable[[], object]:
    """Have *close* called when the interpreter ends, in this process only. Returns what calls that off.

    A task that nobody waits for any more, of a loop that nobody runs any more, leaves no with statement.
    """
    own = os.getpid()

    def close_here() -> None:
        if os.getpid() == own:  # and not in a child that was forked without exec
            close()

    atexit.register(close_here)
    return lambda: atexit.unregister(close_here)


def _settle(future: asyncio.Future[bool], value: bool) -> None:  # noqa: FBT001 - a future's value
    if not future.done():
        future.set_result(value)


class Queue(Generic[T]):
    """What a sensor finds, taken by a task of its own and kept until it is asked for, up to a number.

    For owners who may be away longer than the socket's buffer lasts. What does not fit is dropped and
    counted: what came first stays, since it says how it began. An asynchronous context manager and iterator;
    the iteration ends after `Sensor.stop`, and raises what the sensor raised.

    Args:
        batches: where it comes from.
        most: things kept, 1 or more.

    Raises:
        UsageError: *most* is below 1.
    """

    def __init__(self, batches: AsyncGenerator[list[T], None], most: int) -> None:
        if most < 1:
            raise UsageError(f"a queue holds 1 or more, not {most}")
        self._batches = batches
        self._most = most
        self._kept: deque[T] = deque()
        self._came = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        """What came while the queue was full, and is gone."""

    @property
    def filling(self) -> bool:
        """Whether its task takes what comes."""
        return self._task is not None and not self._task.done()

    def __len__(self) -> int:
        """Return how many are kept at this moment."""
        return len(self._kept)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._fill())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the task. What is kept can still be iterated; the sensor stays open."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])  # its error, if it had one, is raised by the iteration

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._kept:
            if self._task is None:
                raise UsageError("this queue is not open; use it in an async with statement")
            if self._task.done():
                if not self._task.cancelled() and (problem := self._task.exception()) is not None:
                    raise problem
                raise StopAsyncIteration
            self._came.clear()
            await self._came.wait()
        return self._kept.popleft()

    async def _fill(self) -> None:
        try:
            async for batch in self._batches:
                for one in batch:
                    if len(self._kept) >= self._most:
                        self.dropped += 1
                    else:
                        self._kept.append(one)
                self._came.set()
        finally:
            await self._batches.aclose()
            asyncio.get_running_loop().call_soon(self._came.set)  # when this task is done
