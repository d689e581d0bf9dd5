"""The sensor: the kernel's records through a detector, for whoever embeds it.

Nothing happens behind its owner's back: no thread, no signal handler, nothing printed. The
owner waits on `fileno` for `due_s` at most and calls `poll`, or iterates, with asyncio or without.

Rule 1: while its owner is busy the sensor does not read. What comes meanwhile waits in the socket (128 MiB)
        and in the kernel's queue; what finds no room there is lost, counted, and said.
Rule 2: an open sensor belongs to the process that opened it. In a child of its, closing gives up the child's
        descriptors, everything else but `fileno` and `stop` is an error, and the host stays as it is.
"""

from __future__ import annotations

import os
import select
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self

from auditsense.core.ring import Limits, Ring
from auditsense.detect.alerts import AlertCounts
from auditsense.detect.detector import Detector
from auditsense.detect.event_reader import EventReader
from auditsense.detect.rows import RowReader, fields_of
from auditsense.detect.view import View
from auditsense.detections.given import given as given_detections
from auditsense.detections.given import several
from auditsense.errors import ClosedError, UsageError
from auditsense.sensor.clock import HostClock
from auditsense.sensor.enrich import UserNames, enrich_all
from auditsense.sensor.health import Checks, Kept
from auditsense.sensor.loop import Iterated, tell
from auditsense.sensor.self_test import SelfTestRing
from auditsense.sensor.text_feed import Lines
from auditsense.sources.factory import extended_rules, source_for
from auditsense.sources.text_source import TextSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense.core.ring import Stats
    from auditsense.detect.alerts import AlertPolicy
    from auditsense.detect.ecs import Document
    from auditsense.detect.losses import Losses
    from auditsense.detections.model import Detection, DetectionException
    from auditsense.kernel.self_test import SelfTest
    from auditsense.sensor.clock import Clock
    from auditsense.sensor.text_feed import Reader
    from auditsense.sources.base import Source

_TICK_S = 1.0  # events and bursts that wait for time to pass are looked at so often
_EXPIRE_S = 0.1  # those that wait for time to pass while records come
_ROUNDS = 16  # calls of recvmmsg before the hits are looked at: under full load an alert waits for all
_MOST_TURNS = 8  # before all else is, however much comes


def _with_pid(fields: Sequence[str], view: View, self_test: SelfTest | None) -> tuple[str, ...]:
    """Return the fields and "pid", which tells the process's own events where the kernel audits it."""
    if view is not View.EVENTS:
        raise UsageError(f"fields come with View.EVENTS only; this sensor's view is {view}")
    if self_test is not None:
        raise UsageError("a self-test finds its own event by all its fields: leave out fields=")
    fields_of(fields)
    return (*fields, *(["pid"] if "pid" not in fields else []))


def _exceptions_of(reader: Reader) -> list[tuple[DetectionException, int]]:
    return reader.exceptions() if isinstance(reader, Detector) else []


