"""The sensor counts what the model counts, for random queries on random events."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.detections import define
from auditsense.detections.eql.printer import eql_of
from auditsense.detections.event_table import EventMapping
from auditsense.detections.expression import (
    And,
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
from tests.support.audit_events import AuditEvent
from tests.support.eql_counts import model_counts, model_fields, sensor_counts
from tests.support.eql_reading import count as read_and_count

if TYPE_CHECKING:
    from collections.abc import Callable

# Few values, so that comparisons often hold.
_NAMES = ("a", "Ab", "a b", "x")
_PATHS = ("/etc/x", "/etc/X", "x")
_ARGS = ("-c", "-C", "x y", "")
_TEXTS = {
    "process.name": _NAMES,
    "process.parent.name": _NAMES,
    "process.args": _ARGS,
    "process.parent.args": _ARGS,
    "process.command_line": ("-c", "-c -C", "x y -c"),
    "process.executable": _PATHS,
    "process.working_directory": ("/etc", "/"),
    "file.path": (*_PATHS, "/etc/x"),
    "user.id": ("0", "1000"),
    "user.effective.id": ("0", "1000", "root", "ghost"),
    "event.action": (
        "executed",
        "exec",
        "opened-file",
        "connected-to",
        "connection_attempted",
        "authenticated",
    ),
    "event.type": ("start", "creation", "info", "connection"),
    "event.outcome": ("success", "failure", "unknown"),
    "auditd.data.syscall": ("execve", "openat", "mprotect"),
    "auditd.data.a2": ("7", "80000"),
    "network.direction": ("egress", "ingress"),
    "auditd.data.terminal": ("ssh", "tty1"),
}
_NUMBERS = {
    "process.pid": (1001, 1002, 1003),
    "process.parent.pid": (1001, 1002, 1003),
    "process.args_count": (0, 1, 2),
    "destination.port": (80, 443),
}
_NETWORKS = ("10.0.0.0/8", "10.1.2.3", "::/0", "2001:db8::/32")


def _pattern(value: str) -> st.SearchStrategy[str]:
    return st.sampled_from([value, f"{value[:1]}*", f"*{value[-1:]}", f"?{value[1:]}", "*", value.upper()])


def _texts(field: str) -> st.SearchStrategy[Test]:
    values = st.sampled_from(_TEXTS[field])
    several = st.lists(values, min_size=1, max_size=2).map(tuple)
    patterns = st.lists(values.flatmap(_pattern), min_size=1, max_size=2).map(tuple)
    return st.one_of(
        st.builds(Test, st.just(field), st.just(Operator.EQUAL), several, st.booleans()),
        st.builds(Test, st.just(field), st.just(Operator.WILDCARD), patterns, st.booleans()),
        st.builds(Test, st.just(field), st.just(Operator.PRESENT)),
        st.builds(
            Test, st.just(field), st.just(Operator.REGEX), st.sampled_from([("a.*",), ("[a-x/]+", "-[cC]")])
        ),
    )


def _numbers(field: str) -> st.SearchStrategy[Test]:
    values = st.tuples(st.sampled_from(_NUMBERS[field]))
    operators = st.sampled_from(
        [Operator.EQUAL, Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST]
    )
    return st.builds(Test, st.just(field), operators, values)


_negatable = st.one_of(
    *(_texts(field) for field in _TEXTS),
    st.builds(
        Test,
        st.just("destination.ip"),
        st.just(Operator.NETWORK),
        st.sampled_from(_NETWORKS).map(lambda n: (n,)),
    ),
)
_leaves = st.one_of(_negatable, st.builds(Not, _negatable), *(_numbers(field) for field in _NUMBERS))


def _group(kind: Callable[[tuple[Expression, ...]], Expression]) -> Callable[[list[Expression]], Expression]:
    return lambda terms: kind(tuple(terms))


_trees = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(_group(And)),
        st.lists(inner, min_size=2, max_size=3).map(_group(Or)),
    ),
    max_leaves=5,
)
_categories = st.sampled_from([None, "process", "file", "network", "authentication"])
_keys = st.builds(KeyField, st.sampled_from(["process.pid", "process.parent.pid", "user.id", "host.id"]))


@st.composite
def _queries(draw: st.DrawFn) -> Query:
    kind = draw(st.sampled_from(QueryKind))
    limit = draw(st.sampled_from([None, None, 1, 2]))
    if kind is QueryKind.EVENT:
        return Query(kind, (Step(draw(_categories), draw(_trees)),), limit=limit)
    by = draw(st.lists(_keys, min_size=1, max_size=2, unique=True).map(tuple))
    runs = st.integers(1, 3) if kind is QueryKind.SEQUENCE else st.just(1)
    steps = tuple(Step(draw(_categories), draw(_trees), runs=draw(runs)) for _ in range(2))
    if kind is QueryKind.SAMPLE:
        return Query(kind, steps, by, limit=limit)
    until = draw(st.none() | st.builds(Step, _categories, _trees))
    return Query(kind, steps, by, draw(st.sampled_from([100, 250, 5000])), until, limit)


@st.composite
def _events(draw: st.DrawFn) -> list[AuditEvent]:
    return [_event(draw, number) for number in range(draw(st.integers(1, 6)))]


def _event(draw: st.DrawFn, number: int) -> AuditEvent:
    def one(*values: str) -> str:
        return draw(st.sampled_from(values))

    call = one("execve", "openat", "connect", "mprotect", "accept4", "USER_AUTH")
    event = AuditEvent(
        call=call,
        ms=1_788_001_000_000 + 100 * number,
        serial=5000 + number,
        pid=draw(st.sampled_from([1001, 1002, 1003])),
        ppid=draw(st.sampled_from([1001, 1002, 1003])),
        comm=one(*_NAMES),
        exe=one("/etc/x", "/etc/X"),
        uid=draw(st.sampled_from([0, 1000])),
        euid=draw(st.sampled_from([0, 1000])),
        success=draw(st.booleans()),
        registers=("ffffff9c", "1", one("7", "80000"), "0"),
        cwd=one("/etc", "/"),
        title=one("", "a"),
    )
    if call == "execve" and event.success:
        args = tuple(draw(st.lists(st.sampled_from(_ARGS), min_size=1, max_size=3)))
        return replace(event, args=args, paths=((event.exe, "NORMAL"),))
    if call == "openat":
        return replace(event, paths=((one(*_PATHS), one("NORMAL", "CREATE", "PARENT")),))
    if call in ("connect", "accept4"):
        sockets = (("ipv4", "10.1.2.3", 80), ("ipv6", "2001:db8::1", 443), ("unix", "/etc/x", 0))
        return replace(event, socket=draw(st.sampled_from(sockets)))
    message = {
        "op": "x",
        "acct": one('"root"', '"0"', '"1000"', '"ghost"', '""', "?"),
        "exe": one('"/etc/x"', '"/usr/bin/a"', '"/opt/a-name-of-20-letters"', "?"),
        "terminal": one("ssh", "tty1", "?"),
        "res": one("success", "failed"),
    }
    return replace(event, message=message) if call == "USER_AUTH" else event


@pytest.mark.parametrize("mapping", EventMapping)
@given(query=_queries(), events=_events())
def test_sensor_counts_what_the_model_counts(
    query: Query, events: list[AuditEvent], mapping: EventMapping
) -> None:
    text = eql_of(query)
    detection = define("random", "A random query", eql=text)
    (counted,) = sensor_counts([detection], [events], mapping)
    assert counted == model_counts([detection], events, mapping)
    assert counted["random"] == read_and_count(text, model_fields(events, mapping))
