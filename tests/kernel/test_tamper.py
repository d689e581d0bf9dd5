"""The watch: changes of the kernel's audit are found, reported once, and repaired on request."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from auditsense import syscalls
from auditsense.kernel.audit_status import AuditStatus
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.kernel.tamper import Expected, Watch, compare
from auditsense.testing import FakeKernel

OURS = auditctl.parse("-w /proc/ -p r -k audit_proc")
STATUS = AuditStatus(0, 1, 1, 42, 0, 8192, 0, 0, 0x7F, 0, 0)
EXPECTED = Expected(rules=(OURS,), owner=42, waits=False, backlog_limit=8192)


@pytest.fixture(autouse=True)
def on_x86_64(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use b64, b32 and call numbers of x86-64 on any machine."""
    monkeypatch.setattr(syscalls, "native_arch", lambda: "x86_64")


def ids(expected: Expected = EXPECTED, status: AuditStatus = STATUS, rules: str = "") -> list[str]:
    """Return short ids of the deviations; rules: one per line, "ours" is our own."""
    listed = [OURS if line == "ours" else auditctl.parse(line) for line in (rules or "ours").splitlines()]
    deviations = compare(expected, status, listed)
    return [deviation.id.removeprefix("auditsense.tamper.") for deviation in deviations]


def test_expected_state_has_no_deviation() -> None:
    assert ids() == []


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"backlog_wait_time": 15000}, ["wait-time"]),
        ({"backlog_wait_time": None}, []),
        ({"backlog_limit": 64}, ["backlog-limit"]),
        ({"backlog_limit": 8191}, ["backlog-limit"]),
        ({"backlog_limit": 0}, ["backlog-unlimited"]),
        ({"backlog_limit": 65536}, []),
        ({"rate_limit": 100}, ["rate-limit"]),
        ({"enabled": 0}, ["disabled"]),
        ({"enabled": 2}, ["locked"]),
        ({"failure": 2}, ["panic"]),
        ({"failure": 0}, []),
        ({"pid": 43}, ["owner"]),
        ({"pid": 0}, ["owner"]),
        ({"pid": 43, "enabled": 0, "backlog_wait_time": 1}, ["wait-time", "owner", "disabled"]),
    ],
)
def test_changed_settings_are_deviations(change: dict[str, int | None], names: list[str]) -> None:
    assert ids(status=replace(STATUS, **change)) == names  # type: ignore[arg-type]


def test_settings_of_another_owner_are_ignored() -> None:
    listener = Expected(rules=(OURS,), owner=42, may_panic=True, locked=True, on=False, rate_limit=9)
    as_found = replace(STATUS, backlog_wait_time=15000, backlog_limit=64, failure=2, rate_limit=9)
    assert ids(listener, replace(as_found, enabled=2)) == []
    assert ids(replace(listener, unlimited=True), replace(as_found, enabled=2, backlog_limit=0)) == []
    assert ids(listener, replace(as_found, enabled=2, backlog_limit=0)) == ["backlog-unlimited"]
    assert ids(listener, replace(as_found, enabled=0)) == []


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ("-w /etc/ -p wa -k etc", ["rule-gone"]),
        ("-w /proc -p r -k audit_proc\nours", []),  # the same key: nothing is taken
        ("ours\n-a never,exit -F arch=b64 -S openat", []),  # behind ours: too late
        ("-a never,exit -F arch=b64 -S openat\nours", ["rule-hidden"]),
        ("-a never,exit -F arch=b64 -S all -F exe=/usr/bin/pspy\nours", ["rule-hidden"]),
        ("-a never,exit -F dir=/proc\nours", ["rule-hidden"]),
        ("-a never,exit -F uid=0\nours", ["rule-hidden"]),
        ("-a never,exit -F arch=b64 -S connect\nours", []),
        ("-a never,exit -F dir=/var\nours", []),
        ("-a never,exit -F dir=/\nours", ["rule-hidden"]),
        ("-a never,exit -F path=/etc/passwd\nours", []),
        ("-a always,exit -F arch=b64 -S openat -k opens\nours", ["key-stolen"]),
        ("-a always,exit -F arch=b64 -S openat -F perm=w -k opens\nours", []),
        ("-a always,exit -F arch=b64 -S execve -k starts\nours", []),
        ("-a never,exit -S 257\nours", ["rule-hidden"]),
        ("-a always,exit -F arch=b32 -S open -k opens\nours", ["key-stolen"]),
        ("-a always,exit -F arch=b64 -S openat -F exit=-EACCES -k access\nours", []),
        ("-a always,exit -F arch=b64 -S openat -F success=0 -k access\nours", []),
        ("-a always,exit -F arch=b64 -S openat -F success=1 -k access\nours", ["key-stolen"]),
        ("-w /proc/ -p wa -k writes\nours", []),
        ("-w /proc/ -p rwa -k all\nours", ["key-stolen"]),
        ("-a always,exit -F inode=1 -F perm=r -k roots\nours", ["key-stolen"]),
        ("-a always,exit -F inode=7 -F perm=r -k other\nours", []),
        ("ours\n-a never,task", ["task-never"]),
        ("ours\n-a never,task -F uid=65534", ["task-never"]),
        ("ours\n-a always,exclude -F msgtype=CWD", []),
        ("ours\n-a always,exclude -F msgtype=EOE", []),
        ("ours\n-a always,exclude -F msgtype=EOE\n-a always,exclude -F msgtype=PROCTITLE", ["exclude"]),
        ("ours\n-a always,exclude -F msgtype=PATH", ["exclude"]),
        ("ours\n-a never,exclude -F msgtype=SYSCALL", ["exclude"]),
        ("ours\n-a always,exclude -F msgtype!=USER_LOGIN", ["exclude"]),
        ("ours\n-a always,exclude -F msgtype>=1400 -F msgtype<=1499", []),
        ("ours\n-a always,exclude -F uid=0", ["exclude"]),
    ],
)
def test_hiding_and_stealing_rules_are_found(rules: str, names: list[str]) -> None:
    assert ids(rules=rules) == names


