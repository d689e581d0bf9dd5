"""Reload of detections in the middle of a stream: no loss, no early decision, unchanged ones continue."""

from __future__ import annotations

import errno
import random
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditsense import Detector, Limits, Sensor, View
from auditsense.core.ring import Ring
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections import define
from auditsense.detections.loader import shipped_detections
from auditsense.detections.model import Comparison, Condition, DetectionException, Window
from auditsense.errors import DetectionError, UsageError
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.rule import AuditRule
from auditsense.sensor.side_ring import SELF_TEST, SideRing, self_test_pids, self_test_rule
from auditsense.sources.multicast import Multicast
from auditsense.sources.unicast import Unicast
from auditsense.testing import FakeClock, FakeKernel, FakeSource, burst, call_event, open_event

if TYPE_CHECKING:
    from auditsense import Document
    from auditsense.detections.model import Detection

SAME = {
    "datagrams",
    "records",
    "malformed",
    "events",
    "incomplete",
    "late",
    "duplicate",
    "serials_missing",
    "matches",
}
SMALL = Limits(event_slots=64, small_texts=256, key_slots=64)


def never(name: str = "never") -> Detection:
    """Return a detection that nothing in these tests matches."""
    return define(name, "Never", match={"auditd.data.syscall": "reboot"}, matches=3, within="1h")


def unlinking() -> Detection:
    return define("unlink", "Unlink", match={"auditd.data.syscall": "unlinkat"})


def datagrams_of(seed: int, opens: int) -> list[bytes]:
    """Return the records of some processes' opens, events overtaking each other, now and then one lost."""
    chance = random.Random(seed)  # noqa: S311 - a test
    ms, streams = 1_795_493_114_674, []
    for serial in range(3, 3 + opens):
        ms += chance.randrange(0, 900)
        streams.append([*open_event(ms=ms, serial=serial, pid=chance.choice((7, 8, 9))).datagrams])
    datagrams: list[bytes] = []
    while streams:
        stream = chance.choice(streams[:3])
        datagrams.append(stream.pop(0))
        streams = [rest for rest in streams if rest]
        if chance.random() < 0.02:
            datagrams.pop()
    return datagrams


def told(documents: list[Document]) -> list[tuple[Any, ...]]:
    """Return what documents say but for which rule is how many."""
    return [
        (document["@timestamp"], document["rule"]["id"], document["process"]["pid"], document["auditsense"])
        for document in documents
    ]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    opens=st.integers(10, 80),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), max_size=6),
    sequences=st.booleans(),
)
def test_reload_anywhere_keeps_unchanged_detections(
    seed: int, opens: int, cuts: list[tuple[float, int]], *, sequences: bool
) -> None:
    pspy = shipped_detections()[0]
    tables = [[pspy], [never(), pspy], [pspy, never("a"), never("b")], [replace(pspy, description="Other")]]
    given_ = datagrams_of(seed, opens)
    policy = AlertPolicy(suppress_ms=3000)
    with (
        Detector([pspy], sequences=sequences, policy=policy, limits=SMALL) as whole,
        Detector([pspy], sequences=sequences, policy=policy, limits=SMALL) as reloaded,
    ):
        at, documents, expected = 0, [], []
        for share, table in sorted(cuts):
            part = given_[at : int(share * len(given_))]
            at += len(part)
            # In the same parts: what a document says is lost is what is known by then.
            expected += whole.feed(part)
            documents += reloaded.feed(part) + reloaded.reload(tables[table])
        expected += whole.feed(given_[at:]) + whole.finish()
        documents += reloaded.feed(given_[at:]) + reloaded.finish()
        if sequences:
            assert [document["auditsense"]["events"] for document in documents] == [
                document["auditsense"]["events"] for document in expected
            ]
        else:
            assert told(documents) == told(expected)
        before, after = whole.stats().as_dict(), reloaded.stats().as_dict()
        assert {name: after[name] for name in SAME} == {name: before[name] for name in SAME}


