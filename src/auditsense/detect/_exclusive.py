"""One thread at a time."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from auditsense.errors import BusyError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


class HasInside(Protocol):
    """What has a lock of its own, that its methods share."""

    _inside: threading.RLock


_Method = TypeVar("_Method", bound="Callable[..., object]")


def alone(method: _Method) -> _Method:
    """Let one thread at a time into the whole of a method.

    The ring guards its own calls. Between two of them, what one thread has fed another could drain, and
    bursts are followed on this side.
    """

    @wraps(method)
    def guarded(self: HasInside, /, *args: Any, **kwargs: Any) -> object:  # noqa: ANN401 - the method's own
        if not self._inside.acquire(blocking=False):
            raise BusyError("another thread is inside this detector; give each thread its own")
        try:
            return method(self, *args, **kwargs)
        finally:
            self._inside.release()

    return cast("_Method", guarded)
