"""The loops of a sensor: wait for records, let them gather under load, with or without asyncio."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
    from contextlib import ExitStack

    from auditsense.sensor.aio import DescriptorWait

_T = TypeVar("_T")

_GATHER_S: Final = 0.008
_SOON_S: Final = 0.004  # between two wake-ups under load
_TURN_S: Final = 0.05  # between two calls of `after_turn` under a load without results
_BUSY_DATAGRAMS: Final = 64  # in one batch; an event is five records
_BUSY_WAKES: Final = 8  # in a row, each soon after the last


class BatchPacer:
    """Decides when to wait for a record, and when to let records gather.

    Gathering is cheaper than a wake-up per record. It also unblocks the kernel: its thread wakes us with
    every record, and on a shared processor it sends the next only when we sleep again.
    """

    def __init__(self) -> None:
        self.busy = False
        """Whether to sleep for a fixed time instead of waiting for a record."""
        self._wakes = 0
        self._asleep_s = 0.0

    def before_wait(self) -> None:
        """Note that the wait for a record begins."""
        self._asleep_s = time.monotonic()

    def after_wait(self) -> None:
        """Note that it has ended."""
        self._wakes = self._wakes + 1 if time.monotonic() - self._asleep_s < _SOON_S else 0

    def after_batch(self, datagrams: int) -> None:
        """Note the number of datagrams read."""
        self.busy = datagrams >= _BUSY_DATAGRAMS or (datagrams > 0 and self._wakes >= _BUSY_WAKES)


class SensorLoop:
    """Waits for a source's descriptor, for `stop`, and for descriptors of the owner.

    Args:
        fileno: returns the source's descriptor; negative once it is closed.
        timeout_s: returns the seconds until the next step is due without a record.
        close_at_exit: called once when asyncio is used: its tasks may never leave their `with` statement.
    """

    def __init__(
        self, fileno: Callable[[], int], timeout_s: Callable[[], float], close_at_exit: Callable[[], object]
    ) -> None:
        self.ended = False
        self._fileno = fileno
        self._timeout_s = timeout_s
        self._close_at_exit = close_at_exit
        self._poll = select.poll()
        self._readers: dict[int, Callable[[], object]] = {}
        self._wake = -1
        self._pid = 0  # of the process that opened it
        self._wait: DescriptorWait | None = None

    def open_wake(self, stack: ExitStack) -> None:
        """Make `stop` work. Before the source is entered."""
        self._pid = os.getpid()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        stack.callback(self._close_wake)

    def open(self, stack: ExitStack) -> None:
        """Watch the descriptors until *stack* is closed. After the source is entered."""
        self._poll = select.poll()
        for fd in (self._fileno(), self._wake, *self._readers):
            self._poll.register(fd, select.POLLIN)
        stack.callback(self._leave)

    def stop(self) -> None:
        """End the turns. Safe in signal handlers and other threads."""
        self.ended = True
        if self._wake >= 0 and self._pid == os.getpid():
            os.eventfd_write(self._wake, 1)

    def release(self) -> None:
        """Unregister from asyncio, before the descriptors are closed."""
        if self._wait is not None:
            self._wait.release()

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Call *callback* when *fd* is readable."""
        self._readers[fd] = callback
        self._poll.register(fd, select.POLLIN)

    def call_readers(self) -> None:
        """Call the callbacks of readable descriptors, without waiting."""
        if self._readers:
            self._call(self._poll.poll(0))

    def wait(self, timeout_s: float | None) -> bool:
        """Wait until the source is readable. False: timeout, `stop`, or another descriptor."""
        ready = self._poll.poll(None if timeout_s is None else max(0, timeout_s) * 1000)
        self._call(ready)
        return any(fd != self._wake and fd not in self._readers for fd, _ in ready)

    def turns(
        self,
        step: Callable[[], tuple[list[_T], int]],
        after_turn: Callable[[], float | None] | None = None,
    ) -> Iterator[list[_T]]:
        """Yield the results of *step*, when there are any, until `stop`.

        Args:
            step: reads what waits; returns results and the number of datagrams.
            after_turn: see `Sensor.batches`.
        """
        pacer = BatchPacer()
        again_s: float | None = None
        turn_s = 0.0
        while not self.ended:
            if pacer.busy:
                time.sleep(_GATHER_S)
            else:
                pacer.before_wait()
                due_s = self._timeout_s()
                self.wait(due_s if again_s is None else min(again_s, due_s))
                pacer.after_wait()
            results, datagrams = step()
            if results:
                yield results
            if after_turn is not None and (results or not pacer.busy or time.monotonic() >= turn_s):
                again_s = after_turn()
                turn_s = time.monotonic() + _TURN_S
            pacer.after_batch(datagrams)

    async def aturns(self, step: Callable[[], tuple[list[_T], int]]) -> AsyncIterator[list[_T]]:
        """Yield as `turns` does, while other tasks run; ends as well when the sensor is closed."""
        import asyncio  # noqa: PLC0415 - only those who use it load it

        from auditsense.sensor.aio import DescriptorWait  # noqa: PLC0415 - the same

        self._timeout_s()  # raises when the sensor is not open
        wait = self._wait
        if wait is None:
            self._wait = wait = DescriptorWait()
            self._close_at_exit()
        pacer = BatchPacer()
        while not self.ended and self._fileno() >= 0:
            if pacer.busy:
                await asyncio.sleep(_GATHER_S)
            else:
                pacer.before_wait()
                await wait.wait((self._fileno(), self._wake), self._timeout_s())
                pacer.after_wait()
            if self._fileno() < 0:
                return
            results, datagrams = step()
            if results:
                yield results
            pacer.after_batch(datagrams)

    def _call(self, ready: Sequence[tuple[int, int]]) -> None:
        for fd, _ in ready:
            if fd in self._readers:
                self._readers[fd]()

    def _leave(self) -> None:
        self.release()
        self._wait = None

    def _close_wake(self) -> None:
        wake, self._wake = self._wake, -1
        os.close(wake)


class Stream(Generic[_T]):
    """An iteration of a sensor: `for` and, while other tasks run, `async for`.

    Args:
        loop: of the sensor.
        step: reads what waits; returns items and the number of datagrams.
        finish: closes the source and returns the last items.
        is_open: whether `finish` can be called.
    """

    def __init__(
        self,
        loop: SensorLoop,
        step: Callable[[], tuple[list[_T], int]],
        finish: Callable[[], list[_T]],
        is_open: Callable[[], bool],
    ) -> None:
        self._loop = loop
        self._step = step
        self._finish = finish
        self._is_open = is_open

    def __iter__(self) -> Iterator[_T]:
        for batch in self.batches():
            yield from batch

    async def __aiter__(self) -> AsyncIterator[_T]:
        batches = self.abatches()
        try:
            async for batch in batches:
                for item in batch:
                    yield item
        finally:
            await batches.aclose()

    def batches(self, after_turn: Callable[[], float | None] | None = None) -> Iterator[list[_T]]:
        """Yield the items that came together; see `Sensor.batches`."""
        yield from self._loop.turns(self._step, after_turn)
        yield self._finish()

    async def abatches(self) -> AsyncGenerator[list[_T], None]:
        """Yield as `batches` does, while other tasks of an asyncio loop run."""
        async for batch in self._loop.aturns(self._step):
            yield batch
        if self._is_open():
            yield self._finish()
