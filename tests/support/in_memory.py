"""A kernel in memory, and sources that use it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditsense.sources.unicast import Unicast
from auditsense.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


@contextmanager
def audit(early: Sequence[bytes] = ()) -> Iterator[tuple[FakeKernel, Callable[[], Unicast]]]:
    """Give a kernel in memory, and what makes a source over it.

    Args:
        early: datagrams that are there when a source begins to listen.
    """
    kernel = FakeKernel(enabled=1)

    def source() -> Unicast:
        kernel.closed = False  # what the source before has closed was its own way to it
        kernel.log.clear()
        kernel.send(*early)
        return Unicast(kernel=kernel)

    yield kernel, source
