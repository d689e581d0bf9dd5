"""Multicast and the choice between it and owning the socket, over a kernel in memory."""

from __future__ import annotations

import os

import pytest

from auditsense.errors import KernelCommandError, LockedError, NoKernelAuditError, SocketTakenError
from auditsense.kernel.rules import auditctl
from auditsense.sources.factory import choose
from auditsense.sources.multicast import Multicast
from auditsense.sources.unicast import Unicast
from auditsense.testing import FakeKernel

RULE = "-w /proc/ -p r -k audit_proc"
OTHERS = "-w /etc/passwd -p wa -k passwd"
OWNER = 1  # a process that lives wherever there is one


def owned(**settings: int) -> FakeKernel:
    rules = [auditctl.parse(OTHERS).to_bytes()]
    return FakeKernel(**{"enabled": 1, "pid": OWNER, **settings}, rules=rules, alive={OWNER})


def test_it_adds_the_missing_rule_changes_no_setting_and_deletes_it_again() -> None:
    kernel = owned()
    before = kernel.host_state()
    with Multicast(kernel=kernel) as source:
        assert source.fileno() >= 0
        assert len(kernel.rules) == 2
        assert kernel.host_state()[:-1] == before[:-1]
    assert source.fileno() == -1
    assert kernel.host_state() == before
    assert {line.split()[0] for line in kernel.log} == {"get", "list", "add", "delete"}


def test_a_rule_that_is_there_is_left_there() -> None:
    kernel = owned()
    before = kernel.host_state()
    with Multicast([OTHERS], kernel=kernel):
        assert kernel.host_state() == before
    assert kernel.host_state() == before
    assert "add" not in kernel.log


def test_a_rule_that_somebody_adds_in_between_is_theirs() -> None:
    kernel = owned()
    theirs = auditctl.parse(RULE)
    position = len(["get", "get", "list"])
    kernel.before[position] = lambda: kernel.rules.append(theirs.to_bytes()) if not kernel.rules[1:] else None
    with Multicast(kernel=kernel):
        pass
    assert "delete" not in kernel.log or len(kernel.rules) == 2


@pytest.mark.parametrize("acted", [False, True])
def test_an_answer_that_gets_lost_leaves_nothing_behind(*, acted: bool) -> None:
    kernel = owned()
    before = kernel.host_state()
    kernel.stay_silent_at(len(["get", "get", "list"]), acted=acted)
    with pytest.raises(KernelCommandError, match="did not answer"), Multicast(kernel=kernel):
        pass
    assert kernel.host_state() == before


@pytest.mark.parametrize(
    ("kernel", "error", "sentence"),
    [
        (FakeKernel(), NoKernelAuditError, "audit is off .* no process owns the audit socket"),
        (FakeKernel(enabled=1), NoKernelAuditError, "would print every record to its log"),
        (owned(enabled=2), LockedError, r"locked until the next boot .* add audit rule: -w /proc -p r"),
        (owned(failure=2), LockedError, "would panic .* nothing is added"),
        (FakeKernel(enabled=1, pid=4_194_305), NoKernelAuditError, "no process owns"),  # it died
    ],
)
def test_where_it_must_not_be_it_refuses_and_changes_nothing(
    kernel: FakeKernel, error: type[Exception], sentence: str
) -> None:
    before = kernel.host_state()
    with pytest.raises(error, match=sentence), Multicast(kernel=kernel):
        pass
    assert kernel.host_state() == before


@pytest.mark.parametrize("settings", [{"enabled": 2}, {"failure": 2}])
def test_where_nothing_may_be_changed_it_listens_when_the_rule_is_there(settings: dict[str, int]) -> None:
    kernel = owned(**settings)
    before = kernel.host_state()
    with Multicast([OTHERS], kernel=kernel) as source:
        assert source.check() == []
    assert kernel.host_state() == before


def test_without_leave_to_add_rules_their_absence_is_an_error() -> None:
    with (
        pytest.raises(
            NoKernelAuditError, match="not allowed to change the audit rules; needed to listen: add"
        ),
        Multicast(add_rules=False, kernel=owned()),
    ):
        pass


def test_it_says_when_audit_is_off_and_an_owner_could_turn_it_on() -> None:
    with Multicast(kernel=owned(enabled=0)) as source:
        assert source.off
        assert source.check() == []


def test_a_counter_that_somebody_sets_back_to_zero_is_no_loss_of_four_billion() -> None:
    kernel = owned()
    kernel.lost = 1000
    with Multicast(kernel=kernel) as source:
        kernel.lost = 1010
        assert source.kernel_lost() == 10
        kernel.lost = 3  # reset, and three since
        assert source.kernel_lost() == 13
        kernel.lost = 2**32 - 1
    assert source.kernel_lost() == 13  # not asked any more


def test_the_kernels_counter_may_wrap() -> None:
    kernel = owned()
    kernel.lost = 2**32 - 1
    with Multicast(kernel=kernel) as source:
        kernel.lost = 4
        assert source.kernel_lost() == 5


# --- the choice --------------------------------------------------------------------------


def test_a_socket_that_is_free_is_owned() -> None:
    source, why = choose([RULE], kernel=FakeKernel())
    assert (type(source), why) == (Unicast, "")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "process 1 ("),
        ({"enabled": 2}, "the audit configuration is locked"),
        ({"failure": 2}, "the kernel would panic"),
    ],
)
def test_a_socket_that_is_not_is_left_alone_and_why_is_said(settings: dict[str, int], why: str) -> None:
    source, said = choose([RULE], kernel=owned(**settings))
    assert type(source) is Multicast
    assert said.startswith(why)


def test_a_dead_owner_is_none() -> None:
    source, _ = choose([RULE], kernel=FakeKernel(pid=4_194_305))
    assert type(source) is Unicast


def test_where_there_is_nothing_to_hear_nothing_is_chosen() -> None:
    with pytest.raises(SocketTakenError, match=r"process 1 \(.* hears nothing until audit is on"):
        choose([RULE], kernel=owned(enabled=0))
    with pytest.raises(LockedError, match="would panic"):
        choose([RULE], kernel=owned(enabled=0, failure=2))


# --- owning the socket, and losing it ----------------------------------------------------


def test_an_owner_that_lost_the_socket_goes_on_by_multicast() -> None:
    kernel = FakeKernel(alive={OWNER})
    with Unicast(kernel=kernel, repair=True) as source:
        assert source.check() == []
        assert not source.audited
        kernel.pid = OWNER
        (noticed,) = source.check()
        assert noticed.deviation.message == (
            f"process {os.getpid()} no longer owns the audit socket: process 1 owns it now"
        )
        (joined,) = kernel.records.joined
        assert (joined.fileno(), source.audited, kernel.pid) == (source.fileno(), True, OWNER)
        assert source.check() == []
    assert kernel.pid == OWNER
