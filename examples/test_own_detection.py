"""The unit test of own_detection.py: no kernel, no privilege, no waiting."""

from own_detection import SHADOW

from auditsense import Detector, Sensor, Unicast
from auditsense.testing import FakeClock, FakeKernel, FakeSource, call_event, datagrams


def refused(
    serial: int, *, uid: int = 1000, exe: str = "/usr/bin/cat", path: str = "/etc/shadow"
) -> tuple[bytes, ...]:
    event = call_event("openat", path=path, success=False, key="shadow", serial=serial, uid=uid, exe=exe)
    return event.datagrams


def test_three_refused_tries_are_an_alert() -> None:
    with Detector([SHADOW]) as detector:
        assert detector.feed(refused(1)) == []
        assert detector.feed(refused(2)) == []
        (alert,) = detector.feed(refused(3))
    assert alert["rule"]["id"] == "shadow-tries"
    assert (alert["user"]["id"], alert["file"]["path"]) == ("1000", "/etc/shadow")


def test_it_does_not_matter_how_the_path_is_written() -> None:
    paths = enumerate(["shadow", "../etc/shadow", "/proc/self/root/etc/shadow"])
    with Detector([SHADOW]) as detector:
        found = [detector.feed(refused(serial, path=path)) for serial, path in paths]
    assert [len(documents) for documents in found] == [0, 0, 1]


def test_two_users_are_not_added_up_and_the_password_checker_is_let_alone() -> None:
    with Detector([SHADOW]) as detector:
        for serial in range(1, 5):
            assert detector.feed(refused(serial, uid=serial % 2)) == []
        for serial in range(5, 9):
            assert detector.feed(refused(serial, uid=7, exe="/usr/sbin/unix_chkpwd")) == []


def test_records_may_be_written_as_a_log_has_them() -> None:
    text = """
        type=SYSCALL msg=audit(1.000:{0}): arch=c000003e syscall=257 success=no uid=5 exe="/cat" key="shadow"
        type=PATH msg=audit(1.000:{0}): item=0 name="/etc/shadow" nametype=NORMAL
        type=EOE msg=audit(1.000:{0}):
    """
    with Detector([SHADOW]) as detector:
        found = [detector.feed(datagrams(text.format(serial))) for serial in (1, 2, 3)]
    assert [len(documents) for documents in found] == [0, 0, 1]


def test_the_burst_ends_five_minutes_after_the_last_try() -> None:
    source, clock = FakeSource(), FakeClock()
    with Sensor([SHADOW], source=source, clock=clock) as sensor:
        for serial in range(1, 6):
            source.send(*refused(serial))
        assert [alert["auditsense"]["state"] for alert in sensor.poll()] == ["alert"]
        clock.advance(301)
        assert [(end["auditsense"]["state"], end["auditsense"]["count"]) for end in sensor.poll()] == [
            ("closed", 5)
        ]


def test_the_host_is_put_back() -> None:
    kernel = FakeKernel()  # commands and records: nothing of the real kernel is opened
    before = kernel.host_state()
    with Sensor([SHADOW], source=Unicast(kernel=kernel), clock=FakeClock()) as sensor:
        assert (kernel.enabled, len(kernel.rules)) == (1, 1)
        kernel.send(*refused(1), *refused(2), *refused(3))
        assert len(sensor.poll()) == 1
    assert kernel.host_state() == before
