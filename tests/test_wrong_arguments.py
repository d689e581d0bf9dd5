"""Every public callable refuses arguments of another type with an error that names the remedy."""

from __future__ import annotations

import inspect
import re
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import auditsense
import auditsense.detections
import auditsense.testing
from auditsense import AuditSenseError, Detector, EventReader, Host, RowReader, Sensor, shipped_detections
from auditsense.testing import FakeClock, FakeKernel, FakeSource, burst

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WRONG = (None, 7, -1, 1.5, b"bytes", "text", [7], {"a": 1}, object())
REMEDY = re.compile(
    r"expected|must|pass |give |choose|name |needs|such as|leave out|is missing"
    r"|list of lines|unknown field|No such file|remove "
)
EVENT = burst(1)[0]
LINE = "type=EOE msg=audit(1.000:1): "
HOST = Host("id", "name")
READING: dict[str, dict[str, Any]] = {
    "feed": {"datagrams": EVENT.datagrams},
    "feed_text": {"text": b"x"},
    "tick": {},
    "set_host": {"host": HOST},
}

VALID: dict[str, dict[str, Any]] = {
    "AlertPolicy": {},
    "Detector": {"detections": shipped_detections()},
    **{f"Detector.{name}": valid for name, valid in READING.items()},
    "Detector.reload": {"detections": shipped_detections()},
    "EventReader": {},
    **{f"EventReader.{name}": valid for name, valid in READING.items()},
    "FakeClock": {},
    "FakeClock.advance": {"seconds": 1},
    "FakeClock.step": {"seconds": 1},
    "FakeKernel": {},
    "FakeKernel.send": {"events": EVENT},
    "FakeSource": {},
    "FakeSource.send": {"events": EVENT},
    "Host": {"id": "id", "name": "name"},
    "Limits": {},
    "Multicast": {},
    "RowReader": {"fields": ["pid"]},
    **{f"RowReader.{name}": valid for name, valid in READING.items()},
    "Sensor": {},
    "Sensor.add_reader": {"fd": 0, "callback": print},
    "Sensor.queue": {"size": 5},
    "Sensor.reload": {"detections": shipped_detections()},
    "Unicast": {},
    "burst": {"times": 2},
    "call_event": {"call": "openat"},
    "datagram": {"line": LINE},
    "datagrams": {"text": LINE},
    "define": {"id": "a", "name": "A", "match": {"file.path": "/etc/shadow"}},
    "except_for": {"detection": "pspy", "match": {"process.name": "ps"}, "comment": "harmless"},
    "load_detections": {"path": Path(auditsense.__file__).parent / "detections" / "pspy.toml"},
    "load_exceptions": {},
    "open_event": {},
    "quoted": {"value": "x"},
    "with_exceptions": {"detections": shipped_detections(), "exceptions": []},
}
UNCHECKED = {
    "AlertCounts": "counters that the package fills",
    "Cleanup": "two functions",
    "Detection": "checked when a detector or sensor is made",
    "DetectionException": "checked when a detector or sensor is made",
    "AttackEntry": "checked when a detector or sensor is made",
    "Condition": "checked when a detector or sensor is made",
    "Threat": "checked when a detector or sensor is made",
    "Window": "checked when a detector or sensor is made",
    "Event": "made by readers",
    "EventRecords": "made by call_event and open_event",
    "Losses": "counters that the package fills",
    "Queue": "made by Sensor.queue",
    "Stats": "counters that the package fills",
    "exists": "checked by define",
    "is_not": "checked by define",
    "like": "checked by define",
    "number": "checked by define",
    "unlike": "checked by define",
}
"""Public callables whose arguments are checked elsewhere."""
INSTANCES: dict[type, Callable[[], Any]] = {
    Detector: Detector,
    EventReader: EventReader,
    RowReader: lambda: RowReader(["pid"]),
    Sensor: lambda: Sensor(source=FakeSource()),
    FakeClock: FakeClock,
    FakeKernel: FakeKernel,
    FakeSource: FakeSource,
}


