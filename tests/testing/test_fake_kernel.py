"""A sensor over `auditsense.testing.FakeKernel`: commands and records of one kernel, never the real one."""

from __future__ import annotations

import select
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import AuditSenseError, Detector, EventReader, RowReader, Sensor, shipped_detections
from auditsense.detections import define
from auditsense.detections.derive import derive
from auditsense.detections.fields import FIELDS, NUMBERS, SYSCALL_NAME
from auditsense.errors import AuditRuleError, DetectionError, SocketTakenError, UsageError
from auditsense.kernel.rules import auditctl
from auditsense.sources import factory
from auditsense.sources.multicast import Multicast
from auditsense.sources.unicast import Unicast
from auditsense.testing import FakeClock, FakeKernel, FakeSource, burst, call_event

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditsense import Detection
    from auditsense.kernel.transport import Reply

RULE = "-w /proc/ -p r -k audit_proc"
ROOTS = derive(shipped_detections()).lines()
ANY: Callable[[Any], Any] = lambda given: given  # noqa: E731 - past the type checker
SHADOW = "-w /etc/shadow -p r -k shadow"


@pytest.fixture(autouse=True)
def only_local_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that opens any socket but a local one: the kernel's audit would be the real one."""
    real = socket.socket

    class Local(real):  # type: ignore[misc, valid-type]
        def __init__(self, family: int = -1, *more: Any, **named: Any) -> None:  # noqa: ANN401 - as there
            assert family == socket.AF_UNIX
            super().__init__(family, *more, **named)

    monkeypatch.setattr(socket, "socket", Local)


def detection(name: str, audit_rule: str = "") -> Detection:
    return define(name, name, match={"auditd.data.key": "shadow"}, audit_rule=audit_rule)


def rules(kernel: FakeKernel) -> list[str]:
    from auditsense.kernel.rules.rule import AuditRule  # noqa: PLC0415 - here only

    return [auditctl.format_rule(AuditRule.from_bytes(rule)) for rule in kernel.rules]


def written(*lines: str) -> list[str]:
    return [auditctl.format_rule(auditctl.parse(line)) for line in lines]


# --- one kernel ------------------------------------------------------------------------------


def test_fake_kernel_delivers_records_and_is_restored() -> None:
    kernel = FakeKernel()
    before = kernel.host_state()
    with Sensor(source=Unicast(kernel=kernel), clock=FakeClock()) as sensor:
        assert (kernel.enabled, kernel.pid, rules(kernel)) == (1, kernel.caller_pid, written(*ROOTS))
        kernel.send(*burst(12))
        assert select.select([sensor], [], [], 0)[0] == [sensor]
        (alert,) = sensor.poll()
        assert select.select([sensor], [], [], 0)[0] == []
        kernel.send(*burst(3, serial=15))
        (end,) = sensor.finish()
        stats = sensor.stats()
    assert (alert["auditsense"]["state"], end["auditsense"]["count"]) == ("alert", 15)
    assert (stats.foreign, stats.datagrams) == (0, 60)  # EOE is not sent
    assert kernel.host_state() == before


def test_fake_kernel_queues_records_before_entering() -> None:
    kernel = FakeKernel()
    kernel.send(*burst(10))
    with Sensor(source=Unicast(kernel=kernel), clock=FakeClock()) as sensor:
        assert len(sensor.poll()) == 1


def test_fake_kernel_delivers_by_multicast() -> None:
    kernel = FakeKernel(enabled=1, pid=1, alive={1}, rules=[auditctl.parse(RULE).to_bytes()])
    before = kernel.host_state()
    with Sensor(source=Multicast(kernel=kernel), clock=FakeClock()) as sensor:
        kernel.send(*burst(10))
        assert len(sensor.poll()) == 1
    assert kernel.host_state() == before


def test_fake_kernel_filters_for_lean_sensor() -> None:
    kernel = FakeKernel()
    with Sensor(source=Unicast(kernel=kernel), lean=True, clock=FakeClock()) as sensor:
        kernel.send(*burst(10))
        assert len(sensor.poll()) == 1
        assert sensor.stats().datagrams < 50


def test_fake_kernel_owner_wins() -> None:
    source = Unicast(kernel=FakeKernel(pid=1, alive={1}))
    with pytest.raises(SocketTakenError), source:
        pass


class Half:
    """Another kernel that has commands only."""

    def request(self, kind: int, payload: bytes, *, ack: bool) -> list[Reply]:
        raise AssertionError((kind, payload, ack))

    def close(self) -> None:
        pass


@pytest.mark.parametrize("source", [Unicast, Multicast])
def test_incomplete_kernel_is_refused_before_opening(source: type[Unicast | Multicast]) -> None:
    with pytest.raises(UsageError, match=r"Half object .*supplies no audit records: pass an"):
        source(kernel=Half())
    with pytest.raises(UsageError, match="restores only the real kernel: leave out guarded=True"):
        source(kernel=FakeKernel(), guarded=True)


