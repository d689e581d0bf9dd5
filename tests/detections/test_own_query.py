"""Detections of our own TOML as queries."""

from __future__ import annotations

import pytest

from auditsense.detections.builder import define, exists, is_not, like, number, unlike
from auditsense.detections.eql.parser import parse
from auditsense.detections.expression import And, Expression, KeyField, Not, Operator, Or, QueryKind, Test
from auditsense.detections.own_query import query_of, window_of
from auditsense.errors import DetectionError

NAME = "process.name"
PRESENT = Test(NAME, Operator.PRESENT)


def where(**match: object) -> Expression:
    """Return the expression of a condition; the field has two underscores for a dot."""
    fields = {field.replace("__", "."): value for field, value in match.items()}
    query = query_of(define("own", "own", match=fields))  # type: ignore[arg-type] # any value
    (step,) = query.steps
    assert isinstance(step.where, And)
    (term,) = step.where.terms
    return term


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("a", Test(NAME, Operator.EQUAL, ("a",))),
        (like("a*", "b"), Test(NAME, Operator.WILDCARD, ("a*", "b"), fold_case=True)),
        (exists(), PRESENT),
        (exists(there=False), Not(PRESENT)),
        (is_not("a"), And((PRESENT, Not(Test(NAME, Operator.EQUAL, ("a",)))))),
        (unlike("a*"), And((PRESENT, Not(Test(NAME, Operator.WILDCARD, ("a*",), fold_case=True))))),
    ],
)
def test_condition_is_a_test_of_a_present_field(condition: object, expected: Expression) -> None:
    assert where(process__name=condition) == expected


def test_negated_number_fails_for_a_value_that_is_no_number() -> None:
    field = "auditd.data.a1"
    assert where(auditd__data__a1=number(1, mask=3)) == Test(field, Operator.MASKED, (1,), mask=3)
    assert where(auditd__data__a1={"not_number": [1]}) == And(
        (Test(field, Operator.MASKED, (0,), mask=0), Not(Test(field, Operator.MASKED, (1,))))
    )


def test_single_match_is_an_event_and_several_are_a_sequence() -> None:
    single = query_of(define("own", "own", match={NAME: "a"}))
    assert (single.kind, single.maxspan_ms, single.steps[0].runs) == (QueryKind.EVENT, None, 1)
    several = query_of(define("own", "own", match={NAME: "a"}, matches=3, within="5s"))
    assert (several.kind, several.maxspan_ms, several.steps[0].runs) == (QueryKind.SEQUENCE, 5000, 3)
    assert several.by == (KeyField("process.pid"), KeyField("host.id"))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("auditd.data.syscall", "opena", "no architecture has a system call 'opena'; did you mean"),
        ("auditd.data.syscall", is_not("open"), "auditd.data.syscall can only be compared with names"),
        (NAME, number(1), "process.name is not a number"),
        (NAME, {"open_flags": ["O_PATH"]}, "process.name holds no flags of open"),
        ("auditd.data.a2", {"open_flags": ["O_PAHT"]}, "is neither a flag of open"),
        ("process.nam", "x", "unknown field 'process.nam'; did you mean process.name"),
    ],
)
def test_wrong_condition_is_named(field: str, value: object, message: str) -> None:
    with pytest.raises(DetectionError, match=message):
        query_of(define("own", "own", match={field: value}))  # type: ignore[dict-item] # the mistake


A = Test(NAME, Operator.EQUAL, ("a",))
B = Test("process.pid", Operator.EQUAL, ("7",))


def test_any_holds_when_one_table_does() -> None:
    assert where(any=[{NAME: "a"}, {NAME: "a", "process.pid": "7"}]) == Or((And((A,)), And((A, B))))


def test_none_holds_when_no_table_does() -> None:
    """An absent field fails the table, so `none` holds without it."""
    assert where(none=[{NAME: "a"}, {"process.pid": "7"}]) == Not(Or((And((A,)), And((B,)))))


def test_groups_can_be_nested() -> None:
    assert where(any=[{"none": [{NAME: "a"}]}]) == Or((And((Not(Or((And((A,)),))),)),))


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        ({"any": []}, "match.any: expected a list of tables"),
        ({"any": {NAME: "a"}}, "match.any: expected a list of tables"),
        ({"none": [{}]}, "match.none 1: a table without a condition always holds"),
        ({"none": [{NAME: "a"}, {NAME: {"bigger": 1}}]}, "match.none 2.process.name: no comparison bigger"),
    ],
)
def test_wrong_groups_are_refused(match: dict[str, object], problem: str) -> None:
    with pytest.raises(DetectionError, match=problem):
        define("own", "own", match=match)  # type: ignore[arg-type] # any value


def test_eql_replaces_match_and_window() -> None:
    detection = define("own", "own", eql='process where process.name == "a"')
    assert query_of(detection).steps[0].where == A
    with pytest.raises(DetectionError, match="eql: line 1: = is no comparison"):
        define("own", "own", eql='process where process.name = "a"')
    with pytest.raises(DetectionError, match="eql stands in place of match and window; remove match"):
        define("own", "own", eql="process where true", match={NAME: "a"})


@pytest.mark.parametrize(
    ("query", "by"),
    [
        ("process where true", ("process.pid", "host.id")),
        ("sequence by user.id with maxspan=1s [any where true] [any where true]", ("user.id", "host.id")),
        (
            "sequence with maxspan=1s [any where true] by related.user [any where true] by process.pid",
            ("process.pid", "host.id"),
        ),
    ],
)
def test_keys_of_the_last_event_distinguish_completions(query: str, by: tuple[str, ...]) -> None:
    assert window_of(parse(query)).by == by