# Of the rule sets that come with auditd (STIG, OSPP, PCI DSS), as the kernel gets them.
COMMON = """\
-a always,exit -F arch=b64 -S adjtimex,settimeofday,clock_settime -F key=time-change
-w /etc/passwd -p wa -k identity
-a always,exit -F path=/etc/shadow -F perm=wa -F auid>=1000 -F auid!=unset -F key=user-modify
-a always,exit -F arch=b64 -S chmod,fchmod,fchmodat -F auid>=1000 -F auid!=unset -F key=perm_mod
-a always,exit -F arch=b64 -S open,openat,openat2 -F exit=-EACCES -F auid>=1000 -F auid!=unset -F key=access
-a always,exit -F arch=b64 -S open,openat,openat2 -F exit=-EPERM -F auid>=1000 -F auid!=unset -F key=access
-a always,exit -F arch=b64 -S openat,open_by_handle_at -F a2&0x40 -F success=1 -F auid>=1000 -k create
-a always,exit -F arch=b64 -S openat,open_by_handle_at -F a2&0x203 -F success=1 -F auid>=1000 -k modify
-a always,exit -F arch=b64 -S unlink,rename -F success=1 -F auid>=1000 -F auid!=unset -F key=delete
-a always,exit -F path=/usr/bin/sudo -F perm=x -F auid>=1000 -F auid!=unset -F key=privileged
-a always,exit -F arch=b64 -S execve -C uid!=euid -F euid=0 -F key=execpriv
-a always,exit -F dir=/home -F uid=0 -F auid>=1000 -F auid!=unset -C auid!=obj_uid -F key=power-abuse
-a always,exit -F arch=b64 -S ptrace -F a0=0x4 -F key=injection
-a always,exit -F arch=b64 -S init_module,finit_module -F key=module-load
-a always,exit -F arch=b64 -S bind,connect -F success=0 -F key=external-access
-a always,exclude -F msgtype=CWD
-a never,exit -F arch=b64 -S adjtimex -F auid=unset -F uid=0
ours"""


def test_rule_sets_of_auditd_are_no_tampering() -> None:
    assert ids(rules=COMMON) == []
    listener = Expected(rules=(OURS,), owner=42)
    auditd = replace(STATUS, backlog_limit=8192, backlog_wait_time=60000)  # 10-base-config.rules
    assert ids(listener, auditd, COMMON) == []


PROC = "-w /proc/ -p r -k audit_proc"
EXEC = "-a always,exit -F arch=b64 -S execve -S execveat -k audit_exec"
WRITES = "-w /etc/passwd -p wa -k passwd"