class Sensor(Iterated):
    """What `auditsense run` does, as an object. A context manager.

    Entering takes the kernel's audit over, leaving puts the host back; with `async with` too, and then as
    well without giving way to other tasks: some milliseconds, and up to two seconds when the kernel has much
    queued. Iterating yields documents as they come, and ends after `stop`; so does ``async for``. Or wait
    until `fileno` is readable, for `due_s` at most, and call `poll`.

    Args:
        detections: what to look for; the shipped ones unless given.
        audit_rules: lines in auditctl syntax that must be in force meanwhile; those that the detections say
            they need (`Detection.audit_rule`) unless given. []: the kernel has them already.
        view: what comes out.
        policy: when alerts are sent and when counted.
        limits: what the core may hold.
        source: where records come from; the kernel's unicast socket unless given. Then *audit_rules* go to
            it: `Unicast(["-w …"], guarded=True)`; without any it takes those of the detections as well. With
            a source of text the kernel is not asked for anything.
        self_test: proves every now and then that records come; none unless given, because it forks.
        lean: records that no detection needs are kept out of the socket by the kernel, which costs this
            process and the kernel less. What alerts lack by it are `process.working_directory` and
            `process.title`.
        fields: with `View.EVENTS`, the fields of the rows to read, as for `RowReader`. Then there are neither
            events nor documents, and no *self_test*.
        clock: this host's unless given.

    Not to be shared by threads, but for `stop`. After a fork only the process that opened it can use it; in
    the child it raises ClosedError, and closing it there changes nothing on this host. A child that lives on
    should close it: the guardian of a guarded source sees the end of the sensor's process only when no child
    holds a copy of its descriptors.

    Documents are alerts and, with a `rule.id` that begins with "auditsense.", what the sensor has to
    say about itself: losses, tampering, failed self-tests (docs/alerts.md).

    Raises (at once):
        UsageError: *audit_rules* beside a *source*, or no detection that says which rule it needs.
        DetectionError: two detections of one id, or an audit rule in one that is none.
        AuditRuleError: an audit rule that is none.

    Raises (on entering):
        NoKernelAuditError: no audit here, or not for this process.
        LockedError: the kernel's configuration is locked, or would panic.
        SocketTakenError: another process owns the audit socket.
        KernelCommandError: the kernel refused something else. The host is as it was, every time.
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
        self_test: SelfTest | None = None,
        lean: bool = False,
        fields: Sequence[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        super().__init__()
        self._clock: Clock = clock if clock is not None else HostClock()
        detections, view = given_detections(detections), View(view)
        self._source: Source = source_for(source, audit_rules, detections)
        self._self_test = self_test
        self._detections, self._view, self._policy, self._lean = detections, view, policy, lean
        self._fields = None if fields is None else _with_pid(fields, view, self_test)
        self._asked = len(fields or ())
        self._user_names = UserNames()
        self._limits = limits = limits if limits is not None else Limits()
        self._event_timeout_ms = limits.event_timeout_ms
        self._lines = Lines(source, limits.event_timeout_ms) if isinstance(source, TextSource) else None
        self._most_datagrams = _ROUNDS * limits.datagram_slots
        self._reader: Reader | None = None
        self._checks: Checks | None = None
        self._kept: Kept | None = None  # when it was left
        self._pid = 0  # of the process that has entered it
        self._waiter = select.poll()
        self._others: dict[int, Callable[[], object]] = {}
        self._next_expire_s = 0.0
        self._polled_s = 0.0
        self._last: list[Any] = []  # what was found already

    def __enter__(self) -> Self:
        if self._lean and self._lines is not None:
            raise UsageError(
                f"lean is for the kernel's own sockets; source {self._source.name} has all records"
            )
        self._pid = os.getpid()
        with ExitStack() as stack:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            stack.callback(self._close_wake)
            self._kept = None
            self._reader = reader = self._make_reader()
            stack.enter_context(reader)
            stack.callback(self._keep)
            self._source.attach(self._receive_last, reader.unsent)
            stack.enter_context(self._source)
            self._waiter = select.poll()
            self._waiter.register(self._source.fileno(), select.POLLIN)
            for descriptor in (self._wake, *self._others):
                self._waiter.register(descriptor, select.POLLIN)
            if self._self_test is not None:
                stack.enter_context(self._self_test)
            self._feed_early(reader)
            self._checks = Checks(self._source, reader, self._self_test, self._clock, self._event_timeout_ms)
            stack.callback(self._let_go)
            self._resources = stack.pop_all()
        return self

    def _make_reader(self) -> Reader:
        if self._fields is not None:
            return RowReader(self._fields, limits=self._limits, lean=self._lean)
        make_ring = Ring if self._self_test is None else partial(SelfTestRing, path=self._self_test.path)
        if self._view is View.EVENTS:
            return EventReader(limits=self._limits, lean=self._lean, make_ring=make_ring)
        return Detector(
            self._detections,
            sequences=self._view is View.SEQUENCES,
            policy=self._policy,
            limits=self._limits,
            lean=self._lean,
            make_ring=make_ring,
        )

    async def __aenter__(self) -> Self:
        return self.__enter__()

    def __exit__(self, *exception: object) -> None:
        self._stopped = True
        self._resources.__exit__(*exception)  # type: ignore[arg-type]

    async def __aexit__(self, *exception: object) -> None:
        # Without ever giving way: it must be done where the loop is being torn down, and when it is gone.
        self.__exit__(*exception)

    def close(self) -> None:
        """Put the host back and give everything up. A second call does nothing."""
        self._resources.close()

    async def aclose(self) -> None:
        """Do what `close` does, without giving way to other tasks."""
        self.close()

    def fileno(self) -> int:
        """Return a descriptor that is readable when `poll` has something to do; -1 when closed."""
        return self._source.fileno()

    def poll(self) -> list[Document]:
        """Take what waits, without waiting; let time pass. Returns what it led to."""
        return self._poll()[0]

    def due_s(self) -> float:
        """Return the seconds until `poll` wants to be called although nothing is readable, 0 to 1.

        For then something has to be looked at that comes with time: an event without its end, a burst that is
        over, a loss, a change of the kernel's audit.

        Raises:
            ClosedError: nothing is due any more.
        """
        detector, checks = self._open(), self._looking()
        if self.fileno() < 0:
            raise ClosedError("this sensor is not open any more")
        if self._last or detector.ring.crowded:
            return 0.0
        now_s = self._clock.monotonic_s()
        return max(0.0, min(self._polled_s + _TICK_S - now_s, checks.due_s(now_s)))

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until there may be something to poll. False: the time is over, or `stop` was called."""
        self._open()
        ready = self._waiter.poll(None if timeout_s is None else max(0, timeout_s) * 1000)
        self._serve(ready)
        return any(fd != self._wake and fd not in self._others for fd, _ in ready)

    def also(self, descriptor: int, ready: Callable[[], object]) -> None:
        """Have this sensor call *ready* when *descriptor* is readable: at once in `wait`, else soon.

        *ready* must not block and must not raise; it is called between two batches of records, ten times a
        second at most while they come without a pause. *descriptor* stays open until the sensor is left.
        """
        self._others[descriptor] = ready
        self._waiter.register(descriptor, select.POLLIN)

    def stop(self) -> None:
        """End the iteration. May be called from a signal handler or another thread, at any time."""
        self._stopped = True
        if self._wake >= 0 and self._pid == os.getpid():
            os.eventfd_write(self._wake, 1)

    def reload(
        self,
        detections: Sequence[Detection],
        policy: AlertPolicy | None = None,
        *,
        audit_rules: Sequence[str] | None = None,
    ) -> None:
        """Go on with other detections and another policy; see `Detector.reload`. Between two polls.

        What it leads to comes with the next poll. Audit rules that the new detections need, or *audit_rules*
        if given, are added until it is left. UsageError: one cannot be added. Errors change nothing.
        """
        reader, detections = self._open(), several(detections)
        with extended_rules(self._source, self._detections, detections, audit_rules):
            if isinstance(reader, Detector):
                self._last += reader.reload(detections, policy)
        self._detections = detections
        self._policy = policy if policy is not None else self._policy

    def finish(self) -> list[Document]:
        """Put the host back, take what came until then, and end all bursts."""
        found, checks = self._finish()
        documents = self._documents(found)
        last = checks.finish(self._clock.monotonic_s(), notices=self._lines is not None)
        self._complete(documents)
        checks.narrow(documents, self._clock.monotonic_s())
        return documents + last

    def _only_events(self) -> None:
        if not isinstance(self._open(), EventReader):
            raise UsageError("this sensor does not read events; make one with view=View.EVENTS, no fields=")

    def _only_rows(self) -> None:
        if not isinstance(self._open(), RowReader):
            raise UsageError("this sensor does not read rows; make one with view=View.EVENTS, fields=(...)")

    def _finish_found(self, notice: Callable[[Document], object] | None) -> list[Any]:
        found, checks = self._finish()
        tell(notice, checks.finish(self._clock.monotonic_s(), notices=self._lines is not None))
        return self._rows(found)

    def _finish(self) -> tuple[list[Any], Checks]:
        detector = self._open()
        checks = self._looking()
        self._stopped = True  # from here on there is nothing to wait for, and all counters stay
        if self._readable is not None:
            self._readable.release()
        self._source.__exit__(None, None, None)
        self._feed_early(detector)
        found = self._of_others([*self._last, *detector.finish()])
        self._last = []
        return found, checks

    @property
    def ended(self) -> bool:
        """Whether nothing comes any more: `stop` was called, or the source has ended. Then call `finish`."""
        return self._stopped

    def stats(self) -> Stats:
        """Return the core's counters; when it was left, as they were then."""
        return self._open().stats() if self._kept is None else self._kept.stats

    @property
    def reader(self) -> Reader:
        """The reader inside, while the sensor is open: a Detector, EventReader or RowReader."""
        return self._open()

    @property
    def detections(self) -> tuple[Detection, ...]:
        """The active detections."""
        return self._detections

    @property
    def alert_counts(self) -> AlertCounts:
        """Counters of sequences by outcome."""
        reader = self._open()
        return reader.alert_counts if isinstance(reader, Detector) else AlertCounts()

    def exceptions(self) -> list[tuple[DetectionException, int]]:
        """Return the exceptions of all detections, and how many events each has taken."""
        return _exceptions_of(self._open()) if self._kept is None else self._kept.exceptions

    @property
    def kernel_lost(self) -> int:
        """Records the kernel said it lost, when it was last asked."""
        return self._open().lost_elsewhere

    @property
    def losses(self) -> Losses:
        """What is known to be lost since the start, by cause; when it was left, what was known then."""
        return self._looking().losses() if self._kept is None else self._kept.losses

    @property
    def clock_steps(self) -> int:
        """Steps of the wall clock, by a second or more, while it was open."""
        return self._looking().clock_steps

    def _keep(self) -> None:
        if self._reader is not None and self._checks is not None and self._pid == os.getpid():
            self._kept = Kept(self._reader.stats(), self._checks.losses(), _exceptions_of(self._reader))

    def _poll(self) -> tuple[list[Document], int]:
        found, total, checks = self._take()
        documents = self._documents(found)
        now_s = self._clock.monotonic_s()
        if documents:
            self._complete(documents)
            checks.narrow(documents, now_s)
        return documents + checks.look(now_s), total

    def _poll_found(self, notice: Callable[[Document], object] | None) -> tuple[list[Any], int]:
        found, total, checks = self._take()
        tell(notice, checks.look(self._clock.monotonic_s()))
        return self._rows(found), total

    def _take(self) -> tuple[list[Any], int, Checks]:
        """Take what waits and let time pass. Returns what was found, and the datagrams taken."""
        detector = self._open()
        checks = self._looking()
        self._feed_early(detector)
        found, self._last = self._last, []
        if self._lines is None and isinstance(detector, Detector):
            found += detector.advance_clock(self._monotonic_ms())
        total = self._receive(detector, found)
        now_s = self._polled_s = self._clock.monotonic_s()
        if not total or now_s >= self._next_expire_s:
            self._next_expire_s = now_s + _EXPIRE_S
            if self._lines is not None:
                found += self._lines.tick(detector, now_s)
            else:
                detector.ring.expire(self._monotonic_ms())
                found += detector.drain()
            if self._others:
                self._serve(self._waiter.poll(0))
        return self._of_others(found), total, checks

    def _serve(self, ready: Sequence[tuple[int, int]]) -> None:
        for descriptor, _ in ready:
            if descriptor in self._others:
                self._others[descriptor]()

    def _receive(self, detector: Reader, found: list[Any]) -> int:
        """Take what waits on the socket, but no more of it once there is an alert. Returns how many."""
        if self._lines is not None:
            taken = self._lines.receive(detector, found, self._clock.monotonic_s())
            self._stopped = self._stopped or self._lines.source.ended
            return taken
        ring = detector.ring
        total = 0
        for _ in range(_MOST_TURNS):
            if self.fileno() < 0:
                break
            only_kernel = self._source.only_kernel
            taken = ring.receive(self.fileno(), self._monotonic_ms(), _ROUNDS, only_kernel=only_kernel)
            total += taken
            drained = detector.drain()
            found += drained
            # Crowded: some that have left the socket may wait for room, and nothing would wake us for them.
            if not ring.crowded and (drained or taken < self._most_datagrams):
                break
        return total

    def _feed_early(self, detector: Reader) -> None:
        """Take what came by another way than the socket."""
        early = self._source.take_early()
        if not early:
            return
        self._last += detector.feed(early, self._monotonic_ms())

    def _monotonic_ms(self) -> int:
        return int(self._clock.monotonic_s() * 1000)

    def _close_wake(self) -> None:
        wake, self._wake = self._wake, -1
        os.close(wake)

    def _receive_last(self) -> None:
        detector = self._open()
        if self._lines is not None:
            self._last += self._lines.receive_last(detector)
            return
        only_kernel = self._source.only_kernel
        while detector.ring.receive(self.fileno(), self._monotonic_ms(), only_kernel=only_kernel):
            self._last += detector.drain()

    def _of_others(self, found: list[Any]) -> list[Any]:
        """Leave out the events of this process where the kernel audits it: writing one makes the next."""
        if not self._source.audited or self._view is not View.EVENTS:
            return found
        own = os.getpid()
        if self._fields is None:
            return [event for event in found if event.pid != own]
        at = self._fields.index("pid")
        return [row for row in found if row[at] != own]

    def _documents(self, found: list[Any]) -> list[Document]:
        if self._fields is not None:
            raise UsageError("this sensor reads rows: make another without fields= for documents")
        return found if self._view is not View.EVENTS else [event.document() for event in found]

    def _rows(self, found: list[Any]) -> list[Any]:
        """Leave out the pid that was not asked for."""
        return [row[: self._asked] for row in found] if self._asked < len(self._fields or ()) else found

    def _complete(self, documents: list[Document]) -> None:
        detector = self._open()
        if not self._source.audited and self._view is View.ALERTS:
            enrich_all(documents, self._user_names, detector.host.id, running=not self._stopped)

    def _looking(self) -> Checks:
        self._open()
        if self._checks is None:
            raise ClosedError("this sensor is not open; use it in a with statement")
        return self._checks

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: there is one audit socket."""
        raise TypeError("a Sensor cannot be pickled or copied; send its configuration, and make another")

    def _open(self) -> Reader:
        if self._pid not in {0, os.getpid()}:
            raise ClosedError(f"this sensor was opened by process {self._pid}; after a fork, open another")
        if self._reader is None or (self.fileno() < 0 and not self._stopped):
            raise ClosedError("this sensor is not open; use it in a with statement")
        return self._reader
