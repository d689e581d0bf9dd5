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


def test_multicast_adds_and_deletes_only_the_missing_rule() -> None:
    kernel = owned()
    before = kernel.host_state()
    with Multicast(kernel=kernel) as source:
        assert source.fileno() >= 0
        assert len(kernel.rules) == 2
        assert kernel.host_state()[:-1] == before[:-1]
    assert source.fileno() == -1
    assert kernel.host_state() == before
    assert {line.split()[0] for line in kernel.log} == {"get", "list", "add", "delete"}


def test_multicast_leaves_existing_rule() -> None:
    kernel = owned()
    before = kernel.host_state()
    with Multicast([OTHERS], kernel=kernel):
        assert kernel.host_state() == before
    assert kernel.host_state() == before
    assert "add" not in kernel.log


def test_multicast_leaves_rule_added_concurrently() -> None:
    kernel = owned()
    theirs = auditctl.parse(RULE)
    position = len(["get", "get", "list"])
    kernel.before[position] = lambda: kernel.rules.append(theirs.to_bytes()) if not kernel.rules[1:] else None
    with Multicast(kernel=kernel):
        pass
    assert "delete" not in kernel.log or len(kernel.rules) == 2


@pytest.mark.parametrize("settings", [{"enabled": 2}, {"failure": 2}])
def test_multicast_uses_other_rules_where_nothing_can_be_added(
    settings: dict[str, int],
) -> None:
    kernel = owned(**settings)
    before = kernel.host_state()
    with Multicast([RULE], others=[OTHERS], kernel=kernel) as source:
        assert "passwd" in repr(source)
        assert kernel.host_state() == before
    more = [OTHERS, "-w /etc/shadow -p r"]
    with pytest.raises(LockedError), Multicast([RULE], others=more, kernel=owned(**settings)):
        pass


def test_multicast_adds_rules_where_they_can_be_added() -> None:
    kernel = owned()
    with Multicast([RULE], others=[OTHERS], kernel=kernel):
        assert len(kernel.rules) == 2


@pytest.mark.parametrize("acted", [False, True])
def test_multicast_undoes_rule_after_lost_reply(*, acted: bool) -> None:
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
def test_multicast_refuses_and_changes_nothing(
    kernel: FakeKernel, error: type[Exception], sentence: str
) -> None:
    before = kernel.host_state()
    with pytest.raises(error, match=sentence), Multicast(kernel=kernel):
        pass
    assert kernel.host_state() == before


@pytest.mark.parametrize("settings", [{"enabled": 2}, {"failure": 2}])
def test_multicast_listens_while_locked_if_rule_exists(settings: dict[str, int]) -> None:
    kernel = owned(**settings)
    before = kernel.host_state()
    with Multicast([OTHERS], kernel=kernel) as source:
        assert source.check() == []
    assert kernel.host_state() == before


def test_multicast_without_add_rules_requires_them() -> None:
    with (
        pytest.raises(
            NoKernelAuditError, match="not allowed to change the audit rules; needed to listen: add"
        ),
        Multicast(add_rules=False, kernel=owned()),
    ):
        pass


def test_multicast_reports_that_audit_is_off() -> None:
    with Multicast(kernel=owned(enabled=0)) as source:
        assert source.off
        assert source.check() == []


def test_reset_loss_counter_is_not_a_huge_loss() -> None:
    kernel = owned()
    kernel.lost = 1000
    with Multicast(kernel=kernel) as source:
        kernel.lost = 1010
        assert source.kernel_lost() == 10
        kernel.lost = 3  # reset, and three since
        assert source.kernel_lost() == 13
        kernel.lost = 2**32 - 1
    assert source.kernel_lost() == 13  # not asked any more


def test_loss_counter_may_wrap() -> None:
    kernel = owned()
    kernel.lost = 2**32 - 1
    with Multicast(kernel=kernel) as source:
        kernel.lost = 4
        assert source.kernel_lost() == 5


# --- the choice --------------------------------------------------------------------------


def test_choose_owns_free_socket() -> None:
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
def test_choose_explains_multicast(settings: dict[str, int], why: str) -> None:
    source, reason = choose([RULE], kernel=owned(**settings))
    assert type(source) is Multicast
    assert reason.startswith(why)


def test_choose_ignores_dead_owner() -> None:
    source, _ = choose([RULE], kernel=FakeKernel(pid=4_194_305))
    assert type(source) is Unicast


def test_choose_refuses_when_no_record_would_come() -> None:
    with pytest.raises(SocketTakenError, match=r"process 1 \(.* receives nothing until audit is on"):
        choose([RULE], kernel=owned(enabled=0))
    with pytest.raises(LockedError, match="would panic"):
        choose([RULE], kernel=owned(enabled=0, failure=2))


# --- owning the socket, and losing it ----------------------------------------------------


def test_unicast_continues_by_multicast_after_losing_socket() -> None:
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
