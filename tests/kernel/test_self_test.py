"""The helper of the self-test: no fault of it blocks the sensor."""

from __future__ import annotations

import os
import signal

import pytest

from auditsense.kernel.self_test import SelfTest
from tests.support.faults import NO_HOST, Recorder


def helper(test: SelfTest) -> int:
    """Return the pid of its helper."""
    pid: int = test._helper
    return pid


def test_stopped_helper_does_not_block_sensor(fault: Recorder) -> None:
    test = SelfTest()
    with test:
        pid = helper(test)
        os.kill(pid, signal.SIGSTOP)
        assert test.step(0.0) == ""
        assert "no record came" in test.step(10.0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    fault(
        "another process stops the helper of the self-test (SIGSTOP)",
        how="SIGSTOP, then a test, then the end of the sensor",
        did="the test failed in its time; at the end the helper was killed",
        lost="nothing",
        reported="that the deliberate open made no record",
        host=NO_HOST,
    )


def test_unkillable_helper_does_not_block_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays root; a sensor that has become another user may not kill it."""

    def refused(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr("auditsense.kernel.self_test._END_S", 0.05)
    test = SelfTest()
    with test:
        pid = helper(test)
        os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(os, "kill", refused)
    monkeypatch.undo()
    os.kill(pid, signal.SIGKILL)
    assert os.waitpid(pid, 0)[0] == pid


@pytest.mark.parametrize("asked", [False, True])
def test_killed_helper_is_a_failed_test(*, asked: bool) -> None:
    test = SelfTest()
    with test:
        if asked:  # what it has not read is a reset connection
            os.kill(helper(test), signal.SIGSTOP)
            assert test.step(0.0) == ""
        os.kill(helper(test), signal.SIGKILL)
        os.waitpid(helper(test), 0)
        failure = test.step(0.0) or test.step(10.0)
        assert failure
        assert test.failed == 1
