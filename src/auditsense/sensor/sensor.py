"""The sensor: records from a source, through a reader, to an embedder.

No hidden side effects: no threads, no signal handlers, no output. The owner waits on `fileno` for `timeout_s`
at most and calls `poll`, or iterates, with asyncio or without.

While its owner is busy the sensor does not read. Records wait in the socket (128 MiB) and in the kernel's
queue; records that do not fit are lost, counted and reported.

An open sensor belongs to the process that opened it. In a forked child, closing releases the child's
descriptors and leaves the host alone; everything else but `fileno` and `stop` raises ClosedError.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn, Self

from auditsense.core.ring import Limits
from auditsense.detect.detector import Detector
from auditsense.detect.event_reader import EventReader
from auditsense.detect.rows import RowReader
from auditsense.detect.suppression import AlertCounts, AlertPolicy
from auditsense.detect.view import View
from auditsense.detections.event_table import EventMapping
from auditsense.detections.loader import resolve_detections, validate_detections
from auditsense.detections.record_filter import TITLE_RECORD
from auditsense.errors import ClosedError, UsageError, expect, expect_number
from auditsense.kernel.access import in_other_namespace
from auditsense.kernel.self_test import SelfTest
from auditsense.sensor.activity import Activity
from auditsense.sensor.clock import HostClock
from auditsense.sensor.containers import Containers
from auditsense.sensor.enrich import UserNames, enrich_all
from auditsense.sensor.file_systems import HostFileSystems
from auditsense.sensor.health import FinalCounters, HealthMonitor
from auditsense.sensor.loop import SensorLoop, Stream
from auditsense.sensor.processes import HostProcesses
from auditsense.sensor.readers import SensorOutput
from auditsense.sensor.socket_feed import SocketFeed
from auditsense.sensor.text_feed import TextFeed
from auditsense.sources.factory import extended_rules, source_for
from auditsense.sources.kernel_source import KernelSource
from auditsense.sources.text_source import TextSource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence

    from auditsense.core.ring import Stats
    from auditsense.detect.document_types import Document
    from auditsense.detect.events import Event
    from auditsense.detect.losses import Losses
    from auditsense.detections.model import Detection, DetectionException
    from auditsense.sensor.aio import Queue
    from auditsense.sensor.clock import Clock
    from auditsense.sensor.readers import Reader
    from auditsense.sources.base import Source

    OnNotice = Callable[[Document], object] | None

_POLL_S: Final = 1.0  # longest time between two polls
_TICK_S: Final = 0.1  # time between two ticks of the reader under load
_NOT_OPEN: Final = "this sensor is not open; use it in a with statement"


class _Session(NamedTuple):
    """The parts of an open sensor."""

    reader: Reader
    feed: SocketFeed | TextFeed
    health: HealthMonitor


class Sensor:
    """Watches this host and returns alerts, as `auditsense run` does. A context manager.

    Entering takes over the kernel's audit, leaving restores the host. `async with` does the same, without
    yielding to other tasks: some milliseconds, and up to two seconds when the kernel has much queued.

    ==================  ===================================================================================
    iterate             `for` and `async for` over the sensor, `batches` or `abatches`; `queue`; `stop`
    your own loop       `fileno`, `timeout_s`, `poll`, `finish`; or `wait` and `add_reader`
    all events          `on_event` next to alerts; with `View.EVENTS` also `events` and `rows`
    state               `stats`, `losses`, `alert_counts`, `exceptions`, `clock_steps`, `activity`,
                        `detections`, `reader`
    ==================  ===================================================================================

    Args:
        detections: what to look for; the shipped ones by default.
        audit_rules: lines in auditctl syntax that must be active. By default those that the detections name
            (`Detection.audit_rules`), and derived ones for detections that name none; costly rules are left
            out. []: the kernel has them already.
        view: kind of output.
        policy: when alerts are sent and when counted.
        limits: capacity of the core.
        source: origin of the records; by default the kernel's unicast socket. *audit_rules* then belong to
            the source: `Unicast(["-w …"], guarded=True)`; by default it takes those of the detections. With a
            text source the kernel is not asked for anything.
        self_test: seconds from one self-test to the next, above 0. Each proves that records arrive; a failure
            is a document. None by default, because it forks a helper.
        lean: the kernel keeps records that no detection compares out of the socket, which costs this process
            and the kernel less. Alerts then lack `process.working_directory` and `process.title`. They also
            lack arguments of execs, socket addresses and capabilities that no detection compares.
        mapping: fields that events have for detections; see `Detector`.
        fields: with `View.EVENTS`, the fields that events have, as for `EventReader`. The core keeps no
            others, which costs less. There are no documents and no *self_test* then.
        on_event: receives every event that has a SYSCALL record, next to the alerts, before those that it
            completes. It must not block.
        clock: this host's by default.

    Not thread-safe, except `stop`. After a fork only the process that opened it can use it. In the child it
    raises ClosedError, and closing it there changes nothing on this host. A child that lives on should close
    it: the guardian of a guarded source notices the death of the sensor's process only when no child holds a
    copy of its descriptors.

    Where a detection asks for the parent of a process, entering reads /proc once. A forked child, which has
    two seconds, reads the command lines.

    Documents are alerts and, with a `rule.id` that begins with "auditsense.", reports of the sensor about
    itself: losses, tampering, failed self-tests (docs/alerts.md).

    Raises:
        UsageError: arguments of a wrong type or that exclude each other, or no audit rule follows from the
            detections.
        DetectionError: two detections with one id, or an invalid audit rule in one.
        AuditRuleError: an invalid audit rule.

    Entering raises NoKernelAuditError (no audit here, or not for this process), LockedError (the kernel's
    configuration is locked, or would panic), SocketTakenError (another process owns the audit socket) or
    KernelCommandError (the kernel refused something else). The host is then as it was.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        detections: Sequence[Detection] | None = None,
        *,
        audit_rules: Sequence[str] | None = None,
        view: View = View.ALERTS,
        policy: AlertPolicy | None = None,
        limits: Limits | None = None,
        source: Source | None = None,
        self_test: float | SelfTest | None = None,
        lean: bool = False,
        mapping: EventMapping | str = EventMapping.NATIVE,
        fields: Sequence[str] | None = None,
        on_event: Callable[[Event], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        _check_types(policy, limits, source, clock)
        test = _self_test(self_test)
        self._output = SensorOutput(
            resolve_detections(detections),
            View(view),
            policy,
            limits if limits is not None else Limits(),
            lean,
            mapping,
            fields,
            on_event,
            test.path if test is not None else None,
        )
        self._source: Source = source_for(source, audit_rules, self._output.detections, mapping)
        self._self_test = test
        self._clock: Clock = clock if clock is not None else HostClock()
        self._user_names, self._containers = UserNames(), Containers()
        self._processes = HostProcesses(self._source)
        self._file_systems = HostFileSystems()
        self._loop = SensorLoop(self.fileno, self.timeout_s, self._close_at_exit)
        self._queue: Queue[Document] | None = None
        self._resources = ExitStack()
        self._session: _Session | None = None
        self._final: FinalCounters | None = None  # when it was left
        self._pid = 0  # of the process that has entered it
        self._pending: list[Any] = []  # results for the next poll
        self._polled_s = self._next_tick_s = 0.0
        self._received = 0  # datagrams or lines, at the last poll
        self.activity = Activity()
        """The newest record and the newest alert."""

    def __repr__(self) -> str:
        state = "open" if self.fileno() >= 0 else "closed"
        return f"<Sensor {self._output.view} from {self._source.name}, {state}>"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: there is one audit socket."""
        raise TypeError("a Sensor cannot be pickled or copied; send its configuration, and make another")

    # --- entering and leaving --------------------------------------------------------

    def __enter__(self) -> Self:
        feed, timeout_ms = self._make_feed(), self._output.limits.event_timeout_ms
        self._pid = os.getpid()
        with ExitStack() as stack:
            self._loop.open_wake(stack)
            self._session = self._final = None
            self._received, self.activity = 0, Activity()
            reader = self._output.make_reader(
                self._processes.boot,
                self._processes.read,
                titled=self._writes_titles(),
                file_systems=self._read_file_systems(),
            )
            stack.enter_context(reader)
            stack.callback(self._keep_counters)
            self._processes.add_all(reader.ring)
            self._source.attach(lambda: self._pending.extend(feed.drain(reader)), reader.unsent)
            stack.enter_context(self._source)
            self._processes.add_new(reader.ring)
            if self._self_test is not None:
                stack.enter_context(self._self_test)
            self._pending += feed.read_early(reader)
            health = HealthMonitor(self._source, reader, self._self_test, self._clock, timeout_ms)
            self._session = _Session(reader, feed, health)
            self._loop.open(stack)
            self._resources = stack.pop_all()
        return self

    def _read_file_systems(self) -> HostFileSystems | None:
        """Return the file systems of this host; None: the records may be of another one."""
        source = self._source
        if not isinstance(source, KernelSource) or not source.is_of_host or in_other_namespace("pid"):
            return None
        self._file_systems.read_known()
        return self._file_systems

    def _writes_titles(self) -> bool:
        """Return whether events of the source end with PROCTITLE records, which EOE follows."""
        source = self._source
        return isinstance(source, KernelSource) and source.writes_record(TITLE_RECORD)

    def _make_feed(self) -> SocketFeed | TextFeed:
        limits = self._output.limits
        if not isinstance(self._source, TextSource):
            return SocketFeed(self._source, self._clock, limits)
        if self._output.lean:
            raise UsageError(
                f"lean is for the kernel's own sockets; source {self._source.name} has all records"
            )
        return TextFeed(self._source, self._clock, limits.event_timeout_ms)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    def __exit__(self, *exception: object) -> None:
        self._loop.ended = True
        self._resources.__exit__(*exception)  # type: ignore[arg-type]

    async def __aexit__(self, *exception: object) -> None:
        # Never yields: it must work while the loop is being torn down, and when it is gone.
        self.__exit__(*exception)

    def close(self) -> None:
        """Restore the host and release all resources. A second call does nothing."""
        self._resources.close()

    async def aclose(self) -> None:
        """Do what `close` does, without yielding to other tasks."""
        self.close()

    def stop(self) -> None:
        """End the iteration. May be called from a signal handler or another thread, at any time."""
        self._loop.stop()

    @property
    def ended(self) -> bool:
        """Whether no more records come: `stop` was called, or the source has ended. Then call `finish`."""
        return self._loop.ended

    # --- iterating -------------------------------------------------------------------

    def __iter__(self) -> Iterator[Document]:
        """Yield documents as they come; after `stop`, those that end the bursts."""
        return iter(self._documents())

    def __aiter__(self) -> AsyncIterator[Document]:
        """Yield documents as `__iter__` does, while other tasks run; see `abatches`."""
        return aiter(self._documents())

    def batches(self, after_turn: Callable[[], float | None] | None = None) -> Iterator[list[Document]]:
        """Yield documents as they come, those together that came together; ends as iterating does.

        Args:
            after_turn: called after the documents of a turn were used: at least once a second, and 20 times a
                second under a load without documents. May return the seconds until its next call.
        """
        return self._documents().batches(after_turn)

    def abatches(self) -> AsyncGenerator[list[Document], None]:
        """Yield documents as `batches` does, while other tasks of an asyncio loop run.

        Ends after `stop`, or when the sensor is closed. Between two steps nothing is read and nothing is
        registered with the loop; see `queue` for owners that may be away for long.

        Raises (while iterating):
            UsageError: it is iterated by another task as well.
        """
        return self._documents().abatches()

    def queue(self, size: int) -> Queue[Document]:
        """Return a queue of documents that a separate task fills, so that the sensor continues to read.

        For owners whose work on a document may take longer than the socket's buffer lasts.

        Args:
            size: capacity in documents, 1 or more. When it is full, new documents are dropped and counted
                (`Queue.dropped`).

        Raises:
            UsageError: *size* is below 1, or another queue of this sensor is in use.
        """
        from auditsense.sensor.aio import Queue  # noqa: PLC0415 - it loads asyncio

        if self._queue is not None and self._queue.filling:
            raise UsageError(
                "this sensor has a queue already; one at a time: share that one, or pass its documents on"
            )
        self._queue = queue = Queue(self.abatches(), size)
        return queue

    def events(self, on_notice: OnNotice = None) -> Stream[Event]:
        """Return all events as they come, for `for` or `async for`; ends as iterating does.

        Args:
            on_notice: receives each document of the sensor about itself (docs/alerts.md). Without it they are
                left out; `losses` counts either way.

        Raises:
            UsageError: a view other than `View.EVENTS`, or with `fields`.
        """
        self._output.require(self._open().reader, EventReader)
        return self._stream(on_notice)

    def rows(self, on_notice: OnNotice = None) -> Stream[tuple[Any, ...]]:
        """Return a tuple of the sensor's `fields` for every event, as `events` does; see `RowReader`.

        Raises:
            UsageError: the sensor was made without `fields`.
        """
        self._output.require(self._open().reader, RowReader)
        return self._stream(on_notice)

    # --- the owner's own loop --------------------------------------------------------

    def fileno(self) -> int:
        """Return a descriptor that is readable when `poll` has something to do; -1 when closed."""
        return self._source.fileno()

    def timeout_s(self) -> float:
        """Return the seconds until `poll` is due although nothing is readable, 0 to 1.

        Some work depends on time: an event without its end, a burst that is over, a loss, a change of the
        kernel's audit.

        Raises:
            ClosedError: the sensor is closed.
        """
        session = self._open()
        if self.fileno() < 0:
            raise ClosedError("this sensor is not open any more")
        if self._pending or session.reader.ring.nearly_full:
            return 0.0
        now_s = self._clock.monotonic_s()
        return max(0.0, min(self._polled_s + _POLL_S - now_s, session.health.timeout_s(now_s)))

    def poll(self) -> list[Document]:
        """Read what waits, without waiting, and let time pass. Returns the documents that result."""
        return self._step()[0]

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there may be something to poll. False: timeout, or `stop` was called."""
        expect("timeout_s", timeout_s, int | float | None, "a number of seconds or None")
        self._open()
        return self._loop.wait(timeout_s)

    def add_reader(self, fd: int, callback: Callable[[], object]) -> None:
        """Call *callback* when *fd* is readable: at once in `wait`, else soon.

        *callback* must not block and must not raise. It is called between two batches of records, at most ten
        times a second under constant load. *fd* stays open until the sensor is left.
        """
        expect_number("fd", fd)
        if not callable(callback):
            raise UsageError(f"callback: expected a function, not {callback!r:.60}")
        self._loop.add_reader(fd, callback)

    def finish(self) -> list[Document]:
        """Restore the host, read the records until then, and close all bursts."""
        results, reports = self._finish()
        documents = self._output.documents(results)
        self._enrich(documents)
        self._open().health.narrow_losses(documents, self._clock.monotonic_s())
        return documents + reports

    # --- state -----------------------------------------------------------------------

    def reload(
        self,
        detections: Sequence[Detection],
        policy: AlertPolicy | None = None,
        *,
        audit_rules: Sequence[str] | None = None,
    ) -> None:
        """Replace the detections and the policy, between two polls; see `Detector.reload`.

        The next poll returns what results. Audit rules that the new detections need, or *audit_rules* if
        given, are added until the sensor is left.

        Raises:
            UsageError: an audit rule cannot be added. No error changes anything.
        """
        expect("policy", policy, AlertPolicy | None, "an AlertPolicy(…)")
        reader, detections = self._open().reader, validate_detections(detections)
        with extended_rules(
            self._source, self._output.detections, detections, audit_rules, self._output.mapping
        ):
            if isinstance(reader, Detector):
                remembered = reader.ring.remembers_processes
                self._pending += reader.reload(detections, policy)
                if not remembered:
                    self._processes.add_new(reader.ring)
        self._output = self._output.with_detections(detections, policy)

    @property
    def view(self) -> View:
        """Kind of output."""
        return self._output.view

    @property
    def detections(self) -> Sequence[Detection]:
        """The active detections."""
        return self._output.detections

    @property
    def reader(self) -> Reader:
        """The Detector, EventReader or RowReader inside, while the sensor is open."""
        return self._open().reader

    def stats(self) -> Stats:
        """Return the core's counters; after leaving, the last ones."""
        return self._open().reader.stats() if self._final is None else self._final.stats

    @property
    def losses(self) -> Losses:
        """Known losses since the start, by cause; after leaving, the last ones."""
        return self._open().health.losses() if self._final is None else self._final.losses

    def exceptions(self) -> list[tuple[DetectionException, int]]:
        """Return the exceptions of all detections, and how many events each has taken."""
        return _exceptions_of(self._open().reader) if self._final is None else self._final.exceptions

    @property
    def alert_counts(self) -> AlertCounts:
        """Counters of sequences by outcome."""
        reader = self._open().reader
        return reader.alert_counts if isinstance(reader, Detector) else AlertCounts()

    @property
    def clock_steps(self) -> int:
        """Steps of the wall clock by a second or more, while the sensor was open."""
        return self._open().health.clock_steps

    # --- steps -----------------------------------------------------------------------

    def _documents(self) -> Stream[Document]:
        return Stream(self._loop, self._step, self.finish, self._is_open)

    def _stream(self, on_notice: OnNotice) -> Stream[Any]:
        return Stream(
            self._loop,
            partial(self._step_items, on_notice),
            partial(self._finish_items, on_notice),
            self._is_open,
        )

    def _step(self) -> tuple[list[Document], int]:
        """Read what waits. Returns the documents that result, and the number of datagrams."""
        results, datagrams = self._read()
        documents = self._output.documents(results)
        health, now_s = self._open().health, self._clock.monotonic_s()
        if documents:
            self._enrich(documents)
            health.narrow_losses(documents, now_s)
            if self._output.view is not View.EVENTS:
                self.activity.add_alerts(documents, self._clock.wall_ms())
        return documents + health.poll(now_s), datagrams

    def _step_items(self, on_notice: OnNotice) -> tuple[list[Any], int]:
        results, datagrams = self._read()
        _notify(on_notice, self._open().health.poll(self._clock.monotonic_s()))
        return self._output.requested(results), datagrams

    def _finish_items(self, on_notice: OnNotice) -> list[Any]:
        results, reports = self._finish()
        _notify(on_notice, reports)
        return self._output.requested(results)

    def _read(self) -> tuple[list[Any], int]:
        """Read what waits and let time pass. Returns the results, and the number of datagrams."""
        reader, feed, _ = self._open()
        results, self._pending = self._pending, []
        results += feed.read_early(reader)
        datagrams = feed.read(reader, results)
        if feed.received != self._received:
            self._received = feed.received
            self.activity.last_record_ms = self._clock.wall_ms()
        if feed.ended:
            self._loop.ended = True
        now_s = self._polled_s = self._clock.monotonic_s()
        if not datagrams or now_s >= self._next_tick_s:
            self._next_tick_s = now_s + _TICK_S
            results += feed.tick(reader)
            self._loop.call_readers()
        return self._without_own(reader, results), datagrams

    def _finish(self) -> tuple[list[Any], list[Document]]:
        """Leave the source. Returns the last results, and the reports of the health monitor."""
        reader, feed, health = self._open()
        self._loop.ended = True  # from here on there is nothing to wait for, and all counters stay
        self._loop.release()
        self._source.__exit__(None, None, None)
        results = [*self._pending, *feed.read_early(reader), *reader.finish()]
        self._pending = []
        reports = health.finish(self._clock.monotonic_s(), notices=isinstance(feed, TextFeed))
        return self._without_own(reader, results), reports

    def _without_own(self, reader: Reader, results: list[Any]) -> list[Any]:
        """Deliver events, and leave out this process if the kernel audits it: each would cause the next."""
        own_pid = os.getpid() if self._source.audited else None
        self._output.deliver_events(reader, own_pid=own_pid)
        return results if own_pid is None else self._output.without_process(results, own_pid)

    def _enrich(self, documents: list[Document]) -> None:
        if not self._source.audited and self._output.view is View.ALERTS:
            host_id = self._open().reader.host.id
            running = not self._loop.ended
            enrich_all(documents, self._user_names, self._containers, host_id, running=running)

    def _keep_counters(self) -> None:
        if self._session is not None and self._pid == os.getpid():
            reader, _, health = self._session
            self._final = FinalCounters(reader.stats(), health.losses(), _exceptions_of(reader))

    def _close_at_exit(self) -> None:
        from auditsense.sensor.aio import call_at_exit  # noqa: PLC0415 - it loads asyncio

        self._resources.callback(call_at_exit(self.close))

    def _is_open(self) -> bool:
        return self.fileno() >= 0

    def _open(self) -> _Session:
        if self._pid not in {0, os.getpid()}:
            raise ClosedError(f"this sensor was opened by process {self._pid}; after a fork, open another")
        if self._session is None or (self.fileno() < 0 and not self._loop.ended):
            raise ClosedError(_NOT_OPEN)
        return self._session


def _check_types(policy: object, limits: object, source: object, clock: object) -> None:
    expect("policy", policy, AlertPolicy | None, "an AlertPolicy(…)")
    expect("limits", limits, Limits | None, "Limits(…)")
    if source is not None and not hasattr(source, "attach"):
        raise UsageError(f"source: expected a Source, as Unicast() or Multicast(), not {source!r:.60}")
    if clock is not None and not hasattr(clock, "monotonic_s"):
        raise UsageError(f"clock: expected a Clock, as auditsense.testing.FakeClock(), not {clock!r:.60}")


def _self_test(interval_s: float | SelfTest | None) -> SelfTest | None:
    """Return the self-test of this interval, or a given one."""
    if interval_s is None or isinstance(interval_s, SelfTest):
        return interval_s
    if not isinstance(interval_s, int | float) or interval_s <= 0:
        raise UsageError(f"self_test: expected a number of seconds above 0, not {interval_s!r:.60}")
    return SelfTest(interval_s)


def _exceptions_of(reader: Reader) -> list[tuple[DetectionException, int]]:
    return reader.exceptions() if isinstance(reader, Detector) else []


def _notify(on_notice: OnNotice, documents: list[Document]) -> None:
    if on_notice is not None:
        for document in documents:
            on_notice(document)
