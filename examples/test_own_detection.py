"""Unit tests of own_detection.py, without a kernel, privileges or waiting."""

from own_detection import SHADOW

from auditsense import Detector, Sensor, Unicast
from auditsense.testing import FakeClock, FakeKernel, FakeSource, call_event, datagrams


def refused(
    serial: int, *, uid: int = 1000, exe: str = "/usr/bin/cat", path: str = "/etc/shadow"
) -> tuple[bytes, ...]:
    event = call_event("openat", path=path, success=False, key="shadow", serial=serial, uid=uid, exe=exe)
    return event.datagrams


def test_three_refusals_are_an_alert() -> None:
    with Detector([SHADOW]) as detector:
        assert detector.feed(refused(1)) == []
        assert detector.feed(refused(2)) == []
        (alert,) = detector.feed(refused(3))
    rule, user, file = alert.get("rule", {}), alert.get("user", {}), alert.get("file", {})
    assert rule.get("id") == "shadow-tries"
    assert (user.get("id"), file.get("path")) == ("1000", "/etc/shadow")


def test_any_spelling_of_the_path_counts() -> None:
    paths = enumerate(["shadow", "../etc/shadow", "/proc/self/root/etc/shadow"])
    with Detector([SHADOW]) as detector:
        results = [detector.feed(refused(serial, path=path)) for serial, path in paths]
    assert [len(documents) for documents in results] == [0, 0, 1]


def test_users_count_separately_and_password_checker_is_exempt() -> None:
    with Detector([SHADOW]) as detector:
        for serial in range(1, 5):
            assert detector.feed(refused(serial, uid=serial % 2)) == []
        for serial in range(5, 9):
            assert detector.feed(refused(serial, uid=7, exe="/usr/sbin/unix_chkpwd")) == []


def test_log_lines_work_too() -> None:
    text = """
        type=SYSCALL msg=audit(1.000:{0}): arch=c000003e syscall=257 success=no uid=5 exe="/cat" key="shadow"
        type=PATH msg=audit(1.000:{0}): item=0 name="/etc/shadow" nametype=NORMAL
        type=EOE msg=audit(1.000:{0}):
    """
    with Detector([SHADOW]) as detector:
        results = [detector.feed(datagrams(text.format(serial))) for serial in (1, 2, 3)]
    assert [len(documents) for documents in results] == [0, 0, 1]


def test_burst_ends_five_minutes_after_last_try() -> None:
    source, clock = FakeSource(), FakeClock()
    with Sensor([SHADOW], source=source, clock=clock) as sensor:
        for serial in range(1, 6):
            source.send(*refused(serial))
        assert [alert["auditsense"]["state"] for alert in sensor.poll()] == ["alert"]
        clock.advance(301)
        assert [(end["auditsense"]["state"], end["auditsense"].get("count")) for end in sensor.poll()] == [
            ("closed", 5)
        ]


def test_host_is_restored() -> None:
    kernel = FakeKernel()  # takes commands and sends records; the real kernel is not used
    before = kernel.host_state()
    with Sensor([SHADOW], source=Unicast(kernel=kernel), clock=FakeClock()) as sensor:
        assert (kernel.enabled, len(kernel.rules)) == (1, 1)
        kernel.send(*refused(1), *refused(2), *refused(3))
        assert len(sensor.poll()) == 1
    assert kernel.host_state() == before
