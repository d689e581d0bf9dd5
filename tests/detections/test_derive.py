"""Audit rules of detections: what each condition becomes, and how the rules of several are merged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from auditsense.detections import derive_requirements
from auditsense.detections.builder import define
from auditsense.detections.derive import AnyPaths, Derivation, derive
from auditsense.detections.derive_numbers import EVERY, NONE, Comparison, Numbers
from auditsense.detections.derive_requirements import Requirement, _of_ids
from auditsense.detections.derive_rules import Cost
from auditsense.detections.eql.parser import parse
from auditsense.detections.event_table import EventMapping
from auditsense.detections.loader import shipped_detections
from auditsense.kernel.rules import auditctl

if TYPE_CHECKING:
    from auditsense.detections.expression import Test
    from auditsense.detections.model import Detection

PSPY = "-w /proc/ -p r -k audit_proc"


def detection(query: str, name: str = "d", audit_rule: str = "") -> Detection:
    return replace(shipped_detections()[0], id=name, audit_rule=audit_rule, query=parse(query))


def derived(*queries: str, machine: str = "x86_64") -> Derivation:
    detections = [detection(query, f"d{n}") for n, query in enumerate(queries)]
    return derive(detections, machine=machine, paths=AnyPaths())


def rules(*queries: str, costly: bool = True) -> list[str]:
    """Return the rules of 64-bit programs, without what all of them have."""
    lines = derived(*queries).lines(costly=costly)
    for line in lines:
        auditctl.parse(line, machine="x86_64")
    return [
        line.removeprefix("-a always,exit ").removeprefix("-F arch=b64 ").removesuffix(" -k auditsense")
        for line in lines
        if "arch=b32" not in line
    ]


CASES = {
    "starts of programs": ('process where event.action == "executed"', ["-S execve,execveat"]),
    "a second name of an action": ('process where event.action == "exec"', ["-S execve,execveat"]),
    "category and type": (
        'driver where event.type == "start"',
        ["-S init_module,finit_module"],
    ),
    "a call that has no words": ('any where auditd.data.syscall == "ptrace"', ["-S ptrace"]),
    "a register": (
        'any where auditd.data.syscall == "prctl" and auditd.data.a0 == "f"',
        ["-S prctl -F a0=0xf"],
    ),
    "neighbours of a register": (
        'any where auditd.data.syscall == "kill" and auditd.data.a1 in ("21", "22", "23")',
        ["-S kill -F a1>=0x21 -F a1<=0x23"],
    ),
    "a sign-extended register": (
        'any where auditd.data.syscall == "kill" and auditd.data.a0 in ("ffffffffffffffff", "ffffffff")',
        ["-S kill -F a0=0xffffffff"],
    ),
    "a register that is not something": (
        'any where auditd.data.syscall == "kill" and auditd.data.a1 != "9"',
        ["-S kill"],  # of a register the kernel compares half
    ),
    "ids": (
        'any where auditd.data.syscall == "ptrace" and user.id != "0" and user.effective.id == "0"',
        ["-S ptrace -F euid=0 -F uid!=0"],
    ),
    "success": (
        'any where auditd.data.syscall == "ptrace" and event.outcome == "success"',
        ["-S ptrace -F success=1"],
    ),
    "not a success": (
        'any where auditd.data.syscall == "ptrace" and event.outcome != "success"',
        ["-S ptrace"],
    ),
    "either way": (
        'any where auditd.data.syscall == "kill" and (auditd.data.a1 == "9" or user.id == "7")',
        ["-S kill"],
    ),
    "both ways": (
        (
            'any where auditd.data.syscall == "kill" and '
            '((auditd.data.a1 == "9" and user.id == "7") or (auditd.data.a1 == "f" and process.name == "x"))'
        ),
        ["-S kill -F a1=0x9", "-S kill -F a1=0xf"],
    ),
    "a path": (
        'file where event.action == "deleted" and file.path == "/etc/shadow"',
        ["-S rmdir,unlink,unlinkat -F path=/etc/shadow"],
    ),
    "several paths": (
        'any where auditd.data.syscall == "unlink" and file.path in ("/a/b", "/a//c", "d")',
        ["-S unlink -F path=/a/b", "-S unlink -F path=/a/c"],
    ),
    "a path for every call on files": (
        'file where file.path == "/etc/shadow" and user.id != "0"',
        ["-S all -F path=/etc/shadow -F uid!=0"],
    ),
    "a folder": (
        'any where auditd.data.syscall == "openat" and file.path like "/etc/modprobe.d/*"',
        ["-S openat -F dir=/etc/modprobe.d"],
    ),
    "a pattern without a folder": (
        'any where auditd.data.syscall == "unlink" and file.path like "/*/etc/x"',
        ["-S unlink"],
    ),
    "one path or any": (
        'any where auditd.data.syscall == "unlink" and (file.path == "/a/b" or process.name == "x")',
        ["-S unlink"],
    ),
    "the root of procfs": (
        'any where auditd.data.syscall == "openat" and file.path == "/proc"',
        ["-S openat -F inode=1", "-S 0 -F inode=1"],  # 0: a thread of io_uring, which makes no call
    ),
    "files of a process": (
        'any where auditd.data.syscall == "openat" and file.path == "/proc/1/maps"',
        ["-S openat -F dir=/proc"],
    ),
    "an address family": (
        'network where event.action == "bound-socket" and auditd.data.socket.family == "38"',
        ["-S bind -F saddr_fam=38"],
    ),
    "an address": (
        'network where event.action == "connected-to" and destination.port == 10250',
        ["-S connect -F saddr_fam=2", "-S connect -F saddr_fam=10"],
    ),
    "no address": (
        'network where event.action == "connected-to" and not cidrMatch(destination.ip, "10.0.0.0/8")',
        ["-S connect"],  # also of a unix socket
    ),
    "a socket of the host": (
        'network where event.action == "connected-to" and destination.address == "/run/docker.sock"',
        ["-S connect -F saddr_fam=1"],
    ),
    "creation of files": (
        'file where event.type == "creation" and auditd.data.syscall in ("openat", "mkdirat")',
        ["-S mkdirat", "-S openat -F a2&0x40"],
    ),
    "a name alone": ('process where process.name == "unshare"', ["-S execve,execveat"]),
    "a field that calls never have": (
        'any where auditd.data.syscall == "unshare" and auditd.data.terminal == "ssh"',
        [],
    ),
    "a key of another rule": ('any where tags == "shadow"', []),
    "records of user space": ('iam where event.action == "added-user-account"', []),
    "a record of a call": ('file where event.action == "violated-apparmor-policy"', []),
    "a sequence": (
        (
            'sequence by process.pid with maxspan=5s [any where auditd.data.syscall == "socket"] '
            '[any where auditd.data.syscall == "ptrace"] until [any where auditd.data.syscall == "kill"]'
        ),
        ["-S socket,kill,ptrace"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_condition_becomes_field_of_a_rule(case: str) -> None:
    query, wanted = CASES[case]
    assert [line.removeprefix("-F arch=b64 ") for line in rules(query)] == wanted


def test_rule_that_covers_another_replaces_it() -> None:
    narrow = 'any where auditd.data.syscall == "init_module" and user.id != "0"'
    assert rules(narrow, 'any where auditd.data.syscall == "init_module"') == ["-S init_module"]
    (selection,) = derived(narrow, 'any where auditd.data.syscall == "init_module"').selections()
    assert selection.detections == {"d0", "d1"}


def test_rules_that_require_the_same_become_one() -> None:
    queries = [f'any where auditd.data.syscall == "{name}" and user.id != "0"' for name in ("ptrace", "kill")]
    assert rules(*queries) == ["-S kill,ptrace -F uid!=0"]


def test_many_rules_of_one_call_become_one() -> None:
    """The kernel compares each of them with every such call."""
    queries = [
        f'any where auditd.data.syscall == "kill" and auditd.data.a1 == "{n:x}"' for n in range(1, 40, 3)
    ]
    assert rules(*queries) == ["-S kill -F a1>=0x1 -F a1<=0x25"]


def test_costly_rules_are_added_only_when_asked_for() -> None:
    opens = 'any where auditd.data.syscall == "openat" and process.name == "x"'
    assert rules(opens, costly=False) == []
    assert rules(opens, costly=True) == ["-S openat"]
    (needs,) = derived(opens).detections
    assert needs.is_silent
    assert needs.costly_calls == ("openat",)


def test_costly_rule_that_is_not_added_replaces_no_other() -> None:
    every, one = (
        'any where auditd.data.syscall == "openat"',
        'any where auditd.data.syscall == "openat" and file.path == "/a/b"',
    )
    assert rules(every, one, costly=False) == ["-S openat -F path=/a/b"]
    assert rules(every, one, costly=True) == ["-S openat"]


@pytest.mark.parametrize(
    ("query", "cost"),
    [
        ('any where auditd.data.syscall == "openat" and file.path == "/a/b"', Cost.FREE),
        ('any where auditd.data.syscall == "openat" and file.path == "/proc"', Cost.FREE),
        ('any where auditd.data.syscall == "openat" and file.path like "/etc/modprobe.d/*"', Cost.LOW),
        ('any where auditd.data.syscall == "openat" and file.path like "/proc/*"', Cost.HIGH),
        ('any where auditd.data.syscall == "mprotect" and auditd.data.a2 == "7"', Cost.LOW),
        ('any where auditd.data.syscall == "mprotect"', Cost.MODERATE),
        ('any where auditd.data.syscall == "execve"', Cost.MODERATE),
        ('any where auditd.data.syscall == "splice" and user.id != "0"', Cost.HIGH),
        ('any where auditd.data.syscall == "openat" and auditd.data.a2 == "80000"', Cost.HIGH),
    ],
)
def test_cost_depends_on_how_often_calls_are_made(query: str, cost: Cost) -> None:
    (selection,) = derived(query).selections(costly=True)
    assert selection.cost is cost


def test_detection_keeps_its_own_rules_and_they_come_first() -> None:
    """The first rule that matches gives an event its key."""
    own = detection('any where auditd.data.syscall == "openat"', "own", audit_rule=PSPY)
    lines = derive([detection('process where event.type == "start"'), own], machine="x86_64").lines()
    assert lines[0] == PSPY
    assert lines[1:] == [
        f"-a always,exit -F arch={width} -S execve,execveat -k auditsense" for width in ("b64", "b32")
    ]


ROOTS = [
    "-a always,exit -F arch=b64 -S open,openat,io_uring_enter,openat2 -F inode=1 -k auditsense",
    "-a always,exit -F arch=b32 -S open,openat,io_uring_enter,openat2 -F inode=1 -k auditsense",
    "-a always,exit -S 0 -F inode=1 -k auditsense",
]
"""Rules of the proc-scan family on x86_64."""
KILL = "-a always,exit -F arch=b64 -S kill -k own"


def test_optional_rule_is_left_out_where_derived_ones_report_the_same() -> None:
    derivation = derive(shipped_detections(), machine="x86_64")
    assert derivation.lines() == ROOTS
    assert derivation.lines(optional=True) == [PSPY]  # the others find on the host what it reports


def test_optional_rule_is_there_where_no_other_reports_the_same() -> None:
    pspy = [one for one in shipped_detections() if one.id == "pspy"]
    assert derive(pspy, machine="x86_64").lines(costly=True) == [PSPY]
    readers = define("d", "D", match={"auditd.data.syscall": "open", "file.inode": "1"})
    assert derive([*pspy, readers], machine="x86_64").lines()[0] == PSPY


def test_optional_rule_stands_for_no_detection_of_other_events() -> None:
    """A detection that joins the alerts of pspy may be about anything."""
    killers = define("k", "K", match={"auditd.data.syscall": "kill", "auditd.data.a1": "9"}, joins=["pspy"])
    named = define("n", "N", match={"auditd.data.syscall": "kill"}, audit_rule=KILL, joins=["pspy"])
    lines = derive([*shipped_detections(), killers, named], machine="x86_64").lines(optional=True)
    assert lines[:2] == [PSPY, KILL]
    assert [line for line in lines[2:] if "-S kill -F a1=0x9" in line] == lines[2:] != []


def test_optional_rule_of_a_detection_with_other_events_stays() -> None:
    """What the detection looks for decides, and not what its rule reports."""
    shipped = [one for one in shipped_detections() if one.id != "pspy"]
    other = define(
        "other",
        "O",
        match={"auditd.data.syscall": "openat", "file.path": "/etc/shadow"},
        audit_rule=PSPY,
        audit_rule_optional=True,
    )
    assert derive([*shipped, other], machine="x86_64", paths=AnyPaths()).lines() == [PSPY, *ROOTS]


def test_threads_of_a_ring_need_a_rule_without_an_architecture() -> None:
    """Only for an inode: the kernel asks no other rule. A condition on a register never fits a thread."""
    match = {"auditd.data.syscall": ["openat", "read"], "file.inode": "1"}
    without = "-a always,exit -S 0 -F inode=1 -k auditsense"
    assert derive([define("d", "D", match=match)], machine="x86_64").lines()[-1] == without
    flags = {**match, "auditd.data.a2": "80000"}
    assert without not in derive([define("d", "D", match=flags)], machine="x86_64").lines()
    no_operation = {**match, "auditd.data.syscall": ["getdents64"]}
    assert without not in derive([define("d", "D", match=no_operation)], machine="x86_64").lines()


def test_detection_without_a_rule_gets_derived_ones() -> None:
    """A detection in TOML or in Python, as one in EQL."""
    own = define("d", "D", match={"auditd.data.syscall": ["kill", "tkill"], "auditd.data.a1": "9"})
    (line, _) = derive([own], machine="x86_64").lines()
    assert line == "-a always,exit -F arch=b64 -S kill,tkill -F a1=0x9 -k auditsense"


def test_rules_are_for_each_architecture_of_the_machine() -> None:
    query = 'any where auditd.data.syscall in ("unlink", "kill")'
    by_machine = {
        "x86_64": ["b64 -S kill,unlink", "b32 -S unlink,kill"],
        "aarch64": ["b64 -S kill", "b32 -S unlink,kill"],
        "ppc64le": ["b64 -S unlink,kill"],
        "i386": ["b32 -S unlink,kill"],
    }
    for machine, wanted in by_machine.items():
        lines = derived(query, machine=machine).lines(costly=True)
        assert lines == [f"-a always,exit -F arch={rule} -k auditsense" for rule in wanted]


def test_mapping_of_elastic_has_fewer_actions() -> None:
    query = [detection('process where event.action == "exec"')]
    assert derive(query, mapping=EventMapping.AUDITD_MANAGER, machine="x86_64").lines() == []


@pytest.mark.parametrize(
    ("query", "phrase"),
    [
        ('file where event.action == "deleted" and file.path in ("/a/b", ".x")', "the relative name .x"),
        ('any where auditd.data.syscall == "unlink" and file.path : "/a/B"', "differs from /a/B in case"),
        ('process where process.name == "x"', "other than the start of a program"),
        ('any where tags == "shadow"', "with the key shadow"),
        ('process where event.type == "info" and process.name == "x"', "names no system call"),
    ],
)
def test_unreported_events_are_named(query: str, phrase: str) -> None:
    (needs,) = derived(query).detections
    assert any(phrase in unseen for step in needs.steps for unseen in step.unseen)


def test_old_kernel_gets_no_rule_with_an_address_family() -> None:
    """It would refuse the rule, and with it the start of the sensor."""
    query = [detection('network where event.action == "bound-socket" and auditd.data.socket.family == "38"')]
    for kernel, wanted in {(5, 2): "", (5, 3): " -F saddr_fam=38", (6, 18): " -F saddr_fam=38"}.items():
        (line,) = derive(query, machine="ppc64le", paths=AnyPaths(), kernel=kernel).lines()
        assert line == f"-a always,exit -F arch=b64 -S bind{wanted} -k auditsense"


class _Paths(AnyPaths):
    def exists(self, path: str) -> bool:
        return path not in ("/missing", "/proc/missing")

    def target(self, path: str) -> str:
        return "/usr/lib/release" if path == "/etc/release" else ""

    def is_mount(self, path: str) -> bool:
        return path == "/mnt/x"


def on_host(path: str) -> Derivation:
    query = detection(f'any where auditd.data.syscall == "unlink" and file.path == "{path}"')
    return derive([query], machine="ppc64le", paths=_Paths())


def test_rule_on_a_link_watches_its_target_too() -> None:
    """The kernel reports the file that is opened, and a watch on a link is one on the link itself."""
    assert [line.split()[7] for line in on_host("/etc/release").lines()] == [
        "path=/etc/release",
        "path=/usr/lib/release",
    ]


def test_rule_on_a_mount_point_watches_the_folder() -> None:
    """A watch on a mount point is one on the folder below the mount, which is never opened."""
    assert on_host("/mnt/x").lines()[0].split()[7] == "dir=/mnt/x"


def test_file_in_a_missing_folder_is_left_out_and_named() -> None:
    """The kernel refuses a rule on a folder that does not exist."""
    derivation = on_host("/missing/file")
    assert derivation.lines() == []
    (step,) = derivation.detections[0].steps
    assert step.unseen == ("/missing/file: there is no /missing here to watch",)


def test_missing_file_of_procfs_is_left_out_and_named() -> None:
    """Elsewhere the kernel watches the folder of a file that is made later; procfs cannot be watched so."""
    assert on_host("/proc/missing").lines() == []
    assert on_host("/etc/missing").lines() != []


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        (EVERY, ((),)),
        (Numbers.of([7]), ((Comparison("=", 7),),)),
        (Numbers.of([2, 3, 4]), ((Comparison(">=", 2), Comparison("<=", 4)),)),
        (Numbers.of([0, 1]), ((Comparison("<=", 1),),)),
        (Numbers.of([0, 9]).complement(), ((Comparison("!=", 0), Comparison("!=", 9)),)),
        (Numbers.of(range(0, 20, 2)), ((Comparison("<=", 18),),)),
    ],
)
def test_numbers_become_comparisons(numbers: Numbers, wanted: tuple[tuple[Comparison, ...], ...]) -> None:
    assert numbers.alternatives() == wanted


@pytest.mark.parametrize(
    "query",
    [
        'file where auditd.data.syscall == "rename" and user.id == "0"',
        'file where not (auditd.data.syscall != "rename" or user.id != "0")',
    ],
)
def test_conditions_are_read_only_for_calls_that_the_first_one_allows(
    query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deriving delays the start, and the first condition excludes most calls."""
    read: list[str | None] = []

    def of_ids(test: Test, field: str, *, negated: bool) -> Requirement | None:
        read.append(field)
        return _of_ids(test, field, negated=negated)

    monkeypatch.setattr(derive_requirements, "_of_ids", of_ids)
    assert rules(query) == ["-S rename -F uid=0"]
    assert read == ["uid"]


def test_numbers_are_sets() -> None:
    some, more = Numbers.of([1, 2, 3, 9]), Numbers.of([3, 4, 9])
    assert some.union(more) == Numbers.from_ranges([(1, 4), (9, 9)])
    assert some.intersection(more) == Numbers.of([3, 9])
    assert some.complement().complement() == some
    assert NONE.complement() == EVERY
    assert EVERY.covers(some)
    assert not some.covers(more)
