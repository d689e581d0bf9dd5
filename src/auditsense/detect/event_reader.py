"""Read every event of a stream of audit records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.core.ring import Limits, Ring
from auditsense.detect.events import Event, events_in
from auditsense.detect.record_reader import EVERY_EVENT, RecordReader
from auditsense.detect.rows import fields_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.detect.host import Host


class EventReader(RecordReader[Event]):
    """Read every event of a system call, and of a record that stands alone. Nothing is detected.

    `feed`, `feed_packed` and `feed_text` return the events that the input completes; `tick` those whose end
    has not come in time; `finish` those that are open. `RowReader` reads a few fields of many events faster.

    Args:
        host: host of the records that name no node; this host by default.
        limits: capacity of the core.
        lean: records of the types in `unsent` need not come and are not awaited; events lack them.
        titled: internal, for `Sensor`: EOE need not come, because each event has a PROCTITLE record.
        order: for recorded input: number of matching events held back, to be decided by stamp and serial. At
            most half of `event_slots` and an eighth of `small_texts` of the limits; with 0 none is delayed.
        fields: the attributes of `Event` that will be read, as for `RowReader`; all by default.
            The core keeps no others, which is faster. Reading another one is a UsageError.
        make_ring: internal, for `Sensor`.

    Raises:
        UsageError: an unknown field, or a limit outside its bounds.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        *,
        host: Host | None = None,
        limits: Limits | None = None,
        lean: bool = False,
        titled: bool = False,
        order: int = 0,
        fields: Sequence[str] | None = None,
        make_ring: Callable[..., Ring] = Ring,
    ) -> None:
        super().__init__(
            EVERY_EVENT,
            host=host,
            limits=limits,
            lean=lean,
            titled=titled,
            order=order,
            fields=None if fields is None else fields_of(fields),
            make_ring=make_ring,
        )

    def _decode(self, drained: bytes) -> list[Event]:
        return events_in(drained, self.host)
