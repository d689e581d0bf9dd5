"""Plan of a takeover: each step at its bounds, and refusals."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from auditsense.errors import KernelCommandError, LockedError, UsageError
from auditsense.kernel.audit_status import AuditStatus, StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import (
    AddRule,
    BecomeOwner,
    ChangeSetting,
    check_allowed,
    check_may_add,
    enable,
    missing_rules,
    plan,
    prepare,
)
from auditsense.kernel.rules import auditctl, shadowing
from auditsense.testing import FakeKernel

PROC = auditctl.parse("-w /proc/ -p r -k audit_proc")
OTHER = auditctl.parse("-w /etc/ -p wa -k etc")


def status(**changes: int | None) -> AuditStatus:
    with Commands(FakeKernel()) as commands:
        return replace(commands.status(), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [1, 2, 0xFFFFFFFE, 0xFFFFFFFF])
def test_backlog_limit_within_range_is_accepted(limit: int) -> None:
    (step, owner) = prepare(status(backlog_wait_time=0, backlog_limit=0), limit)
    assert step == ChangeSetting(StatusField.BACKLOG_LIMIT, 0, limit)
    assert owner == BecomeOwner()


@pytest.mark.parametrize("limit", [-1, 0, 0x100000000])
def test_backlog_limit_out_of_range_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=f"backlog limit {limit} is not between 1 and 4294967295 records"):
        list(prepare(status(), limit))


@pytest.mark.parametrize(("limit", "steps"), [(63, 1), (64, 0), (65, 0)])
def test_sufficient_backlog_limit_stays(limit: int, steps: int) -> None:
    changes = [*prepare(status(backlog_wait_time=0, backlog_limit=limit), 64)]
    assert len(changes) == steps + 1


@pytest.mark.parametrize(("wait", "steps"), [(0, 0), (1, 1), (15000, 1)])
def test_wait_time_is_set_to_0(wait: int, steps: int) -> None:
    changes = [*prepare(status(backlog_wait_time=wait, backlog_limit=64), 64)]
    assert changes[:-1] == [ChangeSetting(StatusField.BACKLOG_WAIT_TIME, wait, 0)] * steps


def test_missing_rules_are_added_once_each() -> None:
    assert [*missing_rules([OTHER], [PROC, OTHER, PROC])] == [AddRule(PROC)]
    assert [*missing_rules([PROC, OTHER], [PROC, OTHER])] == []
    assert [*missing_rules([], [PROC, OTHER])] == [AddRule(PROC), AddRule(OTHER)]


def test_audit_is_enabled_only_where_it_is_off() -> None:
    assert [*enable(status(enabled=0))] == [ChangeSetting(StatusField.ENABLED, 0, 1)]
    assert [*enable(status(enabled=1))] == []
    assert [*enable(status(enabled=2))] == []


def test_steps_are_ordered_and_readable() -> None:
    before = status(enabled=0, backlog_limit=64, backlog_wait_time=15000)
    assert [str(step) for step in plan(before, [OTHER], [PROC], 8192)] == [
        "set backlog_wait_time: 15000 -> 0 jiffies",
        "set backlog_limit: 64 -> 8192 records",
        "become the owner of the audit socket",
        "add audit rule: -w /proc -p r -k audit_proc",
        "set enabled: 0 -> 1",
    ]


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"enabled": 2}, LockedError, "locked until the next boot"),
        ({"failure": 2}, LockedError, "would panic"),
        ({"backlog_wait_time": None}, KernelCommandError, "older than 3.14"),
    ],
)
def test_locked_or_panicking_kernel_is_refused(
    changes: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        check_allowed(status(**changes))
    with pytest.raises(error, match=words):
        plan(status(**changes), [], [PROC])
    check_allowed(status(enabled=1, failure=1))


@pytest.mark.parametrize("changes", [{"enabled": 2}, {"failure": 2}])
def test_adding_nothing_is_never_refused(changes: dict[str, Any]) -> None:
    check_may_add(status(**changes), [])
    check_may_add(status(), [PROC])
    with pytest.raises(LockedError, match="add audit rule: -w /proc -p r -k audit_proc; add audit rule: -w"):
        check_may_add(status(**changes), [PROC, OTHER])


@pytest.mark.parametrize(
    ("masks", "meet"),
    [([], True), ([{1}], True), ([{1}, {1, 2}], True), ([{1}, {2}], False)],
)
def test_unknown_architecture_compares_by_number(masks: list[set[int]], *, meet: bool) -> None:
    result = shadowing._calls_meet_on("none", [frozenset(mask) for mask in masks], [4], only_opens=False)
    assert result is meet


@pytest.mark.parametrize("kind", [1299, 1300, 1301, 1302, 1303, 1307, 1319, 1320, 1321, 1327])
def test_excluding_needed_records_is_detected(kind: int) -> None:
    excluding = auditctl.parse(f"-a always,exclude -F msgtype={kind}")
    assert bool(shadowing.silencing_rules([excluding])) is (kind in {1300, 1302})


def test_excluding_both_records_that_end_an_event_is_detected() -> None:
    eoe, title, cwd, by_uid = (
        auditctl.parse(f"-a always,exclude -F {condition}")
        for condition in ("msgtype=EOE", "msgtype=PROCTITLE", "msgtype=CWD", "uid=0")
    )
    assert shadowing.silencing_rules([cwd, eoe, title]) == [eoe, title]
    assert shadowing.silencing_rules([eoe, by_uid]) == [eoe, by_uid]


@pytest.mark.parametrize(
    ("outcome", "hides"),
    [
        ("", True),
        ("-F success=1", True),
        ("-F success=0", False),
        ("-F exit=3", True),
        ("-F exit=-13", False),
    ],
)
def test_failure_rule_hides_no_successful_call(outcome: str, *, hides: bool) -> None:
    earlier = auditctl.parse(f"-a never,exit -F arch=b64 -S openat {outcome}".strip())
    wanted = auditctl.parse("-a always,exit -F arch=b64 -S openat -F key=k")
    assert shadowing.hides(earlier, wanted) is hides
