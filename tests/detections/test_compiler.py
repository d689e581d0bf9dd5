"""Compiled detections: which events they fit, against a small model of expressions, and their bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import syscalls
from auditsense.core.rule_table import Field, Filter, Rule, RuleKind, RuleTable
from auditsense.detections.builder import define, like, number, unlike
from auditsense.detections.compiler import compile_all, compile_exception
from auditsense.detections.eql.parser import parse
from auditsense.detections.event_table import SYSCALL_RECORD, EventMapping, kind_of_event, record_types
from auditsense.detections.expression import (
    And,
    Constant,
    Expression,
    KeyField,
    Not,
    Operator,
    Or,
    Query,
    QueryKind,
    Step,
    Test,
)
from auditsense.detections.model import Detection, DetectionException
from auditsense.errors import DetectionError
from tests.support.compiled_filters import class_of_call, class_of_first_record, fitting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

X86_64 = syscalls.ARCHES["x86_64"]
STRICT = EventMapping.AUDITD_MANAGER
USERS = {"root": 0, "alice": 1000}
OWN = define("own", "own", match={"process.name": "x"})


def detection(query: str | Query, id_: str = "eql") -> Detection:
    return replace(OWN, id=id_, match=(), query=parse(query) if isinstance(query, str) else query)


def compiled(*queries: str | Query | Detection, mapping: EventMapping = EventMapping.NATIVE) -> RuleTable:
    detections = [
        query if isinstance(query, Detection) else detection(query, f"d{index}")
        for index, query in enumerate(queries)
    ]
    return compile_all(detections, merge_ms=0, mapping=mapping, users=USERS)


@dataclass(frozen=True)
class Event:
    """An event: its call, the type of its first record, and the values of record fields."""

    call: str | None
    values: Mapping[Field, Sequence[str]]
    first: int = SYSCALL_RECORD

    def class_in(self, table: RuleTable) -> int:
        number = None if self.call is None else syscalls.number(self.call, "x86_64")
        call_class = None if number is None else class_of_call(table, X86_64, number)
        if self.first == SYSCALL_RECORD:
            assert call_class is not None
            return call_class
        return class_of_first_record(table, self.first, call_class)

    def fits(self, table: RuleTable) -> list[Filter]:
        return fitting(table, self.class_in(table), self.values)


def event(call: str | None = "execve", first: str = "", **values: str | list[str]) -> Event:
    fields = {
        Field[name.upper()]: [value] if isinstance(value, str) else value for name, value in values.items()
    }
    return Event(call, fields, record_types()[first] if first else SYSCALL_RECORD)


def fits(query: str, one: Event, mapping: EventMapping = EventMapping.NATIVE) -> bool:
    return bool(one.fits(compiled(query, mapping=mapping)))


# --- what a class fixes --------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "fitting_events", "others"),
    [
        ('process where event.action == "executed"', [event("execve")], [event("openat"), event("ptrace")]),
        ('file where event.type == "deletion"', [event("unlinkat")], [event("openat"), event("execve")]),
        ('any where event.category : "NET*"', [event("connect")], [event("execve")]),
        ('any where host.os.type == "linux"', [event("ptrace")], []),
        ('any where data_stream.dataset == "other"', [], [event("ptrace")]),
        (
            'any where auditd.data.syscall like "open*"',
            [event("openat"), event("openat2")],
            [event("execve")],
        ),
        ('any where auditd.data.syscall != "openat"', [event("ptrace")], [event("openat")]),
        (
            "any where auditd.data.syscall == null",
            [event(None, "USER_AUTH")],
            [event("ptrace"), event("openat")],
        ),
        ("process where event.action == null", [event("ptrace")], [event("execve")]),
        (
            'network where network.direction == "egress"',
            [event("connect", socket_family="ipv4")],
            [event("connect"), event("accept", socket_family="ipv4")],
        ),
        (
            "any where destination.port == 53",
            [event("sendto", socket_port="53")],
            [event("recvfrom", socket_port="53"), event("sendto", socket_port="5")],
        ),
        (
            "any where source.port == 53",
            [event("recvfrom", socket_port="53")],
            [event("sendto", socket_port="53")],
        ),
        (
            'any where file.path == "/a"',
            [event("openat", paths=["/b", "/a"]), event("finit_module", paths="/a")],
            [event("bind", paths="/a")],
        ),
        (
            'any where event.outcome == "success"',
            [event("openat", success="yes"), event(None, "USER_AUTH", result="1")],
            [event("openat", success="no"), event(None, "USER_AUTH", result="failed"), event("openat")],
        ),
        (
            'any where event.outcome == "failure"',
            [event("openat", success="no"), event(None, "USER_AUTH", result="0")],
            [event("openat", success="yes"), event("openat")],
        ),
        (
            'any where auditd.result : "fa?l"',
            [event("openat", success="no")],
            [event("openat", success="yes")],
        ),
        (
            'any where auditd.data.exit == "EACCES"',
            [event("openat", exit="-13")],
            [event("openat", exit="13"), event("openat", exit="-1")],
        ),
        ("any where auditd.data.exit < 5", [event("openat", exit="3")], [event("openat", exit="-13")]),
        (
            'any where auditd.data.arch == "x86_64"',
            [event("openat", arch="c000003e")],
            [event("openat", arch="40000003")],
        ),
        (
            'any where tags == "k"',
            [event("openat", key="k"), event("openat", key="a\1k\1b")],
            [event("openat", key="kk")],
        ),
        (
            'any where cidrMatch(auditd.data.addr, "::/0", "10.0.0.0/8")',
            [event("openat", addr="2001:db8::1"), event("openat", addr="10.1.2.3")],
            [event("openat", addr="192.0.2.1"), event("openat", addr="x"), event("openat")],
        ),
        ("any where auditd.data.class == null", [event("openat")], []),
        ("any where host.id != null", [event("openat"), event("openat", node="a")], []),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_field_has_the_meaning_of_its_class(
    query: str, fitting_events: list[Event], others: list[Event]
) -> None:
    table = compiled(query)
    assert [one for one in fitting_events if not one.fits(table)] == []
    assert [one for one in others if one.fits(table)] == []


def test_user_id_is_the_login_user_in_records_about_logins() -> None:
    query = 'any where user.id == "1000"'
    assert fits(query, event("openat", uid="1000", auid="0"))
    assert fits(query, event(None, "USER_AUTH", uid="0", auid="1000"))
    assert not fits("any where user.id != null", event(None, "USER_AUTH", uid="0", auid="4294967295"))


def test_user_name_is_the_id_of_this_host() -> None:
    assert fits('any where user.name : "AL*"', event("openat", uid="1000"))
    assert not fits('any where user.name == "bob"', event("openat", uid="1000"))
    assert fits('any where not user.name == "root"', event("openat", uid="77"))


def test_related_user_is_any_of_the_users_of_the_event() -> None:
    query = 'any where related.user == "alice"'
    assert fits(query, event("openat", uid="0", euid="1000"))
    assert fits(query, event(None, "USER_AUTH", auid="0", acct="alice"))
    assert fits(query, event(None, "USER_LOGIN", auid="0", acct="1000"))
    assert not fits(query, event(None, "USER_AUTH", auid="0", acct="bob"))


def test_first_record_decides_the_action() -> None:
    query = 'file where event.action == "violated-apparmor-policy"'
    assert fits(query, event("openat", "APPARMOR"))
    assert not fits(query, event("openat", "AVC"))
    assert not fits(query, event("openat"))
    assert not fits(query, event("execve", "APPARMOR"))
    assert fits('process where event.action == "executed"', event("execve", "TTY")) is False


def test_first_record_leaves_the_addresses_of_the_call() -> None:
    one = event("connect", "APPARMOR", socket_family="ipv4", socket_ip="10.0.0.1")
    assert fits('any where network.direction == "egress"', one)
    assert fits('any where destination.ip == "10.0.0.1"', one)
    assert not fits("any where file.path != null", event("openat", "APPARMOR", paths="/a"))


def test_detection_by_call_fits_whatever_record_comes_first() -> None:
    own = define("own", "own", match={"auditd.data.syscall": "openat", "process.name": "x"})
    other = detection('file where event.action == "violated-apparmor-policy"')
    table = compiled(own, other)
    assert [one.rule for one in event("openat", "SECCOMP", comm="x").fits(table)] == [0]
    assert event("execve", "SECCOMP", comm="x").fits(table) == []


def test_records_of_user_space_are_wanted_only_for_query_languages() -> None:
    own = define("own", "own", match={"user.id": "0"})
    assert compiled(own).mains == ()
    assert event("ptrace", uid="0").fits(compiled(own))
    table = compiled(own, "authentication where process.pid == 1")
    assert event(None, "USER_AUTH", uid="0", pid="2").fits(table) == []
    assert [one.rule for one in event(None, "USER_AUTH", pid="1").fits(table)] == [1]


# --- mappings --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "one"),
    [
        ('process where event.action == "exec"', event("execve")),
        ('network where event.action == "connection_attempted"', event("connect")),
        ('file where event.type == "creation"', event("openat", path_nametype=["PARENT", "CREATE"])),
        ('file where event.action == "opened-file"', event("openat2")),
        ('process where process.command_line == "a b"', event("execve", command_line="a b")),
        ("process where process.args_count == 2", event("execve", argc="2")),
        ('process where process.parent.name == "sh"', event("execve", parent_name="sh")),
        ('process where process.entry_leader.args == "x"', event("execve", leader_args=["y", "x"])),
    ],
)
def test_native_mapping_has_more(query: str, one: Event) -> None:
    assert fits(query, one)
    assert not fits(query, one, STRICT)


def test_open_that_created_nothing_is_no_creation() -> None:
    assert not fits('file where event.type == "creation"', event("openat", path_nametype=["NORMAL"]))


def test_parents_need_events_of_programs_that_start() -> None:
    table = compiled('file where process.parent.name == "sh"')
    assert table.classes[event("execve").class_in(table)].kept
    assert table.classes[event("openat").class_in(table)].filters
    plain = compiled('file where process.name == "sh"')
    assert not plain.classes[event("execve").class_in(plain)].kept


def test_exec_behind_another_record_starts_a_program_as_well() -> None:
    table = compiled('any where process.args == "a"')
    assert table.processes
    for first in ("", "APPARMOR"):
        one = event("execve", first, args=["a"])
        assert one.fits(table)
        assert table.classes[one.class_in(table)].executes
    assert table.classes[event("execve").class_in(table)].kept
    only_execs = compiled('process where event.action == "executed" and process.args == "a"')
    assert not only_execs.processes


def test_search_for_the_file_begins_at_the_path_of_the_call() -> None:
    table = compiled('file where file.path == "/a"')
    paths = {
        call: table.classes[event(call).class_in(table)] for call in ("rename", "mkdirat", "openat", "open")
    }
    assert {call: row.first_path for call, row in paths.items()} == {
        "rename": 2,
        "mkdirat": 1,
        "openat": 0,
        "open": 0,
    }
    assert {call: row.directory for call, row in paths.items()} == {
        "rename": None,
        "mkdirat": 0,
        "openat": 0,
        "open": None,
    }


# --- our own TOML ----------------------------------------------------------------------


def test_negated_condition_of_an_absent_field_fails() -> None:
    own = define(
        "own",
        "own",
        match={"auditd.data.syscall": "openat", "process.name": unlike("a*"), "process.pid": number(1)},
    )
    table = compiled(own)
    assert event("openat", comm="b", pid="1").fits(table)
    assert not event("openat", pid="1").fits(table)
    assert not event("openat", comm="A", pid="1").fits(table)


def test_negated_number_of_an_invalid_value_fails() -> None:
    own = define("own", "own", match={"auditd.data.syscall": "openat", "auditd.data.a1": {"not_number": [1]}})
    table = compiled(own)
    assert event("openat", a1="2").fits(table)
    assert not event("openat", a1="x").fits(table)


def test_own_table_has_no_more_than_its_calls() -> None:
    own = define(
        "own", "own", match={"auditd.data.syscall": ["open", "openat"], "file.path": like("/proc/*")}
    )
    table = compiled(own)
    assert {(call.arch, call.syscall) for call in table.calls} == {
        *syscalls.calls("open"),
        *syscalls.calls("openat"),
        (0, 18),  # an operation of io_uring
    }
    assert (table.other_call_class, table.mains, len(table.classes)) == (0, (), 2)
    assert not event("openat", path_name="/proc").fits(table)
    assert event("openat", path_name="/PROC/1").fits(table)


def test_exception_compiles_without_a_class() -> None:
    own = define(
        "own",
        "own",
        match={"process.name": "x"},
        exceptions=[{"match": {"process.pid": "1"}, "comment": "it"}],
    )
    (exception,) = compiled(own).rules[0].exceptions
    assert [node.predicate.field for node in exception.program] == [Field.PID]
    with pytest.raises(DetectionError, match="takes everything"):
        compile_exception(DetectionException("own", (), "it"))


# --- queries of several events ---------------------------------------------------------


def test_repeated_step_is_one_ring() -> None:
    for query in (
        "sequence by process.pid with maxspan=5s [file where true] with runs=10",
        "sequence by process.pid with maxspan=5s [file where true] with runs=9 [file where true]",
    ):
        table = compiled(query)
        assert table.rules == (Rule(kind=RuleKind.RUNS, count=10, span_ms=5000),)
        assert {one.stages for one in table.filters()} == {1}


def test_sequence_has_a_filter_for_each_step() -> None:
    table = compiled(
        "sequence by host.id with maxspan=1m [file where true] by process.pid with runs=3 "
        '[process where event.action == "executed"] by process.parent.pid '
        'until [process where event.type == "end"] by process.pid'
    )
    assert table.rules == (Rule(kind=RuleKind.SEQUENCE, stages=4, span_ms=60_000),)
    steps = {(one.first_stage, one.stages, one.until, one.keys) for one in table.filters()}
    assert steps == {
        (0, 3, False, (Field.NODE, Field.PID)),
        (3, 1, False, (Field.NODE, Field.PPID)),
        (0, 1, True, (Field.NODE, Field.PID)),
    }


def test_sample_remembers_for_its_look_back() -> None:
    query = replace(parse("sample by process.pid [file where true] [network where true]"), look_back_ms=1000)
    assert compiled(query).rules == (Rule(kind=RuleKind.SAMPLE, stages=2, span_ms=1000),)


def test_repeated_step_with_a_limit_is_a_sequence() -> None:
    table = compiled("sequence by process.pid with maxspan=5s [file where true] with runs=10 | head 2")
    (rule,) = table.rules
    assert (rule.kind, rule.stages, rule.limit, rule.limit_ms) == (RuleKind.SEQUENCE, 10, 2, 540_000)
    assert {(one.first_stage, one.stages) for one in table.filters()} == {(0, 10)}


def test_tail_limits_completions_of_a_look_back() -> None:
    query = "sequence by process.pid with maxspan=5s [file where true] [process where true] | tail 1"
    (rule,) = compiled(query).rules
    assert (rule.limit, rule.limit_ms) == (1, 540_000)


def test_sequence_with_a_step_that_never_happens_costs_nothing() -> None:
    never = (
        'sequence by process.pid with maxspan=5s [file where true] [process where event.action == "no such"]'
    )
    assert [*compiled(never).filters()] == []


def test_optional_key_is_marked() -> None:
    query = (
        "sequence by ?process.parent.entity_id, process.pid with maxspan=5s "
        "[file where true] [process where true]"
    )
    assert {(one.keys, one.optional_keys) for one in compiled(query).filters()} == {
        ((Field.PARENT_ENTITY_ID, Field.PID), 1)
    }


def test_event_without_a_key_field_is_not_evaluated() -> None:
    query = "sequence by file.path with maxspan=5s [file where true] [any where true]"
    table = compiled(query)
    assert event("openat", path_name="/a").fits(table)
    assert event("connect").fits(table) == []


def test_key_of_a_login_needs_a_login_user() -> None:
    query = "sequence by user.id with maxspan=5s [authentication where true] [process where true]"
    table = compiled(query)
    (one,) = event(None, "USER_AUTH", auid="5").fits(table)
    assert one.keys == (Field.AUID,)
    assert event(None, "USER_AUTH", auid="4294967295").fits(table) == []


# --- refusals --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "sequence by event.category with maxspan=1s [any where true] [file where true]",
            "d0: line 1: event.category cannot be a key",
        ),
        (
            "sequence by related.user, tags, user.id, host.id with maxspan=1s [any where true] with runs=2",
            "d0: line 1: this event has 5 key fields of records; at most 4",
        ),
        (
            "sequence by process.pid with maxspan=8d [file where true] [process where true]",
            "line 1: maxspan is 691200000 ms; at most 604800000 (7 days)",
        ),
    ],
)
def test_refusal_names_detection_and_line(query: str, message: str) -> None:
    with pytest.raises(DetectionError, match=re.escape(message)):
        compiled(query)


def test_bounds_of_the_core_are_named() -> None:
    items = tuple(Step(None, Constant(value=True)) for _ in range(9))
    with pytest.raises(DetectionError, match="d0: this sample has 9 events; at most 8"):
        compiled(Query(QueryKind.SAMPLE, items, (KeyField("process.pid"),)))
    many = Or(tuple(Test("process.name", Operator.EQUAL, (f"{n}",)) for n in range(1025)))
    with pytest.raises(DetectionError, match="d0: this event has 1025 comparisons; at most 1024"):
        compiled(Query(QueryKind.EVENT, (Step(None, many),)))
    own = [replace(OWN, id=f"{n}") for n in range(1025)]
    with pytest.raises(DetectionError, match="1025 detections; at most 1024"):
        compiled(*own)
    values = Test("process.name", Operator.EQUAL, tuple(f"{n}" for n in range(65_537)))
    with pytest.raises(DetectionError, match="65537 values; at most 65536"):
        compiled(Query(QueryKind.EVENT, (Step(None, values),)))


# --- against a model -------------------------------------------------------------------

Document = dict[str, list[str]]
FIRST_RECORDS = ("", "", "", "SECCOMP", "APPARMOR")


def document_of(one: Event) -> Document:
    """Return the fields of a document. What it is called comes from the table of names."""
    assert one.call is not None
    kind = kind_of_event(one.first, one.call)
    assert kind is not None
    found = {
        "event.action": kind.action,
        "event.category": kind.category,
        "event.type": kind.type,
        "auditd.data.syscall": [one.call],
        "process.name": one.values.get(Field.COMM, []),
        "process.args": one.values.get(Field.ARGS, []),
        "process.pid": one.values.get(Field.PID, []),
        "user.id": one.values.get(Field.UID, []),
        "file.path": one.values.get(Field.PATHS, []) if kind.path_index is not None else [],
        "event.outcome": ["success" if "yes" in one.values.get(Field.SUCCESS, []) else "failure"],
    }
    if kind.may_create and "CREATE" in one.values.get(Field.PATH_NAMETYPE, []):
        found["event.type"] = [*kind.type, "creation"]
    return {name: [*values] for name, values in found.items()}


def model(expression: Expression, document: Document) -> bool:
    """Return whether an expression holds for a document: the definition."""
    match expression:
        case Constant(value):
            return value
        case Not(term):
            return not model(term, document)
        case And(terms):
            return all(model(term, document) for term in terms)
        case Or(terms):
            return any(model(term, document) for term in terms)
        case Test(field, Operator.PRESENT):
            return bool(document[field])
        case Test(field):
            return any(
                fits_one(value, pattern, expression)
                for value in document[field]
                for pattern in expression.values
            )


def fits_one(value: str, pattern: str | int, test: Test) -> bool:
    if isinstance(pattern, int):
        return bool(ORDERS[test.operator](int(value), pattern))
    if test.fold_case:
        value, pattern = value.lower(), pattern.lower()
    return fnmatchcase(value, pattern) if test.operator is Operator.WILDCARD else value == pattern


ORDERS = {Operator.LESS: lt, Operator.AT_MOST: le, Operator.GREATER: gt, Operator.AT_LEAST: ge}

names = st.sampled_from(["a", "A", "ab", "b", "/a"])
patterns = st.sampled_from(["a", "A*", "*b", "?", "*", "a?", "/*"])


def texts_of(field: str) -> st.SearchStrategy[Test]:
    values = {
        "event.action": st.sampled_from(
            ["executed", "opened-file", "exec", "deleted", "violated-seccomp-policy"]
        ),
        "event.category": st.sampled_from(["file", "process", "network"]),
        "event.type": st.sampled_from(["start", "info", "creation", "change"]),
        "event.outcome": st.sampled_from(["success", "failure", "unknown"]),
        "auditd.data.syscall": st.sampled_from(["execve", "openat", "ptrace", "mkdirat"]),
        "user.id": st.sampled_from(["0", "7"]),
    }.get(field, names)
    fold_case = st.booleans()
    equal = st.builds(
        Test,
        st.just(field),
        st.just(Operator.EQUAL),
        st.lists(values, min_size=1, max_size=3).map(tuple),
        fold_case,
    )
    wild = st.builds(
        Test,
        st.just(field),
        st.just(Operator.WILDCARD),
        st.lists(values | patterns, min_size=1, max_size=3).map(tuple),
        fold_case,
    )
    return equal | wild | st.just(Test(field, Operator.PRESENT))


TEXTS = ["event.action", "event.category", "event.type", "event.outcome", "auditd.data.syscall"]
TEXTS += ["process.name", "process.args", "user.id", "file.path"]
numbers = st.builds(
    Test, st.just("process.pid"), st.sampled_from([*ORDERS]), st.integers(1, 3).map(lambda value: (value,))
)
tests = st.sampled_from(TEXTS).flatmap(texts_of) | numbers
expressions = st.recursive(
    tests | st.builds(Not, st.sampled_from(TEXTS).flatmap(texts_of)) | st.builds(Constant, st.booleans()),
    lambda parts: (
        st.lists(parts, max_size=3).map(lambda terms: And(tuple(terms)))
        | st.lists(parts, max_size=3).map(lambda terms: Or(tuple(terms)))
    ),
    max_leaves=10,
)
negatable = st.recursive(
    st.sampled_from(TEXTS).flatmap(texts_of),
    lambda parts: (
        st.builds(Not, parts)
        | st.lists(parts, max_size=3).map(lambda terms: And(tuple(terms)))
        | st.lists(parts, max_size=3).map(lambda terms: Or(tuple(terms)))
    ),
    max_leaves=8,
)
events = st.builds(
    lambda call, first, values: Event(
        call,
        {field: found for field, found in values.items() if found},
        record_types()[first] if first else SYSCALL_RECORD,
    ),
    st.sampled_from(["execve", "openat", "openat2", "connect", "ptrace", "mkdirat", "unlink"]),
    st.sampled_from(FIRST_RECORDS),
    st.fixed_dictionaries(
        {
            Field.COMM: st.lists(names, max_size=1),
            Field.ARGS: st.lists(names, max_size=3),
            Field.PID: st.lists(st.sampled_from(["1", "2", "3"]), max_size=1),
            Field.UID: st.lists(st.sampled_from(["0", "7"]), max_size=1),
            Field.PATHS: st.lists(names, max_size=2),
            Field.PATH_NAMETYPE: st.lists(st.sampled_from(["CREATE", "NORMAL"]), max_size=2),
            Field.SUCCESS: st.sampled_from([["yes"], ["no"]]),
        }
    ),
)


@given(
    queries=st.lists(expressions | negatable, min_size=1, max_size=4),
    batch=st.lists(events, min_size=1, max_size=8),
)
def test_events_fit_the_filters_that_the_model_fits(queries: list[Expression], batch: list[Event]) -> None:
    table = compiled(*(Query(QueryKind.EVENT, (Step(None, query),)) for query in queries))
    for one in batch:
        document = document_of(one)
        expected = [index for index, query in enumerate(queries) if model(query, document)]
        assert sorted(found.rule for found in one.fits(table)) == expected, document


@given(test=tests, one=events)
def test_step_of_a_category_has_it(test: Test, one: Event) -> None:
    table = compiled(Query(QueryKind.EVENT, (Step("file", test),)))
    document = document_of(one)
    assert bool(one.fits(table)) == ("file" in document["event.category"] and model(test, document))


def test_comparisons_are_shared_between_detections() -> None:
    table = compiled('process where process.name == "a" and process.pid == 1', "file where process.pid == 1")
    assert len({node.predicate for program in table.programs() for node in program}) == 2
