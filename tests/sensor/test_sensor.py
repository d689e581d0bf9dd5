"""The sensor over a source in memory: no kernel, the same loop."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest

from auditsense import AlertPolicy, ClosedError, Sensor, Unicast, View
from auditsense.detections import define
from auditsense.errors import KernelCommandError, UsageError
from auditsense.kernel.self_test import SelfTest
from auditsense.kernel.tamper import KEY_STOLEN, Change, Deviation
from auditsense.testing import FakeClock, FakeKernel
from auditsense.testing import FakeSource as MemorySource
from auditsense.testing.records import burst, call_event, datagram, open_event

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense import Document
    from auditsense.kernel.guardian import Guardian
    from auditsense.testing.records import EventRecords


@dataclass
class FakeSource:
    """A source whose kernel is the test."""

    name: str = "fake"
    only_kernel: bool = False
    audited: bool = False
    early: list[bytes] = field(default_factory=list)
    drain: Callable[[], object] | None = None
    restored: tuple[str, ...] = ()
    guardian: Guardian | None = None
    lost: int = 0
    dropped: int = 0
    silent: bool = False
    noticed: list[Change] = field(default_factory=list)
    last: list[bytes] = field(default_factory=list)
    """Datagrams that come while leaving."""
    left: int = 0

    def __enter__(self) -> Self:
        self.ours, self.kernels = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        return self

    def __exit__(self, *exception: object) -> None:
        if self.ours.fileno() < 0:
            return
        for data in self.last:
            self.kernels.send(data)
        if self.drain is not None:
            self.drain()
        self.left += 1
        self.ours.close()
        self.kernels.close()

    def attach(self, drain: Callable[[], object], unneeded: frozenset[int]) -> None:  # noqa: ARG002
        self.drain = drain

    def take_early(self) -> list[bytes]:
        early, self.early = self.early, []
        return early

    def plan(self) -> list[str]:
        return []

    def fileno(self) -> int:
        return self.ours.fileno()

    def kernel_lost(self) -> int:
        if self.silent:
            raise KernelCommandError("the kernel's audit did not answer within 0.25 s")
        return self.lost

    def drops(self) -> int:
        return self.dropped

    def check(self) -> list[Change]:
        noticed, self.noticed = self.noticed, []
        if self.silent:
            raise KernelCommandError("the kernel's audit did not answer within 0.25 s")
        return noticed

    def send(self, *events: EventRecords) -> None:
        for event in events:
            for data in event.datagrams:
                self.kernels.send(data)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def of_dataset(documents: list[Document], name: str) -> list[Document]:
    return [document for document in documents if document["event"]["dataset"] == f"auditsense.{name}"]


def poll_for(sensor: Sensor, seconds: float) -> list[Document]:
    """Poll as an owner with its own loop does."""
    documents: list[Document] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        documents += sensor.poll()
        time.sleep(0.01)
    return documents


def poll_until(sensor: Sensor, dataset: str) -> list[Document]:
    """Poll until a document of a dataset comes; return all of that poll."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        if found := of_dataset(sensor.poll(), dataset):
            return found
        time.sleep(0.01)
    raise AssertionError(f"no document about {dataset}")


# The socket of the test is no netlink socket: the core would take its datagrams for a stranger's.
# Early datagrams come through Python, so records go that way here.


def test_early_datagrams_alert_at_first_poll() -> None:
    source = FakeSource(early=[data for event in burst(10) for data in event.datagrams])
    with Sensor(source=source) as sensor:
        (alert,) = of_dataset(sensor.poll(), "alert")
        assert alert["auditsense"]["state"] == "alert"
        assert sensor.finish() == []
    assert source.left == 1


def test_alert_states_losses_in_window_and_total() -> None:
    began = now_ms()
    source = FakeSource(early=[data for event in burst(10, ms=began, every_ms=1) for data in event.datagrams])
    with Sensor(source=source) as sensor:
        source.lost = 7
        (alert,) = of_dataset(sensor.poll(), "alert")
    assert (alert["auditsense"]["lost"], alert["auditsense"]["lost_total"]) == (7, 0)


def test_earlier_loss_is_only_in_total() -> None:
    source = FakeSource(lost=0)
    with Sensor(source=source) as sensor:
        source.lost = 7
        assert of_dataset(sensor.poll(), "loss")
        time.sleep(0.05)
        events = burst(10, ms=now_ms() + 20, every_ms=1)
        documents = sensor.reader.feed([data for event in events for data in event.datagrams])
        sensor._pending += documents
        (alert,) = of_dataset(sensor.poll(), "alert")
    assert (alert["auditsense"]["lost"], alert["auditsense"]["lost_total"]) == (0, 7)


# --- alerts and events -----------------------------------------------------------------------


def test_on_event_adds_all_events_to_alerts() -> None:
    source = MemorySource()
    order: list[str] = []
    with Sensor(source=source, on_event=lambda event: order.append(event.id)) as sensor:
        source.send(*burst(12), call_event("unlink", serial=99))
        (alert,) = of_dataset(sensor.poll(), "alert")
        assert order == [event.id for event in (*burst(12), call_event("unlink", serial=99))]
        assert alert["auditsense"]["events"][0] == order[0]
        source.send(open_event(serial=100))
        sensor.finish()
    assert len(order) == 14
    assert sensor.alert_counts.alerts == 1


