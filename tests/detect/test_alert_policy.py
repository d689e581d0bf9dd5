"""The alert policy: when the core may merge what it completes."""

from __future__ import annotations

import dataclasses

import pytest

from auditsense import AlertPolicy, shipped_detections
from auditsense.detect import suppression
from auditsense.detect.alert_policy import AlertCounts
from auditsense.detect.burst_state import Burst


@pytest.mark.parametrize(
    ("by", "merged"),
    [
        ((), True),
        (("process.pid",), True),
        (("process.executable", "user.id", "user.audit.id", "auditd.session", "process.pid"), True),
        (("process.name",), False),
        (("process.executable", "process.name"), False),
    ],
)
def test_windows_are_merged_only_within_a_burst(by: tuple[str, ...], *, merged: bool) -> None:
    policy = AlertPolicy(suppress_ms=777, by=by)
    assert policy.merge_ms(shipped_detections()[:2]) == (777 if merged else 0)
    assert policy.merge_ms([]) == 777


def test_policy_without_settings() -> None:
    policy = AlertPolicy()
    assert (policy.suppress_ms, policy.interval_ms, policy.update_ms) == (300_000, 300_000, 0)
    assert (policy.max_alerts, policy.max_bursts, policy.by) == (100, 10_000, ())


def test_burst_bounds() -> None:
    assert (suppression._MOST_HOSTS, suppression._MOST_LISTED) == (1024, 100)


@pytest.mark.parametrize("kept", [AlertPolicy, AlertCounts, Burst])
def test_retained_objects_have_no_other_attributes(kept: type[object]) -> None:
    assert "__dict__" not in dir(kept)
    assert {one.name for one in dataclasses.fields(kept)} == {*kept.__slots__}  # type: ignore[arg-type, attr-defined]


def test_policy_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        AlertPolicy().max_alerts = 1  # type: ignore[misc]
