"""How a sensor takes what its detector has found, and hands it on: as documents, as events or as rows."""

from __future__ import annotations

from operator import attrgetter, itemgetter, methodcaller
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from auditsense.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from auditsense.detect.detector import Detector
    from auditsense.detect.ecs import Document


class Found(NamedTuple):
    """One way to take it."""

    waiting: Callable[[Detector], list[Any]]
    """What waits in the core."""
    of_datagrams: Callable[[Detector, Iterable[bytes], int], Iterable[Any]]
    """What these lead to; the time is that of `Detector.feed`."""
    of_text: Callable[[Detector, bytes], Iterable[Any]]
    settled: Callable[[Detector], Iterable[Any]]
    """What comes of deciding all that is open; bursts go on."""
    last: Callable[[Detector], Iterable[Any]]
    """What the end of the input leads to."""
    pid: Callable[[Any], int | None] | None = None
    """Of the process that did it; None: what is found is not of one process."""
    document: Callable[[Any], Document] | None = None
    """Made last, of what is left; None: it is one."""
    asked: Callable[[Any], Any] | None = None
    """A row without what was not asked for; None: all of it was."""

    def of_others(self, found: list[Any], own_pid: int) -> list[Any]:
        """Leave out what this process did: where the kernel reports it, writing one makes the next."""
        return found if self.pid is None else [one for one in found if self.pid(one) != own_pid]

    def documents(self, found: list[Any]) -> list[Document]:
        """Return the documents of what was found.

        Raises:
            UsageError: of rows there are none.
        """
        return found if self.document is None else [self.document(one) for one in found]

    def handed_on(self, found: list[Any]) -> list[Any]:
        """Return what its reader gets."""
        return found if self.asked is None else [self.asked(one) for one in found]


DOCUMENTS = Found(
    lambda detector: detector.drain(),
    lambda detector, datagrams, now_ms: detector.feed(datagrams, now_ms),
    lambda detector, text: detector.feed_text(text),
    lambda detector: detector.settle(),
    lambda detector: detector.finish(),
)
EVENTS = Found(
    lambda detector: detector.drain_events(),
    lambda detector, datagrams, now_ms: detector.events(datagrams, now_ms),
    lambda detector, text: detector.text_events(text),
    lambda detector: detector.last_events(),
    lambda detector: detector.last_events(),
    pid=attrgetter("pid"),
    document=methodcaller("document"),
)


def rows(names: Sequence[str], asked: int) -> Found:
    """Return how rows are taken.

    Args:
        names: of the detector's fields, "pid" among them.
        asked: how many of them, from the first on, a row is to have.
    """
    return Found(
        lambda detector: detector.drain_rows(),
        lambda detector, datagrams, now_ms: detector.rows(datagrams, now_ms),
        lambda detector, text: detector.text_rows(text),
        lambda detector: detector.last_rows(),
        lambda detector: detector.last_rows(),
        pid=itemgetter(names.index("pid")),
        document=_no_document,
        asked=None if asked == len(names) else itemgetter(slice(asked)),
    )


def _no_document(_: object) -> NoReturn:
    raise UsageError("this sensor is read as rows: make another without fields= for documents")