def test_on_event_survives_a_reload_and_the_self_test() -> None:
    test = SelfTest(60, within_s=5)
    source = MemorySource()
    pids: list[int | None] = []
    with Sensor(source=source, on_event=lambda event: pids.append(event.pid), self_test=test) as sensor:
        source.send(open_event(serial=3, pid=11, path=test.path))
        sensor.poll()
        sensor.reload([])
        source.send(open_event(serial=4, pid=12), open_event(serial=5, pid=13, path=test.path))
        assert of_dataset(sensor.poll(), "alert") == []
    assert pids == [11, 12, 13]


@pytest.mark.parametrize("audited", [True, False])
def test_on_event_omits_own_events_when_audited(*, audited: bool) -> None:
    source = MemorySource(audited=audited)
    pids: list[int | None] = []
    with Sensor(source=source, on_event=lambda event: pids.append(event.pid)) as sensor:
        source.send(open_event(serial=3, pid=os.getpid()), open_event(serial=4, pid=4711))
        sensor.poll()
    assert pids == ([4711] if audited else [os.getpid(), 4711])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"on_event": print, "view": View.EVENTS}, "iterate sensor.events()"),
        ({"on_event": "print"}, "on_event: expected a function of one event, not 'print'"),
        ({"policy": 3}, "policy: expected an AlertPolicy(…), not 3"),
        ({"limits": 3}, "limits: expected Limits(…), not 3"),
        ({"source": "netlink"}, "source: expected a Source, as Unicast() or Multicast(), not 'netlink'"),
        ({"fields": ["pid"]}, "fields need another view: pass view=View.EVENTS"),
    ],
)
def test_wrong_argument_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        Sensor(**arguments)


def test_repr_names_view_source_and_state() -> None:
    sensor = Sensor(source=MemorySource())
    assert repr(sensor) == "<Sensor alerts from fake, closed>"
    with sensor:
        assert repr(sensor) == "<Sensor alerts from fake, open>"


def test_loss_is_a_document_also_at_the_end() -> None:
    source = FakeSource()
    with Sensor(source=source) as sensor:
        source.lost = 3
        (first,) = of_dataset(sensor.poll(), "loss")
        source.dropped = 10
        (last,) = of_dataset(sensor.finish(), "loss")
        assert sensor.losses.by_cause() == {"kernel_lost": 3, "socket_drops": 10}
    assert first["auditsense"]["loss"]["by_cause"] == {"kernel_lost": 3}
    assert last["auditsense"]["loss"]["by_cause"] == {"socket_drops": 10}
    assert last["auditsense"]["lost_total"] == 13


def test_missing_serial_is_a_loss() -> None:
    first, second = open_event(serial=1), open_event(serial=5)
    source = FakeSource(early=[*first.datagrams, *second.datagrams])
    with Sensor(source=source) as sensor:
        (loss,) = of_dataset(sensor.finish(), "loss")
    assert loss["auditsense"]["loss"] == {"events": 3, "records": 15, "by_cause": {"serials_missing": 3}}


def test_foreign_datagrams_are_counted_and_reported() -> None:
    source = FakeSource()
    with Sensor(source=source) as sensor:
        source.send(open_event())
        (loss,) = poll_until(sensor, "loss")
        assert sensor.stats().foreign == 5
    assert loss["auditsense"]["loss"] == {"events": 0, "records": 0, "by_cause": {"foreign": 5}}


def test_silent_kernel_does_not_end_sensor() -> None:
    source = FakeSource(silent=True)
    with Sensor(source=source) as sensor:
        assert poll_for(sensor, 1.2) == []
        source.silent, source.lost = False, 1
        assert poll_until(sensor, "loss")


def test_tampering_is_a_document() -> None:
    deviation = Deviation("auditsense.tamper.disabled", "Audit Was Switched Off", "critical", "audit is off")
    source = FakeSource(noticed=[Change(deviation), Change(deviation, "repaired: set enabled: 0 -> 1")])
    with Sensor(source=source) as sensor:
        plain, repaired = of_dataset(sensor.poll(), "tamper")
    assert plain["event"]["kind"] == "alert"
    assert plain["rule"] == {"id": "auditsense.tamper.disabled", "name": "Audit Was Switched Off"}
    assert (plain["event"]["risk_score"], plain["auditsense"]["severity"]) == (99, "critical")
    assert (plain["message"], plain["auditsense"]["repaired"]) == ("audit is off", "")
    assert repaired["message"] == "audit is off; repaired: set enabled: 0 -> 1"


def test_lost_key_is_an_alert_only_if_a_detection_compares_it() -> None:
    change = Change(Deviation(KEY_STOLEN, "Audit Rule Loses Its Key To Another", "low", "x"))
    by_key = define("own", "Own", match={"auditd.data.key": "shadow"}, audit_rule="-w /etc/shadow -p r")
    for detections, kind in ((None, "state"), ([by_key], "alert")):
        with Sensor(detections, source=FakeSource(noticed=[change])) as sensor:
            (document,) = of_dataset(sensor.poll(), "tamper")
        assert document["event"]["kind"] == kind


