"""Forks, pickles and threads: detectors, sensors and their values in an embedding program."""

from __future__ import annotations

import copy
import gc
import inspect
import json
import os
import pickle
import select
import threading
import traceback
from typing import TYPE_CHECKING

import pytest

from auditsense import (
    AlertPolicy,
    BusyError,
    ClosedError,
    Detector,
    Host,
    Limits,
    Sensor,
    View,
    shipped_detections,
)
from auditsense.core.ring import Ring
from auditsense.core.rule_table import (
    Field,
    Filter,
    MaskedNumber,
    Op,
    Predicate,
    Rule,
    RuleException,
    RuleTable,
    conjunction,
)
from auditsense.detections.compiler import compile_all
from auditsense.kernel.commands import Commands
from auditsense.kernel.guardian import Guardian
from auditsense.kernel.rules import auditctl
from auditsense.sources.multicast import Multicast
from auditsense.testing import FakeKernel, burst
from tests.support.in_memory import audit

if TYPE_CHECKING:
    from collections.abc import Callable


HOST = Host("id", "name")
DATAGRAMS = [data for event in burst(12) for data in event.datagrams]


def in_child(act: Callable[[], object]) -> object:
    """Run in a forked child; return what that returned, by way of JSON."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reading)
            os.write(writing, json.dumps(act()).encode())
            code = 0
        except BaseException:  # noqa: BLE001 - the test must not continue here
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        text = file.read()
    assert os.waitpid(pid, 0) == (pid, 0)
    return json.loads(text)


def error_of(act: Callable[[], object]) -> str:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - which one is what is asked
        return f"{type(error).__name__}: {error}"
    return ""


# --- forks: a detector ----------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 23, 49, len(DATAGRAMS)])
def test_detector_in_forked_child_is_complete_copy(cut: int) -> None:
    def rest(detector: Detector) -> object:
        documents = [*detector.feed(DATAGRAMS[cut:]), *detector.finish()]
        return json.loads(json.dumps([before + documents, detector.stats().as_dict()]))

    with Detector(host=HOST) as detector:
        before = detector.feed(DATAGRAMS[:cut])
        in_the_child = in_child(lambda: rest(detector))
        assert len(before) == (cut > 49)
        assert rest(detector) == in_the_child


def test_closing_copy_in_child_leaves_original() -> None:
    with Detector(host=HOST) as detector:
        assert in_child(detector.close) is None
        assert len(detector.feed(DATAGRAMS)) == 1


# --- forks: a sensor ------------------------------------------------------------------------

USES: dict[str, Callable[[Sensor], object]] = {
    "poll": Sensor.poll,
    "wait": lambda sensor: sensor.wait(0),
    "iterate": lambda sensor: next(iter(sensor)),
    "batches": lambda sensor: next(iter(sensor.batches())),
    "finish": Sensor.finish,
    "stats": Sensor.stats,
    "detector": lambda sensor: sensor.reader,
    "losses": lambda sensor: sensor.losses,
    "alert_counts": lambda sensor: sensor.alert_counts,
}


@pytest.mark.parametrize("use", USES)
def test_sensor_in_forked_child_names_its_owner(use: str) -> None:
    with audit() as (_, source), Sensor(source=source()) as sensor:
        assert in_child(lambda: error_of(lambda: USES[use](sensor))) == (
            f"ClosedError: this sensor was opened by process {os.getpid()}; after a fork, open another"
        )
        assert sensor.poll() == []


ENDS: dict[str, Callable[[Sensor], object]] = {
    "close": Sensor.close,
    "leave": lambda sensor: sensor.__exit__(None, None, None),
    "interrupted": lambda sensor: sensor.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None),
    "stop and close": lambda sensor: [end(sensor) for end in (Sensor.stop, Sensor.close)],
}


@pytest.mark.parametrize("end", ENDS)
def test_sensor_ended_in_child_leaves_host_to_parent(end: str) -> None:
    with audit(DATAGRAMS) as (kernel, source):
        before = kernel.host_state()
        with Sensor(source=source()) as sensor:
            taken_over = kernel.host_state()
            assert taken_over != before

            def child() -> object:
                asked = len(kernel.log)
                ENDS[end](sensor)
                # The kernel in memory is a copy as well: what the child did to it is to be seen here only.
                return [kernel.host_state() == taken_over, kernel.log[asked:], sensor.fileno()]

            assert in_child(child) == [True, [], -1]
            assert select.select([sensor._loop._wake], [], [], 0)[0] == []  # not even woken up
            assert sensor.poll()[0]["auditsense"]["state"] == "alert"
        assert kernel.host_state() == before


def test_ending_child_leaves_waiting_records() -> None:
    with audit() as (_, source), Sensor(source=source()) as sensor:
        drained: list[object] = []
        sensor._source.attach(lambda: drained.append(1), frozenset())

        def child() -> int:
            sensor.close()
            return len(drained)

        assert in_child(child) == 0
    assert drained


def test_multicast_ended_in_child_leaves_rule() -> None:
    kernel = FakeKernel(enabled=1, pid=1, alive={1}, rules=[auditctl.parse("-w /etc/x -p wa").to_bytes()])
    with Sensor(source=Multicast(["-w /proc/ -p r -k audit_proc"], kernel=kernel)) as sensor:

        def child() -> int:
            sensor.close()
            return len(kernel.rules)

        assert in_child(child) == 2
        assert len(kernel.rules) == 2
    assert len(kernel.rules) == 1


def test_ending_child_leaves_guardian_of_sensor() -> None:
    guardian = Guardian(lambda: Commands(FakeKernel()))
    guardian.start()
    try:
        assert in_child(guardian.close) is None
        assert guardian.alive()
    finally:
        guardian.close()


def test_child_may_open_another_sensor() -> None:
    with audit() as (kernel, source):
        first = source()
        with Sensor(source=first):
            pass
        before = kernel.host_state()

        def child() -> int:
            kernel.caller_pid = os.getpid()
            kernel.alive.add(kernel.caller_pid)
            with Sensor(source=source()) as sensor:
                return len(sensor.poll()) + (kernel.host_state() != before)

        assert in_child(child) == 1


# --- pickles --------------------------------------------------------------------------------

VALUES: list[object] = [
    *shipped_detections(),
    AlertPolicy(suppress_ms=1, max_alerts=2, interval_ms=3, max_bursts=4, update_ms=5),
    Limits(key_slots=16),
    compile_all(shipped_detections(), merge_ms=7),
    Filter(
        0,
        conjunction([(Predicate(Field.COMM, Op.LIKE, (b"x*", MaskedNumber(1, 2))), False)]),
        (Field.PID,),
        anchors=(Predicate(Field.COMM, Op.LENGTH, (MaskedNumber(1),), length_op=Op.LESS),),
    ),
    Rule(exceptions=(RuleException((), 5),)),
    HOST,
    View.EVENTS,
]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_configuration_survives_a_pickle(value: object, protocol: int) -> None:
    again = pickle.loads(pickle.dumps(value, protocol))  # noqa: S301 - our own
    assert again == value
    assert type(again) is type(value)
    assert hash(again) == hash(value)


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy, copy.deepcopy])
def test_objects_with_core_or_socket_refuse_copies(copied: Callable[[object], object]) -> None:
    with Detector(host=HOST) as detector, Ring(RuleTable()) as ring:
        for instance in (detector, ring, Sensor()):
            with pytest.raises(
                TypeError, match=rf"a {type(instance).__name__} cannot be pickled or copied; send its"
            ):
                copied(instance)
    gc.collect()  # nor is a half-made one left that was never closed


# --- threads --------------------------------------------------------------------------------

GIVEN = {
    "datagrams": [b""],
    "packed": b"",
    "text": b"",
    "now_ms": 1,
    "monotonic_ms": 1,
    "log_ms": None,
    "host": Host("other", "other"),
    "detections": (),
    "policy": None,
}
METHODS = [
    name
    for name, method in inspect.getmembers(Detector, inspect.isfunction)
    if not name.startswith("_") and name != "stats"  # which reads the core's counters only
]


def call(detector: Detector, name: str) -> object:
    method: Callable[..., object] = getattr(detector, name)
    return method(**{name: GIVEN[name] for name in inspect.signature(method).parameters})


@pytest.mark.parametrize("name", METHODS)
def test_detector_refuses_second_thread_between_core_calls(name: str) -> None:
    inside, resume = threading.Event(), threading.Event()
    documents: list[object] = []

    with Detector(host=HOST) as detector:
        process = detector._alerts.process

        def slowly(hits: object) -> object:
            inside.set()  # the core has been left, and its hits are on their way
            assert resume.wait(300)
            return process(hits)  # type: ignore[arg-type]

        detector._alerts.process = slowly  # type: ignore[method-assign, assignment]
        thread = threading.Thread(target=lambda: documents.extend(detector.feed(DATAGRAMS)))
        thread.start()
        try:
            assert inside.wait(300)
            with pytest.raises(BusyError, match="another thread is inside this Detector"):
                call(detector, name)
        finally:
            resume.set()
            thread.join()
        assert len(documents) == 1
        call(detector, name)  # and afterwards it works as before


def test_closed_detector_raises_closed_error() -> None:
    detector = Detector(host=HOST)
    detector.close()
    detector.close()
    with pytest.raises(ClosedError):
        detector.feed(DATAGRAMS)