def opens(times: int, *, first: int = 0, pid: int = 4352) -> list[bytes]:
    """Return *times* opens of a burst, from number *first* on."""
    events = burst(first + times, pid=pid)[first:]
    return [datagram for event in events for datagram in event.datagrams]


@pytest.mark.parametrize("others", [[], [never()], [never("a"), never("b")]])
def test_window_survives_reload(others: list[Detection]) -> None:
    pspy = shipped_detections()[0]
    with Detector([pspy]) as detector:
        assert detector.feed(opens(9)) == []
        assert detector.reload([*others, pspy]) == []
        (alert,) = detector.feed(opens(1, first=9))
        assert alert["auditsense"]["count"] == 10
        assert len(alert["auditsense"]["events"]) == 10


def test_burst_survives_reload_and_closes_once() -> None:
    pspy = shipped_detections()[0]
    with Detector([pspy]) as detector:
        (alert,) = detector.feed(opens(15))
        assert detector.reload([never(), replace(pspy, name="Other")]) == []
        assert detector.feed(opens(5, first=15)) == []
        (closed,) = detector.finish()
        assert (alert["auditsense"]["state"], closed["auditsense"]["state"]) == ("alert", "closed")
        assert closed["auditsense"]["count"] == 20
        assert closed["rule"]["name"] == "Other"
        assert detector.alert_counts.alerts == 1


def test_burst_that_only_a_reload_moved_is_closed_once() -> None:
    pspy = shipped_detections()[0]
    with Detector() as detector:
        (alert,) = detector.feed(opens(12))
        assert detector.reload([never(), pspy]) == []
        (closed,) = detector.finish()
        assert (alert["auditsense"]["state"], closed["auditsense"]["state"]) == ("alert", "closed")
        assert detector.finish() == []


def test_removed_detection_closes_bursts_changed_one_starts_anew() -> None:
    pspy = shipped_detections()[0]
    with Detector([pspy]) as detector:
        detector.feed(opens(15))
        (closed,) = detector.reload([never()])
        assert (closed["auditsense"]["state"], closed["auditsense"]["count"]) == ("closed", 15)
        assert detector.feed(opens(15, first=15)) == []
        detector.reload([pspy])
        assert detector.feed(opens(9, first=30)) == []
        (alert,) = detector.feed(opens(1, first=39))
        assert alert["auditsense"]["count"] == 10
    with Detector([pspy]) as detector:
        detector.feed(opens(9))
        detector.reload([replace(pspy, window=replace(pspy.window, within_ms=4000))])
        assert detector.feed(opens(9, first=9)) == []


def test_new_detection_sees_later_syscall_records() -> None:
    early = call_event("unlinkat", ms=1_795_493_114_674, serial=3).datagrams
    late = call_event("unlinkat", ms=1_795_493_114_675, serial=4).datagrams
    with Detector([never()]) as detector:
        # Of the one the call came before, of the other only what overtook it.
        assert detector.feed([early[0], late[1]]) == []
        detector.reload([never(), unlinking()])
        documents = detector.feed([*early[1:], late[0], *late[2:]])
        assert [document["auditsense"]["events"] for document in documents] == [["1795493114.675:4"]]
        assert documents[0]["process"]["working_directory"] == "/"
        assert detector.stats().incomplete == 0


def test_waiting_hits_use_the_old_detections() -> None:
    with Detector([unlinking()]) as detector:
        event = call_event("unlinkat")
        detector.ring.feed(b"".join(_packed(datagram) for datagram in event.datagrams))
        (documents,) = detector.reload([never()])
        assert documents["rule"]["id"] == "unlink"


def _packed(datagram: bytes) -> bytes:
    return (0).to_bytes(8, "little") + len(datagram).to_bytes(4, "little") + bytes(4) + datagram