@pytest.mark.parametrize(
    ("wanted", "earlier", "names"),
    [
        (EXEC, "-w /etc/shadow -p r -k shadow", []),
        (EXEC, "-w /etc/shadow -p wa -k shadow", []),
        (EXEC, "-w /etc/shadow -p rwa -k shadow", []),
        (EXEC, "-w /etc/shadow -p x -k shadow", ["key-stolen"]),
        (EXEC, "-w /etc/shadow -k shadow", ["key-stolen"]),  # rwxa
        (EXEC, "-a always,exit -F dir=/usr/bin -F perm=x -k bin", ["key-stolen"]),
        (EXEC, "-a never,exit -F arch=b64 -S execve -F uid=0", ["rule-hidden"]),
        (EXEC, "-a never,exit -F arch=b64 -S execve -F exit=-ENOENT", []),
        (EXEC, "-a never,exit -F arch=b32 -S execve", []),
        (EXEC, "-a never,exit -F arch=b64 -S openat", []),
        (EXEC, "-a never,exit -F arch=b64 -S execveat -F perm=x", ["rule-hidden"]),
        (EXEC, "-a never,exit -F arch=b64 -S execve -F perm=r", []),
        (EXEC, "-a always,exit -F inode=7 -F perm=x -k one", ["key-stolen"]),
        (EXEC, "-w /proc/ -p r -k audit_proc", []),
        (
            "-a always,exit -F arch=b64 -S execve -F success=0 -k e",
            "-a never,exit -F exit=-ENOENT",
            ["rule-hidden"],
        ),
        (WRITES, "-w /etc/ -p r -k reads", ["key-stolen"]),  # an open for both
        (WRITES, "-w /etc/ -p x -k starts", []),
        (WRITES, "-w /etc/ -p a -k changes", ["key-stolen"]),
        (WRITES, "-a always,exit -F arch=b64 -S openat -k opens", ["key-stolen"]),
        (WRITES, "-a always,exit -F arch=b64 -S execve -k e", []),
        (WRITES, "-a always,exit -F arch=b64 -S getxattr -k e", []),
        (WRITES, "-a always,exit -F arch=b64 -S chmod -k e", ["key-stolen"]),
        (WRITES, "-a always,exit -F arch=b64 -S rename -k e", ["key-stolen"]),
        (WRITES, "-a always,exit -F arch=b64 -S read -k e", []),  # no permission matches it
        ("-w /proc/ -p r -k audit_proc", EXEC, []),
        (PROC, "-a always,exit -F arch=b64 -S openat -F a2&0x203 -F success=1 -k modify", []),
        (PROC, "-a always,exit -F arch=b64 -S openat -F a2&0x40 -F success=1 -k create", []),
        (PROC, "-a always,exit -F arch=b64 -S open -F a1&0x203 -F success=1 -k modify", []),
        (PROC, "-a always,exit -F arch=b64 -S openat -F a2&=0x2 -k modify", []),
        (PROC, "-a always,exit -F arch=b64 -S openat -F a2=0x41 -k create", []),
        (PROC, "-a always,exit -F arch=b64 -S openat -F a2&0x80001 -k e", ["key-stolen"]),
        (PROC, "-a always,exit -F arch=b64 -S openat -F a1&0x203 -k e", ["key-stolen"]),  # the path
        (PROC, "-a always,exit -F arch=b64 -S openat2 -F a2&0x203 -k e", ["key-stolen"]),  # a pointer
        (PROC, "-a always,exit -F arch=b64 -S openat -F a2&=0x80000 -k e", ["key-stolen"]),
        (PROC, "-a always,exit -F arch=b64 -S openat -F a2=0x80000 -k e", ["key-stolen"]),
        ("-w /proc/ -p r -k audit_proc", "-a never,exit -F arch=b64 -S readlink", []),
        ("-a always,exit -F dir=/proc -k all", "-a never,exit -F arch=b64 -S connect", []),
        (
            "-a always,exit -F arch=b64 -S connect -k net",
            "-a never,exit -F arch=b64 -S connect",
            ["rule-hidden"],
        ),
        ("-a always,exit -F arch=b64 -S connect -k net", "-w /etc/ -k etc", []),
    ],
)
def test_permission_matches_only_calls_of_its_class(wanted: str, earlier: str, names: list[str]) -> None:
    rules = [auditctl.parse(line, machine="x86_64") for line in (earlier, wanted)]
    expected = replace(EXPECTED, rules=(rules[1],))
    deviations = compare(expected, STATUS, rules)
    assert [deviation.id.removeprefix("auditsense.tamper.") for deviation in deviations] == names


def test_rule_for_one_user_hides_no_rule_for_another() -> None:
    mine = auditctl.parse("-a always,exit -F dir=/proc -F perm=r -F uid=65534 -k audit_proc")
    hiding = auditctl.parse("-a never,exit -F uid=0")
    assert compare(replace(EXPECTED, rules=(mine,)), STATUS, [hiding, mine]) == ()


def test_thousands_of_rules_are_one_deviation() -> None:
    rules = [auditctl.parse(f"-a never,exit -F pid={pid}") for pid in range(1, 1000)]
    (deviation,) = compare(EXPECTED, STATUS, [*rules, OURS])
    assert "-F pid=1 and 998 more" in deviation.message


# --- saying it once, and setting it back -------------------------------------------------


