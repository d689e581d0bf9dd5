"""asyncio support for a sensor: wait for descriptors, and a queue that never blocks the loop.

Imported by the first `async for`, so that only those who use it load asyncio.

Nothing is registered with the event loop between two waits: while its owner is busy the sensor does not read,
and a loop that is torn down holds nothing of it. Every wait ends on request, and cancellation passes through.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from auditsense.errors import UsageError, expect_number

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

T = TypeVar("T")


class DescriptorWait:
    """Wait until one of several descriptors is readable. One wait at a time."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fds: tuple[int, ...] = ()
        # Weak, because `call_at_exit` references the sensor: it would keep a forgotten task alive.
        self._future: weakref.ref[asyncio.Future[bool]] | None = None

    async def wait(self, fds: Sequence[int], timeout_s: float) -> bool:
        """Wait until one is readable. False: timeout, or `release` was called."""
        if self._future is not None:
            raise UsageError(
                "this sensor is iterated already: use one loop or one queue at a time, and pass its "
                "documents to several readers"
            )
        self._loop = loop = asyncio.get_running_loop()
        self._fds = tuple(fds)
        future: asyncio.Future[bool] = loop.create_future()
        self._future = weakref.ref(future)
        timer = loop.call_later(max(0.0, timeout_s), _set_result, future, False)  # noqa: FBT003 - the future's value
        try:
            for fd in self._fds:
                loop.add_reader(fd, _set_result, future, True)  # noqa: FBT003 - the same
            return await future
        finally:
            timer.cancel()
            self.release()

    def release(self) -> None:
        """Release the descriptors, before they are closed and their numbers are reused."""
        loop, fds, reference = self._loop, self._fds, self._future
        self._loop, self._fds, self._future = None, (), None
        if loop is None or loop.is_closed():
            return
        for fd in fds:
            loop.remove_reader(fd)
        if reference is not None and (future := reference()) is not None:
            _set_result(future, False)  # noqa: FBT003 - the same


def call_at_exit(close: Callable[[], object]) -> Callable[[], object]:
    """Call *close* when the interpreter exits, in this process only. Returns a function that cancels it.

    A task of an abandoned event loop never leaves its `with` statement.
    """
    pid = os.getpid()

    def close_here() -> None:
        if os.getpid() == pid:  # not in a child that was forked without exec
            close()

    atexit.register(close_here)
    return lambda: atexit.unregister(close_here)


def _set_result(future: asyncio.Future[bool], value: bool) -> None:  # noqa: FBT001 - a future's value
    if not future.done():
        future.set_result(value)


class Queue(Generic[T]):
    """A bounded queue that a separate task fills from a sensor.

    For owners who may be away longer than the socket's buffer lasts. When it is full, new items are dropped
    and counted; the oldest stay, because they show how it began. An asynchronous context manager and
    iterator; the iteration ends after `Sensor.stop`, and raises the sensor's errors.

    Args:
        batches: of the sensor.
        size: capacity, 1 or more.

    Raises:
        UsageError: *size* is below 1.
    """

    def __init__(self, batches: AsyncGenerator[list[T], None], size: int) -> None:
        expect_number("size", size, 1)
        self._batches = batches
        self._size = size
        self._items: deque[T] = deque()
        self._filled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        """Items that were dropped because the queue was full."""

    def __repr__(self) -> str:
        return f"<Queue {len(self)} of {self._size}, {self.dropped} dropped>"

    @property
    def filling(self) -> bool:
        """Whether its task is running."""
        return self._task is not None and not self._task.done()

    def __len__(self) -> int:
        """Return the number of items in the queue."""
        return len(self._items)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._fill())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End the task. The remaining items can still be iterated; the sensor stays open."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])  # the iteration raises its error

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._task is None:
                raise UsageError("this queue is not open; use it in an async with statement")
            if self._task.done():
                if not self._task.cancelled() and (error := self._task.exception()) is not None:
                    raise error
                raise StopAsyncIteration
            self._filled.clear()
            await self._filled.wait()
        return self._items.popleft()

    async def _fill(self) -> None:
        try:
            async for batch in self._batches:
                for item in batch:
                    if len(self._items) >= self._size:
                        self.dropped += 1
                    else:
                        self._items.append(item)
                self._filled.set()
        finally:
            await self._batches.aclose()
            asyncio.get_running_loop().call_soon(self._filled.set)  # when this task is done
