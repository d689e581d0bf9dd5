"""Derived audit rules report every event that a filter selects: random filters, a model of the kernel."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from auditsense.detections.derive import AnyPaths, derive
from auditsense.detections.event_table import kind_of_call
from auditsense.detections.expression import (
    And,
    Constant,
    Expression,
    Not,
    Operator,
    Or,
    Query,
    QueryKind,
    Step,
    Test,
)
from auditsense.detections.loader import shipped_detections
from auditsense.kernel.rules import auditctl
from tests.support.kernel_filter import MadeCall, reports

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.detections.model import Detection

MACHINE = "x86_64"
CALLS = ("execve", "open", "openat", "openat2", "mkdirat", "kill", "socket", "connect", "bind", "mprotect")
CATEGORIES = ("process", "file", "network")
PATHS = (
    "/proc",
    "/proc/",
    "/etc/passwd",
    "/etc/modprobe.d/a.conf",
    "/proc/self/maps",
    "/srv/x",
    "/etc//passwd",
)
FAMILIES = {"unix": 1, "ipv4": 2, "ipv6": 10, "38": 38}
IDS = (0, 1, 1000, 65534, 4294967294)
UNSET = 4294967295
REGISTERS = (0, 1, 2, 7, 0x21, 0x40, 0x47, 0x80000, 0x80040, 0xFFFFFF9C, 0xFFFFFFFFFFFFFF9C, 0x7_0000_0007)
PER_REGISTER = [f"auditd.data.a{n}" for n in range(4)]
ID_FIELDS = (
    "user.id",
    "user.effective.id",
    "user.saved.id",
    "user.filesystem.id",
    "user.group.id",
    "user.effective.group.id",
    "user.audit.id",
)


def several(values: Any) -> st.SearchStrategy[tuple[Any, ...]]:  # noqa: ANN401 - texts or numbers
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True).map(tuple)


def one_test() -> st.SearchStrategy[Test]:
    registers = [f"{value:x}" for value in REGISTERS]
    patterns = ("/etc/modprobe.d/*", "/proc/*", "/*/x", "*passwd", "/etc/*")
    return st.one_of(
        st.builds(Test, st.just("auditd.data.syscall"), st.just(Operator.EQUAL), several(CALLS)),
        st.builds(
            Test,
            st.just("event.action"),
            st.just(Operator.EQUAL),
            several(("executed", "exec", "opened-file", "killed-pid", "connected-to", "bound-socket")),
        ),
        st.builds(
            Test,
            st.just("event.type"),
            st.just(Operator.EQUAL),
            several(("start", "info", "creation", "change")),
        ),
        st.builds(Test, st.sampled_from(PER_REGISTER), st.just(Operator.EQUAL), several(registers)),
        st.builds(
            Test,
            st.sampled_from(PER_REGISTER),
            st.just(Operator.MASKED),
            several(REGISTERS),
            mask=st.sampled_from([0x40, 0xFFFFFFFF, 0xFF, 2**64 - 1]),
        ),
        st.builds(
            Test, st.sampled_from(ID_FIELDS), st.just(Operator.EQUAL), several([*map(str, (*IDS, UNSET))])
        ),
        st.builds(
            Test,
            st.sampled_from(ID_FIELDS),
            st.sampled_from([Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST]),
            st.sampled_from((*IDS, UNSET)).map(lambda value: (value,)),
        ),
        st.builds(Test, st.just("file.path"), st.just(Operator.EQUAL), several((*PATHS, "passwd"))),
        st.builds(Test, st.just("file.path"), st.just(Operator.WILDCARD), several((*patterns, *PATHS))),
        st.builds(
            Test,
            st.just("event.outcome"),
            st.just(Operator.EQUAL),
            several(("success", "failure", "unknown")),
        ),
        st.builds(Test, st.just("auditd.data.exit"), st.just(Operator.EQUAL), several(("EACCES", "0", "-2"))),
        st.builds(
            Test,
            st.just("auditd.data.socket.family"),
            st.just(Operator.EQUAL),
            several([*FAMILIES, "netlink"]),
        ),
        st.builds(Test, st.just("destination.ip"), st.just(Operator.PRESENT)),
        st.builds(
            Test, st.just("network.direction"), st.just(Operator.EQUAL), several(("egress", "ingress"))
        ),
        st.builds(Test, st.just("process.name"), st.just(Operator.EQUAL), several(("sh", "x"))),
    )


def trees() -> st.SearchStrategy[Expression]:
    return st.recursive(
        st.one_of(one_test(), one_test(), one_test(), st.builds(Constant, st.booleans())),
        lambda inner: st.one_of(
            st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
            st.builds(Not, inner),
        ),
        max_leaves=10,
    )


CALLS_MADE = st.builds(
    MadeCall,
    name=st.sampled_from((*CALLS, "getpid", "unshare")),
    arch=st.sampled_from((MACHINE, "i386")),
    registers=st.tuples(*[st.sampled_from(REGISTERS)] * 4),
    ids=st.tuples(*[st.sampled_from(IDS)] * 6, st.sampled_from((*IDS, UNSET))),
    exit=st.sampled_from((0, 3, -2, -13)),
    family=st.one_of(st.none(), st.sampled_from([*FAMILIES.values()])),
    path=st.sampled_from(("", *PATHS)),
)


def values_of(field: str, call: MadeCall) -> list[str | int]:
    """Return the values of a field of the event of a call; [] where it is absent."""
    kind = kind_of_call(call.name)
    family = {number: name for name, number in FAMILIES.items()}
    creates = {"open": call.registers[1], "openat": call.registers[2], "openat2": 0x40}.get(
        call.name, 0
    ) & 0x40
    found: dict[str, list[str | int]] = {
        "auditd.data.syscall": [call.name],
        "event.action": [*kind.action],
        "event.category": [*kind.category],
        "event.type": [*kind.type, *(["creation"] if creates else [])],
        "file.path": [call.path] if call.path else [],
        "event.outcome": ["success" if call.exit >= 0 else "failure"],
        "auditd.data.exit": ["EACCES" if call.exit == -13 else str(call.exit)],
        "auditd.data.socket.family": [family[call.family]] if call.family is not None else [],
        "destination.ip": ["192.0.2.1"] if kind.direction == "egress" and call.family in (2, 10) else [],
        "network.direction": [kind.direction] if kind.direction and call.family is not None else [],
        "process.name": ["sh"],
        **{name: [f"{value:x}"] for name, value in zip(PER_REGISTER, call.registers, strict=True)},
        **{name: [str(value)] for name, value in zip(ID_FIELDS, call.ids, strict=True)},
    }
    return found[field]


def selects(tree: Expression, call: MadeCall) -> bool:
    """Return whether a tree selects the event of a call."""
    match tree:
        case Constant(value):
            return value
        case Not(term):
            return not selects(term, call)
        case And(terms):
            return all(selects(term, call) for term in terms)
        case Or(terms):
            return any(selects(term, call) for term in terms)
        case Test():
            return any(passes(tree, value) for value in values_of(tree.field, call))


def passes(test: Test, value: str | int) -> bool:
    """Return whether one value passes a test."""
    numeric = test.field in PER_REGISTER or test.field in ID_FIELDS
    number = int(str(value), 16 if test.field in PER_REGISTER else 10) if numeric else 0
    wanted = test.values
    checks: dict[Operator, Callable[[], bool]] = {
        Operator.PRESENT: lambda: True,
        Operator.EQUAL: lambda: value in wanted,
        Operator.MASKED: lambda: any(number & test.mask == int(other) & test.mask for other in wanted),
        Operator.WILDCARD: lambda: any(fnmatch.fnmatchcase(str(value), str(pattern)) for pattern in wanted),
        Operator.LESS: lambda: number < int(wanted[0]),
        Operator.AT_MOST: lambda: number <= int(wanted[0]),
        Operator.GREATER: lambda: number > int(wanted[0]),
        Operator.AT_LEAST: lambda: number >= int(wanted[0]),
    }
    return checks[test.operator]()


def detection(number: int, query: Query) -> Detection:
    return replace(shipped_detections()[0], id=f"d{number}", audit_rule="", query=query)


def addressed(call: MadeCall) -> MadeCall:
    """Return a call as a kernel can see it: only some calls pass an address, and only some have a file."""
    has_file = kind_of_call(call.name).path_index is not None or call.name == "openat2"
    return replace(
        call,
        family=call.family if call.name in ("connect", "bind") else None,
        path=call.path if has_file else "",
    )


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.sampled_from(CATEGORIES)), trees()), min_size=1, max_size=4),
    st.lists(CALLS_MADE.map(addressed), min_size=1, max_size=20),
)
@settings(max_examples=4 * settings().max_examples)
def test_a_rule_reports_every_event_that_a_filter_selects(
    filters: list[tuple[str | None, Expression]], calls: list[MadeCall]
) -> None:
    """Of a filter that names no call only the starts of programs are reported: that is the exception."""
    steps = [Step(category, where) for category, where in filters]
    detections = [detection(n, Query(QueryKind.EVENT, (step,))) for n, step in enumerate(steps)]
    derivation = derive(detections, machine=MACHINE, paths=AnyPaths())
    lines = derivation.lines(costly=True)
    rules = [auditctl.parse(line, machine=MACHINE) for line in lines]
    step_rules = [step for one in derivation.detections for step in one.steps]
    for call in calls:
        for step, needed in zip(steps, step_rules, strict=True):
            categories = kind_of_call(call.name).category
            if step.category is not None and step.category not in categories:
                continue
            if not selects(step.where, call):
                continue
            names_no_call = any("the filter" in phrase for phrase in needed.unseen)
            if names_no_call and call.name not in ("execve", "execveat"):
                continue
            if call.path and any("relative name" in phrase for phrase in needed.unseen):
                continue
            event("selected")
            assert any(reports(rule, call) for rule in rules), (call, lines)


@given(st.lists(trees(), min_size=1, max_size=6), CALLS_MADE.map(addressed))
def test_merged_rules_report_the_same_as_separate_rules(filters: list[Expression], call: MadeCall) -> None:
    detections = [
        detection(n, Query(QueryKind.EVENT, (Step(None, where),))) for n, where in enumerate(filters)
    ]
    for costly in (False, True):
        alone = [
            line
            for one in detections
            for line in derive([one], machine=MACHINE, paths=AnyPaths()).lines(costly=costly)
        ]
        together = derive(detections, machine=MACHINE, paths=AnyPaths()).lines(costly=costly)
        reported = any(reports(auditctl.parse(line, machine=MACHINE), call) for line in alone)
        assert not reported or any(reports(auditctl.parse(line, machine=MACHINE), call) for line in together)