def test_refused_challenge_for_socket_is_reported() -> None:
    source = FakeSource()
    with Sensor(source=source) as sensor:
        assert sensor.poll() == []
        sensor.reader.feed([b"\x14\x00\x00\x00\x31\x05" + bytes(10) + b"\x01\x00\x00\x00"])  # AUDIT_REPLACE
        (document,) = poll_until(sensor, "tamper")
    assert document["rule"]["id"] == "auditsense.tamper.challenge"


@pytest.mark.parametrize("audited", [True, False])
def test_own_events_are_omitted_when_audited(*, audited: bool) -> None:
    own, other = open_event(serial=3, pid=os.getpid()), open_event(serial=4, pid=4711)
    source = FakeSource(audited=audited, early=[*own.datagrams, *other.datagrams])
    with Sensor(source=source, view=View.EVENTS) as sensor:
        pids = [document["process"]["pid"] for document in sensor.poll()]
    assert pids == ([4711] if audited else [os.getpid(), 4711])


def test_iteration_ends_after_stop_with_source_left() -> None:
    source = FakeSource(early=[data for event in burst(12) for data in event.datagrams])
    with Sensor(source=source, policy=AlertPolicy(suppress_ms=1000)) as sensor:
        states = []
        for document in sensor:
            states.append(document["auditsense"]["state"])
            sensor.stop()
        assert source.left == 1
    assert states == ["alert", "closed"]


def test_never_entered_sensor_is_closed() -> None:
    with pytest.raises(ClosedError):
        Sensor(source=FakeSource()).stats()


# --- the self-test -----------------------------------------------------------------------


def test_passed_self_test_makes_no_document() -> None:
    test = SelfTest(60, within_s=5)
    source = FakeSource()
    with Sensor(source=source, self_test=test) as sensor:
        assert sensor.poll() == []
        assert test.pending
        deadline = time.monotonic() + 300
        while test._pid is None and time.monotonic() < deadline:
            assert poll_for(sensor, 0.05) == []
        assert test._pid is not None
        event = open_event(pid=test._pid, path=test.path, a2="80000", comm="python")
        assert sensor.reader.feed(event.datagrams) == []
        assert sensor.poll() == []
        assert (test.passed, test.failed, test.pending) == (1, 0, False)


def test_self_test_ignores_opens_by_others() -> None:
    test = SelfTest(60, within_s=0.3)
    with Sensor(source=FakeSource(), self_test=test) as sensor:
        sensor.poll()
        sensor.reader.feed(open_event(pid=1, path=test.path).datagrams)
        (document,) = poll_until(sensor, "self_test")
        assert (test.passed, test.failed) == (0, 1)
    assert (document["auditsense"]["state"], document["event"]["kind"]) == ("error", "alert")
    assert "no record came of a deliberate open of /proc" in document["message"]


def test_self_test_path_is_unique_and_below_proc() -> None:
    names = {SelfTest(1).path for _ in range(10)}
    assert len(names) == 10
    assert {os.path.realpath(name) for name in names} == {"/proc"}


def test_dead_helper_fails_self_test() -> None:
    test = SelfTest(60, within_s=5)
    with Sensor(source=FakeSource(), self_test=test) as sensor:
        os.kill(test._helper, 9)
        os.waitid(os.P_PID, test._helper, os.WEXITED | os.WNOWAIT)
        (document,) = poll_until(sensor, "self_test")
    assert "its helper is gone" in document["message"]


def test_self_test_helper_ends_with_sensor() -> None:
    test = SelfTest(60)
    with Sensor(source=FakeSource(), self_test=test):
        helper = test._helper
        os.kill(helper, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(helper, 0)


def test_datagrams_while_leaving_are_used() -> None:
    source = FakeSource(last=[datagram("type=EOE msg=audit(1.000:1): ")])
    with Sensor(source=source) as sensor:
        sensor.finish()
        assert sensor.stats().datagrams == 1


def test_audit_rules_are_derived_for_the_mapping_of_the_sensor() -> None:
    """Only `native` gives an execve the second action "exec", so this query selects none there."""
    query = 'process where event.action == "executed" and not event.action == "exec" and user.id == "7"'
    starts = define("starts", "Starts Of Programs", eql=query)
    named = define("named", "Names Its Rule", match={"user.id": "7"}, audit_rule="-w /etc/x -p w -k x")
    entered: dict[str, int] = {}
    reloaded: dict[str, int] = {}
    for mapping in ("native", "auditd_manager"):
        for first, counts in ([starts, named], entered), ([named], reloaded):
            kernel = FakeKernel()
            source = Unicast(kernel=kernel)
            with Sensor(first, source=source, clock=FakeClock(), mapping=mapping) as sensor:
                sensor.reload([starts, named])
                counts[mapping] = len(kernel.rules)
    assert entered == reloaded
    assert entered["native"] == 1 < entered["auditd_manager"]


def test_unknown_mapping_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown mapping 'elastic'"):
        Sensor(mapping="elastic")