def public_callables() -> dict[str, Any]:
    """Return the functions and classes of the public modules, without errors, protocols and enums."""
    modules = (auditsense, auditsense.detections, auditsense.testing)
    exported = {name: getattr(module, name) for module in modules for name in module.__all__}
    return {
        name: value
        for name, value in exported.items()
        if callable(value)
        and not (isinstance(value, type) and issubclass(value, Exception | int | str | dict))
        and not getattr(value, "_is_protocol", False)
        and not hasattr(value, "__origin__")
        and list(inspect.signature(value).parameters)
    }


def call(name: str, arguments: dict[str, Any]) -> None:
    """Call a public callable, or a method of an open instance; read what it yields."""
    holder, _, method = name.partition(".")
    with ExitStack() as stack:
        function = public_callables()[holder]
        if method:
            instance = INSTANCES[function]()
            if isinstance(instance, AbstractContextManager):
                stack.enter_context(instance)
            function = getattr(instance, method)
        parameters = inspect.signature(function).parameters.values()
        variadic = [parameter.name for parameter in parameters if parameter.kind is parameter.VAR_POSITIONAL]
        positional = [arguments.pop(name) for name in variadic if name in arguments]
        result = function(*positional, **arguments)
        if hasattr(result, "__next__"):
            list(result)
        if hasattr(result, "close") and not method:
            stack.callback(result.close)


@contextmanager
def suppress_with_remedy() -> Iterator[None]:
    """Suppress an error of the package if it names a remedy; a value that is accepted is fine too."""
    try:
        yield
    except AuditSenseError as error:
        if not REMEDY.search(str(error)):
            raise


def cases() -> Iterator[tuple[str, str]]:
    for name in VALID:
        holder, _, method = name.partition(".")
        function = public_callables()[holder]
        function = getattr(function, method) if method else function
        names = inspect.signature(function).parameters
        yield from (
            (name, parameter) for parameter in names if parameter not in {"self", "make_ring", "file_systems"}
        )


def test_every_public_callable_is_covered() -> None:
    covered = {name for name in VALID if "." not in name}
    assert {*public_callables()} == covered | {*UNCHECKED}


@pytest.mark.parametrize("name", [name for name in VALID if not name.startswith("load_")])
def test_valid_arguments_are_accepted(name: str) -> None:
    call(name, {**VALID[name]})


@pytest.mark.parametrize(("name", "parameter"), [*cases()])
def test_wrong_type_is_refused_with_a_remedy(name: str, parameter: str) -> None:
    for value in WRONG:
        with suppress_with_remedy():
            call(name, {**VALID[name], parameter: value})


@pytest.mark.parametrize("build", ["like", "unlike", "is_not", "number"])
def test_wrong_type_in_a_comparison_is_refused(build: str) -> None:
    for value in WRONG:
        comparison = getattr(auditsense.detections, build)(value)
        with suppress_with_remedy():
            auditsense.detections.define("a", "A", match={"process.pid": comparison})


@pytest.mark.parametrize("timeout_s", [b"bytes", "text", [7], {"a": 1}, object()])
def test_wait_refuses_other_timeouts(timeout_s: Any) -> None:  # noqa: ANN401 - of a wrong type
    sensor = Sensor(source=FakeSource())
    with sensor, pytest.raises(AuditSenseError, match="timeout_s: expected a number of seconds or None"):
        sensor.wait(timeout_s)


@pytest.mark.parametrize(
    ("name", "arguments", "sentence"),
    [
        ("Detector", {"policy": 7}, "policy: expected an AlertPolicy(…), not 7"),
        ("Detector", {"host": "web1"}, "host: expected a Host(id, name), not 'web1'"),
        ("Detector", {"limits": 4096}, "limits: expected Limits(…), not 4096"),
        ("AlertPolicy", {"max_bursts": 0}, "max_bursts: expected a whole number, 1 or more, not 0"),
        (
            "AlertPolicy",
            {"by": "user.id"},
            "by: expected a tuple of field names, as (\"user.id\",), not 'user.id'",
        ),
        (
            "Unicast",
            {"audit_rules": [7]},
            "audit_rules: expected a list of lines in auditctl syntax, not [7]",
        ),
        (
            "load_detections",
            {"path": 7},
            "a path is a string or a pathlib.Path, not int: name one file or folder",
        ),
    ],
)
def test_sentence_of_an_error(name: str, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AuditSenseError, match=re.escape(sentence)):
        call(name, arguments)
