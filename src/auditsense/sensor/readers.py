"""Output of a sensor: the reader it uses, and what its owner receives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from auditsense._frozen import Frozen
from auditsense.core.ring import Ring
from auditsense.detect.detector import Detector, checked_mapping
from auditsense.detect.event_reader import EventReader
from auditsense.detect.events import events_in
from auditsense.detect.record_reader import EVERY
from auditsense.detect.rows import RowReader, fields_of
from auditsense.detect.view import View
from auditsense.errors import UsageError
from auditsense.sensor.side_ring import EVENTS, SELF_TEST, SideRing, self_test_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.core.process_facts import ProcessFacts
    from auditsense.core.ring import Limits
    from auditsense.detect.document_types import Document
    from auditsense.detect.events import Event
    from auditsense.detect.file_systems import FileSystems
    from auditsense.detect.suppression import AlertPolicy
    from auditsense.detections.event_table import EventMapping
    from auditsense.detections.model import Detection

    ReadProcess: TypeAlias = Callable[[int], ProcessFacts | None]

Reader: TypeAlias = Detector | EventReader | RowReader


@dataclass(slots=True, eq=False, repr=False)
class SensorOutput(Frozen):
    """Kind of output of a sensor, and its options.

    Attributes:
        detections, view, policy, limits, lean, mapping, fields, on_event: see `Sensor`.
        self_test_path: opened by the self-test; None: no self-test.

    Raises:
        UsageError: an unknown mapping, or options that exclude each other.
    """

    detections: Sequence[Detection]
    view: View
    policy: AlertPolicy | None
    limits: Limits
    lean: bool
    mapping: EventMapping | str
    fields: Sequence[str] | None
    on_event: Callable[[Event], object] | None
    self_test_path: str | None

    def __post_init__(self) -> None:
        checked_mapping(self.mapping)
        if self.on_event is not None and self.view is View.EVENTS:
            raise UsageError("on_event adds events to alerts; with View.EVENTS iterate sensor.events()")
        if self.on_event is not None and not callable(self.on_event):
            raise UsageError(f"on_event: expected a function of one event, not {self.on_event!r:.60}")
        if self.fields is None:
            return
        if self.view is not View.EVENTS:
            raise UsageError("fields need another view: pass view=View.EVENTS")
        if self.self_test_path is not None:
            raise UsageError("a self-test finds its own event by all its fields: leave out fields=")
        fields_of(self.fields)

    def make_reader(
        self,
        boot: str = "",
        read_process: ReadProcess | None = None,
        *,
        titled: bool = False,
        file_systems: FileSystems | None = None,
    ) -> Reader:
        """Create a reader.

        Args:
            boot: identifies the boot of this host.
            read_process: reads a process that an event needs, as for `Ring`.
            titled: whether the kernel writes PROCTITLE records; then it need not send EOE.
            file_systems: tells the types of devices; None: they are unknown.
        """
        make_ring, limits, lean = self._make_ring(boot, read_process), self.limits, self.lean
        if self.fields is not None:
            names = self._read_fields(self.fields)
            return RowReader(names, limits=limits, lean=lean, titled=titled, make_ring=make_ring)
        if self.view is View.EVENTS:
            return EventReader(limits=limits, lean=lean, titled=titled, make_ring=make_ring)
        return Detector(
            self.detections,
            sequences=self.view is View.SEQUENCES,
            policy=self.policy,
            limits=self.limits,
            lean=self.lean,
            mapping=self.mapping,
            titled=titled,
            make_ring=make_ring,
            file_systems=file_systems,
        )

    def with_detections(self, detections: Sequence[Detection], policy: AlertPolicy | None) -> SensorOutput:
        """Return the same output with other detections, and another policy if given."""
        return replace(self, detections=detections, policy=policy if policy is not None else self.policy)

    def deliver_events(self, reader: Reader, *, own_pid: int | None) -> None:
        """Pass the events since the last call to `on_event`, without those of this process if given."""
        if self.on_event is None or not isinstance(reader.ring, SideRing):
            return
        for event in events_in(reader.ring.take_side(EVENTS), reader.host):
            if own_pid is None or event.pid != own_pid:
                self.on_event(event)

    def without_process(self, results: list[Any], pid: int) -> list[Any]:
        """Return the events or rows of other processes; alerts are returned as they are."""
        if self.fields is not None:
            index = self._read_fields(self.fields).index("pid")
            return [row for row in results if row[index] != pid]
        return results if self.view is not View.EVENTS else [event for event in results if event.pid != pid]

    def documents(self, results: list[Any]) -> list[Document]:
        """Return results as documents.

        Raises:
            UsageError: rows are not documents.
        """
        if self.fields is not None:
            raise UsageError("this sensor reads rows: make another without fields= for documents")
        return results if self.view is not View.EVENTS else [event.document() for event in results]

    def requested(self, results: list[Any]) -> list[Any]:
        """Return events as they are, and rows without a pid that was not requested."""
        size = None if self.fields is None else len(self.fields)
        return [row[:size] for row in results] if size and "pid" not in (self.fields or ()) else results

    def require(self, reader: Reader, kind: type[EventReader | RowReader]) -> None:
        """Raise UsageError when the sensor has not this kind of reader."""
        if not isinstance(reader, kind):
            name, fields = ("events", "no fields=") if kind is EventReader else ("rows", "fields=(...)")
            raise UsageError(f"this sensor does not read {name}; make one with view=View.EVENTS, {fields}")

    @staticmethod
    def _read_fields(fields: Sequence[str]) -> tuple[str, ...]:
        """Return the fields and "pid", which identifies this process's own events."""
        return (*fields, *(["pid"] if "pid" not in fields else []))

    def _make_ring(self, boot: str, read_process: ReadProcess | None) -> Callable[..., Ring]:
        side_rules = {}
        if self.self_test_path is not None:
            side_rules[SELF_TEST] = self_test_rule(self.self_test_path)
        if self.on_event is not None:
            side_rules[EVENTS] = EVERY

        def make_ring(*arguments: Any, host: str = "", **options: Any) -> Ring:  # noqa: ANN401 - those of Ring
            options |= {"host": f"{host} {boot}", "read_process": read_process}
            if side_rules:
                return SideRing(*arguments, side_rules=side_rules, **options)
            return Ring(*arguments, **options)

        return make_ring
