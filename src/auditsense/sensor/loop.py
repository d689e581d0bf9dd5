"""How a sensor is iterated: documents or events, with asyncio or without, always at the same pace."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from auditsense.errors import UsageError
from auditsense.sensor.pacer import GATHER_S, TURN_S, Pace

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

    from auditsense.detect.ecs import Document
    from auditsense.detect.events import Event
    from auditsense.sensor.aio import DescriptorWait, Queue

_T = TypeVar("_T")


class Iterated:
    """The loops of a `Sensor`, which is what they call. Abstract: what one step does is the subclass's."""

    def __init__(self) -> None:
        self._stopped = False
        self._wake = -1
        self._resources = ExitStack()
        self._readable: DescriptorWait | None = None
        self._queue: Queue[Document] | None = None

    # --- what a step is ------------------------------------------------------------

    def fileno(self) -> int:
        """See `Sensor.fileno`."""
        raise NotImplementedError

    def due_s(self) -> float:
        """See `Sensor.due_s`."""
        raise NotImplementedError

    def wait(self, timeout_s: float | None = None) -> bool:
        """See `Sensor.wait`."""
        raise NotImplementedError

    def finish(self) -> list[Document]:
        """See `Sensor.finish`."""
        raise NotImplementedError

    def close(self) -> None:
        """See `Sensor.close`."""
        raise NotImplementedError

    def _poll(self) -> tuple[list[Document], int]:
        raise NotImplementedError

    def _poll_found(self, notice: Callable[[Document], object] | None) -> tuple[list[Any], int]:
        raise NotImplementedError

    def _finish_found(self, notice: Callable[[Document], object] | None) -> list[Any]:
        raise NotImplementedError

    def _only_events(self) -> None:
        """Raise when there are no events to iterate."""
        raise NotImplementedError

    def _only_rows(self) -> None:
        """Hand on rows from now on; raise when there are none."""
        raise NotImplementedError

    # --- the loops -------------------------------------------------------------------

    def __iter__(self) -> Iterator[Document]:
        """Yield documents as they come; after `stop`, those that end the bursts."""
        for documents in self.batches():
            yield from documents

    def batches(self, turned: Callable[[], float | None] | None = None) -> Iterator[list[Document]]:
        """Yield documents as they come, those together that came together; ends as iterating does.

        Args:
            turned: called after a turn, when what it found has been taken: once a second at least, and 20
                times a second under a load that leads to nothing. May return the seconds until it wants to be
                called again.
        """
        yield from self._turns(self._poll, turned)
        yield self.finish()

    def events(self, notice: Callable[[Document], object] | None = None) -> Iterator[Event]:
        """Yield every event as it comes; ends as iterating does. Only with `View.EVENTS`.

        Args:
            notice: gets each document that the sensor has to say about itself (docs/alerts.md). Without it
                they are left out; `losses` counts either way.

        Raises:
            UsageError: another view.
        """
        self._only_events()
        for events in self._turns(partial(self._poll_found, notice)):
            yield from events
        yield from self._finish_found(notice)

    def rows(self, notice: Callable[[Document], object] | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield a tuple of the sensor's `fields` for every event, as `events` does; see `RowReader`.

        Args:
            notice: as `events`.

        Raises:
            UsageError: the sensor was made without `fields`.
        """
        self._only_rows()
        for rows in self._turns(partial(self._poll_found, notice)):
            yield from rows
        yield from self._finish_found(notice)

    def __aiter__(self) -> AsyncIterator[Document]:
        """Yield documents as `__iter__` does, while other tasks run; see `abatches`."""
        return _flat(self.abatches())

    async def abatches(self) -> AsyncGenerator[list[Document], None]:
        """Yield documents as `batches` does, while other tasks of an asyncio loop run.

        Ends after `stop`, or when the sensor is closed. Between two steps nothing is read and nothing is
        registered with the loop; see `queue` for owners that may be away for long.

        Raises:
            UsageError: it is iterated by another task as well.
        """
        async for documents in self._aturns(self._poll):
            yield documents
        if self.fileno() >= 0:
            yield self.finish()

    async def aevents(
        self, notice: Callable[[Document], object] | None = None
    ) -> AsyncGenerator[Event, None]:
        """Yield events as `events` does, while other tasks of an asyncio loop run; see `abatches`."""
        self._only_events()
        async for events in self._aturns(partial(self._poll_found, notice)):
            for event in events:
                yield event
        if self.fileno() >= 0:
            for event in self._finish_found(notice):
                yield event

    async def arows(
        self, notice: Callable[[Document], object] | None = None
    ) -> AsyncGenerator[tuple[Any, ...], None]:
        """Yield rows as `rows` does, while other tasks of an asyncio loop run; see `abatches`."""
        self._only_rows()
        async for rows in self._aturns(partial(self._poll_found, notice)):
            for row in rows:
                yield row
        if self.fileno() >= 0:
            for row in self._finish_found(notice):
                yield row

    def queue(self, most: int) -> Queue[Document]:
        """Return a queue of documents that a task of its own fills, so that the sensor goes on reading.

        For owners whose work on a document may take longer than the socket's buffer lasts.

        Args:
            most: documents kept, 1 or more; those that come while so many wait are dropped, and counted
                (`Queue.dropped`).

        Raises:
            UsageError: *most* is below 1, or another queue of this sensor is in use.
        """
        from auditsense.sensor.aio import Queue  # noqa: PLC0415 - it loads asyncio

        if self._queue is not None and self._queue.filling:
            raise UsageError(
                "this sensor has a queue already; one at a time: share that one, or let its reader hand on"
            )
        self._queue = made = Queue(self.abatches(), most)
        return made

    def _turns(
        self, take: Callable[[], tuple[list[_T], int]], turned: Callable[[], float | None] | None = None
    ) -> Iterator[list[_T]]:
        """Yield what there is to take, each time that there is something, until `stop`."""
        pace = Pace()
        again_s: float | None = None
        turn_s = 0.0
        while not self._stopped:
            if pace.busy:
                time.sleep(GATHER_S)
            else:
                pace.sleeps()
                self.wait(self.due_s() if again_s is None else min(again_s, self.due_s()))
                pace.woke()
            found, taken = take()
            if found:
                yield found
            if turned is not None and (found or not pace.busy or time.monotonic() >= turn_s):
                again_s = turned()
                turn_s = time.monotonic() + TURN_S
            pace.took(taken)

    async def _aturns(self, take: Callable[[], tuple[list[_T], int]]) -> AsyncIterator[list[_T]]:
        import asyncio  # noqa: PLC0415 - nobody else loads it

        from auditsense.sensor.aio import DescriptorWait, call_at_exit  # noqa: PLC0415 - the same

        self.due_s()  # raises when it is not open
        readable = self._readable
        if readable is None:
            self._readable = readable = DescriptorWait()
            self._resources.callback(call_at_exit(self.close))
        pace = Pace()
        while not self._stopped and self.fileno() >= 0:
            if pace.busy:
                await asyncio.sleep(GATHER_S)
            else:
                pace.sleeps()
                await readable.wait((self.fileno(), self._wake), self.due_s())
                pace.woke()
            if self.fileno() < 0:
                return
            found, taken = take()
            if found:
                yield found
            pace.took(taken)

    def _let_go(self) -> None:
        """Leave the loop before the descriptors are closed."""
        readable, self._readable = self._readable, None
        if readable is not None:
            readable.release()


def tell(notice: Callable[[Document], object] | None, documents: list[Document]) -> None:
    """Give the owner what the sensor has to say about itself, where he asked for it."""
    if notice is not None:
        for one in documents:
            notice(one)


async def _flat(batches: AsyncGenerator[list[_T], None]) -> AsyncIterator[_T]:
    try:
        async for batch in batches:
            for one in batch:
                yield one
    finally:
        await batches.aclose()