def watching(kernel: FakeKernel, *, repair: bool = False) -> tuple[Watch, Commands]:
    kernel.enabled, kernel.pid, kernel.backlog_limit, kernel.backlog_wait_time = 1, os.getpid(), 8192, 0
    commands = Commands(kernel)
    commands.add_rule(OURS)
    return Watch(commands, replace(EXPECTED, owner=os.getpid()), repair=repair), commands


def look(watch: Watch, commands: Commands) -> list[tuple[str, str]]:
    changes = watch.check(commands.status(), commands.rules())
    return [(change.deviation.id.removeprefix("auditsense.tamper."), change.repaired) for change in changes]


def test_deviation_is_reported_once_per_change() -> None:
    kernel = FakeKernel()
    watch, commands = watching(kernel)
    assert look(watch, commands) == []
    kernel.backlog_wait_time = 15000
    assert look(watch, commands) == [("wait-time", "")]
    assert look(watch, commands) == []
    kernel.backlog_wait_time = 100
    assert look(watch, commands) == [("wait-time", "")]
    kernel.backlog_wait_time = 0
    assert look(watch, commands) == []
    kernel.backlog_wait_time = 100
    assert look(watch, commands) == [("wait-time", "")]
    assert kernel.backlog_wait_time == 100  # reported, not repaired


def test_repair_restores_own_settings() -> None:
    kernel = FakeKernel()
    watch, commands = watching(kernel, repair=True)
    kernel.backlog_wait_time, kernel.backlog_limit, kernel.enabled = 15000, 64, 0
    commands.delete_rule(OURS)
    outcomes = dict(look(watch, commands))
    assert outcomes.keys() == {"wait-time", "backlog-limit", "disabled", "rule-gone"}
    assert all(outcome.startswith("repaired: ") for outcome in outcomes.values())
    assert (kernel.backlog_wait_time, kernel.backlog_limit, kernel.enabled) == (0, 8192, 1)
    assert [rule.same_as(OURS) for rule in commands.rules()] == [True]
    assert look(watch, commands) == []


def test_unlimited_queue_is_limited_again() -> None:
    kernel = FakeKernel()
    watch, commands = watching(kernel, repair=True)
    kernel.backlog_limit = 0
    assert look(watch, commands) == [("backlog-unlimited", "repaired: set backlog_limit: 0 -> 8192 records")]
    assert kernel.backlog_limit == 8192
    assert look(watch, commands) == []


def test_repeated_deviation_is_repaired_again() -> None:
    kernel = FakeKernel()
    watch, commands = watching(kernel, repair=True)
    for _ in range(3):  # between two calls, so that no call sees it repaired
        kernel.backlog_wait_time = 15000
        assert look(watch, commands) == [("wait-time", "repaired: set backlog_wait_time: 15000 -> 0 jiffies")]


def test_wait_time_is_repaired_before_audit_is_enabled() -> None:
    kernel = FakeKernel()
    watch, commands = watching(kernel, repair=True)
    kernel.backlog_wait_time, kernel.enabled = 15000, 0
    look(watch, commands)
    sets = [line for line in kernel.log if line.startswith("set ")]
    assert sets == ["set backlog_wait_time=0", "set enabled=1"]


def test_repair_respects_another_owner() -> None:
    kernel = FakeKernel(alive={1})
    watch, commands = watching(kernel, repair=True)
    kernel.pid, kernel.backlog_wait_time, kernel.enabled = 1, 15000, 0
    outcomes = dict(look(watch, commands))
    assert outcomes["owner"] == ""
    assert (
        outcomes["wait-time"]
        == outcomes["disabled"]
        == "not repaired: the settings are those of another owner"
    )
    assert (kernel.pid, kernel.backlog_wait_time, kernel.enabled) == (1, 15000, 0)


@pytest.mark.parametrize("change", [{"enabled": 2}, {"failure": 2}])
def test_locked_or_panicking_kernel_is_not_repaired(change: dict[str, int]) -> None:
    kernel = FakeKernel()
    watch, commands = watching(kernel, repair=True)
    commands.delete_rule(OURS)
    vars(kernel).update(change)
    outcomes = dict(look(watch, commands))
    assert outcomes["rule-gone"].startswith("not repaired: ")
    assert kernel.rules == []


def test_refused_repair_has_a_reason() -> None:
    kernel = FakeKernel()
    watch, commands = watching(kernel, repair=True)
    kernel.backlog_wait_time = 15000
    status, rules = commands.status(), commands.rules()
    kernel.fail_at(len(kernel.log), 22)
    (change,) = watch.check(status, rules)
    assert change.repaired.startswith("not repaired: cannot set backlog_wait_time to 0: EINVAL")