# --- which audit rules ------------------------------------------------------------------------


def with_rules(detections: Sequence[Detection], *given: Sequence[str] | None) -> list[str]:
    kernel = FakeKernel()
    with Sensor(detections, source=Unicast(*given, kernel=kernel)):
        return rules(kernel)


def test_default_audit_rules_are_those_of_detections() -> None:
    found = with_rules([detection("a", SHADOW), detection("b", RULE), detection("c", SHADOW), detection("d")])
    assert found == written(SHADOW, RULE)
    assert with_rules([detection("a", SHADOW)], [RULE]) == written(RULE)
    assert with_rules([detection("a", SHADOW)], []) == []


@pytest.mark.parametrize("source", [None, Unicast()])
def test_sensor_without_audit_rules_is_refused(source: Unicast | None) -> None:
    with pytest.raises(
        UsageError, match=r"no audit rule follows from these detections, .*: give audit_rules"
    ):
        Sensor([detection("a")], source=source)
    Sensor([detection("a")], audit_rules=[])
    Sensor([detection("a")], audit_rules=[RULE])


@pytest.mark.parametrize("given", [[RULE], []])
def test_no_audit_rules_are_derived_where_they_are_given(
    given: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "derive", None)
    kernel = FakeKernel()
    with Sensor(source=Unicast(given, kernel=kernel)):
        assert rules(kernel) == written(*given)
    with Sensor(source=FakeSource()):
        pass


def test_audit_rules_with_source_are_refused() -> None:
    with pytest.raises(UsageError, match=r"give the rules to the source, as in Unicast\(\['-w /etc/shadow"):
        Sensor(audit_rules=[SHADOW], source=FakeSource())


def feed(reader: Any, **data: Any) -> None:  # noqa: ANN401 - a wrong value
    with reader:
        for method, value in data.items():
            getattr(reader, method)(value)


@pytest.mark.parametrize(
    ("make", "error", "sentence"),
    [
        (lambda: Sensor(audit_rules=SHADOW), UsageError, r"a list of lines, not one string: \['-w /etc"),
        (lambda: Unicast(SHADOW), UsageError, "a list of lines, not one string"),
        (lambda: Sensor(audit_rules=["garbage"]), AuditRuleError, "garbage"),
        (lambda: Sensor([detection("a", "garbage")]), DetectionError, "detection 'a': audit_rule: .*garbage"),
        (
            lambda: Sensor([detection("a", "garbage")], source=FakeSource()),
            DetectionError,
            "detection 'a': audit_rule: .*garbage",
        ),
        (
            lambda: Detector(ANY(detection("a"))),
            UsageError,
            r"a list of detections, got one: pass \[detection\]",
        ),
        (lambda: Sensor(ANY("pspy")), UsageError, "expected a list of detections"),
        (lambda: Detector(ANY([1])), UsageError, "expected a detection, as define.* return, not 1"),
        (
            lambda: Detector([detection("a"), detection("a")]),
            DetectionError,
            "two detections have the id 'a'",
        ),
        (lambda: Sensor([detection("a", RULE)] * 2), DetectionError, "two detections have the id 'a'"),
        (lambda: Sensor(view=ANY("nonsense")), UsageError, "unknown view 'nonsense' .choose alerts, seq"),
        (lambda: define("a", "a", match={}), DetectionError, "match must have at least one field"),
        (lambda: feed(Detector(), feed_text="x"), UsageError, "text: expected bytes, not 'x': open the log"),
        (lambda: feed(EventReader(), feed_text="x"), UsageError, "text: expected bytes, not"),
        (lambda: feed(RowReader(["pid"]), feed_text="x"), UsageError, "text: expected bytes, not"),
        (lambda: feed(Detector(), feed=b"abc"), UsageError, r"each a datagram: pass \[datagram\]"),
        (lambda: feed(Detector(), feed=["abc"]), UsageError, "expected an iterable of bytes"),
        (lambda: feed(RowReader(["pid"]), feed=7), UsageError, "expected an iterable of bytes"),
        (lambda: FakeSource().send(ANY("x")), UsageError, "expected events or datagrams, not 'x'"),
        (lambda: FakeSource().send(ANY([call_event("open")])), UsageError, r"unpack a list with \*"),
        (lambda: FakeKernel().send(b"short"), UsageError, "expected events or datagrams"),
    ],
)
def test_wrong_argument_is_reported_at_once(make: Any, error: type[AuditSenseError], sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=sentence):
        make()


def test_detections_page_lists_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "detections.md").read_text(encoding="utf-8")
    table = page.partition("<!-- fields -->")[2].partition("<!-- end of fields -->")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in table.strip().splitlines()[2:]]
    documented = {name.strip("`"): number == "yes" for name, number, _ in rows}
    assert len(documented) == len(rows)
    assert documented == {SYSCALL_NAME: False} | {name: field in NUMBERS for name, field in FIELDS.items()}