def test_line_cut_by_reload_is_one_line() -> None:
    text = b"".join(event.text for event in burst(10))
    pspy = shipped_detections()[0]
    for at in range(0, len(text), 97):
        with Detector([pspy]) as detector:
            documents = detector.feed_text(text[:at])
            documents += detector.reload([never(), pspy])
            documents += detector.feed_text(text[at:]) + detector.finish()
            assert len(documents) == 1
            assert detector.stats().malformed == 0


def test_new_exception_keeps_window_and_other_counts() -> None:
    pspy = shipped_detections()[0]
    exception = DetectionException("pspy", (Condition("process.parent.pid", Comparison.IS, ("1",)),), "c")
    two = DetectionException("pspy", (Condition("process.name", Comparison.IS, ("harmless",)),), "d")
    with Detector([replace(pspy, exceptions=(exception,))]) as detector:
        detector.feed(opens(9))
        detector.feed(open_event(ppid=1, serial=900).datagrams)
        assert detector.exceptions() == [(exception, 1)]
        detector.reload([replace(pspy, exceptions=(two, exception))])
        assert detector.exceptions() == [(two, 0), (exception, 1)]
        detector.feed(open_event(ppid=1, serial=901).datagrams)
        detector.feed(open_event(comm="harmless", serial=902).datagrams)
        assert detector.exceptions() == [(two, 1), (exception, 2)]
        assert detector.stats().excepted == 3
        assert len(detector.feed(opens(1, first=9))) == 1


def test_exception_in_another_line_keeps_its_count() -> None:
    pspy = shipped_detections()[0]
    exception = DetectionException(
        pspy.id, (Condition("process.pid", Comparison.IS, ("7",)),), "7", origin="a:3"
    )
    other = DetectionException(pspy.id, (Condition("process.pid", Comparison.IS, ("8",)),), "8", origin="a:3")
    same = replace(exception, origin="a:9")
    with Detector([replace(pspy, exceptions=(exception, replace(exception, origin="b:1")))]) as detector:
        detector.feed(open_event(pid=7).datagrams)
        detector.reload([replace(pspy, exceptions=(other, same))])
        assert detector.exceptions() == [(other, 0), (same, 1)]


def test_failed_reload_changes_nothing() -> None:
    pspy = shipped_detections()[0]
    with Detector([pspy]) as detector:
        detector.feed(opens(9))
        with pytest.raises(DetectionError):
            detector.reload([pspy, pspy])
        assert len(detector.feed(opens(1, first=9))) == 1


def test_lean_detector_refuses_reload_that_needs_more_records() -> None:
    pspy = shipped_detections()[0]
    with Detector([pspy], lean=True) as detector:
        detector.reload([never(), pspy])
        with pytest.raises(UsageError, match="needs a restart"):
            detector.reload([define("t", "T", match={"process.title": "x"})])


def test_new_policy_closes_bursts_over_its_limit() -> None:
    pspy = shipped_detections()[0]
    with Detector([pspy]) as detector:
        for pid in (1, 2, 3):
            detector.feed(opens(12, first=12 * pid, pid=pid))
        closed = detector.reload([pspy], AlertPolicy(max_bursts=1))
        assert [document["process"]["pid"] for document in closed] == [1, 2]
        assert {document["auditsense"]["state"] for document in closed} == {"closed"}


def test_self_test_continues_after_a_reload() -> None:
    pspy = shipped_detections()[0]
    make_ring = partial(SideRing, side_rules={SELF_TEST: self_test_rule("/proc/./.")})
    with Detector([pspy], make_ring=make_ring) as detector:
        probe = open_event(path="/proc/./.", pid=11, serial=900).datagrams
        detector.feed(opens(9))
        detector.feed(probe)
        detector.reload([never(), pspy])
        assert self_test_pids(detector.ring) == [11]
        detector.feed(open_event(path="/proc/./.", pid=12, serial=901).datagrams)
        assert self_test_pids(detector.ring) == [12]
        assert len(detector.feed(opens(1, first=9))) == 1


def test_sensor_returns_reload_documents_with_next_poll() -> None:
    source = FakeSource()
    pspy = shipped_detections()[0]
    with Sensor([pspy], source=source, clock=FakeClock()) as sensor:
        source.send(*burst(15))
        assert [document["auditsense"]["state"] for document in sensor.poll()] == ["alert"]
        sensor.reload([never()])
        assert sensor.timeout_s() == 0
        assert [document["auditsense"]["state"] for document in sensor.poll()] == ["closed"]
    with sensor:
        assert [detection.id for detection in sensor.detections] == ["never"]


def test_events_continue_over_reload() -> None:
    source = FakeSource()
    with Sensor(source=source, view=View.EVENTS) as sensor:
        source.send(open_event())
        sensor.reload([never()])
        assert len(sensor.poll()) == 1
        assert [detection.id for detection in sensor.detections] == ["never"]


def test_ring_migrates_only_from_same_kind() -> None:
    pspy = shipped_detections()[0]
    with Detector([pspy]) as detector:
        rules = detector.ring.rules
    with Ring(rules, SMALL, seed=1) as older:
        with Ring(rules, SMALL, seed=2) as other, pytest.raises(Exception, match="core refused"):
            other.migrate_from(older, [0])
        with Ring(rules, seed=1) as larger, pytest.raises(Exception, match="core refused"):
            larger.migrate_from(older, [0])
        with Ring(replace(rules, rules=(replace(rules.rules[0], count=3),)), SMALL, seed=1) as fewer:
            with pytest.raises(Exception, match="core refused"):
                fewer.migrate_from(older, [0])
            with pytest.raises(Exception, match="core refused"):
                fewer.migrate_from(older, [1])
            assert fewer.migrate_from(older, [None])
        with pytest.raises(Exception, match="another thread"):
            older.migrate_from(older, [0])


# --- audit rules -----------------------------------------------------------------------------

ETC = "-w /etc -p w -k etc"


def needing(rule: str) -> list[Detection]:
    pspy = shipped_detections()[0]
    return [pspy, replace(pspy, id="other", audit_rule=rule)]


def listed(kernel: FakeKernel) -> list[str]:
    return [auditctl.format_rule(AuditRule.from_bytes(rule)) for rule in kernel.rules]


@pytest.mark.parametrize("kind", [Unicast, Multicast])
def test_reload_adds_an_audit_rule_until_the_sensor_is_left(kind: type[Unicast | Multicast]) -> None:
    kernel = FakeKernel() if kind is Unicast else FakeKernel(enabled=1, pid=1, alive={1})
    with Sensor(needing(ETC)[:1], source=kind(kernel=kernel)) as sensor:
        for _ in range(2):
            sensor.reload(needing(ETC))
            assert [len(kernel.rules), listed(kernel)[-1]] == [2, ETC]
        assert sensor.poll() == []  # the watch expects the new rule as well
    assert kernel.rules == []


def test_reload_refuses_an_audit_rule_that_cannot_be_added() -> None:
    kernel = FakeKernel()
    with Sensor(needing(ETC)[:1], source=Unicast(kernel=kernel)) as sensor:
        detections, rules = sensor.detections, [*kernel.rules]
        kernel.fail_at(len(kernel.log) + 1, errno.EPERM)  # after the rules are listed
        with pytest.raises(UsageError, match="-w /etc -p w -k etc"):
            sensor.reload(needing(ETC))
        assert sensor.detections is detections
        assert kernel.rules == rules
        sensor.reload(needing(ETC))
        assert len(kernel.rules) == 2


def test_reload_that_fails_takes_the_audit_rule_back() -> None:
    kernel = FakeKernel()
    with Sensor(source=Unicast(kernel=kernel)) as sensor:
        rules, twice = [*kernel.rules], needing(ETC)
        with pytest.raises(DetectionError):
            sensor.reload([twice[0], replace(twice[1], window=Window(("process.pid",), 65, 1000))])
        assert kernel.rules == rules
